"""
The sections of a customer's context, read from what is stored.

What an event means for a section says `cxsdk.lookup.reducers`, here as in a service; of a long
story only the bodies that are shown are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import attrs
import msgspec

from cxsdk._clock import rfc3339
from cxsdk.collector.people import Person, find, person_of, preferred
from cxsdk.collector.row import Key
from cxsdk.collector.standings import by_urgency, promises
from cxsdk.lookup.items import LISTS, RECORDS, Consent, ConsentState
from cxsdk.lookup.reducers import Change, changes

__all__ = ["LIMIT", "SECTIONS", "Context", "Wanted", "as_text", "read_context"]

SECTIONS: tuple[str, ...] = (*RECORDS, *LISTS)
"""Names of the sections that the collector knows."""

LIMIT = 50
"""Items of a list where nobody says how many."""

_CHUNK = 400
_Row: TypeAlias = tuple[int, str, str, int, str]
"""Number in the store, family, action, time, id of the thing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAMILIES = {
    "interactions": "interaction",
    "feedback": "feedback",
    "problems": "problem",
    "reactions": "reaction",
    "profile": "identity",
    "consent": "identity",
}


@attrs.define(frozen=True)
class Wanted:
    """
    Which sections, and how many items of each list.
    """

    sections: tuple[str, ...] = SECTIONS
    limits: Mapping[str, int] = attrs.Factory(dict)

    def limit(self, section: str) -> int:
        """
        Return how many items of *section* are wanted at most.
        """
        return self.limits.get(section, LIMIT)


@attrs.define(frozen=True)
class Context:
    """
    What is known of one customer: section → (plain value, whether there is more).
    """

    key: Key
    sections: Mapping[str, tuple[Any, bool]]

    def as_json(self, now: int) -> dict[str, Any]:
        """
        Return the sections as of *now*, microseconds since 1970.
        """
        as_of = as_text(now)
        return {
            name: {"value": value, "as_of": as_of, "truncated": more}
            for name, (value, more) in self.sections.items()
        }


def as_text(micros: int) -> str:
    """
    Return microseconds since 1970 as RFC 3339.
    """
    return rfc3339(_EPOCH + timedelta(microseconds=micros))


def read_context(
    db: sqlite3.Connection, customer: str, space: str | None, wanted: Wanted, now: int
) -> Context | None:
    """
    Return the context of *customer*; None where nobody is known by that identifier.

    All identifiers of the person are followed; a device that several customers used is not.
    """
    key = find(db, customer, space)
    if key is None:
        return None
    story = _Story(db, person_of(db, key), wanted, now)
    return Context(key, {name: _READERS[name](story) for name in wanted.sections})


class _Story:
    """
    What the readers of sections share: who it is, and which events there are.
    """

    def __init__(self, db: sqlite3.Connection, person: Person, wanted: Wanted, now: int) -> None:
        self.db, self.person, self.wanted, self.now = db, person, wanted, now
        self.marks = ", ".join(["(?, ?)"] * len(person.keys))
        self.key_values = [part for key in person.keys for part in key]
        self.rows: dict[str, list[_Row]] = {}
        self._changes: dict[int, tuple[Change, ...]] = {}
        families = {_FAMILIES[name] for name in wanted.sections if name in _FAMILIES}
        if not families:
            return
        rows = db.cursor()
        rows.row_factory = None
        # Everything but bodies, which are long; oldest first, as they are folded. The plus keeps
        # SQLite from reading all events of the families instead of those of the customer.
        rows.execute(
            "SELECT n, family, action, time, entity FROM events WHERE n IN (SELECT event FROM"  # noqa: S608 - marks only
            f" customer_events WHERE (space, value) IN (VALUES {self.marks})) AND +family IN"
            f" ({', '.join('?' * len(families))}) AND NOT (family = 'interaction'"
            " AND action = 'started') ORDER BY time, action, instance, seq, id",
            (*self.key_values, *families),
        )
        for row in rows:
            self.rows.setdefault(row[1], []).append(row)

    def said(self, rows: Sequence[_Row], section: str) -> Iterator[tuple[_Row, dict[str, Any]]]:
        """
        Yield what these events change in *section*, in their order.
        """
        self._read([row[0] for row in rows if row[0] not in self._changes])
        for row in rows:
            for name, change in self._changes[row[0]]:
                if name == section:
                    yield row, change

    def _read(self, numbers: list[int]) -> None:
        for start in range(0, len(numbers), _CHUNK):
            some = numbers[start : start + _CHUNK]
            marks = ",".join("?" * len(some))
            for n, body in self.db.execute(
                f"SELECT n, body FROM events WHERE n IN ({marks})",  # noqa: S608 - marks only
                some,
            ):
                self._changes[n] = _meaning(body)


def _meaning(body: str) -> tuple[Change, ...]:
    """
    Return what an event changes; nothing where it is of a version that nobody knows here.
    """
    try:
        return changes(msgspec.json.decode(body))
    except (KeyError, ValueError, TypeError):
        return ()


# ---- lists --------------------------------------------------------------------------------


def _list(
    story: _Story, section: str, is_shown: Callable[[dict[str, Any]], bool] = bool
) -> tuple[list[dict[str, Any]], bool]:
    """
    Fold the events of each thing into an item, the latest things first, until there are enough.
    """
    things: dict[str, list[_Row]] = {}
    for row in story.rows.get(_FAMILIES[section], ()):
        things.setdefault(row[4], []).append(row)
    ordered = sorted(
        _candidates(story, section, things), key=lambda rows: (rows[-1][3], rows[-1][0])
    )
    limit, found = story.wanted.limit(section), list[dict[str, Any]]()
    while ordered and len(found) <= limit:
        some = [ordered.pop() for _ in range(min(len(ordered), limit + 1))]
        items: dict[str, dict[str, Any]] = {}
        for row, change in story.said([row for rows in some for row in rows], section):
            items.setdefault(row[4], {}).update(change)
        found += filter(is_shown, items.values())
    return found[:limit], len(found) > limit


