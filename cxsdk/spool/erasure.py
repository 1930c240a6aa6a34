"""
Tombstones: how one process tells all others under the same root to erase a customer.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from cxsdk.spool import _disk, directory

if TYPE_CHECKING:
    from cxsdk.spool.file import FileSpool
    from cxsdk.spool.segment import Segment

__all__ = ["Stone", "Tombstones", "stones"]

_TICK_NS = 100_000_000
_KEEP_NS = 31 * 86_400 * 1_000_000_000


@attrs.define(frozen=True)
class Stone:
    """
    One tombstone: what was spooled of this customer until a moment is to be erased.
    """

    tag: bytes
    only_consent: bool
    at_ns: int

    @classmethod
    def of(cls, name: str) -> Stone | None:
        """
        Read the name of a tombstone's file; None where it is none.
        """
        tag, _, rest = name.partition("-")
        scope, _, at = rest.partition("-")
        try:
            return cls(bytes.fromhex(tag), scope == "c", int(at))
        except ValueError:
            return None

    def covers(self, tag: bytes, since_ns: int, *, consent_only: bool) -> bool:
        """
        Say whether a record of *tag* in a segment begun at *since_ns* is to be erased.
        """
        is_theirs = tag == self.tag and since_ns < self.at_ns
        return is_theirs and (consent_only or not self.only_consent)


def stones(root: Path) -> list[Stone]:
    """
    Return the tombstones under *root*, for those who read what others own.
    """
    try:
        names = _disk.names(root / "erased")
    except OSError:
        return []
    return [stone for name in names if (stone := Stone.of(name)) is not None]


class Tombstones:
    """
    Files ``<root>/erased/<tag>-<a|c>-<ns>``: *a* for all, *c* for what consent alone holds.

    A stone concerns segments begun before it, so whoever heeds one begins new segments: what
    the customer does later is not erased by an heir. Looking costs one ``stat`` while nothing changed.
    """

    def __init__(self, spool: FileSpool) -> None:
        self._spool = spool
        self._folder = spool.root / "erased"
        self._seen: dict[str, Stone] = {}
        self._stamp = 0
        self._untold: deque[str] = deque()
        self._looked = (-math.inf, 0)
        """Of the last look: monotonic seconds, and up to when there were dead letters."""

    def put(self, tag: bytes, *, only_consent: bool) -> None:
        """
        Write a tombstone. A disk that refuses is counted; this process erases all the same, and
        the others are told by `tell_again`.
        """
        now = self._spool._clock.time_ns()
        name = f"{tag.hex()}-{'c' if only_consent else 'a'}-{now}"
        self._seen[name] = Stone(tag, only_consent, now)
        try:
            self._write(name)
        except OSError:
            self._untold.append(name)
            self._spool._note("tombstone_failed", 1)

    def _write(self, name: str) -> None:
        directory.ensure(self._spool.root, "erased")
        with contextlib.suppress(FileExistsError):
            _disk.close(_disk.create(self._folder / name))

    def tell_again(self) -> None:
        """
        Write the tombstones that the disk refused. For the keeper.

        Raises:
            OSError: it still does.
        """
        while self._untold:
            self._write(self._untold[0])
            self._untold.popleft()

    def look(self) -> None:
        """
        Heed tombstones that came since the last look.

        Raises:
            OSError: the directory is there and cannot be read.
        """
        now = (self._spool._clock.monotonic(), self._spool._dead.until_ns)
        try:
            stamp = _disk.link_stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            self._looked = now
            return
        if stamp == self._stamp:
            self._looked = now
            return
        with self._spool._book:
            for name in _disk.names(self._folder):
                stone = self._learn(name)
                if stone is not None:
                    self._heed(stone)
            self._looked = now
            # A stamp of this very moment may hide a stone that comes within the same tick of
            # the kernel's clock (whence time.time_ns, not the injected one).
            self._stamp = stamp if time.time_ns() - stamp > _TICK_NS else 0
        self._expire()

    def _heed(self, stone: Stone) -> None:
        spool = self._spool
        looked, letters_ns = self._looked
        for segment in spool._all_segments():
            self._apply(stone, segment, looked)
        spool._dead.erase(attrs.evolve(stone, at_ns=max(stone.at_ns, letters_ns)))
        spool._begin_anew()
        spool._erase_quarantine()

    def visit(self, segment: Segment) -> None:
        """
        Apply all known tombstones to a segment that was just adopted.
        """
        segment.born = self._spool._clock.monotonic()
        for stone in self._seen.values():
            self._apply(stone, segment, -math.inf)

    def visit_letters(self) -> None:
        """
        Apply all known tombstones to dead letters that were just taken over.
        """
        for stone in self._seen.values():
            self._spool._dead.erase(stone)

    def _learn(self, name: str) -> Stone | None:
        if name in self._seen:
            return None
        stone = Stone.of(name)
        if stone is None:
            return None
        self._seen[name] = stone
        return stone

    def _apply(self, stone: Stone, segment: Segment, looked: float) -> None:
        # What was begun before a look that did not find the stone is older than it, whatever a
        # wall clock that jumps says.
        if segment.created_ns < stone.at_ns or segment.born < looked:
            self._spool._erase_in(segment, stone.tag, only_consent=stone.only_consent)

    def _expire(self) -> None:
        # After every directory that could hold the customer is gone by age.
        now = self._spool._clock.time_ns()
        for name, stone in list(self._seen.items()):
            if now - stone.at_ns > _KEEP_NS:
                _disk.unlink(self._folder / name)
                del self._seen[name]
