"""
Show the newest events that wait, oldest first: when, what, where; never who or what was said,
unless --show-data. Only reads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from cxsdk.cli import _screen
from cxsdk.cli.spool._choice import places, records
from cxsdk.cli.spool._excerpt import event_of, excerpt, line_of
from cxsdk.spool import inspect

__all__ = ["configure", "run"]

_EVERY_S = 0.5
_LANES = {"vital": "!", "bulk": " "}


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("-n", type=int, default=10, metavar="N", help="how many (10)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--show-data", action="store_true", help="whole events")


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Print events; return 0.
    """
    seen: dict[tuple[str, str], int] = {}
    newest = sorted(_news(options, found, seen), key=lambda row: str(row[0].get("time")))
    for event, lane in newest[-options.n :] if options.n > 0 else []:
        print(_line(event, lane, options))
    if not newest and not options.follow:
        _screen.note("nothing waits")
    while options.follow:
        time.sleep(_EVERY_S)
        for event, lane in _news(options, list(places(options)), seen):
            print(_line(event, lane, options))
    return 0


def _news(
    options: argparse.Namespace, found: list[inspect.Found], seen: dict[tuple[str, str], int]
) -> Iterator[tuple[dict[str, Any], str]]:
    """
    Yield (event, lane) for what was not seen yet, by directory and segment.
    """
    for each in found:
        for record in records(each, options):
            segment, offset = record.place
            key = (str(each.path), segment)
            if offset > seen.get(key, -1):
                seen[key] = offset
                yield event_of(record.payload) or {"type": "unreadable"}, record.lane


def _line(event: dict[str, Any], lane: str, options: argparse.Namespace) -> str:
    if options.show_data:
        return line_of(event)
    shown = excerpt(event)
    if options.json:
        return line_of({**shown, "lane": lane})
    data = shown["data"] if isinstance(shown["data"], dict) else {}
    where = data.get("where") if isinstance(data.get("where"), dict) else {}
    words = [where.get("touchpoint") if isinstance(where, dict) else None, data.get("outcome")]
    kind = ".".join(str(shown.get("type", "?")).split(".")[-3:-1])
    said = " ".join(str(word) for word in words if word)
    return f"{shown.get('time', '?'):<32} {_LANES[lane]} {kind:<24} {said}".rstrip()
