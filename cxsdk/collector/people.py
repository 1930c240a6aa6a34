"""
Who is who: the identifiers of one customer, followed over links from anonymous to known.

The answer follows from all statements by their own time, not by their arrival: of the statements
about one pair of identifiers the latest holds.
"""

from __future__ import annotations

import sqlite3

import attrs

from cxsdk.collector.row import Key

__all__ = ["Person", "find", "person_of"]

_PREFERRED = {"id": 0, "anonymous": 1, "account": 2}
_MOST_KEYS = 200


@attrs.define(frozen=True)
class Person:
    """
    One customer as far as links tell.
    """

    key: Key
    keys: tuple[Key, ...]
    """All identifiers followed, *key* first."""

    shared: tuple[Key, ...] = ()
    """Anonymous identifiers that several customers claimed, a shared device; not followed."""


def find(db: sqlite3.Connection, value: str, space: str | None = None) -> Key | None:
    """
    Return the identifier that *value* means: in *space*, else id before anonymous before others.
    """
    rows = db.execute("SELECT space FROM customers WHERE value = ?", (value,))
    spaces = [row[0] for row in rows if space in {None, row[0]}]
    if not spaces:
        return None
    return min(spaces, key=lambda name: (_PREFERRED.get(name, 3), name)), value


def person_of(db: sqlite3.Connection, key: Key) -> Person:
    """
    Return the customer behind *key*.

    Known identifiers are joined only where a ``linked`` event said so; an anonymous one joins the
    customer who claimed it, unless customers that are not one person claimed it too.
    """
    if key[0] == "anonymous":
        home = _home(db, key)
        if home is None:
            return Person(key, (key,))
        found = _expand(db, home)
        return Person(key, (key, *(other for other in found.keys if other != key)), found.shared)
    found = _expand(db, key)
    return Person(key, found.keys, found.shared)


def _neighbours(db: sqlite3.Connection, key: Key) -> list[Key]:
    """
    Return the identifiers that the latest statement about each pair ties to *key*.
    """
    rows = db.execute(
        "SELECT l.other_space, l.other_value, l.op, l.time, e.instance, e.seq, e.id"
        " FROM links l JOIN events e ON e.n = l.event WHERE l.space = ?1 AND l.value = ?2"
        " UNION ALL SELECT l.space, l.value, l.op, l.time, e.instance, e.seq, e.id"
        " FROM links l JOIN events e ON e.n = l.event"
        " WHERE l.other_space = ?1 AND l.other_value = ?2",
        key,
    )
    latest: dict[Key, tuple[tuple[int, str, int, str], str]] = {}
    for space, value, op, time, instance, seq, name in rows:
        order = (time, instance or "", seq or 0, name)
        if (space, value) not in latest or latest[space, value][0] < order:
            latest[space, value] = (order, op)
    return sorted(other for other, (_, op) in latest.items() if op != "unlinked")


def _known_closure(db: sqlite3.Connection, start: Key) -> tuple[list[Key], list[Key]]:
    """
    Return the known identifiers tied to *start*, and the anonymous ones that touch them.
    """
    known, anonymous = [start], dict[Key, None]()
    for key in known:
        for other in _neighbours(db, key):
            if other[0] == "anonymous":
                anonymous[other] = None
            elif other not in known and len(known) < _MOST_KEYS:
                known.append(other)
    return known, list(anonymous)


def _home(db: sqlite3.Connection, anonymous: Key) -> Key | None:
    """
    Return a known identifier of the one customer who claimed *anonymous*, if there is just one.
    """
    claims = _claims(db, anonymous)
    if not claims:
        return None
    closure, _ = _known_closure(db, claims[0])
    return claims[0] if set(claims) <= set(closure) else None


def _claims(db: sqlite3.Connection, anonymous: Key) -> list[Key]:
    """
    Return the known identifiers tied to *anonymous*, also over other anonymous ones.
    """
    seen, claims = [anonymous], dict[Key, None]()
    for key in seen:
        for other in _neighbours(db, key):
            if other[0] != "anonymous":
                claims[other] = None
            elif other not in seen and len(seen) < _MOST_KEYS:
                seen.append(other)
    return list(claims)


def _expand(db: sqlite3.Connection, start: Key) -> Person:
    known, touching = _known_closure(db, start)
    own: list[Key] = []
    shared: list[Key] = []
    for key in touching:
        if set(_claims(db, key)) <= set(known):
            own.append(key)
            own += [
                other
                for other in _neighbours(db, key)
                if other[0] == "anonymous" and other not in own and other not in touching
            ]
        else:
            shared.append(key)
    return Person(start, tuple(dict.fromkeys((*known, *own))), tuple(shared))
