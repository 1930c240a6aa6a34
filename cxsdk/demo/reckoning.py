"""
Did everything that the shop's SDK accepted arrive at the collector, each event once?
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import attrs

__all__ = ["Reckoning", "accepted_in", "stored_in"]

EventKey = tuple[str, str]
"""(source, id): what makes an event this event."""


@attrs.define(frozen=True)
class Reckoning:
    """
    What was accepted at one end, against what is stored at the other.
    """

    accepted: int
    missing: tuple[EventKey, ...]
    """Accepted, not stored."""
    doubled: tuple[EventKey, ...]
    """Stored more than once."""
    unknown: tuple[EventKey, ...]
    """Stored, though nobody accepted it."""

    @classmethod
    def of(cls, accepted: Iterable[EventKey], stored: Iterable[EventKey]) -> Reckoning:
        """
        Compare what was *accepted* with all that is *stored*.
        """
        promised, kept = set(accepted), Counter(stored)
        return cls(
            accepted=len(promised),
            missing=tuple(sorted(promised - kept.keys())),
            doubled=tuple(sorted(key for key, count in kept.items() if count > 1)),
            unknown=tuple(sorted(kept.keys() - promised)),
        )

    @property
    def ok(self) -> bool:
        """
        Say whether every accepted event is stored exactly once, and nothing else is.
        """
        return bool(self.accepted) and not (self.missing or self.doubled or self.unknown)


def accepted_in(path: Path) -> list[EventKey]:
    """
    Read the shop's list of accepted events.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(source, name) for source, name, _ in (line.split(" ") for line in lines)]


def stored_in(db: sqlite3.Connection) -> list[EventKey]:
    """
    Read the collector's events.
    """
    return [(row[0], row[1]) for row in db.execute("SELECT source, id FROM events")]
