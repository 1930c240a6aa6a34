"""
A clock that stands still until it is told to go.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from cxsdk._clock import from_ns, to_ns

__all__ = ["FakeClock"]

_LOOK_S = 0.002
"""Real seconds between two looks at a signal that a waiting thread cannot be told of."""


class FakeClock:
    """
    Implements ``cxsdk._clock.Clock`` for tests. Safe from any thread.

    Given to a client as ``clock=``, also its threads wait by it: one wakes when its signal is set,
    or when `advance` passed its moment. The fixture ``cx_clock`` leaves them the machine's clock,
    so that nothing hangs while it stands still.

    Args:
        start: first value of `monotonic`, in seconds.

        epoch_ns: first value of `time_ns`, nanoseconds since 1970; 2026-01-01 by default.
    """

    def __init__(self, start: float = 1000.0, epoch_ns: int = 1_767_225_600_000_000_000) -> None:
        self._changed = threading.Condition()
        self._now = start
        self._epoch_ns = epoch_ns
        self._waiting = 0

    def time_ns(self) -> int:
        """
        Return nanoseconds since 1970.
        """
        return self._epoch_ns

    def monotonic(self) -> float:
        """
        Return seconds; only `advance` moves them.
        """
        return self._now

    def monotonic_ns(self) -> int:
        """
        Return `monotonic` in nanoseconds.
        """
        return round(self._now * 1e9)

    def wait(self, signal: threading.Event, timeout: float) -> bool:
        """
        Block until *signal* is set or the clock was advanced by *timeout* seconds; say whether
        it is set.
        """
        until = self._now + timeout
        with self._changed:
            self._waiting += 1
            try:
                while not signal.is_set() and self._now < until:
                    self._changed.wait(_LOOK_S)
            finally:
                self._waiting -= 1
        return signal.is_set()

    @property
    def now(self) -> datetime:
        """
        Return the moment at which the clock stands, in UTC.
        """
        return from_ns(self._epoch_ns)

    def set(self, moment: datetime) -> None:
        """
        Set the wall clock. Where *moment* is later, the time between passes as by `advance`; where
        it is earlier, only the wall clock goes back. Does not block.

        Raises:
            ValueError: *moment* has no zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"moment: expected an aware datetime, got {moment.isoformat()}")
        seconds = (to_ns(moment) - self._epoch_ns) / 1e9
        if seconds < 0:
            self.jump(seconds)
        else:
            self.advance(seconds)
        # A float does not hold every microsecond of a century.
        self._epoch_ns = to_ns(moment)

    def advance(self, seconds: float | timedelta) -> None:
        """
        Let *seconds* (0 or more) pass, on both clocks. Does not block.

        Raises:
            ValueError: *seconds* is negative; a wall clock that jumps is `jump`.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if seconds < 0:
            raise ValueError(f"seconds: expected 0 or more, got {seconds}")
        with self._changed:
            self._now += seconds
            self._epoch_ns += round(seconds * 1e9)
            self._changed.notify_all()

    def jump(self, seconds: float) -> None:
        """
        Set the wall clock forward or back by *seconds*; `monotonic` does not move.
        """
        with self._changed:
            self._epoch_ns += round(seconds * 1e9)

    @property
    def waiting(self) -> int:
        """
        How many threads wait on this clock now.
        """
        return self._waiting
