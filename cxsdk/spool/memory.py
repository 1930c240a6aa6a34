"""
The memory spool: the same contract, bounded, gone with the process.
"""

from __future__ import annotations

from typing import Any

from cxsdk.spool.desk import Desk
from cxsdk.spool.intake import Track
from cxsdk.spool.segment import FileSegment, Segment

__all__ = ["MemorySpool"]


class MemorySpool(Desk):
    """
    A `Spool` in memory. Thread-safe; after a fork it is abandoned.
    """

    durable = False
    volatile = True
    level = "memory"

    def _make_segment(self, track: Track, need: int) -> Segment:
        del need
        return self._memory_segment(track)

    def _begin(self, track: Track, segment: FileSegment) -> None:
        raise NotImplementedError  # there are no spares

    def maintain(self) -> None:
        """
        Take in what a signal handler set aside; there is nothing else to do.
        """
        if self._aside:
            self._drain_aside()
        self._erase_withdrawn()
        self._tell()

    def leftovers(self) -> bool:
        """
        Return False: memory leaves nothing.
        """
        return False

    def switched_off(self) -> bool:
        """
        Return False: there is no directory with an OFF file.
        """
        return False

    def stats(self) -> dict[str, Any]:
        """
        Return level, bytes, segments, and so on.
        """
        waiting = max(map(self.pending, self._sinks), default=0)
        return {
            "level": self.level,
            "volatile": True,
            "volatile_backlog": waiting,
            **super().stats(),
        }

    def abandon(self) -> None:
        """
        Forget everything: this process is a forked child, the parent delivers.
        """
        self._renew_locks()
        self._closed = True
        for track in self._tracks:
            track.active = track.nowhere
            track.segments = []

    def close(self) -> None:
        """
        Take nothing more. Idempotent.
        """
        self._drain_aside()
        self._closed = True
        with self._lock:
            for track in self._tracks:
                track.active.shut = True
