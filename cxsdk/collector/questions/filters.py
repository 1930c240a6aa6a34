"""
What somebody may have met: the filter of `affected`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from cxsdk.collector.promises import ENDED
from cxsdk.collector.queries import QueryError
from cxsdk.collector.questions.paging import moment, names, whole
from cxsdk.collector.row import Key
from cxsdk.events.vocabulary import ACTIONS

__all__ = ["FAILED", "AffectedQuery", "Met", "met"]

FAILED = ("broken", "kept_late", "late", "overdue")
"""Outcomes of commitments: broken; kept after it was due; either; due, and nothing was said."""

_FAMILIES = tuple(name for name in ACTIONS if name not in {"loss", "prompt"})
_WHAT = ("family", "kind", "outcome", "problem", "ref", "touchpoint", "type")
_PAGE = ("all", "cursor", "limit", "since", "until")
_EVER = 2**62
_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED))
_STANDINGS = {
    "broken": "p.state = 'broken'",
    "kept_late": "(p.state = 'kept' AND p.was_late)",
    "late": "(p.state = 'broken' OR (p.state = 'kept' AND p.was_late))",
    "overdue": f"(p.state NOT IN ({_ENDED}) AND p.state <> 'paused' AND p.due <= ?1)",
}
_REF = (
    "EXISTS (SELECT 1 FROM json_each({body}, '$.data.refs') r"
    " WHERE json_extract(r.value, '$.type') = {type} AND json_extract(r.value, '$.id') = {id})"
)


@attrs.define(frozen=True)
class Met:
    """
    One time that somebody met it.
    """

    customer: Key | None
    at: int
    """Microseconds since 1970; of a promise when it was late, or ended if that was earlier."""

    family: str
    event: str
    """Id of the event that says so."""

    entity: str
    """Id of the interaction, problem or commitment."""

    weight: int = 1


@attrs.define(frozen=True, kw_only=True)
class AffectedQuery:
    """
    What was met, when, and which page. Times in microseconds since 1970.
    """

    family: str
    type: str | None = None
    touchpoint: str | None = None
    problem: str | None = None
    kind: str | None = None
    outcome: str | None = None
    ref: tuple[str, str] | None = None
    since: int | None = None
    until: int | None = None
    all: bool = False
    """Also those to whom it was made good."""

    limit: int = 100
    cursor: str | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> AffectedQuery:
        """
        Read the parameters of a query string.

        Raises:
            QueryError: one is unknown or wrong, two do not fit, or nothing says what was met.
        """
        given = names(query, (*_WHAT, *_PAGE))
        if not any(name in given for name in _WHAT):
            raise QueryError(f"query: expected one of {', '.join(_WHAT)}")
        family = _family(given)
        return cls(
            family=family,
            type=given.get("type"),
            touchpoint=given.get("touchpoint"),
            problem=given.get("problem"),
            kind=given.get("kind"),
            outcome=given.get("outcome"),
            ref=_ref(given.get("ref")),
            since=moment(given, "since"),
            until=moment(given, "until"),
            all=given.get("all") in {"1", "true", "yes", "on"},
            limit=whole(given, "limit", 100, 1000),
            cursor=given.get("cursor"),
        )

    @property
    def is_standing(self) -> bool:
        """
        Say whether it is asked how promises stand, rather than for events.
        """
        return self.family == "commitment" and self.outcome is not None

    def as_json(self) -> dict[str, Any]:
        """
        Return what was asked for, as it was read.
        """
        told: dict[str, Any] = {"family": self.family}
        for name in ("type", "touchpoint", "problem", "kind", "outcome"):
            told[name] = getattr(self, name)
        told["ref"] = ":".join(self.ref) if self.ref else None
        return {name: value for name, value in told.items() if value is not None}


def _family(given: Mapping[str, str]) -> str:
    """
    Return the family that is asked about, said or following from what else is said.
    """
    said = given.get("family") or _of_type(given.get("type"))
    if said is None:
        if "problem" in given:
            said = "problem"
        elif "kind" in given or given.get("outcome") in FAILED:
            said = "commitment"
        else:
            said = "interaction"
    if said not in _FAMILIES:
        raise QueryError(f"family: expected one of {', '.join(_FAMILIES)}")
    for name, family in (("problem", "problem"), ("kind", "commitment")):
        if name in given and said != family:
            raise QueryError(f"{name}: expected with family {family} only")
    if said == "commitment" and given.get("outcome", "late") not in FAILED:
        raise QueryError(f"outcome: expected of commitments one of {', '.join(FAILED)}")
    if said == "commitment" and "outcome" in given and given.keys() & {"touchpoint", "type"}:
        raise QueryError("outcome: expected of commitments without touchpoint and type")
    return said


def _of_type(text: str | None) -> str | None:
    if text is None:
        return None
    parts = text.rsplit(".", 3)
    if len(parts) != 4:
        raise QueryError("type: expected an event type such as dev.cxsdk.problem.encountered.v1")
    return parts[1]


def _ref(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    kind, found, name = text.partition(":")
    if not (kind and found and name):
        raise QueryError("ref: expected TYPE:ID, such as order:A-17")
    return kind, name


def met(db: sqlite3.Connection, wanted: AffectedQuery, now: int) -> Iterator[Met]:
    """
    Yield each time that it was met in the range of *wanted*.
    """
    since = -_EVER if wanted.since is None else wanted.since
    until = _EVER if wanted.until is None else wanted.until
    for one in (_promises if wanted.is_standing else _events)(db, wanted, now):
        if since <= one.at < until:
            yield one


def _events(db: sqlite3.Connection, wanted: AffectedQuery, _: int) -> Iterator[Met]:
    where, values = ["family = ?"], [wanted.family]
    for name in ("type", "touchpoint", "outcome"):
        if getattr(wanted, name) is not None:
            where.append(f"{name} = ?")
            values.append(getattr(wanted, name))
    for name in ("problem", "kind"):
        if getattr(wanted, name) is not None:
            where.append(f"json_extract(body, '$.data.{name}') = ?")
            values.append(getattr(wanted, name))
    if wanted.type is None:
        # What began, or was solved, is no second time of the same.
        where.append("action NOT IN ('started', 'resolved')")
        if wanted.family == "commitment":
            where.append("action = 'made'")
    if wanted.ref is not None:
        where.append(_REF.format(body="body", type="?", id="?"))
        values += wanted.ref
    rows = db.execute(
        "SELECT customer, time, family, id, entity, weight FROM events"  # noqa: S608 - no input
        f" WHERE {' AND '.join(where)}",
        values,
    )
    for customer, *rest in rows:
        yield Met(None if customer is None else _key(customer), *rest)


def _promises(db: sqlite3.Connection, wanted: AffectedQuery, now: int) -> Iterator[Met]:
    where = [
        _STANDINGS[wanted.outcome or "late"],
        "coalesce(p.duty, 'deliver_by') = 'deliver_by'",
        "(?2 IS NULL OR p.kind = ?2)",
    ]
    values: list[object] = [now, wanted.kind]
    if wanted.ref is not None:
        told = _REF.format(body="e.body", type="?3", id="?4")
        where.append(
            "EXISTS (SELECT 1 FROM events e INDEXED BY events_by_commitment"  # noqa: S608 - literals
            f" WHERE e.family = 'commitment' AND e.entity = p.id AND {told})"
        )
        values += wanted.ref
    rows = db.execute(
        "SELECT p.space, p.value, p.due, p.changed, p.id, p.state,"  # noqa: S608 - no input
        " (SELECT e.id FROM events e INDEXED BY events_by_commitment WHERE e.family = 'commitment'"
        " AND e.entity = p.id ORDER BY e.time DESC, e.n DESC LIMIT 1) FROM promises p"
        f" WHERE {' AND '.join(where)}",
        values,
    )
    for space, value, due, changed, entity, state, event in rows:
        at = changed if due is None else due if state not in ENDED else min(due, changed)
        yield Met(None if space is None else (space, value), at, "commitment", event, entity)


def _key(text: str) -> Key:
    space, _, value = text.partition(":")
    return space, value
