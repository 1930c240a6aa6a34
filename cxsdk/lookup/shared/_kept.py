"""
What the shared memories agree on: how long, how many, in which order, and who hangs on whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cxsdk.remembering import Told

__all__ = ["LINK_KEPT_S", "MOST", "newest", "under"]

MOST = 50
"""Things kept per subject and shelf."""

LINK_KEPT_S = 365 * 86_400.0
"""How long a link holds after it was last made."""


def newest(told: Iterable[Told], most: int) -> tuple[Told, ...]:
    """
    Return the newest of each shelf, at most *most*, oldest first; of the same moment, the higher
    id is the newer.
    """
    by_shelf: dict[str, list[Told]] = {}
    for each in told:
        by_shelf.setdefault(each.shelf, []).append(each)
    stay: list[Told] = []
    for shelf in by_shelf.values():
        shelf.sort(key=_age)
        stay += shelf[-most:]
    return tuple(sorted(stay, key=_age))


def _age(told: Told) -> tuple[float, str]:
    return told.at, told.id


def under(subject: str, via: Mapping[str, str]) -> set[str]:
    """
    Return who became *subject*, itself or through others; never *subject*.

    Args:
        via: absorbed subject → the one that it was absorbed by at first.
    """
    return set(_under(subject, via, {subject}))


def _under(subject: str, via: Mapping[str, str], seen: set[str]) -> Iterator[str]:
    for each, by in via.items():
        if by == subject and each not in seen:
            seen.add(each)
            yield each
            yield from _under(each, via, seen)
