"""
What customers said, and what they then did; two kinds of fact that are never mixed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import attrs

from cxsdk.collector.people import People
from cxsdk.collector.row import Key
from cxsdk.events.vocabulary import VERSUS
from cxsdk.prompts import scores
from cxsdk.prompts.given import SCALES, Given, is_of

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
    The numbers given to one question on one scale; always with interval and n.

    The instrument is that of a feedback, which may put several questions at once, so it is no
    part of what is averaged together. What is about one interaction and what is about the whole
    relationship are never averaged together, and neither is a second answer after a while.
    """

    question: str
    least: float
    most: float
    better: str
    scope: str | None
    """``transactional``, ``relational``, or None where it was not said."""

    average: scores.Score
    instrument: str | None = None
    """``nps``, ``csat``, ``ces`` or ``umux_lite``, where it is one of these on its own scale."""

    figure: scores.Score | None = None
    """What that instrument comes to: points of an nps, else per cent or 0 to 100."""

    weighted: scores.Score | None = None
    """The same by inclusion probability; only where that is not the same for all."""

    @property
    def mean(self) -> float:
        """
        Return the mean of the numbers as they were given.
        """
        return self.average.value or 0.0

    @property
    def n(self) -> int:
        """
        Return how many answered.
        """
        return self.average.n

    @property
    def nps(self) -> float | None:
        """
        Return promoters (9, 10) less detractors (0 to 6) in points, -100 to 100.
        """
        return self.figure.value if self.figure is not None and self.instrument == "nps" else None


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


_FIRST = "json_extract(body, '$.data.stage') IS NOT 'recall'"


@attrs.define(frozen=True)
class _Answers:
    """
    How often one number was given, by people of one inclusion probability.
    """

    question: str
    least: float
    most: float
    better: str
    scope: str | None
    dimension: str | None
    instrument: str | None
    value: float
    probability: float
    count: int

    @property
    def group(self) -> tuple[str, float, float, str, str | None]:
        """
        Return what is averaged together.
        """
        return self.question, self.least, self.most, self.better, self.scope

    def given(self, *, upward: bool) -> Given:
        """
        Return them as scores take them.
        """
        turned = upward and self.better == "lower"
        value = self.least + self.most - self.value if turned else self.value
        return Given(value, self.probability or 1.0, self.count)


def _scores(db: sqlite3.Connection, since: int) -> tuple[Score, ...]:
    rows = db.execute(
        "SELECT json_extract(a.value, '$.question'), json_extract(a.value, '$.scale.min'),"  # noqa: S608 - literals
        " json_extract(a.value, '$.scale.max'), json_extract(a.value, '$.scale.better'),"
        " json_extract(body, '$.data.scope'), json_extract(a.value, '$.dimension'),"
        " json_extract(body, '$.data.instrument'), json_extract(a.value, '$.value'),"
        " coalesce(json_extract(body, '$.data.inclusion_probability'), 1.0), count(*)"
        " FROM events, json_each(events.body, '$.data.answers') AS a"
        f" WHERE {_COUNTED} AND {_STATED} AND {_FIRST}"
        " AND json_type(a.value, '$.value') IN ('integer', 'real')"
        " AND coalesce(json_extract(a.value, '$.skipped'), 0) = 0"
        " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
        (since,),
    )
    groups: dict[tuple[str, float, float, str, str | None], list[_Answers]] = {}
    for row in rows:
        one = _Answers(*row)
        groups.setdefault(one.group, []).append(one)
    found = [_score(mine) for mine in groups.values()]
    if any(one.question == "umux_capabilities" for one in found):
        found += _umux(db, since)
    return tuple(sorted(found, key=lambda one: (-one.n, one.question, one.least, one.most)))


def _score(mine: list[_Answers]) -> Score:
    question, least, most, better, scope = mine[0].group
    average = scores.mean([one.given(upward=False) for one in mine], scale=(least, most))
    name = _instrument(mine)
    if name is None:
        return Score(question, least, most, better, scope, average)
    upward = [one.given(upward=True) for one in mine]
    figure, weighted = _figures(_FIGURES[name], upward)
    return Score(question, least, most, better, scope, average, name, figure, weighted)


_FIGURES: dict[str, Callable[..., scores.Score]] = {
    "nps": scores.nps,
    "csat": scores.csat,
    "ces": scores.ces,
}


def _figures(
    score: Callable[..., scores.Score], given: list[Given]
) -> tuple[scores.Score, scores.Score | None]:
    is_even = len({one.probability for one in given}) == 1
    return score(given), None if is_even else score(given, weighted=True)


def _instrument(mine: list[_Answers]) -> str | None:
    # Other producers name the question in their own way under the instrument.
    question, least, most, *_ = mine[0].group
    for name in _FIGURES:
        if SCALES[name] == (least, most) and (
            question == name
            or all(is_of(name, question, one.dimension, one.instrument) for one in mine)
        ):
            return name
    return None


def _umux(db: sqlite3.Connection, since: int) -> list[Score]:
    """
    Score those who answered both questions of UMUX-Lite, by scope.
    """
    rows = db.execute(
        "SELECT json_extract(body, '$.data.scope'),"  # noqa: S608 - literals
        " json_extract(a.value, '$.value') + json_extract(b.value, '$.value'),"
        " coalesce(json_extract(body, '$.data.inclusion_probability'), 1.0), count(*)"
        " FROM events, json_each(events.body, '$.data.answers') AS a,"
        " json_each(events.body, '$.data.answers') AS b"
        f" WHERE {_COUNTED} AND {_STATED} AND {_FIRST}"
        " AND json_extract(a.value, '$.question') = 'umux_capabilities'"
        " AND json_extract(b.value, '$.question') = 'umux_ease'"
        " AND json_extract(a.value, '$.scale.min') = 1 AND json_extract(a.value, '$.scale.max') = 7"
        " AND json_extract(b.value, '$.scale.min') = 1 AND json_extract(b.value, '$.scale.max') = 7"
        " AND json_type(a.value, '$.value') IN ('integer', 'real')"
        " AND json_type(b.value, '$.value') IN ('integer', 'real')"
        " GROUP BY 1, 2, 3",
        (since,),
    )
    groups: dict[str | None, list[Given]] = {}
    for scope, value, probability, count in rows:
        groups.setdefault(scope, []).append(Given(value, probability or 1.0, count))
    found = []
    for scope, given in groups.items():
        figure, weighted = _figures(scores.umux_lite, given)
        name = "umux_lite"
        found.append(Score(name, 0, 100, "higher", scope, figure, name, figure, weighted))
    return found


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
