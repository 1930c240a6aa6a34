"""
Event ids: UUIDv7 for what just happened, a hash for what has a key of its own.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any

from cxsdk import _fork

__all__ = ["Errand", "Minter", "keyed_id", "new_id"]

_MOST_KINDS = 10_000


class Minter:
    """
    Makes the UUIDv7 texts of one process; about 0.3 µs each, no lock. Whoever keeps one throws
    it away in a forked child.

    RFC 9562 §6.2: 48 bits of milliseconds, then 26 random bits fixed for the process, then a
    48-bit counter that starts at a random place. So ids never repeat in a process, also when
    the clock goes back, and two processes need 26 + 47 equal bits in one millisecond to clash.
    """

    def __init__(self) -> None:
        seed = int.from_bytes(os.urandom(12), "big")
        self.generation = _fork.current()
        self.node = f"-7{seed & 0xFFF:03x}-{0x8000 | (seed >> 12) & 0x3FFF:04x}-"
        self.count = itertools.count((seed >> 26) & ((1 << 47) - 1)).__next__
        self.head: tuple[int, str] = (0, "")

    def mint(self, now_ns: int) -> str:
        """
        Return a new UUIDv7 as text.
        """
        ms = now_ns // 1_000_000
        last, head = self.head
        if ms > last:
            text = "%012x" % ms  # noqa: UP031 - half the time of an f-string here
            head = f"{text[:8]}-{text[8:]}{self.node}"
            self.head = (ms, head)
        return head + "%012x" % self.count()  # noqa: UP031


_minter = Minter()


def new_id(now_ns: int | None = None) -> str:
    """
    Return a new UUIDv7 as text: unique over forks, rising within a process.

    Args:
        now_ns: the wall clock, where the caller has just read it.
    """
    global _minter
    if _fork.page[0] != _minter.generation:
        _minter = Minter()
    return _minter.mint(time.time_ns() if now_ns is None else now_ns)


def keyed_id(source: str, key: str) -> str:
    """
    Return the id of the event that *source* calls *key*: the same pair is the same event.

    A UUIDv8 (RFC 9562 §5.8) over SHA-256, so that it is never mistaken for a time-ordered one.
    """
    import hashlib
    import uuid

    digest = hashlib.sha256(f"{len(source)}:{source}{key}".encode()).digest()[:16]
    number = int.from_bytes(digest, "big")
    number = (number & ~(0xF << 76)) | (8 << 76)
    number = (number & ~(0x3 << 62)) | (2 << 62)
    return str(uuid.UUID(int=number))


class Errand:
    """
    A task of a queue, which may be handed out more than once: what is said in it about somebody as
    the n-th of its kind has the same id each time. Thread-safe.

    Args:
        key: what a task that is handed out again has in common with the time before; None: each
            time is another one.

        traceparent: W3C traceparent of whoever sent it.

        is_retried: says whether another attempt follows when the function of that name (as on its
            events) ends by that exception.
    """

    def __init__(
        self,
        key: str | None,
        traceparent: str | None = None,
        is_retried: Callable[[str | None, BaseException], bool] = lambda *_: False,
    ) -> None:
        self._key = key
        self.traceparent = traceparent
        self.is_retried = is_retried
        self._counts: dict[str, Any] = {}

    def within(self, is_retried: Callable[[str | None, BaseException], bool]) -> Errand:
        """
        Return one for a task that runs at once in this one: it comes again with it, and they share
        the counts.
        """
        made = Errand(
            self._key,
            self.traceparent,
            lambda function, error: is_retried(function, error) or self.is_retried(function, error),
        )
        made._counts = self._counts
        return made

    def id(self, source: str, kind: str, who: tuple[str, str] | None) -> str | None:
        """
        Return the id of the next event of *kind* about *who*; None where any new one will do.
        """
        if self._key is None:
            return None
        # With whom it is about: a task over many customers, handed out again, may find fewer.
        name = "\0".join((kind, *(who or ())))
        counts = self._counts
        if name not in counts and len(counts) >= _MOST_KINDS:
            return None
        # One step each under the GIL: no two threads get the same number.
        number = next(counts.setdefault(name, itertools.count(1)))
        return keyed_id(source, f"errand\0{self._key}\0{name}\0{number}")
