"""
Who is who: the identifiers of one customer, followed over links from anonymous to known.

The answer follows from all statements by their own time, not by their arrival: of the statements
about one pair of identifiers the latest holds.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeAlias

import attrs

from cxsdk.collector.row import Key

__all__ = ["People", "Person", "find", "person_of", "preferred"]

_PREFERRED = {"id": 0, "anonymous": 1, "account": 2}
_MOST_KEYS = 200

# From one space to the next, of which there are few: a scan of all customers takes 1 ms in 20,000.
_SPACES_OF = (
    "WITH RECURSIVE s(space) AS (SELECT min(space) FROM customers UNION ALL"
    " SELECT (SELECT min(space) FROM customers WHERE space > s.space) FROM s"
    " WHERE s.space IS NOT NULL)"
    " SELECT s.space FROM s JOIN customers c ON c.space = s.space AND c.value = ?"
)

_Neighbours: TypeAlias = Callable[[Key], list[Key]]
_Said: TypeAlias = tuple[str, str, str, int, int]
"""The other identifier's space and value; op, time, and the number of the event that said so."""


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
    spaces = [row[0] for row in db.execute(_SPACES_OF, (value,)) if space in {None, row[0]}]
    if not spaces:
        return None
    return min(spaces, key=lambda name: (_PREFERRED.get(name, 3), name)), value


def person_of(db: sqlite3.Connection, key: Key) -> Person:
    """
    Return the customer behind *key*.

    Known identifiers are joined only where a ``linked`` event said so; an anonymous one joins the
    customer who claimed it, unless customers that are not one person claimed it too.
    """
    return _person(functools.partial(_neighbours, db), key)


class People:
    """
    Who is who at one moment, for the many questions of one page: all links are read once.

    The rule for every number of customers that is shown: **one person counts once**, under
    however many identifiers. Each event belongs to the first identifier that it names (id, then
    anonymous, account, others), and the identifiers that `person_of` joins into one journey are
    one customer: a visit and the login that claimed it (``identified``), and what a ``linked``
    event joined. An identifier that nobody tied to another is a customer of its own; so is a
    device that several customers claimed, for nobody knows which of them it was.

    Belongs to the transaction of *db*; for one thread.

    Args:
        db: a connection from `Store.reading`.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        said = db.execute(
            "SELECT space, value, other_space, other_value, op, time, event FROM links"
        )
        every: dict[Key, list[_Said]] = {}
        for space, value, other_space, other_value, *rest in said:
            one, other = (space, value), (other_space, other_value)
            every.setdefault(one, []).append((*other, *rest))
            every.setdefault(other, []).append((*one, *rest))
        self._tied = {key: _latest(db, statements) for key, statements in every.items()}
        self._faces: dict[Key, Key] = {}

    def face(self, key: Key) -> Key:
        """
        Return the one identifier that stands for the customer behind *key*, a known one if any.
        """
        if key not in self._tied:
            return key
        if key not in self._faces:
            keys = _person(self._neighbours, key).keys
            face = preferred(keys)
            self._faces.update(dict.fromkeys(keys, face))
        return self._faces[key]

    def among(self, customers: Iterable[str | None]) -> set[Key]:
        """
        Return the customers behind values of the column ``customer``, each once.
        """
        found = set()
        for text in customers:
            if text is not None:
                space, _, value = text.partition(":")
                found.add(self.face((space, value)))
        return found

    def _neighbours(self, key: Key) -> list[Key]:
        return self._tied.get(key, [])


def preferred(keys: Iterable[Key]) -> Key:
    """
    Return the one of *keys* that stands for the customer: a known one if any.
    """
    return min(keys, key=_preference)


def _preference(key: Key) -> tuple[bool, bool, Key]:
    return key[0] == "anonymous", key[0] != "id", key


def _person(neighbours: _Neighbours, key: Key) -> Person:
    if key[0] == "anonymous":
        tied, claims = _claims(neighbours, key)
        if not claims:
            return Person(key, tuple(tied))
        closure, _ = _known_closure(neighbours, claims[0])
        if not set(claims) <= set(closure):
            return Person(key, (key,))
        found = _expand(neighbours, claims[0])
        return Person(key, (key, *(other for other in found.keys if other != key)), found.shared)
    return _expand(neighbours, key)


def _neighbours(db: sqlite3.Connection, key: Key) -> list[Key]:
    """
    Return the identifiers that the latest statement about each pair ties to *key*.
    """
    rows = db.execute(
        "SELECT other_space, other_value, op, time, event FROM links"
        " WHERE space = ?1 AND value = ?2"
        " UNION ALL SELECT space, value, op, time, event FROM links"
        " WHERE other_space = ?1 AND other_value = ?2",
        key,
    )
    return _latest(db, [tuple(row) for row in rows])


def _latest(db: sqlite3.Connection, said: Iterable[_Said]) -> list[Key]:
    latest: dict[Key, tuple[str, int, int]] = {}
    for space, value, op, time, event in said:
        known = latest.get((space, value))
        if known is None or known[1] < time or (known[1] == time and _follows(db, event, known[2])):
            latest[space, value] = (op, time, event)
    return sorted(other for other, (op, _, _) in latest.items() if op != "unlinked")


def _follows(db: sqlite3.Connection, event: int, other: int) -> bool:
    """
    Say which of two statements of one moment is the later one; the rest is not worth reading.
    """
    (order, other_order) = (
        db.execute(
            "SELECT coalesce(instance, ''), coalesce(seq, 0), id FROM events WHERE n = ?", (n,)
        ).fetchone()
        for n in (event, other)
    )
    return tuple(order) > tuple(other_order)


def _known_closure(neighbours: _Neighbours, start: Key) -> tuple[list[Key], list[Key]]:
    """
    Return the known identifiers tied to *start*, and the anonymous ones that touch them.
    """
    known, anonymous = [start], dict[Key, None]()
    for key in known:
        for other in neighbours(key):
            if other[0] == "anonymous":
                anonymous[other] = None
            elif other not in known and len(known) < _MOST_KEYS:
                known.append(other)
    return known, list(anonymous)


def _claims(neighbours: _Neighbours, anonymous: Key) -> tuple[list[Key], list[Key]]:
    """
    Return the anonymous identifiers tied to *anonymous*, it first, and the known ones over them.
    """
    seen, claims = [anonymous], dict[Key, None]()
    for key in seen:
        for other in neighbours(key):
            if other[0] != "anonymous":
                claims[other] = None
            elif other not in seen and len(seen) < _MOST_KEYS:
                seen.append(other)
    return seen, list(claims)


def _expand(neighbours: _Neighbours, start: Key) -> Person:
    known, touching = _known_closure(neighbours, start)
    own: list[Key] = []
    shared: list[Key] = []
    for key in touching:
        tied, claims = _claims(neighbours, key)
        if set(claims) <= set(known):
            own += tied
        else:
            shared.append(key)
    return Person(start, tuple(dict.fromkeys((*known, *own))), tuple(shared))
