"""
Whom a lookup is about: the ids of customers, and what is held in memory of each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from cxsdk.knowing import Space
from cxsdk.lookup.section import Section

__all__ = ["Entry", "Key", "People", "Person"]

Key: TypeAlias = tuple[str, str]
"""Space and id as events carry it: what caches, overlay and tombstones go by."""

_CHANCES = 64
_NO_VERSIONS: Mapping[str, str] = MappingProxyType({})
"""One for all: most entries have none, and there are many entries."""


class Entry:
    """
    One section of one customer as it is held. Times are of the monotonic clock.
    """

    __slots__ = (
        "failure",
        "fresh_until",
        "is_negative",
        "laid",
        "retry_at",
        "section",
        "seen",
        "stale_section",
        "stale_until",
        "versions",
    )

    section: Section[Any] | None
    """As it is given while fresh; None where nothing was ever found out."""

    stale_section: Section[Any] | None
    """The same, as it is given later; made when first needed."""

    failure: Section[Any] | None
    """What the last attempt came to, where it failed."""

    laid: tuple[int, Section[Any]] | None
    """The section with the journal laid over it, and the version of the journal that was."""

    seen: int
    """The journal's version when "there is nothing" was found out."""

    versions: Mapping[str, str]
    """Provider → what it calls this version of its answer."""

    def __init__(self) -> None:
        self.section = self.stale_section = self.failure = self.laid = None
        self.fresh_until = self.stale_until = self.retry_at = 0.0
        self.is_negative = False
        self.seen = 0
        self.versions = _NO_VERSIONS


class Person:
    """
    A customer or visitor, and what is held of them. Entries are replaced, never changed in a way
    that a reader in another thread could see halfway.
    """

    __slots__ = ("entries", "key", "known", "made", "raw", "space", "used")

    def __init__(self, key: Key, raw: str, known: Any) -> None:
        self.key = key
        self.raw = raw
        self.space: Space = "id" if key[0] == "id" else "anonymous"
        self.known = known
        """Wire form; see `cxsdk.pipeline.customers.Known`. *raw* is empty where only this is known."""

        self.entries: dict[str, dict[str, Entry]] = {}
        """Purpose → section → entry."""

        self.made: dict[Any, Any] = {}
        """Question → a context that was made of it, and until when it is the answer."""

        self.used = False
        """Asked about again since it was last spared."""

    def put(self, purpose: str, section: str, entry: Entry) -> None:
        """
        Hold *entry* in place of the one before.
        """
        self.entries.setdefault(purpose, {})[section] = entry
        self.made = {}

    def drop(self, names: frozenset[str] | None = None) -> int:
        """
        Drop the sections *names*, or all; return how many.
        """
        before = self.entries
        self.entries = {
            purpose: {
                name: one for name, one in held.items() if names is not None and name not in names
            }
            for purpose, held in before.items()
        }
        self.made = {}
        return sum(map(len, before.values())) - sum(map(len, self.entries.values()))

    def __repr__(self) -> str:
        return f"<Person {self.space}>"

    def entry(self, purpose: str, section: str) -> Entry | None:
        """
        Return what is held, or None.
        """
        held = self.entries.get(purpose)
        return None if held is None else held.get(section)


class People:
    """
    Customers held in memory, at most *most*; those not asked about for longest go first (CLOCK:
    asking costs no lock). Thread-safe.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Person] = OrderedDict()
        self.by_raw: dict[str, Person] = {}
        """The host's id → person, for the hot path. Only ids that are text."""

        self.evicted = 0

    def __len__(self) -> int:
        return len(self._held)

    def find(self, key: Key) -> Person | None:
        """
        Return who is held under *key*, or None.
        """
        return self._held.get(key)

    def hold(self, person: Person) -> Person:
        """
        Hold *person*, or return who is held under that key already.
        """
        with self._lock:
            held = self._held.get(person.key)
            if held is not None:
                return held
            if len(self._held) >= self._most:
                self._evict()
            self._held[person.key] = person
            if person.space == "id" and person.raw:
                self.by_raw[person.raw] = person
            return person

    def name(self, person: Person, raw: str) -> None:
        """
        Take note of the host's id of somebody of whom only the wire form was known.
        """
        with self._lock:
            person.raw = raw
            # What was found out without asking everybody is not all there is.
            person.drop()
            if self._held.get(person.key) is person:
                self.by_raw[raw] = person

    def _evict(self) -> None:
        # At most so many second chances at once: nobody waits for a walk over all.
        for _ in range(min(len(self._held), _CHANCES)):
            key, person = next(iter(self._held.items()))
            if not person.used:
                break
            person.used = False
            self._held.move_to_end(key)
        key, person = self._held.popitem(last=False)
        if self.by_raw.get(person.raw) is person:
            del self.by_raw[person.raw]
        self.evicted += 1

    def drop(self, key: Key) -> int:
        """
        Forget who is held under *key*; return how many sections were.
        """
        with self._lock:
            person = self._held.pop(key, None)
            if person is None:
                return 0
            if self.by_raw.get(person.raw) is person:
                del self.by_raw[person.raw]
        return person.drop()

    def every(self) -> list[Person]:
        """
        Return all who are held now.
        """
        with self._lock:
            return list(self._held.values())

    def renew(self) -> None:
        """
        Take a lock of this process's own, in a forked child.
        """
        self._lock = threading.Lock()
