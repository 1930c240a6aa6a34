"""
What the questions share: parameters of a query string, cursors, customers in an answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import msgspec

from cxsdk._clock import to_ns
from cxsdk.collector.queries import QueryError
from cxsdk.collector.row import Key

__all__ = ["DAY", "Place", "customer_json", "moment", "names", "page", "whole"]

DAY = 86_400_000_000
"""Microseconds of 24 hours."""

Place: TypeAlias = tuple[int, str, str]
"""Where a row stands among all: its rank, then what tells it from others of the same rank."""

_places = msgspec.json.Decoder(Place)
_T = TypeVar("_T")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
_MOST_DAYS = 36_500


def names(query: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    """
    Return the parameters that say something.

    Raises:
        QueryError: one is not among *known*, or too long.
    """
    every = set(known)
    given = {name: value.strip() for name, value in query.items() if value.strip()}
    for name, value in given.items():
        if name not in every:
            raise QueryError(f"{name[:40]}: expected one of {', '.join(sorted(every))}")
        if len(value) > 500:
            raise QueryError(f"{name}: expected at most 500 characters")
    return given


def whole(given: Mapping[str, str], name: str, default: int, most: int = _MOST_DAYS) -> int:
    """
    Return a whole number from 1 to *most*.

    Raises:
        QueryError: it is none.
    """
    text = given.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_number or not 1 <= int(text) <= most:
        raise QueryError(f"{name}: expected a whole number from 1 to {most}")
    return int(text)


def moment(given: Mapping[str, str], name: str) -> int | None:
    """
    Return a time, microseconds since 1970: RFC 3339, or a day, which begins at midnight UTC.

    Raises:
        QueryError: it is none.
    """
    text = given.get(name)
    if text is None:
        return None
    if _DATE.match(text):
        text += "T00:00:00+00:00"
    try:
        # A plus sign in a query string is a space to those who forgot to quote it.
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise QueryError(f"{name}: expected a day, or an RFC 3339 time with an offset")
    return to_ns(found) // 1000


def page(
    rows: Sequence[_T], place: Callable[[_T], Place], limit: int, cursor: str | None
) -> tuple[list[_T], str | None]:
    """
    Return the *rows* (in the order of their *place*) after *cursor*, and the next cursor if any.

    Raises:
        QueryError: the cursor is none of ours.
    """
    after = _cursor(cursor) if cursor else None
    left = [row for row in rows if after is None or place(row) > after]
    shown = left[:limit]
    if len(left) <= limit:
        return shown, None
    told = msgspec.json.encode(place(shown[-1]))
    return shown, base64.urlsafe_b64encode(told).decode()


def _cursor(text: str) -> Place:
    try:
        found: Place = _places.decode(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise QueryError("cursor: expected the `next` of an earlier answer") from None
    return found


def customer_json(key: Key) -> dict[str, Any]:
    """
    Return an identifier as the answers spell it.
    """
    return {"space": key[0], "id": key[1]}
