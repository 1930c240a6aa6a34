"""
The journals of all customers, bounded by customers and by bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from cxsdk.lookup.journal import Journal

__all__ = ["Journals", "Key", "subject_of"]

Key = tuple[str, str]
"""(``id`` or ``anonymous``, id as events carry it)."""

_CHANCES = 4


def subject_of(key: Key) -> str:
    """
    Return an opaque name of *key* for a shared memory, where the client gives none of its own.
    """
    import hashlib

    return hashlib.blake2b("\0".join(key).encode(), digest_size=16).hexdigest()


class Journals(OrderedDict[Key, Journal]):
    """
    Key → journal. Not thread-safe: the overlay's lock guards it, but for reading one.

    Args:
        make: returns an empty journal.

        most: customers at most.

        max_bytes: of all journals, about; the customers of whom nothing came for longest go first.

        lost: called with the key of one that went.
    """

    def __init__(
        self,
        make: Callable[[], Journal],
        most: int,
        max_bytes: int,
        lost: Callable[[Key], None],
    ) -> None:
        super().__init__()
        self._make = make
        self._most = most
        self._max_bytes = max_bytes
        self._lost = lost
        self.bytes = self.evicted = 0

    def open(self, key: Key) -> Journal:
        """
        Return a new journal of *key*; another one may go for it.
        """
        journal = self._make()
        self[key] = journal
        if len(self) > self._most:
            self._evict()
        return journal

    def grow(self, size: int) -> None:
        """
        Count bytes that a journal has more now.
        """
        self.bytes += size
        if self.bytes > self._max_bytes:
            self.shrink()

    def shrink(self) -> None:
        """
        Let go of journals, or of the oldest of the only one, until the bytes are few enough.
        """
        while self.bytes > self._max_bytes and len(self) > 1:
            self._evict()
        if self.bytes > self._max_bytes:
            last = next(iter(self.values()))
            while self.bytes > self._max_bytes and len(last):
                self.bytes -= last.shorten()

    def _evict(self) -> None:
        for _ in range(_CHANCES):
            key = next(iter(self))
            journal = self[key]
            if not journal.is_used:
                break
            journal.is_used = False
            self.move_to_end(key)
        del self[key]
        self.bytes -= journal.size
        self.evicted += 1
        self._lost(key)
