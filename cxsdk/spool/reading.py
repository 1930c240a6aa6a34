"""
One sink's progress through one segment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxsdk.spool import _disk, cursor
from cxsdk.spool._record import GAP, Frame
from cxsdk.spool.segment import FileSegment, Segment
from cxsdk.typing import Kind, Record

__all__ = ["Reading"]

_DUE, _LEASED, _ERASED = range(3)


class Reading:
    """
    What of a segment one sink has got, has in its hands, and has still to get.

    ``open`` holds the offsets taken and not settled, in file order; the cursor is the first of
    them, or where scanning goes on. All under the book's lock.
    """

    def __init__(self, segment: Segment, sink: str, *, total: int | None = None) -> None:
        self.segment = segment
        self.sink = sink
        self.position = segment.start
        self.open: dict[int, int] = {}
        self.returned: deque[int] = deque()
        self.skip: set[int] = set()
        self.in_flight = 0
        self.done = 0
        self._total = total
        self._saved = 0
        self._generation = 0
        self._path: Path | None = None
        if segment.path is not None:
            self._path = cursor.path_of(segment.path, sink)

    def resume(self, value: int, generation: int) -> None:
        """
        Go on at a cursor that an earlier owner left.
        """
        self.position = max(self.segment.start, value)
        self._saved, self._generation = value, generation

    @property
    def total(self) -> int:
        """
        How many records there are for this sink, done ones included.
        """
        return self.segment.mark[1] if self._total is None else self._total

    @property
    def pending(self) -> int:
        """
        How many are not settled, those in flight included.
        """
        return self.total - self.done

    def is_leased(self, offset: int) -> bool:
        """
        Say whether a record is in an open lease.
        """
        return self.open.get(offset) == _LEASED

    def is_pending(self, offset: int) -> bool:
        """
        Say whether this sink has still to get the record, or has it in flight.
        """
        state = self.open.get(offset)
        if state is not None:
            return state != _ERASED
        return offset >= self.position and offset not in self.skip

    # ---- leasing

    def retake(self, records: int, size: int) -> Iterator[Record]:
        """
        Lease what was released, oldest release first.

        Raises:
            OSError: the segment cannot be read.
        """
        while self.returned and records > 0:
            offset = self.returned[0]
            if self.open.get(offset) != _DUE:
                self.returned.popleft()
                continue
            frame = self.segment.frame(offset)
            if frame is None or frame.kind == Kind.VOID:
                self.returned.popleft()
                del self.open[offset]  # damaged since: the closing count finds it
                continue
            size -= len(frame.payload)
            if size < 0:
                return
            self.returned.popleft()
            records -= 1
            yield self._lease(frame)

    def take(self, records: int, size: int) -> Iterator[Record]:
        """
        Lease what was never leased, in order.

        Raises:
            OSError: the segment cannot be read.
        """
        if records <= 0:
            return
        # Most of what there is goes many at once, since a batch is hundreds of them.
        while not self.skip and self.position < self.segment.mark[0]:
            found, end, is_full = self.segment.run(self.position, records, size)
            if found:
                yield from self._lease_all(found, end)
            if is_full:
                return
            if not found:
                break
            records -= len(found)
            size -= sum([len(payload) for _, _, payload in found])
        for frame in self.segment.frames(self.position):
            if frame.kind in {GAP, Kind.VOID} or frame.offset in self.skip:
                self.skip.discard(frame.offset)
                self.position = frame.end
                continue
            size -= len(frame.payload)
            if size < 0:
                return
            records -= 1
            self.position = frame.end
            yield self._lease(frame)
            if records <= 0:
                return

    def _lease_all(self, found: Sequence[tuple[int, int, bytes]], end: int) -> list[Record]:
        self.position = end
        self.open.update(dict.fromkeys([offset for offset, _, _ in found], _LEASED))
        self.in_flight += len(found)
        lane = self.segment.lane
        return [Record(payload, lane, kind, (self, offset)) for offset, kind, payload in found]

    def _lease(self, frame: Frame) -> Record:
        self.open[frame.offset] = _LEASED
        self.in_flight += 1
        return Record(frame.payload, self.segment.lane, frame.kind, (self, frame.offset))

    # ---- settling

    def settle(self, offset: int) -> bool | None:
        """
        Close a lease: True if the payload still stands, False if it was erased meanwhile, None
        if there is no such lease.
        """
        state = self.open.get(offset)
        if state not in {_LEASED, _ERASED}:
            return None
        del self.open[offset]
        self.in_flight -= 1
        self.done += 1
        return state == _LEASED

    def settle_all(self, offsets: Sequence[int]) -> int:
        """
        Close leases of what was delivered; return how many there were.
        """
        if any(self.open.get(offset) != _LEASED for offset in offsets):
            return sum([self.settle(offset) is not None for offset in offsets])
        before = len(self.open)
        for offset in offsets:
            self.open.pop(offset, None)
        closed = before - len(self.open)
        self.in_flight -= closed
        self.done += closed
        return closed

    def give_back(self, offset: int) -> bool | None:
        """
        End a lease without settling; the answers are those of `settle`.
        """
        if self.open.get(offset) == _LEASED:
            self.open[offset] = _DUE
            self.in_flight -= 1
            self.returned.append(offset)
            return True
        return self.settle(offset)

    def give_up(self, offset: int) -> bool:
        """
        Settle a record that is not in flight; say whether it was pending.

        What is in flight is marked instead, and settled as erased when its lease ends.
        """
        state = self.open.get(offset)
        if state == _LEASED:
            self.open[offset] = _ERASED
            return False
        if state == _DUE:
            del self.open[offset]
        elif not self.is_pending(offset):
            return False
        else:
            self.skip.add(offset)
        self.done += 1
        return True

    def leave_out(self, offset: int) -> None:
        """
        Count a record as done before it is reached: it was moved here for other sinks.
        """
        self.skip.add(offset)
        self.done += 1

    def missing(self) -> int:
        """
        Settle what should be in a sealed segment and was not found; return how many.
        """
        if not self.segment.sealed or self.position < self.segment.mark[0]:
            return 0
        lost = self.pending - len(self.open)
        self.done += lost
        return lost

    def lose_rest(self) -> int:
        """
        Settle all that is not in flight, since the segment is gone; return how many.
        """
        self.position = self.segment.mark[0]
        self.returned.clear()
        for offset in [each for each, state in self.open.items() if state == _DUE]:
            del self.open[offset]
        lost = self.pending - self.in_flight
        self.done += lost
        return lost

    def give_all_back(self) -> None:
        """
        End all leases without a word: another owner will deliver what is not settled.
        """
        self.open.clear()
        self.returned.clear()
        self.in_flight = 0

    def is_over(self) -> bool:
        """
        Say whether this sink needs the segment no more.
        """
        return not self.pending and not self.open

    # ---- cursor

    @property
    def cursor(self) -> int:
        """
        The offset before which everything is settled.
        """
        return next(iter(self.open), self.position)

    def save(self) -> None:
        """
        Persist the cursor if it moved.

        Raises:
            OSError: the disk refused; after a crash some records would be sent again.
        """
        value = self.cursor
        if self._path is None or value <= self._saved or not isinstance(self.segment, FileSegment):
            return
        self._generation += 1
        cursor.save(self._path, value, self._generation)
        self._saved = value

    def discard(self) -> None:
        """
        Remove the cursor's file.

        Raises:
            OSError: the disk refused.
        """
        if self._path is not None and self._generation:
            _disk.unlink(self._path)
