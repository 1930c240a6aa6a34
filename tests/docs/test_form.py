"""
Links lead somewhere, pages have the form of the house, words are those of the glossary.
"""

from __future__ import annotations

import ast
import re
import shutil
import tomllib

import pytest

from cxsdk import knowing
from cxsdk import typing as seams
from tests.docs.pages import DOCS, README, ROOT, Page, ours, pages

HOW_TO = [page for page in ours() if "/how-to/" in page.name]
EXTENDING = [page for page in ours() if "/extending/" in page.name]
WORDS = ("Event", "Processor", "Spool", "Sink", "ContextProvider", "Offer", "Client")
LATER: set[str] = set()


# ---- links --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages(), ids=repr)
def test_links_between_pages_lead_somewhere(page):
    """
    Each relative link names a file that is there and a heading that is in it.
    """
    dead = []
    for link in page.links():
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.is_file() or (anchor and anchor not in Page(target).anchors()):
            dead.append(link)
    assert dead == []


def test_every_page_can_be_reached_from_the_index():
    """
    No page is an orphan; decisions are for those who build it.
    """
    seen, todo = set(), [DOCS / "index.md"]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        links = [link.partition("#")[0] for link in Page(path).links()]
        todo += [(path.parent / link).resolve() for link in links if link.endswith(".md")]
    assert set(DOCS.rglob("*.md")) - seen - {DOCS / "decisions.md"} == set()


def test_the_readme_links_to_every_page_but_the_index():
    """
    Whoever begins at the README finds all of it.
    """
    linked = {(ROOT / link).resolve() for link in Page(README).links() if link.endswith(".md")}
    own = {page.path for page in ours() if page.name.startswith("docs/")}
    assert own - linked == {DOCS / "index.md"}


# ---- form ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*HOW_TO, *EXTENDING], ids=repr)
def test_a_how_to_says_what_you_get_how_to_check_it_and_what_may_go_wrong(page):
    """
    Outcome sentence, then steps, then Verify and Troubleshooting as the last two sections.
    """
    prose = re.sub(r"<!--.*?-->", "", page.prose())
    title, outcome = [part.strip() for part in prose.strip().split("\n\n")][:2]
    assert title.startswith("# ")
    assert outcome.startswith("You will ")
    headings = re.findall(r"^## (.+)$", page.prose(), re.MULTILINE)
    assert headings[-2:] == ["Verify", "Troubleshooting"]
    assert len(headings) > 3
    assert len(page.rows("## Troubleshooting")) >= 3


@pytest.mark.parametrize("page", ours(), ids=repr)
def test_a_line_of_prose_is_one_sentence(page):
    """
    Semantic newlines: a changed sentence is a changed line.
    """
    long = []
    for number, line in enumerate(page.prose().splitlines(), 1):
        is_prose = line and not re.match(r"[|#<>]|\s*- |\d+\. |\s{2,}|[¹²]", line)
        if is_prose and re.search(r"[a-z0-9`)*][.?!] [A-Z`]", line):
            long.append(f"{page.name}:{number}")
    assert long == []


