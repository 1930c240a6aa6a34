"""
Parcels that wait for their turn, by lane.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxsdk.delivery.parcel import Parcel
from cxsdk.typing import Lane

__all__ = ["LANES", "Shelf"]

LANES: tuple[Lane, Lane] = ("vital", "bulk")

_MOST_IN_RETRY = 4


class Shelf:
    """
    Leased parcels that are not on the wire right now. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[Parcel]] = {lane: [] for lane in LANES}
        self.events = 0

    def __iter__(self) -> Iterator[Parcel]:
        for lane in LANES:
            yield from self._lanes[lane]

    def put(self, *parcels: Parcel) -> None:
        """
        Shelve *parcels* before the others of their lane, in the order given.
        """
        for parcel in reversed(parcels):
            self._lanes[parcel.lane].insert(0, parcel)
            self.events += len(parcel)

    def take(self, parcel: Parcel) -> Parcel:
        """
        Take *parcel* off the shelf.
        """
        self._lanes[parcel.lane].remove(parcel)
        self.events -= len(parcel)
        return parcel

    def due(self, lane: Lane, now: float) -> Parcel | None:
        """
        Return the first parcel of *lane* that is due at *now*, still on the shelf.
        """
        return next((parcel for parcel in self._lanes[lane] if parcel.due <= now), None)

    def is_full(self, lane: Lane) -> bool:
        """
        Say whether *lane* has so much in retry that nothing fresh shall be added.
        """
        return len(self._lanes[lane]) >= _MOST_IN_RETRY

    def smallest(self) -> Parcel | None:
        """
        Return the parcel with the fewest events, vital before bulk, still on the shelf.
        """
        return min(self, key=len, default=None)

    def next_due(self) -> float | None:
        """
        Return the moment at which the first parcel is due.
        """
        return min((parcel.due for parcel in self), default=None)

    def bring_forward(self, now: float) -> None:
        """
        Make everything due.
        """
        for parcel in self:
            parcel.due = min(parcel.due, now)

    def clear(self) -> list[Parcel]:
        """
        Take everything off the shelf.
        """
        taken = list(self)
        for parcels in self._lanes.values():
            parcels.clear()
        self.events = 0
        return taken
