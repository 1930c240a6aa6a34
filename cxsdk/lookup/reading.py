"""
Readings: for whom the shared memory was read, when, and whether that still holds.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import TypeVar

import attrs

from cxsdk.errors import StoreUnavailableError
from cxsdk.remembering import Remembered, SharedMemory

__all__ = ["Reading", "Readings", "follow"]

T = TypeVar("T")

_HOPS = 3

Key = tuple[str, str]


@attrs.define(frozen=True)
class Reading:
    """
    One look at what is remembered of a customer.
    """

    at: float
    """Monotonic, seconds."""

    epoch: int
    subjects: tuple[str, ...]
    """Under which the memory has something of them."""


class Readings:
    """
    The last reading of each customer, and what the memory told of since. Thread-safe.

    Args:
        most: customers at most; those who were read first go first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.RLock()
        self._readings: OrderedDict[Key, Reading] = OrderedDict()
        self._keys: dict[str, set[Key]] = {}
        self._dirty: set[str] = set()
        self._under_way: Counter[str] = Counter()
        self._is_listening = False
        self.epoch = 0
        """Another one whenever some news may have been missed."""
        self.can_tell = False
        """Whether the memory tells of what changes in other processes."""

    def get(self, key: Key) -> Reading | None:
        """
        Return the last reading of *key*, or None where there is none or it no longer holds.
        """
        reading = self._readings.get(key)
        if reading is None or reading.epoch != self.epoch:
            return None
        return None if self._dirty and not self._dirty.isdisjoint(reading.subjects) else reading

    def begin(self, subjects: Collection[str]) -> int:
        """
        Begin to read *subjects*, up to `end`; return the epoch. What is told of meanwhile is news.
        """
        with self._lock:
            self._dirty.difference_update(subjects)
            self._under_way.update(subjects)
            return self.epoch

    def end(self, subjects: Collection[str]) -> None:
        """
        End what `begin` began, after `put`.
        """
        with self._lock:
            self._under_way -= Counter(subjects)
            self._dirty &= self._keys.keys() | self._under_way.keys()

    def put(self, key: Key, reading: Reading) -> None:
        """
        Keep a reading.
        """
        with self._lock:
            before = self._dirty.intersection(reading.subjects)
            self.drop(key)
            self._dirty |= before
            self._readings[key] = reading
            for subject in reading.subjects:
                self._keys.setdefault(subject, set()).add(key)
            if len(self._readings) > self._most:
                self.drop(next(iter(self._readings)))

    def drop(self, key: Key) -> None:
        """
        Let *key* be read again.
        """
        with self._lock:
            reading = self._readings.pop(key, None)
            for subject in () if reading is None else reading.subjects:
                keys = self._keys.get(subject, set())
                keys.discard(key)
                if not keys:
                    self._keys.pop(subject, None)
                    self._dirty.discard(subject)

    def listen(self, shared: SharedMemory) -> None:
        """
        Ask *shared* to tell of news, once.

        Raises:
            StoreUnavailableError: it cannot be asked.
        """
        if not self._is_listening:
            self.can_tell = _asking(lambda: shared.subscribe(self._heard))
            self._is_listening = True

    def _heard(self, subject: str | None) -> None:
        with self._lock:
            if subject is None:
                self.epoch += 1
                self._dirty.clear()
            elif subject in self._keys or subject in self._under_way:
                self._dirty.add(subject)


def follow(shared: SharedMemory, names: dict[str, set[Key]]) -> dict[str, Remembered]:
    """
    Read *names* (subject → whose it is), and also, adding them to it, the subjects that these
    were absorbed by.

    Raises:
        StoreUnavailableError: *shared* cannot be asked.
    """
    found: dict[str, Remembered] = {}
    for _ in range(_HOPS):
        subjects = [subject for subject in names if subject not in found]
        if not subjects:
            break
        answers = _asking(lambda subjects=subjects: shared.read(subjects))  # type: ignore[misc]
        found.update(answers)
        for subject, one in answers.items():
            if one.linked_to is not None:
                names.setdefault(one.linked_to, set()).update(names[subject])
    return found


def _asking(ask: Callable[[], T]) -> T:
    """
    Return what *ask* does.

    Raises:
        StoreUnavailableError: it raised that, or anything else.
    """
    try:
        return ask()
    except StoreUnavailableError:
        raise
    except Exception as error:
        raise StoreUnavailableError(f"shared memory: {type(error).__name__}") from error
