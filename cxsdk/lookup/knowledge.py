"""
What this service itself knows of its customers: what it just saw, who is who, who was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cxsdk._clock import Clock
from cxsdk.lookup.items import LISTS
from cxsdk.lookup.laying import overlaid
from cxsdk.lookup.links import Known, Links
from cxsdk.lookup.people import Key, Person
from cxsdk.lookup.recall import Recall, note_context
from cxsdk.lookup.tombstones import Stone, Tombstones
from cxsdk.scope import WireId

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture
    from cxsdk.pipeline.customers import Customers
    from cxsdk.pipeline.customers import Known as Wire

__all__ = ["Knowledge"]

_NO_TAG = bytes(8)
_HEARD_S = 86_400.0
"""For so long a tombstone of the shared memory is believed without having been read again."""
_TOLD = frozenset({*LISTS, "consent"})
"""Sections that events say something of."""


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """
    What other processes are told of who keeps a link: the wire id only.
    """

    space: str
    wire: str


class Knowledge:
    """
    The `cxsdk.typing.Memory` of a client, and what its lookups know without asking. Thread-safe.

    Args:
        recall: overlay and asks; None: only links and tombstones.

        name: a key → its name in the shared memory: a keyed hash.

        customers: wire forms of ids.

        capture: returns the capture in force, None where there is none.
    """

    overlaid = staticmethod(overlaid)

    def __init__(
        self,
        recall: Recall | None,
        name: Callable[[Key], str],
        customers: Customers,
        tombstones: Tombstones,
        capture: Callable[[], Capture | None],
        clock: Clock,
    ) -> None:
        self.recall = recall
        self.name = name
        self.customers = customers
        self.tombstones = tombstones
        self.links = Links()
        self.absorbed = self.links.absorbed
        self.changed: Callable[[Key], None] = lambda _: None
        """Drops what is held under a key; the engine puts its own here."""

        self.epoch = 0
        """Changes with every tombstone and link: what was made before is not given any more."""

        self._capture = capture
        self._now: Callable[[], float] = lambda: clock.time_ns() / 1e9
        self.overlay = None if recall is None else recall.overlay
        if recall is not None:
            # Without a call in between: the first of these is in every emit.
            self.tap = recall.tap
            self.asked, self.repeats, self.ended = recall.asked, recall.repeats, recall.ended

    # ---- what was seen -------------------------------------------------------------------------

    @property
    def is_shared(self) -> bool:
        """
        Say whether other processes share what they saw.
        """
        return self.recall is not None and self.recall.overlay.is_shared

    def journal(self, key: Key) -> Any:
        """
        Return the journal of *key*, None where nothing was seen.
        """
        return None if self.recall is None else self.recall.overlay.journal(key)

    def is_due(self, key: Key) -> bool:
        """
        Say whether the shared memory is to be read first.
        """
        return self.recall is not None and self.recall.overlay.is_due(key)

    def seen(self, key: Key, section: str) -> int:
        """
        Return a number that changes when something was seen that "there is nothing" in *section*
        may be over with: a change to that section, or for sections that events say nothing of,
        anything.
        """
        journal = self.journal(key)
        if journal is None:
            return 0
        if section in _TOLD:
            return len(journal.changes(section))
        return int(journal.version)

    def said(self, person: Person) -> str | None:
        """
        Return that the customer refused consent in this process, None where they did not.

        A grant is not heard here: for which purposes it was, the journal knows.
        """
        capture = self._capture()
        word = None if capture is None else capture.customers.consent_of(person.known)
        return None if word == "granted" else word

    def reading(self, interaction: Any, sections: Iterable[Any]) -> Callable[[], None]:
        """
        Note on the open interaction that context was there; return what notes that it was used.
        """
        is_there = any(section.known for section in sections)
        note_context(interaction, available=is_there, used=False)
        return lambda: note_context(interaction, available=True, used=True)

    def heard(self, key: Key, interactions: Any) -> None:
        """
        Take note of interactions that a provider told of: what was asked in them.
        """
        if self.recall is not None:
            self.recall.asks.learn(key, interactions)

    # ---- who is who ----------------------------------------------------------------------------

    def canonical(self, key: Key) -> Known | None:
        """
        Return who *key* was absorbed by, None for nobody.
        """
        return self.absorbed.get(key)

    def also(self, key: Key, *, raw: bool) -> tuple[str, ...]:
        """
        Return the other ids of a customer, in raw or wire form.
        """
        members = self.links.members(key)
        if raw:
            return tuple(one.raw for one in members if one.raw)
        return tuple(one.key[1] for one in members)

    def identified(self, wire: Wire, raw: str) -> None:
        """
        Take note that a visitor is a customer: what they did before is the customer's from now on.

        Only that: what comes under the anonymous id later is the next visitor's, on a device that
        several share.
        """
        block = wire.block or {}
        if "id" not in block or "anonymous_id" not in block:
            return
        customer, visitor = ("id", block["id"]), ("anonymous", block["anonymous_id"])
        self.links.visited(customer, visitor)
        if self.recall is not None:
            self.recall.overlay.rekey(visitor, customer)
            self.recall.overlay.unlink(visitor)

    def link(self, keep: tuple[Any, Wire], absorb: tuple[Any, Wire]) -> str:
        """
        Make two known customers one; return why not, empty where it is done.
        """
        keeping, absorbed = (_known(raw, wire) for raw, wire in (keep, absorb))
        refusal = self.links.link(keeping, absorbed)
        if refusal:
            return refusal
        kept = self.links.absorbed[absorbed.key].key
        if self.recall is not None:
            self.recall.overlay.rekey(absorbed.key, kept)
        self._renew(kept, absorbed.key)
        return ""

    def unlink(self, absorb: tuple[Any, Wire]) -> bool:
        """
        End a link; False where there is none.
        """
        key = _known(*absorb).key
        found = self.links.unlink(key)
        if self.recall is not None:
            self.recall.overlay.unlink(key)
        if found is not None:
            self._renew(found.key, key)
        return found is not None

    def _renew(self, *keys: Key) -> None:
        """
        Have asked for again what is held under *keys*: it was of somebody else.
        """
        self.epoch += 1
        for key in keys:
            self.changed(key)

    # ---- who is to be forgotten ----------------------------------------------------------------

    @property
    def forgotten(self) -> Mapping[str, Stone]:
        """
        Return the tombstones; mostly empty.
        """
        return self.tombstones.stones

    def is_forgotten(self, key: Key) -> bool:
        """
        Say whether a customer was erased, here or (as far as it was read) elsewhere.
        """
        if self.tombstones.has(self.name(key)):
            return True
        return self.recall is not None and self.recall.overlay.is_forgotten(key)

    def tags(self, keys: Sequence[Key]) -> list[bytes]:
        """
        Return under which tags the events of *keys* are kept.
        """
        return [self.customers.tag(wire, space) for space, wire in keys]

    def bury(self, keys: Sequence[Key], until: float) -> None:
        """
        Leave a tombstone of each of *keys* until a moment (seconds since 1970), also for capture.
        """
        tags = self.tags(keys)
        stones = [Stone(self.name(key), tag, until) for key, tag in zip(keys, tags, strict=True)]
        self.tombstones.add(stones)
        self._suppress(stones)

    def learn(self, keys: Sequence[Key]) -> None:
        """
        Take note of whom the shared memory, just read, says to be forgotten.
        """
        if self.overlay is None:
            return
        gone = [key for key in keys if self.overlay.is_forgotten(key)]
        until = self._now() + _HEARD_S
        stones = [
            Stone(self.name(key), tag, until)
            for key, tag in zip(gone, self.tags(gone), strict=True)
        ]
        if stones:
            self.tombstones.hold(stones)
            self._suppress(stones)

    def look(self) -> None:
        """
        Take note of what other processes of this host forgot; at most one look in a second.
        """
        news = self.tombstones.look()
        if news:
            self._suppress(news)

    def attach(self, capture: Capture) -> None:
        """
        Hear of what *capture* keeps, and have it drop what is forgotten.
        """
        if self.recall is not None:
            capture.memory = self
        self.tombstones.look()
        self._suppress(list(self.tombstones.stones.values()), capture)

    def _suppress(self, stones: list[Stone], capture: Capture | None = None) -> None:
        self.epoch += 1
        capture = capture or self._capture()
        if capture is None:
            return
        now = self._now()
        for stone in stones:
            if stone.until > now and stone.tag != _NO_TAG:
                capture.forget([stone.tag], stone.until - now)

    # ---- ends ----------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """
        Return figures of the overlay, links and tombstones.
        """
        overlay = {} if self.recall is None else self.recall.overlay.stats()
        return {
            **overlay,
            "links": len(self.absorbed),
            "tombstones": len(self.tombstones.stones),
        }

    def close(self) -> None:
        """
        Publish what waits, a second at most. Idempotent.
        """
        if self.recall is not None:
            self.recall.close(1.0)


def _known(raw: Any, wire: Wire) -> Known:
    key = wire.key
    assert key is not None  # noqa: S101 - for the type; callers resolved a customer
    return Known(key, "" if isinstance(raw, WireId) else str(raw), wire)
