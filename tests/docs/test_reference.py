"""
The reference pages and the code say the same.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import attrs
import pytest

import cxsdk as cx
from cxsdk import config
from cxsdk import typing as seams
from cxsdk.cli import COMMANDS, _parser
from cxsdk.cli._checks import REASONS
from cxsdk.integrations.front import Front
from cxsdk.sinks import known_schemes, open_sink
from cxsdk.spool import _record
from tests.docs.generate import FATAL, GROUPS, PAGES, REFERENCE
from tests.docs.pages import DOCS, ROOT, Page, ours

CHECKED = {
    "CXSDK_SPOOL_SYNC",
    "CXSDK_SPOOL_MODE",
    "CXSDK_KEY",
    "CXSDK_BASIS",
    "CXSDK_ENVIRONMENT",
    "CXSDK_TZ",
    "CXSDK_NAMESPACE",
    "CXSDK_TYPE_PREFIX",
    "CXSDK_CONSENT",
    "CXSDK_PURPOSE",
}
"""Texts whose values are looked at; any other text is right."""

SOURCES = {
    path: path.read_text("utf-8")
    for room in ("pipeline", "spool", "delivery", "instrument", "sinks", "outbox")
    for path in sorted((ROOT / "cxsdk" / room).glob("*.py"))
}
SOURCES[ROOT / "cxsdk" / "client.py"] = (ROOT / "cxsdk" / "client.py").read_text("utf-8")
SOURCES[ROOT / "cxsdk" / "_default.py"] = (ROOT / "cxsdk" / "_default.py").read_text("utf-8")


def found(*patterns):
    """
    Return what the first group of the patterns matches, anywhere in the sources.
    """
    texts = SOURCES.values()
    return {name for p in patterns for text in texts for name in re.findall(p, text, re.DOTALL)}


def listed(heading):
    """
    Return the codes in the first column of a table of the page of reasons.
    """
    rows = Page(REFERENCE / "reasons.md").rows(heading)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}


# ---- generated pages ----------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_the_one_the_code_makes(name):
    """
    Page and code agree.
    """
    written = (REFERENCE / name).read_text("utf-8")
    assert PAGES[name]() == written, "run python -m tests.docs.generate"


def test_every_public_name_is_on_the_api_page():
    """
    The page groups all of ``cxsdk.__all__``, each name once.
    """
    names = [name for _, _, group in GROUPS for name in group]
    assert sorted(names) == sorted(cx.__all__)


def test_every_setting_and_switch_is_in_the_table():
    """
    No variable and no option is left out of the configuration.
    """
    page = Page(REFERENCE / "configuration.md")
    variables = {row.env for row in (*config.SETTINGS, *config.SWITCHES)}
    assert {name for name in variables if f"`{name}`" not in page.text} == set()
    for cls in config._GROUPS.values():
        fields = [f"`{field.name}`" for field in attrs.fields(cls)]
        assert [row[0] for row in page.rows(f"## {cls.__name__}")] == fields


@pytest.mark.parametrize("row", [*config.SETTINGS, *config.SWITCHES], ids=lambda row: row.env)
def test_a_wrong_variable_does_what_the_page_says(row):
    """
    It is ignored with a warning, or it is one of the few that stop `init`.
    """
    wrong = "not / right"
    environ = {"CXSDK_SERVICE": "shop", row.env: wrong}

    def init():
        settings, warnings = config.resolve({}, environ)
        open_sink(settings.collector or "null:", settings=settings)
        return warnings

    if row.env in FATAL:
        with pytest.raises(cx.ConfigurationError):
            init()
    elif row.parse in {str, Path, config._names} and row.env not in CHECKED:
        assert init() == []
    else:
        assert len(init()) == 1


@pytest.mark.parametrize("page", ours(), ids=repr)
def test_every_variable_that_a_page_names_exists(page):
    """
    A reader who sets what a page says sets something.
    """
    known = {row.env for row in (*config.SETTINGS, *config.SWITCHES)}
    assert set(re.findall(r"CXSDK_[A-Z_]+", page.text)) - known == set()


# ---- reasons ------------------------------------------------------------------------------


def test_every_reason_of_a_dropped_event_is_explained():
    """
    What the code can put into `Dropped.reason` is in the table, and nothing else.
    """
    from cxsdk import errors

    literal = found(
        r'Dropped\(\s*"(\w+)"',
        r'_(?:drop|silent)\(\s*"(\w+)"',
        r'_refuse_late\(\s*\w+,\s*"(\w+)"',
        r'_why_off = "(\w+)"',
        r'else "(internal)"',
        r'code="(\w+)"',
    )
    codes = {errors.InvalidEventError("x", "y").code, errors.EncodeError.code}
    codes.add(errors.OutboxError.code)
    assert listed("## An event was not taken") == literal | codes


def test_every_reason_that_doctor_knows_is_on_the_page():
    """
    ``cxsdk doctor`` and the page do not contradict each other.
    """
    assert set(REASONS) - listed("## An event was not taken") == set()


def test_every_reason_for_which_a_sink_loses_events_is_explained():
    """
    What the spool counts as dropped is in the table.
    """
    literal = found(
        r'dropped\[\s*"(\w+)"',
        r'dropped\[.*?else "(\w+)"\]',
        r'_give_up\([^()]*"(\w+)"\)',
        r'_shed_from\([^()]*"(\w+)"\)',
        r'_spool\.drop\([^()]*"(\w+)"\)',
    )
    assert literal == listed("## A taken event did not arrive")


def test_every_reason_of_a_dead_letter_is_explained():
    """
    What delivery buries under is in the table.
    """
    literal = found(r'Condemned\([^()]*?"(\w+)"', r'_TOO_LARGE = "(\w+)"')
    assert literal == listed("## A destination refused an event for good")


def test_every_reason_of_a_report_is_explained():
    """
    What ``flush`` says about the rest is in the table.
    """
    waiter = (ROOT / "cxsdk" / "delivery" / "waiter.py").read_text("utf-8")
    said = set(re.findall(r'return "(\w+)"', waiter.partition("def _reason")[2]))
    assert said == listed("## Why something is still pending")


def test_everything_noted_is_explained():
    """
    What is counted beside events is in the table.
    """
    literal = found(r'note\(\s*"(\w+)"', r'_decide\(\s*"(\w+)"')
    for room in ("lookup", "integrations"):
        for path in (ROOT / "cxsdk" / room).glob("*.py"):
            literal |= set(
                re.findall(r'note\("((?:memory|integration)_\w+)"', path.read_text("utf-8"))
            )
    assert literal == listed("## What is worth a look")


# ---- errors, seams, wire ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "protocol"),
    [
        ("sink", seams.Sink.__doc__),
        ("spool", seams.Spool.__doc__),
        ("integration", Front.__doc__),
    ],
)
def test_an_extension_page_states_the_contract_of_its_protocol(page, protocol):
    """
    The numbered guarantees of the page are those of the Protocol, in the same number and words.
    """

    def words(text):
        return re.findall(r"\w+", re.sub(r"\s+", " ", text).lower())

    numbered = re.compile(r"^ *(\d+)\. (.*?)(?=^ *\d+\. |\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
    theirs = {n: words(text) for n, text in numbered.findall(protocol)}
    section = Page(DOCS / "extending" / f"{page}.md").section("## The contract")
    shown = {n: words(text) for n, text in numbered.findall(section)}
    assert shown.keys() == theirs.keys()
    for n, text in shown.items():
        assert text[:6] == theirs[n][:6]


def test_every_result_of_a_sink_is_on_its_page():
    """
    The page of sinks names what `send` may say.
    """
    rows = Page(DOCS / "extending" / "sink.md").rows("## What `send` may say")
    names = [re.match(r"`(\w+)\(", row[0])[1] for row in rows]
    assert names == [cls.__name__ for cls in seams.SendResult.__args__]


def test_every_built_in_sink_is_offered():
    """
    The page of sinks has a row for each scheme.
    """
    rows = Page(DOCS / "how-to" / "choose-a-sink.md").rows("## 1. Pick a destination")
    assert {row[0].strip("`").partition(":")[0] for row in rows} == set(known_schemes())


def test_the_record_format_adds_up():
    """
    The sizes in the table are those of the format.
    """
    rows = Page(REFERENCE / "wire-format.md").rows("## A record in the spool")
    sizes = [int(row[1]) for row in rows if row[1].isdigit()]
    assert sum(sizes[:6]) == _record.OVERHEAD
    assert sum(sizes[6:]) == _record.HEADER_BYTES
    text = Page(REFERENCE / "wire-format.md").text
    assert _record.COMMIT.hex(" ").upper() in text
    assert _record.VOIDED.hex(" ").upper() in text


def test_the_event_on_the_wire_page_is_one():
    """
    The strict codec takes the shown event.
    """
    from cxsdk.events.codec import decode

    blocks = Page(REFERENCE / "wire-format.md").blocks
    shown = next(block.text for block in blocks if block.language == "json")
    assert decode(shown.encode(), strict=True).family == "interaction"


# ---- command line -------------------------------------------------------------------------


def _options(parser):
    """
    Return the options of a parser and of the parsers below it.
    """
    names = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                names |= _options(inner)
        else:
            names |= {word for word in action.option_strings if word.startswith("--")}
    return names - {"--help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_on_the_page(command):
    """
    The page names the options of each command, and no others.
    """
    page = Page(REFERENCE / "cli.md")
    heading = next(
        line for line in page.text.splitlines() if re.match(rf"## cxsdk {command}\b", line)
    )
    parser = argparse.ArgumentParser()
    importlib.import_module(f"cxsdk.cli.{command}").configure(parser)
    rows = page.rows(heading)
    shown = {name for row in rows for name in re.findall(r"(--[a-z-]+)", row[0])}
    assert shown == _options(parser)


def _commands():
    for page in ours():
        for block in page.blocks:
            if block.language == "console":
                for line in block.text.splitlines():
                    if line.startswith("$ "):
                        yield page, line[2:]


SHOWN = [(page, line) for page, line in _commands() if re.search(r"\bcxsdk [a-z]", line)]


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=lambda value: str(value)[:60])
def test_a_shown_command_is_understood(page, line):
    """
    Every ``cxsdk`` command of the documentation passes the parser.
    """
    part = re.split(r" && ", line)[-1]
    words = shlex.split(part)
    start = next(n for n, word in enumerate(words) if word.split("/")[-1] == "cxsdk")
    _parser(words[start + 1 :]).parse_args(words[start + 1 :])
