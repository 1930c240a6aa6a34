"""
Post a file of events to a collector, keeping their ids, so that a second replay stores nothing
more.

FILE is NDJSON: one CloudEvent per line, also gzipped (by its content), or - for stdin. A line
that is no event of the standard is named with its reason and skipped; the others are sent as
they are, byte by byte. Transient failures are retried like a service's own; a collector that
refuses altogether (credentials, a wrong path) ends the replay.

Exit code 0: every line was taken; 1: some were not, or the collector could not be reached.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs

from cxsdk._clock import SystemClock
from cxsdk.cli import _screen
from cxsdk.cli._courier import SINK, Courier, add_destination, destination
from cxsdk.cli._values import above_zero, whole
from cxsdk.config import SpoolOptions
from cxsdk.errors import ConfigurationError, CXError, SpoolFullError
from cxsdk.events.codec import decode
from cxsdk.events.envelope import Event
from cxsdk.spool import MemorySpool
from cxsdk.typing import Kind, Record

__all__ = ["Reader", "add_pace", "configure", "reading", "run", "send"]

_SAID = 20
_NOBODY = bytes(8)
_BOM = b"\xef\xbb\xbf"


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("file", metavar="FILE", help="NDJSON, gzipped or not; - is stdin")
    add_destination(parser, required=False)
    add_pace(parser)
    parser.add_argument("--dry-run", action="store_true", help="check the file, send nothing")


def add_pace(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments that say how much at once.
    """
    parser.add_argument("--rate", type=above_zero, metavar="N", help="events a second, at most")
    parser.add_argument(
        "--batch", type=whole, default=500, metavar="N", help="events a request, at most (500)"
    )


def run(options: argparse.Namespace) -> int:
    """
    Replay; return 0 when every line was taken, else 1, or 2 without a destination.

    Raises:
        ConfigurationError: the URL is wrong, or the file cannot be opened.
        OSError: the file cannot be read.
    """
    if not options.to and not options.dry_run:
        _screen.note("cxsdk replay: say where to with --to URL, or --dry-run")
        return 2
    with ExitStack() as stack:
        reader = stack.enter_context(reading(options.file))
        bar = stack.enter_context(_screen.progress("replay", reader.total))
        if options.dry_run:
            return _check(reader, bar)
        return send(reader, bar, options)


# ---- reading ------------------------------------------------------------------------------


@attrs.define
class Reader:
    """
    The lines of a file that are events; the others are said and counted.
    """

    lines: Iterable[bytes]
    total: int | None
    """Size of the file in bytes, as it lies on disk."""
    position: Callable[[], int]
    good: int = 0
    bad: int = 0

    def events(self) -> Iterator[tuple[bytes, str]]:
        """
        Yield (bytes as they stand in the file, family).
        """
        for payload, event in self.parsed():
            yield payload, event.family

    def parsed(self) -> Iterator[tuple[bytes, Event]]:
        """
        Yield (bytes as they stand in the file, event).
        """
        for number, line in enumerate(self._whole_lines(), 1):
            payload = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
            if not payload:
                continue
            try:
                event = decode(payload)
            except CXError as error:
                self._skip(number, error)
                continue
            self.good += 1
            yield payload, event

    def _whole_lines(self) -> Iterator[bytes]:
        try:
            yield from self.lines
        except (EOFError, zlib.error) as error:
            self.bad += 1
            _screen.note(f"the file is cut or damaged, the rest is not read: {error}")

    def _skip(self, number: int, error: CXError) -> None:
        self.bad += 1
        if self.bad <= _SAID:
            _screen.note(f"line {number}: {error}")
        elif self.bad == _SAID + 1:
            _screen.note("… further bad lines are only counted")


@contextmanager
def reading(name: str) -> Iterator[Reader]:
    """
    Open a file of events, by its content gzipped or not; ``-`` is stdin.

    Raises:
        ConfigurationError: it cannot be opened.
    """
    with ExitStack() as stack:
        if name == "-":
            raw: Any = sys.stdin.buffer
            total = None
        else:
            raw = stack.enter_context(_opened(name))
            total = os.fstat(raw.fileno()).st_size
        # By its first bytes and not by its name: stdin has none, and names lie.
        is_gzip = raw.peek(2)[:2] == b"\x1f\x8b"
        lines = stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        yield Reader(lines, total, raw.tell if total is not None else lambda: 0)


def _opened(name: str) -> Any:
    try:
        return open(name, "rb")  # noqa: PTH123, SIM115 - the caller's stack closes it
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from error


def _check(reader: Reader, bar: _screen.Progress) -> int:
    families: Counter[str] = Counter()
    for _, family in reader.events():
        families[family] += 1
        bar.at(reader.position(), f"{reader.good} events")
    _screen.table(("family", "events"), sorted(families.items()))
    print(f"{reader.good} events would be sent, {reader.bad} bad lines skipped")
    return 1 if reader.bad else 0


# ---- sending ------------------------------------------------------------------------------


class _Outbox(MemorySpool):
    """
    A memory spool that says what the destination refused for good.
    """

    def bury(self, sink: str, record: Record, reason: str, detail: str, attempts: int) -> None:
        """
        Count one refused event, and say which and why.
        """
        if self.counts(sink).dead_lettered < _SAID:
            name = decode(record.payload).id
            _screen.note(f"refused: {name}: {detail or reason}")
        super().bury(sink, record, reason, detail, attempts)


def _ignore(*_: object) -> None:
    pass


def send(reader: Reader, bar: _screen.Progress, options: argparse.Namespace) -> int:
    """
    Send what *reader* has, as *options* say (``to``, ``api_key``, ``batch``, ``patience``,
    ``rate``); return 0 when all was taken, else 1.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    sink = destination(options.to, options.api_key)
    spool = _Outbox(
        SpoolOptions(mode="memory"),
        SystemClock(),
        (SINK,),
        on_shed=_ignore,
        note=_ignore,
        on_pressure=_ignore,
    )
    with Courier(spool, sink, batch=options.batch, patience=options.patience) as courier:
        began = time.monotonic()
        for payload, _ in reader.events():
            if not _put(spool, payload, courier, options):
                break
            if options.rate:
                _keep_to(began + reader.good / options.rate)
            bar.at(reader.position(), f"{courier.delivered} delivered {courier.trouble()}")
        while courier.pending and not courier.is_stuck():
            courier.wait()
            bar.at(reader.position(), f"{courier.delivered} delivered {courier.trouble()}")
        return _report(reader, courier)


def _put(spool: MemorySpool, payload: bytes, courier: Courier, options: argparse.Namespace) -> bool:
    """
    Append one event, waiting for room; say whether there was any in the end.
    """
    # One lane and one kind that is never shed: a file is replayed in its order, and whole.
    while True:
        if spool.pending(SINK) < 4 * options.batch:
            try:
                spool.append("bulk", payload, Kind.KEEP, _NOBODY)
                return True
            except SpoolFullError:
                pass
        if courier.is_stuck():
            return False
        courier.hurry()
        courier.wait()


def _keep_to(moment: float) -> None:
    ahead = moment - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)


def _report(reader: Reader, courier: Courier) -> int:
    lost = courier.lost
    said = f"{courier.delivered} events delivered, {reader.bad} bad lines skipped"
    said += "".join(f", {count} {reason}" for reason, count in sorted(lost.items()))
    if courier.pending:
        print(f"{said}, the rest not: {courier.trouble() or 'no answer'}")
        print("Repair it and replay again: what was stored is not stored twice.")
        return 1
    print(said)
    return 1 if reader.bad or lost else 0
