"""
Which directories, records and letters a person means: the arguments that several actions share.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cxsdk._clock import to_ns
from cxsdk.errors import CXError
from cxsdk.spool import directory, erasure, inspect
from cxsdk.typing import Record

__all__ = [
    "add_age",
    "add_dead",
    "add_filters",
    "add_yes",
    "age",
    "letters",
    "places",
    "records",
    "root_of",
]

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def add_filters(parser: argparse.ArgumentParser) -> None:
    """
    Add what every action takes.
    """
    parser.add_argument("--dir", metavar="ROOT", help="spool root ($CXSDK_SPOOL_DIR)")
    parser.add_argument("--service", help="only this service")
    parser.add_argument("--environment", help="only this environment")


def add_age(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """
    Add an argument that takes an age such as ``90s``, ``15min``, ``2h`` or ``3d``.
    """
    parser.add_argument(name, type=age, metavar="AGE", help=f"{text}: 90s, 15min, 2h, 3d")


def add_dead(parser: argparse.ArgumentParser, *, only: bool = False) -> None:
    """
    Add what chooses dead letters; with *only* the action knows nothing else.
    """
    if not only:
        parser.add_argument("--dead", action="store_true", help="dead letters, not waiting events")
    parser.add_argument("--sink", metavar="NAME", help="only what concerns this sink")
    parser.add_argument("--reason", help="only dead letters with this reason")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """
    Add the argument without which nothing is changed.
    """
    parser.add_argument("--yes", action="store_true", help="do it; else only count")


def age(text: str) -> float:
    """
    Read an age; return seconds.

    Raises:
        ValueError: it is none.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    value = float(number) * _UNITS[text[len(number) :] or "s"] if _has_unit(text, number) else -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _has_unit(text: str, number: str) -> bool:
    return (text[len(number) :] or "s") in _UNITS


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


def records(found: inspect.Found, options: argparse.Namespace) -> Iterator[Record]:
    """
    Yield what a sink (``--sink``, else the slowest) has still to get, without what is erased.

    A directory that cannot be read gives nothing.
    """
    slowest = max(found.pending, key=lambda sink: found.pending[sink], default=None)
    sink = getattr(options, "sink", None) or slowest
    if found.problem or (found.sinks and sink not in found.sinks):
        return
    try:
        yield from inspect.records(
            found.path, sink=sink, stones=erasure.stones(root_of(options.dir))
        )
    except (CXError, OSError):
        return


def letters(found: inspect.Found, options: argparse.Namespace) -> Iterator[tuple[bytes, Any]]:
    """
    Yield the dead letters that *options* ask for, as they stand and read; None: unreadable.
    """
    is_wanted = _letter_filter(options)
    for line in inspect.dead_letters(found.path, stones=erasure.stones(root_of(options.dir))):
        try:
            letter = json.loads(line)
        except ValueError:
            letter = None
        if is_wanted(letter):
            yield line, letter


def _letter_filter(options: argparse.Namespace) -> Callable[[Any], bool]:
    now_ns = time.time_ns()
    since = getattr(options, "since", None)
    older = getattr(options, "older_than", None)

    def is_wanted(letter: Any) -> bool:
        said = letter if isinstance(letter, dict) else {}
        for name in ("sink", "reason"):
            asked = getattr(options, name, None)
            if asked is not None and said.get(name) != asked:
                return False
        if since is None and older is None:
            return True
        buried = _moment(said.get("last"))
        if buried is None:
            return False
        passed = (now_ns - buried) / 1e9
        return not (since is not None and passed > since) and not (
            older is not None and passed <= older
        )

    return is_wanted


def _moment(text: Any) -> int | None:
    try:
        return to_ns(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        return None
