"""
One customer's journey: their events in order over all their identifiers, and their promises.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs

from cxsdk.collector.people import Person, find, person_of
from cxsdk.collector.promises import Promise
from cxsdk.collector.queries import Filter, events_of
from cxsdk.collector.standings import promises

__all__ = ["Journey", "as_json", "journey"]


@attrs.define(frozen=True)
class Journey:
    """
    What is known of one customer.
    """

    person: Person
    bodies: tuple[str, ...]
    """Events as received, oldest first."""

    older: str | None
    """Cursor of the events before these, if there are any."""

    promises: dict[str, Promise]


def journey(
    db: sqlite3.Connection,
    customer: str,
    now: int,
    *,
    space: str | None = None,
    limit: int = 200,
    cursor: tuple[int, int] | None = None,
) -> Journey | None:
    """
    Return the journey of *customer*; None when nobody is known by that identifier.
    """
    key = find(db, customer, space)
    if key is None:
        return None
    person = person_of(db, key)
    page = events_of(db, person.keys, Filter(limit=limit, cursor=cursor))
    made = promises(db, person.keys)
    for one in made.values():
        one.standing_now = one.standing(now)
    return Journey(person, page.bodies[::-1], page.next, made)


def as_json(found: Journey) -> dict[str, Any]:
    """
    Return what ``journey.json`` says beside the events.
    """
    return {
        "customer": {
            "id": found.person.key[1],
            "space": found.person.key[0],
            "keys": [{"space": space, "id": value} for space, value in found.person.keys],
            "not_followed": [{"space": space, "id": value} for space, value in found.person.shared],
        },
        "promises": [_promise_json(one) for one in found.promises.values()],
        "older": found.older,
    }


def _promise_json(one: Promise) -> dict[str, Any]:
    told = {
        "commitment_id": one.id,
        "state": one.state,
        "standing": one.standing_now,
        "kind": one.kind,
        "duty": one.duty,
        "promised_by": one.promised_by,
        "due": one.due_text,
    }
    return {name: value for name, value in told.items() if value is not None}
