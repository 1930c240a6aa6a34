"""
Counting what lookups do.
"""

from __future__ import annotations

import itertools
from typing import Any

__all__ = ["Counts"]


class Counts:
    """
    Counters by what happened and to whom. Thread-safe without a lock.
    """

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], Any] = {}

    def add(self, what: str, of: str) -> None:
        """
        Count one more of *what* of a provider or section.
        """
        counter = self._counters.get((what, of))
        if counter is None:
            counter = self._counters.setdefault((what, of), itertools.count(1))
        next(counter)

    def figures(self) -> dict[str, dict[str, int]]:
        """
        Return provider or section → what → how often.
        """
        told: dict[str, dict[str, int]] = {}
        for (what, of), counter in list(self._counters.items()):
            # The one way to read a counter that takes no number from it.
            told.setdefault(of, {})[what] = int(repr(counter)[6:-1]) - 1
        return told
