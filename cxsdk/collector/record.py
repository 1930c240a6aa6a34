"""
How complete the record is: how late events came, what was refused, given up or never arrived.
"""

from __future__ import annotations

import sqlite3

import attrs

__all__ = ["Delay", "Gap", "Lost", "Record", "Refused", "read"]

_BULK = ("interaction", "problem", "prompt")


@attrs.define(frozen=True)
class Delay:
    """
    Time from when events happened to when they were stored, in seconds (nearest-rank).

    Below zero a producer's clock is ahead of the collector's.
    """

    n: int
    p50: float
    p95: float
    most: float


@attrs.define(frozen=True)
class Refused:
    """
    One refused event.
    """

    received: int
    id: str | None
    type: str | None
    code: str
    reason: str


@attrs.define(frozen=True)
class Lost:
    """
    What producers said they gave up.
    """

    reason: str
    family: str
    touchpoint: str
    count: int
    last: int


@attrs.define(frozen=True)
class Gap:
    """
    Sequence numbers of one producer's lane that never arrived.

    *missing* lie between the first and the last that did; *covered* of them a loss record names.
    """

    instance: str
    lane: str
    low: int
    high: int
    missing: int
    covered: int

    @property
    def unaccounted(self) -> int:
        """
        Return what is missing without a word; it may still be on its way.
        """
        return self.missing - self.covered


@attrs.define(frozen=True)
class Record:
    """
    The state of the record itself.
    """

    delay: Delay | None
    refused: int
    refused_at_least: bool
    """Older refusals were let go, so the true number is higher."""

    by_reason: tuple[tuple[str, str, int], ...]
    """(code, reason, count)"""

    latest: tuple[Refused, ...]
    losses: tuple[Lost, ...]
    gaps: tuple[Gap, ...]
    lanes: int

    @property
    def lost(self) -> int:
        """
        Return how many events producers said they gave up.
        """
        return sum(one.count for one in self.losses)

    @property
    def unaccounted(self) -> int:
        """
        Return how many events are missing without a word.
        """
        return sum(one.unaccounted for one in self.gaps)


def _delay(db: sqlite3.Connection, since: int) -> Delay | None:
    # What arrived, not what happened in the range: a backlog of yesterday shows today.
    n, most = db.execute(
        "SELECT count(*), max(received - time) FROM events WHERE received >= ?", (since,)
    ).fetchone()
    if not n:
        return None

    def rank(percent: int) -> float:
        place = -(-n * percent // 100) - 1
        (value,) = db.execute(
            "SELECT received - time FROM events WHERE received >= ? ORDER BY 1 LIMIT 1 OFFSET ?",
            (since, place),
        ).fetchone()
        return float(value) / 1e6

    return Delay(n, rank(50), rank(95), most / 1e6)


def _losses(db: sqlite3.Connection, since: int) -> tuple[Lost, ...]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.reason'), json_extract(body, '$.data.family'),"
        " json_extract(body, '$.data.touchpoint'), sum(json_extract(body, '$.data.count')) AS n,"
        " max(time) FROM events WHERE family = 'loss' AND time >= ? GROUP BY 1, 2, 3"
        " ORDER BY n DESC, 1, 2, 3",
        (since,),
    )
    return tuple(Lost(*row) for row in rows)


def _covered(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """
    Return what loss records name, per producer and the lane that the lost events were on.
    """
    rows = db.execute(
        "SELECT instance, json_extract(body, '$.data.family'),"
        " sum(json_extract(body, '$.data.count')) FROM events"
        " WHERE family = 'loss' AND instance IS NOT NULL GROUP BY 1, 2"
    )
    covered: dict[tuple[str, str], int] = {}
    for instance, family, n in rows:
        lane = "bulk" if family in _BULK else "vital"
        covered[instance, lane] = covered.get((instance, lane), 0) + n
    return covered


def _gaps(db: sqlite3.Connection) -> tuple[Gap, ...]:
    covered = _covered(db)
    found = []
    for instance, lane, low, high, events in db.execute(
        "SELECT instance, lane, low, high, events FROM lanes WHERE high - low + 1 > events"
        " ORDER BY last DESC"
    ):
        missing = high - low + 1 - events
        named = min(missing, covered.get((instance, lane), 0))
        found.append(Gap(instance, lane, low, high, missing, named))
    return tuple(found)


def read(db: sqlite3.Connection, since: int) -> Record:
    """
    Return the state of the record for what arrived from *since* on; gaps are of all time.
    """
    refused, first, last = db.execute(
        "SELECT count(*), min(n), max(n) FROM refusals WHERE received >= ?", (since,)
    ).fetchone()
    (oldest,) = db.execute("SELECT min(n) FROM refusals").fetchone()
    reasons = db.execute(
        "SELECT code, reason, count(*) FROM refusals WHERE received >= ? GROUP BY 1, 2"
        " ORDER BY 3 DESC, 1, 2 LIMIT 8",
        (since,),
    )
    latest = db.execute(
        "SELECT received, id, type, code, reason FROM refusals WHERE received >= ?"
        " ORDER BY n DESC LIMIT 8",
        (since,),
    )
    (lanes,) = db.execute("SELECT count(*) FROM lanes").fetchone()
    return Record(
        delay=_delay(db, since),
        refused=refused,
        # The rows are numbered from 1: when the oldest of the range is the oldest of all and has
        # another number, what stood before it was let go.
        refused_at_least=bool(last) and first == oldest and oldest > 1,
        by_reason=tuple((row[0], row[1], row[2]) for row in reasons),
        latest=tuple(Refused(*row) for row in latest),
        losses=_losses(db, since),
        gaps=_gaps(db),
        lanes=lanes,
    )