@pytest.mark.parametrize("page", ours(), ids=repr)
def test_a_page_has_one_title_and_no_rest_of_work(page):
    """
    One heading of level 1, nothing unfinished, no path of somebody's machine.
    """
    titles = [line for line in page.prose().splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    assert re.findall(r"TODO|FIXME|TBD|XXX|lorem|/home/|/Users/|/work/", page.text) == []
    assert page.text.endswith("\n")
    assert not page.text.endswith("\n\n")
    assert [line for line in page.text.splitlines() if line != line.rstrip()] == []


def test_the_glossary_is_the_seven_words():
    """
    Seven words, those that the code has not yet marked as later; the code has the others.
    """
    rows = Page(DOCS / "glossary.md").rows("# Glossary")[: len(WORDS)]
    assert sorted(row[0].strip("*") for row in rows) == sorted(WORDS)
    marked = {row[0].strip("*") for row in rows if "later release" in row[1]}
    assert marked == LATER
    import cxsdk as cx

    for word in set(WORDS) - LATER:
        assert any(hasattr(room, word) for room in (cx, seams, cx.prompts, knowing))
    for word in LATER:
        assert not hasattr(cx, word)
        assert not hasattr(seams, word)


@pytest.mark.parametrize("page", ours(), ids=repr)
def test_a_thing_has_one_word(page):
    """
    Words that would be a second name for something of the glossary do not occur.
    """
    others = r"\b(exporters?|emitters?|backends?|plug-?in sinks?|middlewares?|write-ahead)\b"
    allowed = {"docs/why.md"}
    found = re.findall(others, page.prose(), re.IGNORECASE)
    assert found == [] or page.name in allowed


# ---- README -------------------------------------------------------------------------------


def test_the_readme_is_short_and_shows_an_example_early():
    """
    At most 120 lines; an example of at most 12 lines that begins and ends before line 45.
    """
    page = Page(README)
    assert len(page.text.splitlines()) <= 120
    (example,) = page.python()
    lines = example.text.count("\n") + 1
    assert lines <= 12
    assert example.line + lines < 45


def test_the_readme_begins_with_one_sentence_and_bullets():
    """
    Title, one sentence, then why in bullets.
    """
    title, sentence, heading, bullets = Page(README).text.split("\n\n")[:4]
    assert (title, heading) == ("# cxsdk", "## Why")
    assert sentence.count("\n") == 0
    assert sentence.count(".") == 1
    assert all(line.startswith("- ") for line in bullets.splitlines())


def test_what_the_commands_of_the_readme_name_exists():
    """
    Extras, dependency group, script and demo option are there; nothing is written elsewhere.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    blocks = [b for b in Page(README).blocks if b.language == "console"]
    lines = [line[2:] for b in blocks for line in b.text.splitlines()]
    assert len(lines) == 2
    for line in lines:
        parts = line.split(" && ")
        assert parts[0] == "python3 -m venv .venv"
        assert [part for part in parts[1:] if not part.startswith(".venv/bin/")] == []
        extras = set(re.findall(r"\.\[(\w+)\]", line))
        assert extras <= set(project["project"]["optional-dependencies"])
        assert set(re.findall(r"--group (\w+)", line)) <= set(project["dependency-groups"])
        scripts = {re.split(r"[ /]", part)[2] for part in parts[1:]}
        assert scripts <= {"pip", "pytest", *project["project"]["scripts"]}
    assert shutil.which("python3")


def test_the_extras_of_the_readme_are_those_of_the_project():
    """
    Every extra is named.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    line = next(line for line in Page(README).text.splitlines() if "extras (" in line)
    named = set(re.findall(r"`(\w+)`", line))
    assert named == set(project["optional-dependencies"])
    packages = {re.split(r"[<>=;]", name)[0].strip() for name in project["dependencies"]}
    assert {name for name in packages if name not in line} == {"tzdata"}


def test_the_example_says_what_the_text_around_it_claims(folder):
    """
    The feedback of the README is about the payment above it.
    """
    from cxsdk.testing import capture

    (example,) = Page(README).python()
    with capture() as events:
        exec(compile(ast.parse(example.text), "README.md", "exec"), {"__name__": "__docs__"})
    paid = events.one("interaction")
    assert paid.data.goal_met == "yes"
    assert events.one("feedback").data.about.interaction_ids == (paid.data.interaction_id,)
    assert events.one("commitment").data.duty == "in_force_until"


# ---- CHANGELOG ----------------------------------------------------------------------------


def test_the_changelog_has_the_form_of_keep_a_changelog():
    """
    An unreleased part first; only the six kinds of change, in one order, each with entries.
    """
    page = Page(ROOT / "CHANGELOG.md")
    releases = re.findall(r"^## \[(.+?)\](.*)$", page.text, re.MULTILINE)
    assert releases[0] == ("Unreleased", "")
    assert all(re.fullmatch(r" - \d{4}-\d{2}-\d{2}", date) for _, date in releases[1:])
    order = ["Security", "Removed", "Deprecated", "Added", "Changed", "Fixed"]
    for part in page.text.split("\n## [")[1:]:
        kinds = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert kinds == [kind for kind in order if kind in kinds]
        for body in part.split("\n### ")[1:]:
            lines = [line for line in body.splitlines()[1:] if line]
            assert lines
            assert all(line.startswith("- ") for line in lines)


def test_the_changelog_names_every_verb():
    """
    What is public is announced.
    """
    import cxsdk as cx

    text = Page(ROOT / "CHANGELOG.md").text
    verbs = {name for name in cx.__all__ if name.islower() and not name.startswith("_")}
    silent = {name for name in verbs if f"`cxsdk.{name}`" not in text}
    assert silent == {"aclose", "aflush", "client"}
