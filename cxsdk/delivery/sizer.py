"""
How large a batch may be: grown under backlog, learned from 413.
"""

from __future__ import annotations

__all__ = ["Sizer"]

_FIRST_EVENTS = 50
_OK_PER_STEP = 50


class Sizer:
    """
    Batch limits of one destination, in events and payload bytes.

    Starts at 50 events and doubles with each full batch that went well (slow start). A 413
    halves what is to blame, never below a size known to work; from then on every 50 batches that
    went well add 10 %. Used by one thread at a time.

    Args:
        max_events: never more events than this.

        max_bytes: never more payload bytes than this.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._soft = min(_FIRST_EVENTS, max_events)
        self._limit_events = max_events
        self._limit_bytes = max_bytes
        self._works_events = 0
        self._works_bytes = 0
        self._good = 0

    @property
    def events(self) -> int:
        """
        Most events in the next batch.
        """
        return max(1, min(self._soft, self._limit_events))

    @property
    def bytes(self) -> int:
        """
        Most payload bytes in the next batch.
        """
        return self._limit_bytes

    def fits(self, events: int, size: int) -> bool:
        """
        Say whether a batch of *events* and *size* bytes is worth sending whole.
        """
        return events <= 1 or (events <= self._limit_events and size <= self._limit_bytes)

    def too_large(self, events: int, size: int) -> None:
        """
        Learn from a 413 for several events. A single one too large says nothing about batches.
        """
        if events <= 1:
            return
        fewer = events > self._works_events
        smaller = size > self._works_bytes
        if not fewer and not smaller:
            # Less than what once worked: the destination lowered its limit.
            self._works_events = self._works_bytes = 0
            fewer = smaller = True
        if fewer:
            self._limit_events = min(self._limit_events, max(events // 2, self._works_events, 1))
        if smaller:
            self._limit_bytes = min(self._limit_bytes, max(size // 2, self._works_bytes, 1))
        self._good = 0

    def went_well(self, events: int, size: int) -> None:
        """
        Learn from a batch that was taken.
        """
        self._works_events = max(self._works_events, events)
        self._works_bytes = max(self._works_bytes, size)
        self._limit_events = max(self._limit_events, events)
        self._limit_bytes = max(self._limit_bytes, size)
        if events >= self._soft:
            self._soft = min(self._max_events, self._soft * 2)
        if not self._is_limited():
            return
        self._good += 1
        if self._good >= _OK_PER_STEP:
            self._good = 0
            more = self._limit_events + max(1, self._limit_events // 10)
            self._limit_events = min(self._max_events, more)
            self._limit_bytes = min(self._max_bytes, int(self._limit_bytes * 1.1) + 1)

    def _is_limited(self) -> bool:
        return self._limit_events < self._max_events or self._limit_bytes < self._max_bytes
