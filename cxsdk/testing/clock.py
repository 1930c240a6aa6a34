"""
A clock that stands still until it is told to go.
"""

from __future__ import annotations

import threading

__all__ = ["FakeClock"]

_LOOK_S = 0.002
"""Real seconds between two looks at a signal that a waiting thread cannot be told of."""


class FakeClock:
    """
    Implements ``cxsdk._clock.Clock`` for tests. Safe from any thread.

    A thread that waits on it wakes when its signal is set, or when `advance` passed its moment.

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

    def advance(self, seconds: float) -> None:
        """
        Let *seconds* (0 or more) pass, on both clocks. Does not block.

        Raises:
            ValueError: *seconds* is negative; a wall clock that jumps is `jump`.
        """
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
