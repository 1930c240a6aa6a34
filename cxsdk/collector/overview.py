"""
The figures of the overview, each with the number it rests on.

What was not observed is never counted as zero: *unknown* (said to be unknown) and *absent* (not
said) stand beside a distribution, outside its shares.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import attrs

from cxsdk.collector import asked, perception, record
from cxsdk.collector.asked import Asked
from cxsdk.collector.people import People
from cxsdk.collector.perception import Perception
from cxsdk.collector.record import Record
from cxsdk.collector.standings import PromiseFigures, promise_figures

__all__ = ["EVER", "Course", "Distribution", "Overview", "Touchpoint", "Volume", "overview"]

EVER = -62_135_596_800_000_000
"""The first moment of year 1, in microseconds: no event is older."""

_TOP = 12
# Lengths that people count in, in seconds; at most so many of them make a range.
_STEPS = (60, 120, 300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800)
_MOST_SPANS = 30
_COURSES = ("interaction", "feedback", "reaction")


@attrs.define(frozen=True)
class Distribution:
    """
    How often each value was seen; *n* is the sum of *counts*, and the base of their shares.
    """

    counts: dict[str, int]
    unknown: int = 0
    absent: int = 0

    @property
    def n(self) -> int:
        """
        Return how many have a known value.
        """
        return sum(self.counts.values())

    def share(self, *values: str) -> float | None:
        """
        Return the share of *values* among the known, 0 to 1; None when nothing is known.
        """
        if not self.n:
            return None
        return sum(self.counts.get(value, 0) for value in values) / self.n


@attrs.define(frozen=True)
class Volume:
    """
    How many interactions have one value of a field.

    *estimated* differs from *n* where sampling kept only some of them.
    """

    label: str | None
    n: int
    estimated: int


@attrs.define(frozen=True)
class Touchpoint:
    """
    A touchpoint with what came of its interactions.
    """

    name: str | None
    n: int
    outcome: Distribution
    goal: Distribution


@attrs.define(frozen=True)
class Course:
    """
    How one kind of fact came in over the range: counts of equal spans, the oldest first.
    """

    family: str
    counts: tuple[int, ...]

    @property
    def most(self) -> int:
        """
        Return the largest count.
        """
        return max(self.counts)


@attrs.define(frozen=True)
class Overview:
    """
    All figures of one page, of one moment.
    """

    families: dict[str, int]
    start: int
    """First moment of *courses*: that of the range or, where it has none, before all events."""

    step: int
    """Length of one span of *courses*, in microseconds."""

    courses: tuple[Course, ...]
    """Contacts, feedback and reactions over time."""

    interactions: int
    estimated: int
    customers: int
    """People with an interaction; the rule stands in `cxsdk.collector.people.People`."""

    by_channel: tuple[Volume, ...]
    by_stage: tuple[Volume, ...]
    touchpoints: tuple[Touchpoint, ...]
    more_touchpoints: int
    outcome: Distribution
    goal: Distribution
    problems: tuple[tuple[str, int, int], ...]
    """(problem, encountered, of them visible to the customer)"""

    perception: Perception
    asked: Asked
    promises: PromiseFigures
    record: Record

    @property
    def events(self) -> int:
        """
        Return the number of events of all families.
        """
        return sum(self.families.values())


_COMPLETED = "FROM events WHERE family = 'interaction' AND action = 'completed' AND time >= ?"


@attrs.define(frozen=True)
class _Contacts:
    """
    Completed interactions that agree in all that the page tells apart.
    """

    touchpoint: str | None
    channel: str | None
    stage: str | None
    outcome: str | None
    goal_met: str | None
    n: int
    estimated: int


def _contacts(db: sqlite3.Connection, since: int) -> list[_Contacts]:
    """
    Read the range once, for all the tables that go over it.
    """
    rows = db.execute(
        "SELECT touchpoint, channel, stage, outcome, goal_met, count(*),"  # noqa: S608 - a literal
        f" CAST(total(weight) AS INTEGER) {_COMPLETED} GROUP BY 1, 2, 3, 4, 5",
        (since,),
    )
    return [_Contacts(*row) for row in rows]


def _over_time(
    db: sqlite3.Connection, since: int, now: int
) -> tuple[dict[str, int], int, int, tuple[Course, ...]]:
    """
    Count events by family, and contacts, feedback and reactions by spans of the range.

    What is dated later than *now* is in the last span.
    """
    oldest = since
    if since == EVER:
        (first,) = db.execute("SELECT min(time) FROM events").fetchone()
        oldest = now if first is None else min(first, now)
    step = _step(now - oldest)
    spans = max(1, -(-(now - oldest) // step))
    start = now - spans * step
    rows = db.execute(
        "SELECT family, min(?, (time - ?) / ?), count(*), sum(action <> 'started') FROM events"
        " WHERE time >= ? GROUP BY 1, 2",
        (spans - 1, start, step, since),
    )
    families: dict[str, int] = {}
    counts = {family: [0] * spans for family in _COURSES}
    for family, span, n, ended in rows:
        families[family] = families.get(family, 0) + n
        if family in counts:
            counts[family][span] += ended
    courses = tuple(Course(family, tuple(counts[family])) for family in _COURSES)
    return families, start, step, courses


def _step(length: int) -> int:
    """
    Return the shortest step that cuts *length* into few enough spans, in microseconds.
    """
    for seconds in _STEPS:
        if length <= _MOST_SPANS * seconds * 1_000_000:
            return seconds * 1_000_000
    weeks = -(-length // (_MOST_SPANS * _STEPS[-1] * 1_000_000))
    return weeks * _STEPS[-1] * 1_000_000


def _summed(pairs: Iterable[tuple[str | None, int]]) -> dict[str | None, int]:
    total: dict[str | None, int] = {}
    for value, n in pairs:
        total[value] = total.get(value, 0) + n
    return total


def distribution(pairs: Iterable[tuple[str | None, int]]) -> Distribution:
    """
    Build a distribution from (value, count) pairs.
    """
    told = _summed(pairs)
    counts = {str(value): n for value, n in told.items() if value not in {None, "unknown"}}
    return Distribution(
        dict(sorted(counts.items(), key=lambda row: (-row[1], row[0]))),
        unknown=told.get("unknown", 0),
        absent=told.get(None, 0),
    )


def _volumes(every: list[_Contacts], name: str) -> tuple[Volume, ...]:
    counted = _summed((getattr(one, name), one.n) for one in every)
    estimated = _summed((getattr(one, name), one.estimated) for one in every)
    made = [Volume(label, n, estimated[label]) for label, n in counted.items()]
    return tuple(sorted(made, key=lambda one: (-one.n, one.label or "")))


def _touchpoints(every: list[_Contacts]) -> list[Touchpoint]:
    found: dict[str | None, list[_Contacts]] = {}
    for one in every:
        found.setdefault(one.touchpoint, []).append(one)
    made = [
        Touchpoint(
            name,
            sum(one.n for one in parts),
            distribution((one.outcome, one.n) for one in parts),
            distribution((one.goal_met, one.n) for one in parts),
        )
        for name, parts in found.items()
    ]
    return sorted(made, key=lambda one: (-one.n, one.name or ""))


def _problems(db: sqlite3.Connection, since: int) -> tuple[tuple[str, int, int], ...]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.problem') AS problem,"
        " CAST(total(coalesce(json_extract(body, '$.data.count'), 1)) AS INTEGER) AS n,"
        " CAST(total(CASE WHEN json_extract(body, '$.data.user_visible')"
        "  THEN coalesce(json_extract(body, '$.data.count'), 1) ELSE 0 END) AS INTEGER)"
        " FROM events WHERE family = 'problem' AND action = 'encountered' AND time >= ?"
        " GROUP BY 1 ORDER BY n DESC, 1",
        (since,),
    )
    return tuple((row[0], row[1], row[2]) for row in rows)


def overview(db: sqlite3.Connection, since: int, now: int) -> Overview:
    """
    Return the figures of what happened from *since* on (microseconds), as seen at *now*.
    """
    families, start, step, courses = _over_time(db, since, now)
    every = _contacts(db, since)
    people = People(db)
    met = db.execute(f"SELECT DISTINCT customer {_COMPLETED}", (since,))  # noqa: S608 - a literal
    exposed = people.among(row[0] for row in met)
    touchpoints = _touchpoints(every)
    return Overview(
        families=families,
        start=start,
        step=step,
        courses=courses,
        interactions=sum(one.n for one in every),
        estimated=sum(one.estimated for one in every),
        customers=len(exposed),
        by_channel=_volumes(every, "channel"),
        by_stage=_volumes(every, "stage"),
        touchpoints=tuple(touchpoints[:_TOP]),
        more_touchpoints=max(0, len(touchpoints) - _TOP),
        outcome=distribution((one.outcome, one.n) for one in every),
        goal=distribution((one.goal_met, one.n) for one in every),
        problems=_problems(db, since),
        perception=perception.read(db, since, people=people, exposed=exposed),
        asked=asked.read(db, since),
        promises=promise_figures(db, since, now),
        record=record.read(db, since, now),
    )
