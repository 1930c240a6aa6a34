"""
Look at what waits on this machine for delivery, check it, and deliver what nobody owns any more.

  cxsdk spool ls                      every spool directory: whose, alive?, what waits
  cxsdk spool verify                  read every frame; exit code 1 when something is damaged
  cxsdk spool drain --to URL          count what dead processes left; with --yes deliver it

ls and verify only read. Nothing a customer said or did is shown without --show-data.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxsdk.cli import _screen
from cxsdk.spool import directory, inspect

__all__ = ["configure", "places", "root_of", "run"]

_LOOKS = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = commands.add_parser("ls", help="list spool directories and what waits in them")
    verify = commands.add_parser("verify", help="check frames and numbers; 1 when damaged")
    drain = commands.add_parser("drain", help="deliver what dead processes left behind")
    for each in (ls, verify, drain):
        each.add_argument("--dir", metavar="ROOT", help="spool root ($CXSDK_SPOOL_DIR)")
        each.add_argument("--service", help="only this service")
        each.add_argument("--environment", help="only this environment")
    for each in (ls, verify):
        each.add_argument("--json", action="store_true", help="for machines")
    ls.add_argument("--show-data", action="store_true", help="also print events and dead letters")
    drain.add_argument("--to", metavar="URL", required=True, help="the collector")
    drain.add_argument("--api-key", metavar="KEY", help="of the collector ($CXSDK_API_KEY)")
    drain.add_argument(
        "--sink", default="default", metavar="NAME", help="what that sink has to get (%(default)s)"
    )
    drain.add_argument("--yes", action="store_true", help="do it; else only count")
    drain.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds without progress after which to give up (60)",
    )


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 for damage and for what could not be delivered.

    Raises:
        OSError: the disk refused.
    """
    if options.action == "drain":
        from cxsdk.cli._drain import drain

        return drain(options, list(places(options)))
    action = {"ls": _ls, "verify": _verify}[options.action]
    return action(options, list(places(options)))


def root_of(said: str | None) -> Path:
    """
    Return the spool root: as said, else ``CXSDK_SPOOL_DIR``, else the platform's.
    """
    chosen = said or os.environ.get("CXSDK_SPOOL_DIR")
    return Path(chosen) if chosen else directory.default_root()


def places(options: argparse.Namespace) -> Iterator[inspect.Found]:
    """
    Yield the spool directories that *options* ask for.
    """
    for found in inspect.spools(root_of(options.dir)):
        is_wanted = options.service in {None, found.service}
        if is_wanted and options.environment in {None, found.environment}:
            yield found


# ---- ls -----------------------------------------------------------------------------------


def _ls(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    if options.json:
        _screen.show_json([_plain(each, with_data=options.show_data) for each in found])
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
            _show(each)
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
        _age(found.oldest_ns),
        found.dead_letters,
        found.format or "?",
    )


def _age(since_ns: int) -> str:
    if not since_ns:
        return "-"
    seconds = max(0.0, time.time() - since_ns / 1e9)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _show(found: inspect.Found) -> None:
    print(f"--- {found.path}")
    for record in _records(found):
        print(record.payload.decode())
    for letter in inspect.dead_letters(found.path):
        print(letter.decode())


def _records(found: inspect.Found) -> list[Any]:
    """
    Return what the slowest sink has still to get; nothing where it cannot be read.
    """
    slowest = max(found.pending, key=lambda sink: found.pending[sink], default=None)
    return [] if found.problem else list(inspect.records(found.path, sink=slowest))


def _letters(found: inspect.Found) -> Iterator[dict[str, Any]]:
    for line in inspect.dead_letters(found.path):
        try:
            yield json.loads(line)
        except ValueError:
            yield {"reason": "unreadable"}


def _plain(found: inspect.Found, *, with_data: bool) -> dict[str, Any]:
    letters = list(_letters(found))
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
        "dead_letter_reasons": dict(Counter(letter.get("reason") for letter in letters)),
    }
    if with_data:
        plain["events"] = [json.loads(record.payload) for record in _records(found)]
        plain["letters"] = letters
    return plain


# ---- verify -------------------------------------------------------------------------------


def _verify(options: argparse.Namespace, found: list[inspect.Found]) -> int:
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
