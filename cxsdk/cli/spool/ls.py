"""
List the spool directories below a root: whose they are, whether the owner lives, what waits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import Any

from cxsdk.cli import _screen
from cxsdk.cli.spool._choice import letters, records, root_of
from cxsdk.spool import inspect

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--show-data", action="store_true", help="also events and dead letters")


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Print one row for each of *found*; return 0.
    """
    if options.json:
        _screen.show_json([_plain(each, options) for each in found])
        return 0
    root = root_of(options.dir)
    if not found:
        print(f"{root}: nothing is spooled" if root.is_dir() else f"{root}: no such folder")
        return 0
    print(root)
    columns = ("service", "environment", "directory", "owner", "pending", "bytes", "oldest",
               "dead letters", "format")  # fmt: skip
    _screen.table(columns, [_row(each) for each in found])
    for each in found:
        if each.problem:
            print(f"{each.incarnation}: {each.problem}")
        if options.show_data:
            _show(each, options)
    return 0


def _row(found: inspect.Found) -> tuple[Any, ...]:
    pending = ", ".join(f"{sink} {count}" for sink, count in sorted(found.pending.items()))
    return (
        found.service,
        found.environment,
        found.incarnation,
        "alive" if found.alive else "gone",
        pending or str(found.records),
        _screen.size(found.bytes),
        _screen.age(found.oldest_ns),
        found.dead_letters,
        found.format or "?",
    )


def _show(found: inspect.Found, options: argparse.Namespace) -> None:
    print(f"--- {found.path}")
    for record in records(found, options):
        print(record.payload.decode())
    for line, _ in letters(found, options):
        print(line.decode())


def _plain(found: inspect.Found, options: argparse.Namespace) -> dict[str, Any]:
    dead = [letter or {"reason": "unreadable"} for _, letter in letters(found, options)]
    plain: dict[str, Any] = {
        "path": str(found.path),
        "service": found.service,
        "environment": found.environment,
        "incarnation": found.incarnation,
        "alive": found.alive,
        "format": found.format,
        "sinks": found.sinks,
        "problem": found.problem,
        "segments": found.segments,
        "records": found.records,
        "pending": found.pending,
        "bytes": found.bytes,
        "oldest_s": round(max(0.0, time.time() - found.oldest_ns / 1e9))
        if found.oldest_ns
        else None,
        "dead_letters": found.dead_letters,
        "dead_letter_reasons": dict(Counter(letter.get("reason") for letter in dead)),
    }
    if options.show_data:
        plain["events"] = [json.loads(record.payload) for record in records(found, options)]
        plain["letters"] = dead
    return plain
