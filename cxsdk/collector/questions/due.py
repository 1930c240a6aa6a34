"""
Promises that somebody should act on: overdue, due soon, and what is in force and ends soon.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import attrs

from cxsdk.collector.context import as_text
from cxsdk.collector.people import People
from cxsdk.collector.promises import ENDED, Promise
from cxsdk.collector.queries import QueryError
from cxsdk.collector.questions.paging import DAY, Place, customer_json, names, page, whole
from cxsdk.collector.standings import COLUMNS, promise_of

__all__ = ["WHATS", "DueQuery", "due"]

WHATS = ("overdue", "due", "ending")
"""Late already; to be delivered within *days*; in force, and over within *warranty_days*."""

_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED))


@attrs.define(frozen=True, kw_only=True)
class DueQuery:
    """
    How far to look ahead, in days of 24 hours, and which page.
    """

    days: int = 7
    warranty_days: int = 30
    what: str | None = None
    limit: int = 100
    cursor: str | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> DueQuery:
        """
        Read the parameters of a query string.

        Raises:
            QueryError: one is unknown or wrong.
        """
        given = names(query, (field.name for field in attrs.fields(cls)))
        what = given.get("what")
        if what is not None and what not in WHATS:
            raise QueryError(f"what: expected one of {', '.join(WHATS)}")
        return cls(
            days=whole(given, "days", 7),
            warranty_days=whole(given, "warranty_days", 30),
            what=what,
            limit=whole(given, "limit", 100, 1000),
            cursor=given.get("cursor"),
        )


def due(db: sqlite3.Connection, wanted: DueQuery, now: int) -> dict[str, Any]:
    """
    Return what is due at *now*, the longest overdue first, with the number of each kind.

    A paused promise is due to nobody. What is in force ends as expired; its end is never late.

    Raises:
        QueryError: the cursor is wrong.
    """
    rows = db.execute(
        f"SELECT {COLUMNS} FROM promises WHERE state NOT IN ({_ENDED}) AND state <> 'paused'"  # noqa: S608 - literals
        " AND ((duty = 'deliver_by' AND due <= ?) OR (duty = 'in_force_until' AND due > ?"
        " AND due <= ?)) ORDER BY due, id",
        (now + wanted.days * DAY, now, now + wanted.warranty_days * DAY),
    )
    counts = dict.fromkeys(WHATS, 0)
    found: list[tuple[str, Promise]] = []
    for one in map(promise_of, rows):
        what = _what(one, now)
        counts[what] += 1
        if wanted.what in {None, what}:
            found.append((what, one))

    def place(item: tuple[str, Promise]) -> Place:
        return item[1].due or 0, item[1].id, ""

    shown, following = page(found, place, wanted.limit, wanted.cursor)
    people = People(db)
    return {
        "as_of": as_text(now),
        "days": wanted.days,
        "warranty_days": wanted.warranty_days,
        "counts": counts,
        "items": [_item(what, one, people) for what, one in shown],
        "next": following,
    }


def _what(one: Promise, now: int) -> str:
    if one.duty == "in_force_until":
        return "ending"
    return "overdue" if one.due is not None and one.due <= now else "due"


def _item(what: str, one: Promise, people: People) -> dict[str, Any]:
    return {
        "what": what,
        "commitment_id": one.id,
        "kind": one.kind,
        "state": one.state,
        "duty": one.duty,
        "due_at": None if one.due is None else as_text(one.due),
        "due": one.due_text,
        "promised_by": one.promised_by,
        "made_at": None if one.made is None else as_text(one.made),
        "customer": customer_json(people.face(one.customer)) if one.customer else None,
    }
