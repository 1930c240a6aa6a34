"""
Who is who: known ids that were linked to another, and the visitors that became a customer.

Only an explicit link makes two known ids one. A visitor's id is never followed to a customer:
whoever shares the device would see what is theirs.
"""

from __future__ import annotations

import threading
from typing import Any

import attrs

from cxsdk.lookup.people import Key

__all__ = ["Known", "Links"]

_MOST_EACH = 50
_MOST = 50_000


@attrs.define(frozen=True)
class Known:
    """
    One known customer as links name them.
    """

    key: Key
    raw: str = ""
    """The host's own id; empty where only its wire form is known, from another process."""

    wire: Any = None
    """See `cxsdk.pipeline.customers.Known`; None likewise."""


class Links:
    """
    Links of one process. Thread-safe; bounded, the oldest go first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.absorbed: dict[Key, Known] = {}
        """Key of an absorbed id → who it belongs to now; never a chain."""

        self._members: dict[Key, dict[Key, Known]] = {}
        self._visitors: dict[Key, list[Key]] = {}

    def renew(self) -> None:
        """
        Take a lock of this process's own, in a forked child.
        """
        self._lock = threading.Lock()

    def link(self, keep: Known, absorb: Known) -> str:
        """
        Make *absorb* a part of *keep*; return why not, empty where it is done.
        """
        with self._lock:
            keep = self.absorbed.get(keep.key, keep)
            if keep.key == absorb.key:
                # Also the other way round: what keeps it would become a part of its own part.
                return "same"
            held = self.absorbed.get(absorb.key)
            if held is not None:
                return "already_linked" if held.key == keep.key else "other_customer"
            theirs = self._members.get(absorb.key, {})
            own = self._members.setdefault(keep.key, {})
            if len(own) + len(theirs) + 1 > _MOST_EACH:
                return "too_many"
            self._members.pop(absorb.key, None)
            for member in (absorb, *theirs.values()):
                own[member.key] = member
                self.absorbed[member.key] = keep
            moved = self._visitors.pop(absorb.key, [])
            if moved:
                self._visitors.setdefault(keep.key, []).extend(moved)
            self._bound()
            return ""

    def unlink(self, absorb: Key) -> Known | None:
        """
        End the link of *absorb*; return who kept it, None where nobody did.
        """
        with self._lock:
            keep = self.absorbed.pop(absorb, None)
            if keep is not None:
                self._members.get(keep.key, {}).pop(absorb, None)
            return keep

    def visited(self, customer: Key, anonymous: Key) -> None:
        """
        Remember that a visitor turned out to be *customer*, for erasure and export.
        """
        with self._lock:
            keep = self.absorbed.get(customer)
            seen = self._visitors.setdefault(customer if keep is None else keep.key, [])
            if anonymous not in seen:
                seen.append(anonymous)
                del seen[:-_MOST_EACH]
            if len(self._visitors) > _MOST:
                self._visitors.pop(next(iter(self._visitors)))

    def _bound(self) -> None:
        while len(self.absorbed) > _MOST:
            key, keep = next(iter(self.absorbed.items()))
            del self.absorbed[key]
            self._members.get(keep.key, {}).pop(key, None)

    def members(self, key: Key) -> tuple[Known, ...]:
        """
        Return who was absorbed by *key*.
        """
        with self._lock:
            return tuple(self._members.get(key, {}).values())

    def every(self, key: Key, *, visitors: bool = True) -> tuple[Key, ...]:
        """
        Return all keys of the customer behind *key*: the one that is kept first, then those it
        absorbed, then the visitors that became them (not those without *visitors*: what comes
        under their keys now may be of somebody else at the same device).
        """
        with self._lock:
            keep = self.absorbed.get(key)
            first = key if keep is None else keep.key
            seen = self._visitors.get(first, ()) if visitors else ()
            found = (first, *self._members.get(first, ()), *seen)
            return tuple(dict.fromkeys(found))

    def forget(self, key: Key) -> None:
        """
        Drop all links of the customer behind *key*.
        """
        with self._lock:
            keep = self.absorbed.get(key)
            first = key if keep is None else keep.key
            for member in self._members.pop(first, {}):
                self.absorbed.pop(member, None)
            self._visitors.pop(first, None)
