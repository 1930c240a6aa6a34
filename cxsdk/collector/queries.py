"""
Reading events back: filters, pages and the list of customers.
"""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Mapping
from datetime import datetime

import attrs

from cxsdk._clock import to_ns
from cxsdk.collector.people import People, find, person_of
from cxsdk.collector.row import Key
from cxsdk.events.vocabulary import ACTIONS

__all__ = [
    "Filter",
    "Known",
    "Page",
    "QueryError",
    "customers",
    "customers_with",
    "events",
    "events_of",
    "head_count",
]

_MOST = 1000
_MOST_INTEGER = 2**63 - 1
"""What SQLite holds."""


_WITH = {
    "touchpoint": "family = 'interaction' AND action = 'completed' AND touchpoint = ?",
    "problem": "family = 'problem' AND action = 'encountered'"
    " AND json_extract(body, '$.data.problem') = ?",
}


class QueryError(ValueError):
    """
    A query parameter that cannot be read; the message names it.
    """


@attrs.define(frozen=True, kw_only=True)
class Filter:
    """
    Which events to return; absent means all. Times in microseconds since 1970.
    """

    family: str | None = None
    type: str | None = None
    customer: str | None = None
    touchpoint: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 100
    cursor: tuple[int, int] | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filter:
        """
        Read the parameters of a query string.

        Raises:
            QueryError: one is unknown or wrong.
        """
        known = {field.name for field in attrs.fields(cls)}
        given = {name: value for name, value in query.items() if value}
        for name in given.keys() - known:
            raise QueryError(f"{name[:40]}: expected one of {', '.join(sorted(known))}")
        family = given.get("family")
        if family is not None and family not in ACTIONS:
            raise QueryError(f"family: expected one of {', '.join(ACTIONS)}")
        return cls(
            family=family,
            type=given.get("type"),
            customer=given.get("customer"),
            touchpoint=given.get("touchpoint"),
            since=_moment(given, "since"),
            until=_moment(given, "until"),
            limit=_limit(given.get("limit", "100")),
            cursor=_cursor(given.get("cursor")),
        )


@attrs.define(frozen=True)
class Page:
    """
    Events as they were received, newest first, and the cursor of those that follow, if any.
    """

    bodies: tuple[str, ...]
    next: str | None


def _moment(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        # A plus sign in a query string is a space to those who forgot to quote it.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise QueryError(f"{name}: expected an RFC 3339 time with an offset")
    return to_ns(moment) // 1000


def _limit(text: str) -> int:
    # No more digits than the largest has: int() of very many is slow, and refused from 4,300 on.
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MOST))
    if not is_number or not 1 <= int(text) <= _MOST:
        raise QueryError(f"limit: expected a whole number from 1 to {_MOST}")
    return int(text)


def _cursor(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        time, n = map(int, base64.urlsafe_b64decode(text.encode()).decode().split("."))
    except (ValueError, binascii.Error):
        time = n = _MOST_INTEGER
    if max(abs(time), abs(n)) >= _MOST_INTEGER:
        raise QueryError("cursor: expected the `next` of an earlier answer")
    return time, n


def write_cursor(time: int, n: int) -> str:
    """
    Return the cursor that continues after the event *n* of *time*.
    """
    return base64.urlsafe_b64encode(f"{time}.{n}".encode()).decode()


def events(db: sqlite3.Connection, wanted: Filter) -> Page:
    """
    Return one page of events, newest first.
    """
    keys: tuple[Key, ...] | None = None
    if wanted.customer is not None:
        key = find(db, wanted.customer)
        if key is None:
            return Page((), None)
        keys = person_of(db, key).keys
    rows = _select(db, wanted, keys, "body")
    return _page(rows, wanted.limit)


def events_of(db: sqlite3.Connection, keys: tuple[Key, ...], wanted: Filter) -> Page:
    """
    Return one page of the events that carry one of *keys*, newest first.
    """
    return _page(_select(db, wanted, keys, "body"), wanted.limit)


def _page(rows: list[sqlite3.Row], limit: int) -> Page:
    shown = rows[:limit]
    more = write_cursor(shown[-1]["time"], shown[-1]["n"]) if len(rows) > limit else None
    return Page(tuple(row["body"] for row in shown), more)


def _select(
    db: sqlite3.Connection, wanted: Filter, keys: tuple[Key, ...] | None, columns: str
) -> list[sqlite3.Row]:
    """
    Return one row more than asked for, so that the caller sees whether there are more.
    """
    where, values = ["1"], list[object]()
    for name in ("family", "type", "touchpoint"):
        if getattr(wanted, name) is not None:
            where.append(f"{name} = ?")
            values.append(getattr(wanted, name))
    if wanted.since is not None:
        where.append("time >= ?")
        values.append(wanted.since)
    if wanted.until is not None:
        where.append("time < ?")
        values.append(wanted.until)
    if wanted.cursor is not None:
        where.append("(time, n) < (?, ?)")
        values += wanted.cursor
    if keys is not None:
        marks = ", ".join(["(?, ?)"] * len(keys))
        where.append(
            f"n IN (SELECT event FROM customer_events WHERE (space, value) IN (VALUES {marks}))"  # noqa: S608 - marks only
        )
        values += [part for key in keys for part in key]
    sql = (
        f"SELECT n, time, {columns} FROM events WHERE {' AND '.join(where)}"  # noqa: S608 - no input
        " ORDER BY time DESC, n DESC LIMIT ?"
    )
    return db.execute(sql, (*values, wanted.limit + 1)).fetchall()


@attrs.define(frozen=True)
class Known:
    """
    One identifier with the number of its events; times in microseconds since 1970.
    """

    key: Key
    events: int
    first: int
    last: int
    face: Key
    """The identifier that stands for the same customer; *key* itself where none else does."""


def head_count(db: sqlite3.Connection, people: People) -> tuple[int, int]:
    """
    Return the number of customers of all time, each counted once, and of their identifiers.
    """
    seen = db.execute("SELECT DISTINCT customer FROM events WHERE customer IS NOT NULL")
    (identifiers,) = db.execute("SELECT count(*) FROM customers").fetchone()
    return len(people.among(row[0] for row in seen)), identifiers


def customers_with(
    db: sqlite3.Connection, people: People, field: str, value: str, limit: int = 100
) -> list[Known]:
    """
    Return who had a contact at a touchpoint or met a problem, the latest first.

    Args:
        db: where to look.

        people: who is who.

        field: ``touchpoint`` or ``problem``.

        value: its name.

        limit: how many at most.
    """
    rows = db.execute(
        "SELECT customer, count(*), min(time), max(time) FROM events"  # noqa: S608 - literals
        f" WHERE {_WITH[field]} AND customer IS NOT NULL GROUP BY 1 ORDER BY 4 DESC, 1 LIMIT ?",
        (value, limit),
    )
    found = []
    for customer, events, first, last in rows:
        space, _, name = customer.partition(":")
        found.append(Known((space, name), events, first, last, people.face((space, name))))
    return found


def customers(db: sqlite3.Connection, people: People, search: str, limit: int = 100) -> list[Known]:
    """
    Return identifiers that contain *search*, the latest seen first.
    """
    pattern = "%" + search.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    rows = db.execute(
        "SELECT space, value, events, first, last FROM customers"
        " WHERE ? = '' OR value LIKE ? ESCAPE '!' ORDER BY last DESC, value LIMIT ?",
        (search, pattern, limit),
    )
    return [
        Known((space, value), events, first, last, people.face((space, value)))
        for space, value, events, first, last in rows
    ]
