"""
The figures of the overview, each with the number it rests on.

What was not observed is never counted as zero: *unknown* (said to be unknown) and *absent* (not
said) stand beside a distribution, outside its shares.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import attrs

from cxsdk.collector import perception, record
from cxsdk.collector.people import People
from cxsdk.collector.perception import Perception
from cxsdk.collector.promises import Promise, promises
from cxsdk.collector.record import Record

__all__ = ["Distribution", "Overview", "PromiseFigures", "Touchpoint", "Volume", "overview"]

_TOP = 12
_OPEN = ("overdue", "at_risk", "open", "paused", "in_force", "over")


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
class PromiseFigures:
    """
    Promises: the open ones as they stand now, the ended ones as they ended in the range.
    """

    open: dict[str, int]
    kept: int
    kept_late: int
    broken: int
    expired: int
    honoured: int
    """In force until its end and kept, such as a warranty that was used; in no kept rate."""

    cancelled: int
    overdue: tuple[Promise, ...]

    @property
    def judged(self) -> int:
        """
        Return the base of the kept rate: deliveries that were kept, late or not, or broken.
        """
        return self.kept + self.kept_late + self.broken

    @property
    def kept_rate(self) -> float | None:
        """
        Return the share kept in time, 0 to 1; late is not kept in time, expired is in no rate.
        """
        return self.kept / self.judged if self.judged else None


@attrs.define(frozen=True)
class Overview:
    """
    All figures of one page, of one moment.
    """

    families: dict[str, int]
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
    promises: PromiseFigures
    record: Record

    @property
    def events(self) -> int:
        """
        Return the number of events of all families.
        """
        return sum(self.families.values())


_COMPLETED = "FROM events WHERE family = 'interaction' AND action = 'completed' AND time >= ?"


def distribution(rows: Sequence[tuple[str | None, int]]) -> Distribution:
    """
    Build a distribution from (value, count) rows.
    """
    counts = {value: n for value, n in rows if value not in {None, "unknown"}}
    told = dict(rows)
    return Distribution(
        {str(value): n for value, n in sorted(counts.items(), key=lambda row: -row[1])},
        unknown=told.get("unknown", 0),
        absent=told.get(None, 0),
    )


def _split(db: sqlite3.Connection, column: str, since: int) -> Distribution:
    rows = db.execute(f"SELECT {column}, count(*) {_COMPLETED} GROUP BY 1", (since,))  # noqa: S608 - a literal
    return distribution([(row[0], row[1]) for row in rows])


def _volumes(db: sqlite3.Connection, column: str, since: int) -> tuple[Volume, ...]:
    rows = db.execute(
        f"SELECT {column}, count(*) AS n, sum(weight) {_COMPLETED} GROUP BY 1 ORDER BY n DESC, 1",  # noqa: S608 - a literal
        (since,),
    )
    return tuple(Volume(*row) for row in rows)


def _touchpoints(db: sqlite3.Connection, since: int) -> tuple[Touchpoint, ...]:
    rows = db.execute(
        f"SELECT touchpoint, outcome, goal_met, count(*) {_COMPLETED} GROUP BY 1, 2, 3",  # noqa: S608 - a literal
        (since,),
    )
    found: dict[str | None, list[tuple[str | None, str | None, int]]] = {}
    for touchpoint, outcome, goal, n in rows:
        found.setdefault(touchpoint, []).append((outcome, goal, n))
    made = [
        Touchpoint(
            name,
            sum(n for _, _, n in parts),
            distribution(_summed((outcome, n) for outcome, _, n in parts)),
            distribution(_summed((goal, n) for _, goal, n in parts)),
        )
        for name, parts in found.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.n, one.name or "")))


def _summed(pairs: object) -> list[tuple[str | None, int]]:
    total: dict[str | None, int] = {}
    for value, n in pairs:  # type: ignore[attr-defined]
        total[value] = total.get(value, 0) + n
    return list(total.items())


def promise_figures(every: Sequence[Promise], since: int, now: int) -> PromiseFigures:
    """
    Count promises by how they stand at *now*; ended ones only where they ended from *since* on.
    """
    counts: dict[str, int] = {}
    overdue = []
    for one in every:
        standing = one.standing(now)
        if standing in _OPEN:
            counts[standing] = counts.get(standing, 0) + 1
            if standing == "overdue":
                overdue.append(one)
        elif one.changed >= since:
            # What stays in force is not delivered: its keeping is in no kept rate.
            if one.duty == "in_force_until" and standing in {"kept", "kept_late"}:
                standing = "honoured"
            counts[standing] = counts.get(standing, 0) + 1
    overdue.sort(key=lambda one: (one.due or 0, one.id))
    return PromiseFigures(
        open={name: counts[name] for name in _OPEN if counts.get(name)},
        kept=counts.get("kept", 0),
        kept_late=counts.get("kept_late", 0),
        broken=counts.get("broken", 0),
        expired=counts.get("expired", 0),
        honoured=counts.get("honoured", 0),
        cancelled=counts.get("cancelled", 0),
        overdue=tuple(overdue),
    )


def _problems(db: sqlite3.Connection, since: int) -> tuple[tuple[str, int, int], ...]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.problem') AS problem,"
        " sum(coalesce(json_extract(body, '$.data.count'), 1)) AS n,"
        " sum(CASE WHEN json_extract(body, '$.data.user_visible')"
        "  THEN coalesce(json_extract(body, '$.data.count'), 1) ELSE 0 END)"
        " FROM events WHERE family = 'problem' AND action = 'encountered' AND time >= ?"
        " GROUP BY 1 ORDER BY n DESC, 1",
        (since,),
    )
    return tuple((row[0], row[1], row[2]) for row in rows)


def overview(db: sqlite3.Connection, since: int, now: int) -> Overview:
    """
    Return the figures of what happened from *since* on (microseconds), as seen at *now*.
    """
    families = db.execute(
        "SELECT family, count(*) FROM events WHERE time >= ? GROUP BY 1 ORDER BY 2 DESC", (since,)
    )
    totals = db.execute(
        f"SELECT count(*), coalesce(sum(weight), 0) {_COMPLETED}",  # noqa: S608 - a literal
        (since,),
    ).fetchone()
    people = People(db)
    met = db.execute(f"SELECT DISTINCT customer {_COMPLETED}", (since,))  # noqa: S608 - a literal
    exposed = people.among(row[0] for row in met)
    touchpoints = _touchpoints(db, since)
    return Overview(
        families={row[0]: row[1] for row in families},
        interactions=totals[0],
        estimated=totals[1],
        customers=len(exposed),
        by_channel=_volumes(db, "channel", since),
        by_stage=_volumes(db, "stage", since),
        touchpoints=touchpoints[:_TOP],
        more_touchpoints=max(0, len(touchpoints) - _TOP),
        outcome=_split(db, "outcome", since),
        goal=_split(db, "goal_met", since),
        problems=_problems(db, since),
        perception=perception.read(db, since, people=people, exposed=exposed),
        promises=promise_figures(tuple(promises(db).values()), since, now),
        record=record.read(db, since),
    )
