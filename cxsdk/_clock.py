"""
Time, in one injectable object, and its text form on the wire.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = [
    "Clock",
    "SystemClock",
    "from_ns",
    "held",
    "in_force",
    "rfc3339",
    "rfc3339_ns",
    "to_ns",
    "utc_now",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """
    What cxsdk asks of time; tests replace it with ``cxsdk.testing.FakeClock``.

    Implementations are called from any thread.
    """

    def time_ns(self) -> int:
        """
        Wall clock, nanoseconds since 1970 (UTC). May jump.
        """

    def monotonic(self) -> float:
        """
        Seconds that never go back. For waits, ages within a process and durations.
        """

    def monotonic_ns(self) -> int:
        """
        The same clock in nanoseconds.
        """

    def wait(self, signal: threading.Event, timeout: float) -> bool:
        """
        Block until *signal* is set or *timeout* seconds are over; say whether it is set.
        """


class SystemClock:
    """
    The machine's own clock. Stateless, safe everywhere.
    """

    time_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
    monotonic_ns = staticmethod(time.monotonic_ns)

    def wait(self, signal: threading.Event, timeout: float) -> bool:
        """
        Block until *signal* is set or *timeout* seconds are over; say whether it is set.
        """
        return signal.wait(timeout)


held: list[Clock] = []
"""A clock that a test holds, in force for clients that are made meanwhile; else empty."""

_machine = SystemClock()


def in_force() -> Clock:
    """
    Return the clock that a client goes by where it is given none.
    """
    return held[-1] if held else _machine


def utc_now() -> datetime:
    """
    Return the present moment by the clock in force.
    """
    return from_ns(in_force().time_ns())


def from_ns(ns: int) -> datetime:
    """
    Turn nanoseconds since 1970 into an aware UTC datetime (microseconds, cut not rounded).
    """
    return _EPOCH + timedelta(microseconds=ns // 1000)


def to_ns(moment: datetime) -> int:
    """
    Turn an aware datetime into nanoseconds since 1970.
    """
    delta = moment - _EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000


def rfc3339(moment: datetime) -> str:
    """
    Write an aware datetime as the wire does: UTC, always six digits, ``Z``.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# The text of the second that was last formatted: in a busy process nearly every call hits it.
# One tuple in one name, so that a reader in another thread sees a matching pair or none.
_second: tuple[str, str] = ("none", "")


def rfc3339_ns(ns: int) -> str:
    """
    Write nanoseconds since 1970 as the wire does; same text as ``rfc3339(from_ns(ns))``.
    """
    global _second
    digits = str(ns)
    second = digits[:-9]
    cached, text = _second
    if cached != second:
        if ns < 10**9:
            return rfc3339(from_ns(ns))
        text = (_EPOCH + timedelta(seconds=int(second))).strftime("%Y-%m-%dT%H:%M:%S.")
        _second = (second, text)
    # Digits of the number as they stand: half the time of a division and a format.
    return f"{text}{digits[-9:-3]}Z"
