"""
What customers said, and what they then did; two kinds of fact that are never mixed.
"""

from __future__ import annotations

import sqlite3

import attrs

from cxsdk.events.vocabulary import VERSUS

__all__ = ["Perception", "Reacted", "Score", "read"]

# A changed mind replaces what was said before, whenever it was said.
_COUNTED = (
    "family = 'feedback' AND time >= ? AND entity NOT IN (SELECT json_extract(body,"
    " '$.data.supersedes') FROM events WHERE family = 'feedback'"
    " AND json_extract(body, '$.data.supersedes') IS NOT NULL)"
)
_STATED = "json_extract(body, '$.data.source') = 'stated'"


@attrs.define(frozen=True)
class Score:
    """
    The mean of the numbers given to one question on one scale; always with its *n*.
    """

    instrument: str
    question: str
    least: float
    most: float
    better: str
    mean: float
    n: int
    nps: float | None
    """Promoters (9, 10) less detractors (0 to 6) in points, -100 to 100; only for nps on 0 to 10."""


@attrs.define(frozen=True)
class Reacted:
    """
    How often one reaction was seen, from how many customers, and on what evidence.
    """

    reaction: str
    n: int
    customers: int
    observed: int
    declared: int
    inferred: int


@attrs.define(frozen=True)
class Perception:
    """
    Stated feedback (inferred is counted apart), and reactions.
    """

    stated: int
    inferred: int
    superseded: int
    versus: dict[str, int]
    """Counts from much_worse to much_better, zeros included; their sum is the base."""

    versus_other: int
    """Stated feedback with a value that this version does not know."""

    versus_absent: int
    scores: tuple[Score, ...]
    reactions: tuple[Reacted, ...]
    exposed: int
    """Customers with an interaction in the range: the base for rates of reactions."""

    @property
    def versus_n(self) -> int:
        """
        Return how many compared what they got with what they expected.
        """
        return sum(self.versus.values())


def _versus(db: sqlite3.Connection, since: int) -> dict[str | None, int]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.versus_expectation'), count(*) FROM events"  # noqa: S608 - literals
        f" WHERE {_COUNTED} AND {_STATED} GROUP BY 1",
        (since,),
    )
    return {row[0]: row[1] for row in rows}


def _scores(db: sqlite3.Connection, since: int) -> tuple[Score, ...]:
    rows = db.execute(
        "SELECT coalesce(json_extract(body, '$.data.instrument'), 'custom') AS instrument,"  # noqa: S608 - literals
        " json_extract(a.value, '$.question') AS question,"
        " json_extract(a.value, '$.scale.min') AS least, json_extract(a.value, '$.scale.max') AS most,"
        " json_extract(a.value, '$.scale.better') AS better,"
        " avg(json_extract(a.value, '$.value')), count(*),"
        " sum(json_extract(a.value, '$.value') >= 9), sum(json_extract(a.value, '$.value') <= 6)"
        " FROM events, json_each(events.body, '$.data.answers') AS a"
        f" WHERE {_COUNTED} AND {_STATED}"
        " AND json_type(a.value, '$.value') IN ('integer', 'real')"
        " AND coalesce(json_extract(a.value, '$.skipped'), 0) = 0"
        " GROUP BY 1, 2, 3, 4, 5 ORDER BY count(*) DESC, 1, 2",
        (since,),
    )
    found = []
    for instrument, question, least, most, better, mean, n, promoters, detractors in rows:
        is_nps = instrument == "nps" and (least, most) == (0, 10)
        nps = 100.0 * (promoters - detractors) / n if is_nps else None
        found.append(Score(instrument, question, least, most, better, mean, n, nps))
    return tuple(found)


def _reactions(db: sqlite3.Connection, since: int) -> tuple[Reacted, ...]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.reaction') AS reaction, count(*) AS n,"
        " count(DISTINCT customer),"
        " sum(json_extract(body, '$.data.evidence') = 'observed'),"
        " sum(json_extract(body, '$.data.evidence') = 'declared'),"
        " sum(json_extract(body, '$.data.evidence') = 'inferred')"
        " FROM events WHERE family = 'reaction' AND time >= ? GROUP BY 1 ORDER BY n DESC, 1",
        (since,),
    )
    return tuple(Reacted(*row) for row in rows)


def read(db: sqlite3.Connection, since: int, *, exposed: int) -> Perception:
    """
    Return what was said and done from *since* on (microseconds).
    """
    (every,) = db.execute(
        "SELECT count(*) FROM events WHERE family = 'feedback' AND time >= ?", (since,)
    ).fetchone()
    (counted, stated) = db.execute(
        f"SELECT count(*), coalesce(sum({_STATED}), 0) FROM events WHERE {_COUNTED}",  # noqa: S608 - literals
        (since,),
    ).fetchone()
    versus = _versus(db, since)
    known = {name: versus.get(name, 0) for name in VERSUS.values}
    absent = versus.get(None, 0)
    return Perception(
        stated=stated,
        inferred=counted - stated,
        superseded=every - counted,
        versus=known,
        versus_other=stated - absent - sum(known.values()),
        versus_absent=absent,
        scores=_scores(db, since),
        reactions=_reactions(db, since),
        exposed=exposed,
    )
