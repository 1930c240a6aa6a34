"""
Write what waits, or dead letters, as lines of JSON: redacted, or whole with --show-data, which is
what ``cxsdk replay`` takes. Only reads.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from cxsdk.cli import _screen
from cxsdk.cli.spool._choice import add_age, add_dead, letters, records
from cxsdk.cli.spool._excerpt import event_of, excerpt, letter_excerpt, line_of
from cxsdk.spool import inspect

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    add_dead(parser)
    add_age(parser, "--since", "only dead letters that are younger")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="a new file, mode 0600; else stdout"
    )
    parser.add_argument("--show-data", action="store_true", help="whole events, not redacted")
    parser.add_argument(
        "--letters", action="store_true", help="with --dead: reason and words around each event"
    )


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Write; return 0.

    Raises:
        OSError: the file exists, or cannot be written.
    """
    count = 0
    with _open(options.out) as out:
        for line in _lines(options, found):
            print(line, file=out)
            count += 1
    _screen.note(f"{count} {'dead letters' if options.dead else 'events'}")
    return 0


def _open(path: Path | None) -> Any:
    if path is None:
        return nullcontext(sys.stdout)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    out: TextIO = os.fdopen(fd, "w", encoding="utf-8")
    return out


def _lines(options: argparse.Namespace, found: list[inspect.Found]) -> Iterator[str]:
    for each in found:
        if not options.dead:
            for record in records(each, options):
                # As it stands: not one byte of what is replayed may be another.
                whole = record.payload.decode("utf-8", "replace")
                yield whole if options.show_data else line_of(excerpt(event_of(record.payload)))
            continue
        for line, letter in letters(each, options):
            yield _letter(line, letter, options)


def _letter(line: bytes, letter: Any, options: argparse.Namespace) -> str:
    if not options.show_data:
        return line_of(letter_excerpt(letter))
    is_event = isinstance(letter, dict) and isinstance(letter.get("event"), dict)
    if options.letters or not is_event:
        return line.decode("utf-8", "replace")
    return line_of(letter["event"])
