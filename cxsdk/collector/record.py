"""
How complete the record is: how late events came, what was refused, given up or never arrived.
"""

from __future__ import annotations

import sqlite3

import attrs

__all__ = ["Delay", "Gap", "Lost", "Record", "Refused", "read"]

_BULK = ("interaction", "problem", "prompt")
_RANKED = 20_000
_AHEAD = 60_000_000


@attrs.define(frozen=True)
class Delay:
    """
    Time from when events were told to when they were stored, in seconds (nearest-rank).

    Told is when it happened, but for what somebody told later, with a time of its own: an import,
    a carrier's hand-over. Below zero a producer's clock is ahead of the collector's.
    """

    n: int
    p50: float
    p95: float
    most: float
    ranked: int
    """How many of the latest p50 and p95 stand on; *most* is of all."""

    told_later: int
    """Of the *n* those that happened before they were told."""


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
    sink: str | None = None
    """The one destination that lost them, where others have them; it may be another than this."""


@attrs.define(frozen=True)
class Gap:
    """
    Sequence numbers of one producer's lane that never arrived.

    *missing* lie between the first and the last that did; *covered* of them a loss record names,
    *by_sink* of these one that says which destination lost them.
    """

    instance: str
    lane: str
    low: int
    high: int
    missing: int
    covered: int
    by_sink: int = 0

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
    """Events, each once however often it was sent and refused."""

    refused_at_least: bool
    """Older refusals were let go, so the true number is higher."""

    by_reason: tuple[tuple[str, str, int], ...]
    """(code, reason, events)"""

    latest: tuple[Refused, ...]
    losses: tuple[Lost, ...]
    gaps: tuple[Gap, ...]
    lanes: int
    ahead: int
    """Events dated more than a minute after *now*; every range counts them."""

    @property
    def lost(self) -> int:
        """
        Return how many events producers said they gave up: those that no destination got, and of
        what single ones lost as many as are missing here.
        """
        everywhere = sum(one.count for one in self.losses if one.sink is None)
        return everywhere + sum(one.by_sink for one in self.gaps)

    @property
    def unaccounted(self) -> int:
        """
        Return how many events are missing without a word.
        """
        return sum(one.unaccounted for one in self.gaps)


def _delay(db: sqlite3.Connection, since: int) -> Delay | None:
    # What arrived, not what happened in the range: a backlog of yesterday shows today.
    n, most, told_later = db.execute(
        "SELECT count(*), max(received - coalesce(recorded, time)), sum(recorded > time)"
        " FROM events WHERE received >= ?",
        (since,),
    ).fetchone()
    if not n:
        return None
    rows = db.execute(
        "SELECT received - coalesce(recorded, time) FROM events WHERE received >= ?"
        " ORDER BY received DESC LIMIT ?",
        (since, _RANKED),
    )
    ranked = sorted(row[0] for row in rows)

    def rank(percent: int) -> float:
        return float(ranked[-(-len(ranked) * percent // 100) - 1]) / 1e6

    return Delay(n, rank(50), rank(95), most / 1e6, len(ranked), told_later or 0)


def _losses(db: sqlite3.Connection, since: int) -> tuple[Lost, ...]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.reason'), json_extract(body, '$.data.family'),"
        " json_extract(body, '$.data.touchpoint'), CAST(total(json_extract(body, '$.data.count'))"
        " AS INTEGER) AS n, max(time), json_extract(body, '$.data.sink') AS sink FROM events"
        " WHERE family = 'loss' AND time >= ? GROUP BY 1, 2, 3, sink ORDER BY n DESC, 1, 2, 3, sink",
        (since,),
    )
    return tuple(Lost(*row) for row in rows)


def _covered(db: sqlite3.Connection) -> dict[tuple[str, str, bool], int]:
    """
    Return what loss records name, per producer, the lane that the lost events were on, and
    whether one destination lost them or all.
    """
    rows = db.execute(
        "SELECT instance, json_extract(body, '$.data.family'),"
        " json_extract(body, '$.data.sink') IS NOT NULL,"
        " CAST(total(json_extract(body, '$.data.count')) AS INTEGER) FROM events"
        " WHERE family = 'loss' AND instance IS NOT NULL GROUP BY 1, 2, 3"
    )
    covered: dict[tuple[str, str, bool], int] = {}
    for instance, family, is_of_sink, n in rows:
        place = (instance, "bulk" if family in _BULK else "vital", bool(is_of_sink))
        covered[place] = covered.get(place, 0) + n
    return covered


def _gaps(db: sqlite3.Connection) -> tuple[Gap, ...]:
    covered = _covered(db)
    found = []
    for instance, lane, low, high, events in db.execute(
        "SELECT instance, lane, low, high, events FROM lanes WHERE high - low + 1 > events"
        " ORDER BY last DESC"
    ):
        missing = high - low + 1 - events
        named = min(missing, covered.get((instance, lane, False), 0))
        # Which of the destinations this is nobody here knows; only what is missing was lost here.
        by_sink = min(missing - named, covered.get((instance, lane, True), 0))
        found.append(Gap(instance, lane, low, high, missing, named + by_sink, by_sink))
    return tuple(found)


# What has no id cannot be told from another such one.
_EVENTS = "count(DISTINCT id) + coalesce(sum(id IS NULL), 0)"


def read(db: sqlite3.Connection, since: int, now: int) -> Record:
    """
    Return the state of the record for what arrived from *since* on; gaps are of all time.
    """
    refused, first, last = db.execute(
        f"SELECT {_EVENTS}, min(n), max(n) FROM refusals WHERE received >= ?",  # noqa: S608 - a literal
        (since,),
    ).fetchone()
    (oldest,) = db.execute("SELECT min(n) FROM refusals").fetchone()
    reasons = db.execute(
        f"SELECT code, reason, {_EVENTS} FROM refusals WHERE received >= ? GROUP BY 1, 2"  # noqa: S608 - a literal
        " ORDER BY 3 DESC, 1, 2 LIMIT 8",
        (since,),
    )
    latest = db.execute(
        "SELECT received, id, type, code, reason FROM refusals WHERE received >= ?"
        " ORDER BY n DESC LIMIT 8",
        (since,),
    )
    (ahead,) = db.execute("SELECT count(*) FROM events WHERE time > ?", (now + _AHEAD,)).fetchone()
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
        ahead=ahead,
    )
