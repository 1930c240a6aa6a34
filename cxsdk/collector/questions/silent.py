"""
Customers whose every promise broke, and who said nothing: they do not complain, they leave.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import attrs

from cxsdk.collector.context import as_text
from cxsdk.collector.people import People
from cxsdk.collector.queries import QueryError
from cxsdk.collector.questions.paging import Place, customer_json, moment, names, page, whole
from cxsdk.collector.questions.voices import SILENCE, voices
from cxsdk.collector.row import Key

__all__ = ["SilentQuery", "silent"]

_ONLY = ("broken", "late")


@attrs.define(frozen=True, kw_only=True)
class SilentQuery:
    """
    Which promises are judged: those that ended from *since* until before *until*.
    """

    only: str = "late"
    """``late``: a promise kept late failed the customer as a broken one did; ``broken``: only
    broken ones did."""

    kind: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 100
    cursor: str | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> SilentQuery:
        """
        Read the parameters of a query string.

        Raises:
            QueryError: one is unknown or wrong.
        """
        given = names(query, (field.name for field in attrs.fields(cls)))
        only = given.get("only", "late")
        if only not in _ONLY:
            raise QueryError(f"only: expected one of {', '.join(_ONLY)}")
        return cls(
            only=only,
            kind=given.get("kind"),
            since=moment(given, "since"),
            until=moment(given, "until"),
            limit=whole(given, "limit", 100, 1000),
            cursor=given.get("cursor"),
        )


@attrs.define
class _Judged:
    """
    The promises of one customer that were kept or broken.
    """

    promises: int = 0
    failed: int = 0
    broken: int = 0
    first: int = 0
    """When the first one failed them."""

    last: int = 0


def silent(db: sqlite3.Connection, wanted: SilentQuery, now: int) -> dict[str, Any]:
    """
    Return who was failed each time and gave no feedback, did not complain and reported nothing
    since the first time; whom it failed last first.

    Raises:
        QueryError: the cursor is wrong.
    """
    people = People(db)
    judged = _judged(db, people, wanted)
    failed = {key: one for key, one in judged.items() if one.failed == one.promises}
    heard = voices(db, people, min((one.first for one in failed.values()), default=now))
    quiet = [
        (key, one) for key, one in failed.items() if not heard.get(key, SILENCE).spoke(one.first)
    ]

    def place(item: tuple[Key, _Judged]) -> Place:
        return -item[1].last, *item[0]

    quiet.sort(key=place)
    shown, following = page(quiet, place, wanted.limit, wanted.cursor)
    return {
        "as_of": as_text(now),
        "only": wanted.only,
        "counts": {
            "judged": len(judged),
            "all_failed": len(failed),
            "silent": len(quiet),
            "never_asked": sum(heard.get(key, SILENCE).asked < one.first for key, one in quiet),
        },
        "customers": [
            {
                "customer": customer_json(key),
                "promises": one.promises,
                "broken": one.broken,
                "kept_late": one.failed - one.broken,
                "first": as_text(one.first),
                "last": as_text(one.last),
                "asked": heard.get(key, SILENCE).asked >= one.first,
                "reacted": heard.get(key, SILENCE).reacted >= one.first,
            }
            for key, one in shown
        ],
        "next": following,
    }


def _judged(db: sqlite3.Connection, people: People, wanted: SilentQuery) -> dict[Key, _Judged]:
    rows = db.execute(
        "SELECT space, value, state = 'broken', was_late, due, changed FROM promises"
        " WHERE state IN ('broken', 'kept') AND coalesce(duty, 'deliver_by') = 'deliver_by'"
        " AND space IS NOT NULL"
        " AND changed >= ?1 AND changed < ?2 AND (?3 IS NULL OR kind = ?3)",
        (
            -(2**62) if wanted.since is None else wanted.since,
            2**62 if wanted.until is None else wanted.until,
            wanted.kind,
        ),
    )
    found: dict[Key, _Judged] = {}
    for space, value, is_broken, was_late, due, changed in rows:
        one = found.setdefault(people.face((space, value)), _Judged())
        one.promises += 1
        if not is_broken and not (was_late and wanted.only == "late"):
            continue
        at = changed if due is None else min(due, changed)
        one.first = min(one.first, at) if one.failed else at
        one.last = max(one.last, changed)
        one.failed += 1
        one.broken += is_broken
    return found