def _candidates(story: _Story, section: str, things: dict[str, list[_Row]]) -> list[list[_Row]]:
    """
    Leave out what needs no body to be left out.
    """
    if section == "problems":
        return [rows for rows in things.values() if rows[-1][2] != "resolved"]
    if section == "feedback":
        replaced = _superseded(story.db, list(things))
        return [rows for entity, rows in things.items() if entity not in replaced]
    return list(things.values())


def _superseded(db: sqlite3.Connection, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        rows = db.execute(
            "SELECT json_extract(body, '$.data.supersedes') FROM events INDEXED BY"  # noqa: S608 - marks only
            " events_superseding WHERE family = 'feedback'"
            " AND json_extract(body, '$.data.supersedes') IS NOT NULL"
            f" AND json_extract(body, '$.data.supersedes') IN ({', '.join('?' * len(some))})",
            some,
        )
        found.update(row[0] for row in rows)
    return found


def _problems(story: _Story) -> tuple[Any, bool]:
    return _list(story, "problems", lambda item: item.get("status") == "open")


def _commitments(story: _Story) -> tuple[Any, bool]:
    """
    Return promises, the open ones by urgency, then the ended ones, the latest first.
    """
    made = promises(story.db, story.person.keys)
    for one in made.values():
        one.standing_now = one.standing(story.now)
    limit = story.wanted.limit("commitments")
    shown = [one.id for one in by_urgency(made.values())[:limit]]
    items: dict[str, dict[str, Any]] = {}
    for start in range(0, len(shown), _CHUNK):
        some = shown[start : start + _CHUNK]
        rows = story.db.execute(
            "SELECT entity, body FROM events INDEXED BY events_by_commitment"  # noqa: S608 - marks only
            f" WHERE family = 'commitment' AND entity IN ({', '.join('?' * len(some))})"
            " ORDER BY time, action <> 'made', instance, seq, id",
            some,
        )
        for entity, body in rows:
            for _, change in _meaning(body):
                items.setdefault(entity, {}).update(change)
    return [items[name] for name in shown if name in items], len(made) > limit


# ---- records ------------------------------------------------------------------------------


def _identity(story: _Story) -> tuple[Any, bool]:
    keys = story.person.keys
    first, last = story.db.execute(
        f"SELECT min(first), max(last) FROM customers WHERE (space, value) IN (VALUES {story.marks})",  # noqa: S608 - marks only
        story.key_values,
    ).fetchone()
    face = preferred(keys)
    value = {
        "keys": [{"space": space, "value": value} for space, value in keys],
        "canonical_id": face[1],
        "merged_from": [value for space, value in keys if space == "id" and value != face[1]],
        "first_seen_at": as_text(first),
        "last_seen_at": as_text(last),
    }
    return value, False


def _profile(story: _Story) -> tuple[Any, bool]:
    traits: dict[str, Any] = {}
    for _, change in story.said(story.rows.get("identity", ()), "profile"):
        traits.update(change["attributes"])
    return ({"attributes": traits} if traits else {}), False


def _consent(story: _Story) -> tuple[Any, bool]:
    """
    Return, of each identifier, what was said last; over all of them the most restrictive word.
    """
    rows = [row for row in story.rows.get("identity", ()) if row[2] == "consent_changed"]
    named = _named(story, [row[0] for row in rows])
    words: dict[Key, dict[str, Any]] = {}
    for row, change in story.said(rows, "consent"):
        for key in named[row[0]]:
            known = words.setdefault(key, {"purposes": {}})
            known["purposes"].update(change.get("purposes", {}))
            known.update((name, value) for name, value in change.items() if name != "purposes")
    if not words:
        return {}, False
    said = [msgspec.convert(one, Consent) for one in words.values()]
    merged = Consent()
    for one in said:
        merged = merged.restricted(one)
    return _plain(merged), False


def _named(story: _Story, numbers: list[int]) -> dict[int, list[Key]]:
    """
    Return which of the person's identifiers each of these events names.
    """
    found: dict[int, list[Key]] = {n: [] for n in numbers}
    for start in range(0, len(numbers), _CHUNK):
        some = numbers[start : start + _CHUNK]
        rows = story.db.execute(
            "SELECT event, space, value FROM customer_events"  # noqa: S608 - marks only
            f" WHERE (space, value) IN (VALUES {story.marks})"
            f" AND event IN ({', '.join('?' * len(some))})",
            (*story.key_values, *some),
        )
        for n, space, value in rows:
            found[n].append((space, value))
    return found


def _plain(merged: Consent) -> dict[str, Any]:
    told: dict[str, Any] = {
        "state": merged.state,
        "state_at": merged.state_at and rfc3339(merged.state_at),
        "purposes": {name: _without(said) for name, said in sorted(merged.purposes.items())},
        "updated_at": merged.updated_at and rfc3339(merged.updated_at),
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def _without(said: ConsentState) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(said)
    return {name: value for name, value in told.items() if value is not None}


_READERS: dict[str, Callable[[_Story], tuple[Any, bool]]] = {
    "identity": _identity,
    "profile": _profile,
    "consent": _consent,
    "interactions": lambda story: _list(story, "interactions"),
    "feedback": lambda story: _list(story, "feedback"),
    "problems": _problems,
    "commitments": _commitments,
    "reactions": lambda story: _list(story, "reactions"),
}
