"""
Where the collector keeps events: one SQLite file in WAL mode, one writer, any number of readers.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from cxsdk._clock import Clock, SystemClock
from cxsdk.collector.row import Closing, Refusal, Row
from cxsdk.collector.standings import refold
from cxsdk.collector.tables import migrate
from cxsdk.errors import ConfigurationError

__all__ = ["Ingested", "Store"]

_INSERT_EVENT = (
    "INSERT INTO events (n, source, id, type, family, action, time, received, entity, customer,"
    " touchpoint, channel, stage, outcome, goal_met, instance, lane, seq, weight, body,"
    " recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPSERT_CUSTOMER = (
    "INSERT INTO customers (space, value, events, first, last) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET events = events + excluded.events,"
    " first = min(first, excluded.first), last = max(last, excluded.last)"
)
_UPSERT_LANE = (
    "INSERT INTO lanes (instance, lane, low, high, events, last) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET low = min(low, excluded.low), high = max(high, excluded.high),"
    " events = events + excluded.events, last = max(last, excluded.last)"
)
_UPSERT_CLOSING = (
    "INSERT INTO lanes (instance, lane, low, high, events, last) VALUES (?, ?, 1, ?, 0, ?)"
    " ON CONFLICT DO UPDATE SET high = max(high, excluded.high)"
)
_CHUNK = 400
# Shorter than a sender waits: it is told to come again rather than left to give up.
_LOCKED_S = 5.0
# When, how fast and in which trace it was told, by which process of which release: not what was.
_TELLING = ("time", "recordedtime", "traceparent", "tracestate", "dataschema")
_TELLER = ("sdk", "service", "duration_ms")

_Place = tuple[str | None, str | None, int | None]
"""(instance, lane, seq): who sent it, and as which of its events."""


@attrs.define(frozen=True)
class Ingested:
    """
    What became of the events of one request.
    """

    accepted: int
    duplicate: int
    conflicts: tuple[Refusal, ...]
    """Duplicates whose content differs from what was stored first; the first one stays."""


@attrs.define
class _Sorted:
    """
    The events of one request by what is to be done with them.
    """

    fresh: list[Row] = attrs.Factory(list)
    retold: list[Row] = attrs.Factory(list)
    """Known, but sent here by another process, or as another of its events."""

    conflicts: list[Refusal] = attrs.Factory(list)


class Store:
    """
    Events, who they belong to, and what was refused. Thread-safe; every call blocks on disk.

    What `add` returned for is in the file: a crash of the process does not lose it. A power cut
    may lose the last commits (``synchronous=NORMAL``), never the file.

    Args:
        path: the SQLite file; it and its folder are made if missing, readable by the owner only.

        refusals_kept: how many refused events are remembered.

        clock: for tests.

    Raises:
        ConfigurationError: the file cannot be used.
    """

    def __init__(
        self, path: str | Path, *, refusals_kept: int = 10_000, clock: Clock | None = None
    ) -> None:
        self.path = Path(path)
        self.clock = clock or SystemClock()
        self._refusals_kept = refusals_kept
        self._write_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
            self._writer = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"collector: cannot open {self.path}: {error}") from error
        # SQLite goes on writing to a file that somebody removed, and nobody would see it again.
        self._opened = self._identity()
        try:
            self._writer.execute("PRAGMA journal_mode = WAL")
            # Each checkpoint waits for the disk: at 16 MB of log instead of 4 there are fewer.
            self._writer.execute("PRAGMA wal_autocheckpoint = 4000")
            migrate(self._writer)
        except sqlite3.Error as error:
            self._writer.close()
            raise ConfigurationError(f"collector: cannot use {self.path}: {error}") from error
        except ConfigurationError:
            self._writer.close()
            raise

    def _identity(self) -> tuple[int, int] | None:
        try:
            about = self.path.stat()
        except OSError:
            return None
        return about.st_dev, about.st_ino

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=_LOCKED_S, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -16000")
        return db

    def now(self) -> int:
        """
        Return the time in microseconds since 1970.
        """
        return self.clock.time_ns() // 1000

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """
        Lend a read-only connection in a transaction: all its answers are of one moment.
        """
        with self._readers_lock:
            db = self._readers.pop() if self._readers else None
        if db is None:
            db = self._connect()
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA query_only = ON")
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("ROLLBACK")
            with self._readers_lock:
                if self._closed:
                    db.close()
                else:
                    self._readers.append(db)

    def add(
        self, rows: Sequence[Row], refused: Sequence[Refusal] = (), closing: Closing | None = None
    ) -> Ingested:
        """
        Store what is new, in one transaction; return after the commit.

        The same (source, id) is stored once: repeated, it is a duplicate, and with other content
        a conflict, which counts as a duplicate and is remembered among the refusals. Who told it,
        when, how long that took, and in which trace is no content: a redelivered task tells the same key once more
        from another process, and that is a plain duplicate. *closing*: how far the numbers of a
        process go that ended; what of them never came is missing.

        Raises:
            sqlite3.Error: nothing was stored: the file is locked, full, damaged or not there.
        """
        received = self.now()
        with self._write_lock:
            if self._identity() != self._opened:
                raise sqlite3.OperationalError(f"{self.path} was moved or removed; start it again")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                sorted_out = self._sort_out(rows)
                self._insert(sorted_out.fresh, received)
                self._witness(sorted_out, refused, received)
                if closing is not None:
                    last = [(closing.instance, *lane, received) for lane in closing.lanes]
                    self._writer.executemany(_UPSERT_CLOSING, last)
                self._remember((*refused, *sorted_out.conflicts), received)
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
        fresh = len(sorted_out.fresh)
        return Ingested(fresh, len(rows) - fresh, tuple(sorted_out.conflicts))

    def _sort_out(self, rows: Sequence[Row]) -> _Sorted:
        stored = self._stored(rows)
        found = _Sorted()
        for row in rows:
            known = stored.get((row.id, row.source))
            if known is None:
                stored[row.id, row.source] = (row.body, _place(row))
                found.fresh.append(row)
                continue
            body, place = known
            if place != _place(row):
                found.retold.append(row)
            if not _same(body, row.body):
                reason = "event.id: expected the content first sent under this id, got another"
                found.conflicts.append(Refusal(row.id, row.type, "conflict", reason))
        return found

    def _stored(self, rows: Sequence[Row]) -> dict[tuple[str, str], tuple[str, _Place]]:
        found: dict[tuple[str, str], tuple[str, _Place]] = {}
        for start in range(0, len(rows), _CHUNK):
            ids = [row.id for row in rows[start : start + _CHUNK]]
            marks = ",".join("?" * len(ids))
            cursor = self._writer.execute(
                "SELECT id, source, body, instance, lane, seq FROM events"  # noqa: S608 - marks
                f" WHERE id IN ({marks})",
                ids,
            )
            found.update({(row[0], row[1]): (row[2], row[3:]) for row in cursor})
        return found

    def _insert(self, rows: list[Row], received: int) -> None:
        if not rows:
            return
        db = self._writer
        (last,) = db.execute("SELECT coalesce(max(n), 0) FROM events").fetchone()
        db.executemany(_INSERT_EVENT, _event_rows(rows, last + 1, received))
        db.executemany(
            "INSERT INTO customer_events VALUES (?, ?, ?)",
            [(*key, n) for n, row in enumerate(rows, last + 1) for key in row.keys],
        )
        db.executemany(
            "INSERT INTO links VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (*link.one, *link.other, link.op, row.time, n)
                for n, row in enumerate(rows, last + 1)
                for link in row.links
            ],
        )
        db.executemany(_UPSERT_CUSTOMER, _customer_rows(rows))
        made = [row for row in rows if row.family == "commitment"]
        db.executemany(
            "INSERT OR IGNORE INTO promise_keys VALUES (?, ?, ?)",
            [(*key, row.entity) for row in made for key in row.keys],
        )
        refold(db, [row.entity for row in made])

    def _witness(self, found: _Sorted, refused: Sequence[Refusal], received: int) -> None:
        """
        Count the sequence numbers that arrived, also of events that another process told first
        and of refused ones.
        """
        known = self._counted(found.fresh)
        fresh = [row for row in found.fresh if _place(row) not in known]
        # A retold or refused event may be delivered again, and its number counts once.
        told: tuple[Row | Refusal, ...] = (*found.retold, *refused)
        retold = [
            one
            for one in told
            if None not in _place(one)
            and self._writer.execute(
                "INSERT OR IGNORE INTO retold VALUES (?, ?, ?)", _place(one)
            ).rowcount
        ]
        self._writer.executemany(_UPSERT_LANE, _lane_rows((*fresh, *retold), received))

    def _counted(self, rows: Sequence[Row]) -> set[_Place]:
        """
        Return the places of *rows* that are counted already: of events that were refused before.
        """
        places = [_place(row) for row in rows if None not in _place(row)]
        found: set[_Place] = set()
        for start in range(0, len(places), _CHUNK):
            some = places[start : start + _CHUNK]
            marks = ", ".join(["(?, ?, ?)"] * len(some))
            found.update(
                self._writer.execute(
                    "SELECT instance, lane, seq FROM retold"  # noqa: S608 - marks only
                    f" WHERE (instance, lane, seq) IN (VALUES {marks})",
                    [part for place in some for part in place],
                )
            )
        return found

    def _remember(self, refused: Sequence[Refusal], received: int) -> None:
        if not refused:
            return
        self._writer.executemany(
            "INSERT INTO refusals (received, id, type, code, reason) VALUES (?, ?, ?, ?, ?)",
            [(received, one.id, one.type, one.code, one.reason) for one in refused],
        )
        self._writer.execute(
            "DELETE FROM refusals WHERE n <= (SELECT max(n) FROM refusals) - ?",
            (self._refusals_kept,),
        )

    def close(self) -> None:
        """
        Close the file; running reads finish first on their own connection. May be repeated.
        """
        with self._readers_lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for db in readers:
            db.close()
        with self._write_lock:
            self._writer.close()


def _place(row: Row | Refusal) -> _Place:
    return row.instance, row.lane, row.seq


def _same(stored: str, body: str) -> bool:
    # A hop may have written the JSON anew, and an event with a key of its own is told again by
    # another process at another time; only another content is a conflict.
    return stored == body or _content(stored) == _content(body)


def _content(body: str) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.json.decode(body)
    for name in _TELLING:
        event.pop(name, None)
    data = event.get("data")
    if isinstance(data, dict):
        for name in _TELLER:
            data.pop(name, None)
    return event


def _event_rows(rows: Iterable[Row], first: int, received: int) -> Iterator[tuple[object, ...]]:
    for n, row in enumerate(rows, first):
        yield (
            n,
            row.source,
            row.id,
            row.type,
            row.family,
            row.action,
            row.time,
            received,
            row.entity,
            ":".join(row.keys[0]) if row.keys else None,
            row.touchpoint,
            row.channel,
            row.stage,
            row.outcome,
            row.goal_met,
            row.instance,
            row.lane,
            row.seq,
            row.weight,
            row.body,
            row.recorded,
        )


def _customer_rows(rows: Iterable[Row]) -> list[tuple[object, ...]]:
    seen: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        for key in row.keys:
            known = seen.setdefault(key, [0, row.time, row.time])
            known[0] += 1
            known[1] = min(known[1], row.time)
            known[2] = max(known[2], row.time)
    return [(*key, *counts) for key, counts in seen.items()]


def _lane_rows(rows: Iterable[Row | Refusal], received: int) -> list[tuple[object, ...]]:
    seen: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.instance is None or row.lane is None or row.seq is None:
            continue
        known = seen.setdefault((row.instance, row.lane), [row.seq, row.seq, 0])
        known[0] = min(known[0], row.seq)
        known[1] = max(known[1], row.seq)
        known[2] += 1
    return [(*lane, *counts, received) for lane, counts in seen.items()]
