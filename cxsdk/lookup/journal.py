"""
The journal: what this service just saw of one customer, encoded until somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import msgspec

from cxsdk.lookup.reducers import Change, Reducer, changes

__all__ = ["OVERHEAD", "SIZE", "Entry", "Journal", "Noted", "Seen", "read"]

Entry: TypeAlias = list[Any]
"""[payload, the monotonic second at which it ends, its size, what was read of it]: a list, since
one is made at every emit."""

Noted: TypeAlias = tuple[str, float, dict[str, Any]]
"""(Event id, seconds since 1970 at which it was known, data to be merged into a section)."""

PAYLOAD, ENDS, SIZE, READ = range(4)

OVERHEAD = 200
"""Bytes of an entry beside its payload, about."""

_UNREADABLE = object()
_json = msgspec.json.Decoder()


class _Data(msgspec.Struct):
    interaction_id: str | None = None


class _Brief(msgspec.Struct):
    data: _Data


_brief = msgspec.json.Decoder(_Brief)


class Seen(NamedTuple):
    """
    One event, read.
    """

    when: float
    """When it happened, seconds since 1970."""

    id: str
    known_at: float
    """When this service took it in, which is later for what was recorded afterwards."""

    changes: tuple[Change, ...]
    interaction_id: str | None


def read(payload: bytes, own: Mapping[str, Reducer] | None = None) -> Seen:
    """
    Read an encoded event.

    Args:
        own: a team's reducers, see `cxsdk.lookup.reducers.changes`.

    Raises:
        Exception: it is no event of the standard, or a reducer of the team's raised.
    """
    event = _json.decode(payload)
    when = _seconds(event["time"])
    recorded = event.get("recordedtime")
    return Seen(
        when,
        event["id"],
        when if recorded is None else max(when, _seconds(recorded)),
        changes(event, own),
        event["data"].get("interaction_id"),
    )


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.timestamp()


class Journal:
    """
    What was seen of one customer: contacts and other facts, bounded apart, so that page views do
    not push out a promise. Written by its overlay, which holds a lock; read by anybody.

    Args:
        most: contacts, and other facts, at most.

        versions: gives a number that no journal had before.

        own: a team's reducers.

        note: called with the name of what is worth a look.
    """

    __slots__ = (
        "_loaded",
        "_most",
        "_note",
        "_own",
        "_versions",
        "contacts",
        "facts",
        "is_used",
        "memo",
    )

    def __init__(
        self,
        most: int,
        versions: Callable[[], int],
        own: Mapping[str, Reducer] | None,
        note: Callable[[str], None],
    ) -> None:
        self._most = most
        self._versions = versions
        self._own = own
        self._note = note
        self.contacts: list[Entry] = []
        self.facts: list[Entry] = []
        self._loaded: dict[str, Entry] = {}
        self.memo: tuple[int, dict[str, tuple[Noted, ...]] | None] | None = None
        """The version and what was read of it, in one name, so that a reader sees a matching
        pair. Whoever adds an entry sets None afterwards."""
        self.is_used = True
        """Set with each entry: a second chance before the journal has to go."""

    @property
    def version(self) -> int:
        """
        Return a number that is another one after each addition and each end of an entry.
        """
        return self._begun()[0]

    def _begun(self) -> tuple[int, dict[str, tuple[Noted, ...]] | None]:
        memo = self.memo
        if memo is None:
            memo = self.memo = (self._versions(), None)
        return memo

    def touch(self) -> None:
        """
        Say that something is another now.
        """
        self.memo = None

    def load(self, told: Iterable[tuple[str, bytes, float]]) -> int:
        """
        Take what the shared memory knows, (event id, payload, end), in place of what it knew
        before; return by how many bytes the journal grew.
        """
        before = self._loaded
        loaded: dict[str, Entry] = {}
        for event_id, payload, ends in told:
            known = before.get(event_id)
            made = [payload, ends, len(payload) + OVERHEAD, None]
            if known is not None:
                made[READ] = known[READ]
            loaded[event_id] = made
        self._loaded = loaded
        if loaded.keys() != before.keys():
            self.touch()
        return _size(loaded.values()) - _size(before.values())

    def absorb(self, other: Journal) -> int:
        """
        Take all that *other* has; return by how many bytes this one grew.
        """
        before = self.size
        for name in ("contacts", "facts"):
            both = sorted((*getattr(self, name), *getattr(other, name)), key=lambda one: one[ENDS])
            setattr(self, name, both[-self._most :])
        self._loaded = {**other._loaded, **self._loaded}
        self.touch()
        return self.size - before

    def prune(self, now: float) -> int:
        """
        Let go of what has ended; return by how many bytes the journal shrank.
        """
        gone = 0
        for shelf in (self.contacts, self.facts):
            while shelf and shelf[0][ENDS] <= now:
                gone += shelf.pop(0)[SIZE]
        ended = [name for name, each in self._loaded.items() if each[ENDS] <= now]
        for name in ended:
            gone += self._loaded.pop(name)[SIZE]
        if gone:
            self.touch()
        return gone

    def shorten(self) -> int:
        """
        Give up the oldest entry of the longer shelf; return its size, 0 if there is none.
        """
        shelf = max(self.contacts, self.facts, key=len)
        if shelf:
            self.touch()
            size: int = shelf.pop(0)[SIZE]
            return size
        loaded, self._loaded = self._loaded, {}
        self.touch()
        return _size(loaded.values())

    @property
    def size(self) -> int:
        """
        Return about how many bytes it takes.
        """
        return _size(self.contacts) + _size(self.facts) + _size(self._loaded.values())

    def __len__(self) -> int:
        return len(self.contacts) + len(self.facts) + len(self._loaded)

    # ---- reading --------------------------------------------------------------------------

    def changes(self, section: str) -> tuple[Noted, ...]:
        """
        Return what the events mean for *section*, in the order in which they happened.

        Events are read at the first look and once; what cannot be read is left out.
        """
        return self._read().get(section, ())

    @property
    def sections(self) -> frozenset[str]:
        """
        Return the names of the sections for which the events mean something.
        """
        return frozenset(self._read())

    def _read(self) -> dict[str, tuple[Noted, ...]]:
        begun = self._begun()
        version, found = begun
        if found is None:
            gathered: dict[str, list[Noted]] = {}
            for seen in self._all():
                for section, data in seen.changes:
                    noted = (seen.id, seen.known_at, data)
                    gathered.setdefault(section, []).append(noted)
            found = {section: tuple(noted) for section, noted in gathered.items()}
            if self.memo is begun:
                self.memo = (version, found)
        return found

    def payloads(self) -> tuple[bytes, ...]:
        """
        Return the events as they were encoded, in the order in which they happened.
        """
        return tuple(payload for _, payload in self._entries())

    def _all(self) -> list[Seen]:
        return [seen for seen, _ in self._entries()]

    def _entries(self) -> list[tuple[Seen, bytes]]:
        by_id: dict[str, tuple[Seen, bytes]] = {}
        for each in (*self._loaded.copy().values(), *self.contacts.copy(), *self.facts.copy()):
            seen = self._see(each)
            if seen is not None:
                by_id[seen.id] = (seen, each[PAYLOAD])
        return sorted(by_id.values(), key=lambda found: found[0][:2])

    def _see(self, each: Entry) -> Seen | None:
        seen = each[READ]
        if seen is None:
            try:
                seen = read(each[PAYLOAD], self._own)
            except Exception:  # noqa: BLE001 - a team's reducers may raise anything
                seen = _UNREADABLE
                self._note("memory_unreadable")
            each[READ] = seen
        return None if seen is _UNREADABLE else seen

    def last_interaction(self) -> str | None:
        """
        Return the id of the last contact, or None.
        """
        for each in reversed(self.contacts.copy()):
            found = _interaction_of(each)
            if found is not None:
                return found
        contacts = [seen for seen in self._all() if any(s == "interactions" for s, _ in seen[3])]
        return contacts[-1].interaction_id if contacts else None


def _interaction_of(each: Entry) -> str | None:
    # Without its meaning: this is in an emit, where what is read in full may never be looked at.
    seen = each[READ]
    if seen is None:
        try:
            return _brief.decode(each[PAYLOAD]).data.interaction_id
        except (msgspec.DecodeError, ValueError):
            return None
    return None if seen is _UNREADABLE else seen.interaction_id


def _size(entries: Iterable[Entry]) -> int:
    return sum(each[SIZE] for each in entries)
