"""
Totals below a spool root: what waits for each sink, its age, what the caps allow, dead letters.

With --max-pending, --max-age or --max-dead it serves as a probe: exit code 1 beyond a limit.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

from cxsdk.cli import _screen
from cxsdk.cli.spool._choice import add_age, letters, root_of
from cxsdk.config import resolve
from cxsdk.spool import _disk, directory, inspect

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--max-pending", type=int, metavar="N", help="1 when more events wait")
    add_age(parser, "--max-age", "1 when something waits longer")
    parser.add_argument("--max-dead", type=int, metavar="N", help="1 when more are dead letters")


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Print the totals of *found*; return 1 when a limit is exceeded.
    """
    totals = _totals(options, found)
    beyond = _beyond(options, totals)
    if options.json:
        _screen.show_json({**totals, "beyond": beyond})
    else:
        _screen.table(("", ""), [(name.replace("_", " "), _text(totals[name])) for name in totals])
        for words in beyond:
            print(f"beyond the limit: {words}")
    return 1 if beyond else 0


def _totals(options: argparse.Namespace, found: list[inspect.Found]) -> dict[str, Any]:
    root = root_of(options.dir)
    waiting: Counter[str] = Counter()
    for each in found:
        waiting.update(each.pending)
    reasons = Counter(
        (letter or {}).get("reason", "unreadable")
        for each in found
        for _, letter in letters(each, options)
    )
    oldest = min((each.oldest_ns for each in found if each.oldest_ns), default=0)
    caps = resolve({"service": "cxsdk-cli"})[0].spool
    kind = directory.file_system(root)
    return {
        "root": str(root),
        "directories": len(found),
        "alive": sum(each.alive for each in found),
        "pending": sum(max(each.pending.values(), default=each.records) for each in found),
        "pending_by_sink": dict(sorted(waiting.items())),
        "oldest_s": round(max(0.0, time.time() - oldest / 1e9)) if oldest else None,
        "bytes": sum(each.bytes for each in found),
        "cap_bytes": caps.max_bytes,
        "free_bytes": _disk.free_bytes(root) if root.is_dir() else None,
        "keep_free_bytes": caps.min_free_bytes,
        "dead_letters": sum(reasons.values()),
        "dead_letter_reasons": dict(sorted(reasons.items())),
        "left_alone": sum(bool(each.problem) for each in found),
        "file_system": kind or "unknown",
        "survives_the_container": kind not in directory.VOLATILE,
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"
    return "-" if value is None else str(value)


def _beyond(options: argparse.Namespace, totals: dict[str, Any]) -> list[str]:
    limits = (
        ("pending", options.max_pending, "events wait"),
        ("oldest_s", options.max_age, "seconds is the age of the oldest"),
        ("dead_letters", options.max_dead, "dead letters"),
    )
    return [
        f"{totals[name]} {words}, {limit:g} allowed"
        for name, limit, words in limits
        if limit is not None and (totals[name] or 0) > limit
    ]
