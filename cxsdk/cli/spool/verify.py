"""
Read every record of the spool directories: damaged spans, gaps in the numbers, what was erased.

Exit code 1 when something is damaged or missing. Only reads.
"""

from __future__ import annotations

import argparse
from typing import Any

from cxsdk.cli import _screen
from cxsdk.spool import inspect

__all__ = ["configure", "run"]

_LOOKS = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Check each of *found*; return 1 when one is damaged.
    """
    verdicts = [(each, _examine(each)) for each in found]
    damaged = [each for each, verdict in verdicts if _is_damaged(each, verdict)]
    if options.json:
        _screen.show_json([_verdict(each, verdict) for each, verdict in verdicts])
        return 1 if damaged else 0
    rows = [
        (
            each.service,
            each.environment,
            each.incarnation,
            verdict.frames,
            verdict.voided,
            len(verdict.corrupt),
            verdict.missing,
            "damaged" if _is_damaged(each, verdict) else "ok",
        )
        for each, verdict in verdicts
    ]
    columns = ("service", "environment", "directory", "events", "erased", "damaged spans",
               "missing", "verdict")  # fmt: skip
    _screen.table(columns, rows)
    for each, verdict in verdicts:
        for words in _words(each, verdict):
            print(f"{each.path}: {words}")
    print(f"{len(damaged)} of {len(found)} directories damaged")
    return 1 if damaged else 0


def _examine(found: inspect.Found) -> inspect.Verdict:
    verdict = inspect.verify(found.path)
    # A living owner renames and removes segments under the reader; damage stays.
    for _ in range(_LOOKS if found.alive else 0):
        if verdict.ok and not verdict.missing:
            break
        verdict = inspect.verify(found.path)
    return verdict


def _is_damaged(found: inspect.Found, verdict: inspect.Verdict) -> bool:
    return bool(not verdict.ok or verdict.missing or found.problem)


def _words(found: inspect.Found, verdict: inspect.Verdict) -> list[str]:
    spans = [f"{name}: damaged at byte {offset}" for name, offset in verdict.corrupt]
    problems = [words for words in (found.problem, *verdict.problems) if words]
    return list(dict.fromkeys([*spans, *problems]))


def _verdict(found: inspect.Found, verdict: inspect.Verdict) -> dict[str, Any]:
    return {
        "path": str(found.path),
        "ok": not _is_damaged(found, verdict),
        "events": verdict.frames,
        "erased": verdict.voided,
        "corrupt": [{"file": name, "offset": offset} for name, offset in verdict.corrupt],
        "missing": verdict.missing,
        "problems": _words(found, verdict),
    }
