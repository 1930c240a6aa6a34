"""
What customers said, and what they then did; two kinds of fact that are never mixed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Set as AbstractSet

import attrs

from cxsdk.collector.people import People
from cxsdk.collector.row import Key
from cxsdk.events.vocabulary import VERSUS

__all__ = ["Perception", "Reacted", "Score", "read"]

# A changed mind replaces what was said before, whenever it was said.
_COUNTED = (
    "family = 'feedback' AND time >= ? AND entity NOT IN (SELECT json_extract(body,"
    " '$.data.supersedes') FROM events INDEXED BY events_superseding WHERE family = 'feedback'"
    " AND json_extract(body, '$.data.supersedes') IS NOT NULL)"
)
_STATED = "json_extract(body, '$.data.source') = 'stated'"


@attrs.define(frozen=True)
class Score:
    """
    The mean of the numbers given to one question on one scale; always with its *n*.

    The instrument is that of a feedback, which may put several questions at once, so it is no
    part of what is averaged together.
    """

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
    exposed: int
    """Of the customers those with an interaction in the range: above the line of a rate."""

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
    """
    Customers with an interaction in the range: the base for rates of reactions. People, as in
    `cxsdk.collector.people.People`.
    """

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
        "SELECT json_extract(a.value, '$.question') AS question,"  # noqa: S608 - literals
        " json_extract(a.value, '$.scale.min') AS least, json_extract(a.value, '$.scale.max') AS most,"
        " json_extract(a.value, '$.scale.better') AS better,"
        " avg(json_extract(a.value, '$.value')), count(*),"
        " sum(json_extract(a.value, '$.value') >= 9), sum(json_extract(a.value, '$.value') <= 6),"
        " min(coalesce(json_extract(body, '$.data.instrument'), '') = 'nps')"
        " FROM events, json_each(events.body, '$.data.answers') AS a"
        f" WHERE {_COUNTED} AND {_STATED}"
        " AND json_type(a.value, '$.value') IN ('integer', 'real')"
        " AND coalesce(json_extract(a.value, '$.skipped'), 0) = 0"
        " GROUP BY 1, 2, 3, 4 ORDER BY count(*) DESC, 1, 2, 3",
        (since,),
    )
    found = []
    for question, least, most, better, mean, n, promoters, detractors, asked_nps in rows:
        # Other producers name the question in their own way under the instrument.
        is_nps = (question == "nps" or asked_nps) and (least, most) == (0, 10)
        nps = 100.0 * (promoters - detractors) / n if is_nps else None
        found.append(Score(question, least, most, better, mean, n, nps))
    return tuple(found)


def _reactions(
    db: sqlite3.Connection, since: int, people: People, exposed: AbstractSet[Key]
) -> tuple[Reacted, ...]:
    rows = db.execute(
        "SELECT json_extract(body, '$.data.reaction') AS reaction, customer,"
        " json_extract(body, '$.data.evidence'), count(*)"
        " FROM events WHERE family = 'reaction' AND time >= ? GROUP BY 1, 2, 3",
        (since,),
    )
    every: dict[str, list[tuple[str | None, str, int]]] = {}
    for reaction, *rest in rows:
        every.setdefault(reaction, []).append((rest[0], rest[1], rest[2]))
    found = []
    for reaction, parts in every.items():
        who = people.among(customer for customer, _, _ in parts)
        evidence = dict.fromkeys(("observed", "declared", "inferred"), 0)
        for _, name, n in parts:
            if name in evidence:
                evidence[name] += n
        total = sum(n for _, _, n in parts)
        found.append(Reacted(reaction, total, len(who), len(who & exposed), **evidence))
    return tuple(sorted(found, key=lambda one: (-one.n, one.reaction)))


def read(
    db: sqlite3.Connection, since: int, *, people: People, exposed: AbstractSet[Key]
) -> Perception:
    """
    Return what was said and done from *since* on (microseconds).

    Args:
        people: who is who.

        exposed: the customers with an interaction in the range.
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
        reactions=_reactions(db, since, people, exposed),
        exposed=len(exposed),
    )
