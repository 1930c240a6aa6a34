"""
A run of records of one lane, in memory and bounded.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxsdk.spool._record import OVERHEAD, Frame
from cxsdk.spool.segment import Segment
from cxsdk.typing import Kind, Lane

__all__ = ["Budget", "MemorySegment"]


class Budget:
    """
    Room in memory, shared by all memory segments of a spool.

    What came in is counted under the append lock, what went out under the book: two pairs, so
    that neither lock is needed for the other.
    """

    def __init__(self, size: int, records: int) -> None:
        self._size = size
        self._records = records
        self.added = [0, 0]
        self.removed = [0, 0]

    @property
    def used(self) -> int:
        """
        Bytes kept.
        """
        return self.added[0] - self.removed[0]

    def fits(self, size: int) -> bool:
        """
        Say whether one more record of *size* bytes fits.
        """
        count = self.added[1] - self.removed[1]
        return self.used + size <= self._size and count < self._records

    def is_tight(self, size: int) -> bool:
        """
        Say whether shedding is to go on: one more record and a 64th of all would not fit.

        More than one at a time, since each shedding leads to a ``loss`` record that needs room.
        """
        count = self.added[1] - self.removed[1] + self._records // 64
        return self.used + size + self._size // 64 > self._size or count >= self._records


class MemorySegment(Segment):
    """
    Records in memory; an offset is a running number.
    """

    def __init__(self, lane: Lane, number: int, budget: Budget) -> None:
        super().__init__(lane, number, 0)
        self._budget = budget
        self._items: dict[int, tuple[int, bytes, bytes]] = {}
        # Insertion order is age; a dict, since records leave it from anywhere.
        self._of_kind: dict[int, dict[int, None]] = {}
        self._written = 0
        self._freed = 0

    @property
    def filled(self) -> int:
        """
        Bytes appended since the beginning.
        """
        return self._written

    def begin(self, first_seq: int, created_ns: int, born: float) -> None:
        """
        Note where and when the segment begins.
        """
        self.first_seq, self.created_ns, self.born = first_seq, created_ns, born

    def put(self, payload: bytes, kind: int, tag: bytes, *, force: bool = False) -> bool:
        """
        Publish one record; say whether there was room. *force* goes beyond the bound.
        """
        size = OVERHEAD + len(payload)
        if self.shut or not (force or self._budget.fits(size)):
            return False
        place, count = self.mark
        self._items[place] = (kind, tag, payload)
        same = self._of_kind.get(kind & Kind.MASK)
        if same is None:
            same = self._of_kind.setdefault(kind & Kind.MASK, {})
        same[place] = None
        self._written += size
        self._budget.added[0] += size
        self._budget.added[1] += 1
        self.mark = (place + 1, count + 1)
        return True

    def frames(self, start: int) -> Iterator[Frame]:
        """
        Yield the records that are still kept, from *start* to the published end.
        """
        items = self._items
        for place in range(max(start, self._freed), self.mark[0]):
            item = items.get(place)
            if item is not None:
                kind, tag, payload = item
                yield Frame(place, place + 1, self.first_seq + place, kind, tag, payload)

    def shed_order(self, kind: int) -> Iterator[Frame]:
        """
        Yield the records of a class that no sink has in flight, oldest first.

        Of those that are there now: an append may come in between.
        """
        for place in list(self._of_kind.get(kind, ())):
            item = self._items.get(place)
            if item is not None and not self._in_flight(place):
                yield Frame(place, place + 1, self.first_seq + place, *item)

    def _in_flight(self, place: int) -> bool:
        return any(reading.is_leased(place) for reading in self.readings.values())

    def blank(self, frame: Frame) -> None:
        """
        Forget one payload.
        """
        self._pop(frame.offset)
        for reading in self.readings.values():
            reading.skip.discard(frame.offset)  # scanning will not meet it any more

    def free(self, below: int) -> None:
        """
        Forget all records before offset *below*: every sink is done with them.
        """
        for place in range(self._freed, below):
            self._pop(place)
        self._freed = max(self._freed, below)

    def discard(self) -> None:
        """
        Forget everything.
        """
        for place in list(self._items):
            self._pop(place)

    def _pop(self, place: int) -> None:
        item = self._items.pop(place, None)
        if item is not None:
            self._of_kind[item[0] & Kind.MASK].pop(place, None)
            self._budget.removed[0] += OVERHEAD + len(item[2])
            self._budget.removed[1] += 1
