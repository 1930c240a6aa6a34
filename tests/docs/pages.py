"""
The pages of the documentation, read: blocks of code, headings, links, words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"

# Pages that colleagues write or generate: their links are checked, their form is not ours.
FOREIGN = frozenset({"reference/events.md", "decisions.md"})

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
_MODE = re.compile(r"^<!-- docs: (\w+)(?:, refuses ([\w ]+))? -->$", re.MULTILINE)


class Block(NamedTuple):
    """
    One fenced block: its first line in the page, the words after the fence, its text.
    """

    line: int
    language: str
    flags: tuple[str, ...]
    text: str


class Page:
    """
    One Markdown file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text("utf-8")
        found = _MODE.search(self.text)
        self.mode = found[1] if found else "capture"
        self.refuses = frozenset(((found and found[2]) or "").split())
        """Reasons for which the page shows events that are not taken."""
        self.blocks = list(_blocks(self.text))

    def __repr__(self) -> str:
        return self.name

    def python(self) -> list[Block]:
        """
        Return the blocks that are to be run.
        """
        elsewhere = {"no-run", "in-django"}
        return [b for b in self.blocks if b.language == "python" and not elsewhere & {*b.flags}]

    def in_django(self) -> list[Block]:
        """
        Return the blocks that are to be run in a Django project.
        """
        return [b for b in self.blocks if b.language == "python" and "in-django" in b.flags]

    def prose(self) -> str:
        """
        Return the page without its blocks of code; line numbers stay.
        """
        lines = self.text.splitlines()
        for block in self.blocks:
            count = block.text.count("\n") + 2
            lines[block.line - 2 : block.line - 2 + count] = [""] * count
        return "\n".join(lines)

    def links(self) -> list[str]:
        """
        Return the targets of all links, in order.
        """
        return _LINK.findall(self.prose())

    def anchors(self) -> set[str]:
        """
        Return the anchors of the headings, as the usual renderers make them.
        """
        found: set[str] = set()
        for line in self.prose().splitlines():
            heading = _HEADING.match(line)
            if heading:
                text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2]).lower()
                found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
        return found

    def section(self, heading: str) -> str:
        """
        Return the text under *heading* up to the next heading of its level or above.
        """
        level = heading.split(" ", 1)[0]
        _, found, rest = f"\n{self.text}".partition(f"\n{heading}\n")
        assert found, f"{self.name} has no heading {heading!r}"
        return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]

    def rows(self, heading: str) -> list[list[str]]:
        """
        Return the cells of the tables under *heading*, without their head.
        """
        table = [line for line in self.section(heading).splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
        rules = [n for n, row in enumerate(cells) if set("".join(row)) <= set("-:")]
        heads = {n - 1 for n in rules}
        return [row for n, row in enumerate(cells) if n not in heads and n not in rules]


def _blocks(text: str) -> Iterator[Block]:
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opened = _FENCE.match(line)
        if not opened:
            continue
        words = opened["info"].split() or [""]
        indent = len(opened["indent"])
        body: list[str] = []
        for _, inner in lines:
            if inner.strip() == opened["ticks"]:
                break
            body.append(inner[indent:])
        yield Block(number + 1, words[0], tuple(words[1:]), "\n".join(body))


def pages() -> list[Page]:
    """
    Return README, CHANGELOG and every page below docs.
    """
    return [
        Page(README),
        Page(ROOT / "CHANGELOG.md"),
        *(Page(p) for p in sorted(DOCS.rglob("*.md"))),
    ]


def ours() -> list[Page]:
    """
    Return the pages whose form is checked here.
    """
    return [page for page in pages() if page.name.removeprefix("docs/") not in FOREIGN]
