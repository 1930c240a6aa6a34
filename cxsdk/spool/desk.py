"""
The way out: leases, acks, dead letters, erasure. What is common to disk and memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from cxsdk._clock import Clock
from cxsdk.config import SpoolOptions
from cxsdk.spool._record import Frame
from cxsdk.spool.buffer import MemorySegment
from cxsdk.spool.dead import Letter
from cxsdk.spool.erasure import Stone
from cxsdk.spool.figures import Figures
from cxsdk.spool.reading import Reading
from cxsdk.spool.segment import Segment
from cxsdk.typing import Kind, Lane, Record, Shed

__all__ = ["Desk"]

_NOBODY = bytes(8)
_PATIENCE_S = 0.05


class Desk(Figures):
    """
    Hand records out to sinks and account for each of them, under the book's lock.
    """

    def __init__(
        self,
        options: SpoolOptions,
        clock: Clock,
        sinks: tuple[str, ...],
        *,
        on_shed: Callable[[Shed], None],
        note: Callable[[str, int], None],
        on_pressure: Callable[[], None],
    ) -> None:
        super().__init__(options, clock, sinks, note, on_pressure)
        self._on_shed = on_shed
        self._released = False
        self._withdrawn: deque[tuple[bytes, bool]] = deque()

    # ---- lease

    def lease(
        self, sink: str, lane: Lane, max_events: int, max_bytes: int, *, backlog: bool = False
    ) -> Sequence[Record]:
        """
        Take up to *max_events* records and *max_bytes* payload bytes for *sink*.

        At least one if there is any. Returned records first; then *backlog* prefers adopted
        ones over this process's own. May read a file.
        """
        if self._aside:
            self._drain_aside()
        self._erase_withdrawn()
        self._look_for_erasures()
        taken: list[Record] = []
        with self._book:
            if sink not in self._accounts or self._closed:
                return taken
            readings = self._readings(sink, lane, backlog=backlog)
            for again in (True, False):
                for reading in readings:
                    self._take(taken, reading, max_events, max_bytes, again=again)
            self._close_gaps(readings)
        self._arm()
        self._tell()
        return taken

    def _readings(self, sink: str, lane: Lane, *, backlog: bool) -> list[Reading]:
        own: list[Segment] = list(self._track(lane).segments)
        adopted = [segment for segment in self._adopted if segment.lane == lane]
        order = adopted + own if backlog else own + adopted
        return [each.readings[sink] for each in order if sink in each.readings]

    def _take(
        self, taken: list[Record], reading: Reading, events: int, room: int, *, again: bool
    ) -> None:
        if len(taken) >= events or not reading.pending:
            return
        if reading.segment.unerased and not self._erase_again(reading.segment):
            return
        left = room - sum([len(record.payload) for record in taken]) if taken else room
        for attempt in (left, 1 << 62):
            if attempt > left and taken:
                return  # only the first record of a lease may be larger than asked for
            count = events - len(taken) if attempt == left else 1
            source = reading.retake if again else reading.take
            before = len(taken)
            try:
                taken.extend(source(count, attempt))
            except FileNotFoundError:
                self._lose(reading.segment)
                return
            except OSError:
                self._note("read_failed", 1)
                return
            if len(taken) > before:
                return

    def _lose(self, segment: Segment) -> None:
        """
        Give up a segment whose file somebody removed.
        """
        most = 0
        for sink, reading in segment.readings.items():
            lost = reading.lose_rest()
            most = max(most, lost)
            if lost and sink in self._accounts:
                self._accounts[sink].dropped["disk"] += lost
        if most:
            self._shed("disk", (b"",) * most)
        self._retire_if_over(segment)

    def _close_gaps(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            lost = reading.missing()
            if lost:
                self._accounts[reading.sink].dropped["corrupt"] += lost
                self._report_corrupt(reading.segment, lost)
            if lost or not reading.pending:
                self._retire_if_over(reading.segment)

    def _report_corrupt(self, segment: Segment, lost: int) -> None:
        if not segment.reported:
            segment.reported = True
            self._note("corrupt_skipped", lost)
            self._shed("corrupt", (b"",) * lost)
            self._quarantine(segment)

    def _quarantine(self, segment: Segment) -> None:
        """
        Keep copies of a segment's damaged spans, where there is a place for them.
        """

    # ---- settle

    def ack(self, sink: str, records: Sequence[Record]) -> None:
        """
        Count *records* delivered and move the cursor. Writes 16 bytes per segment touched.
        """
        with self._book:
            account = self._accounts.get(sink)
            if account is None:
                return
            by_reading: dict[Reading, list[int]] = {}
            for reading, offset in [record.place for record in records]:
                if reading not in by_reading:
                    by_reading[reading] = []
                by_reading[reading].append(offset)
            for reading, offsets in by_reading.items():
                if reading.sink == sink:
                    # Delivered it was, also if it was erased while under way.
                    account.delivered += reading.settle_all(offsets)
                    self._move_cursor(reading)

    def release(self, sink: str, records: Sequence[Record]) -> None:
        """
        Give *records* back: they are leased again, before fresh ones of their lane.
        """
        with self._book:
            account = self._accounts.get(sink)
            if account is None:
                return
            for reading, offset in self._places(sink, records):
                if reading.give_back(offset) is False:
                    account.dropped["erased"] += 1
            self._move_cursors(sink, records)

    def drop(self, sink: str, records: Sequence[Record], reason: str) -> None:
        """
        Give *records* up, counted under *reason*.
        """
        with self._book:
            account = self._accounts.get(sink)
            if account is None:
                return
            for reading, offset in self._places(sink, records):
                stands = reading.settle(offset)
                if stands is not None:
                    account.dropped[reason if stands else "erased"] += 1
            self._move_cursors(sink, records)

    def bury(self, sink: str, record: Record, reason: str, detail: str, attempts: int) -> None:
        """
        Keep one record as a dead letter with the server's words. Writes a file.
        """
        with self._book:
            account = self._accounts.get(sink)
            for reading, offset in self._places(sink, [record] if account else []):
                if not reading.is_leased(offset):
                    if reading.settle(offset) is not None and account:
                        account.dropped["erased"] += 1
                    continue
                frame = self._frame(reading.segment, offset)
                about = Letter(
                    sink=sink,
                    reason=reason,
                    detail=detail,
                    attempts=attempts,
                    tag=frame.tag if frame else _NOBODY,
                    consent_only=bool(record.kind & Kind.CONSENT_ONLY),
                    first_ns=reading.segment.created_ns,
                )
                self._dead.bury(record.payload, about)
                reading.settle(offset)
                if account:
                    account.dead_lettered += 1
            self._move_cursors(sink, [record])

    def _frame(self, segment: Segment, offset: int) -> Frame | None:
        try:
            return segment.frame(offset)
        except OSError:
            return None

    def _places(self, sink: str, records: Sequence[Record]) -> Iterator[tuple[Reading, int]]:
        for record in records:
            reading, offset = record.place
            if reading.sink == sink:
                yield reading, offset

    def _move_cursors(self, sink: str, records: Sequence[Record]) -> None:
        for reading in {
            id(place[0]): place[0] for place in (each.place for each in records)
        }.values():
            if reading.sink == sink:
                self._move_cursor(reading)

    def _move_cursor(self, reading: Reading) -> None:
        self._save(reading)
        self._close_gaps([reading])
        self._free(reading.segment)

    def _save(self, reading: Reading) -> None:
        if self._released:
            return  # somebody else may own the directory by now
        try:
            reading.save()
        except OSError:
            self._note("cursor_failed", 1)

    def _free(self, segment: Segment) -> None:
        if isinstance(segment, MemorySegment):
            segment.free(min(each.cursor for each in segment.readings.values()))

    def _retire_if_over(self, segment: Segment) -> None:
        if (
            self._released
            or not segment.sealed
            or not all(each.is_over() for each in segment.readings.values())
        ):
            return
        if segment.adopted:
            if segment not in self._adopted:
                return
            self._adopted.remove(segment)
        else:
            track = self._track(segment.lane)
            with self._lock:
                if segment not in track.segments:
                    return
                track.segments.remove(segment)
                track.retired += segment.mark[1]
        for reading in segment.readings.values():
            self._save(reading)
        self._discard(segment)

    def _discard(self, segment: Segment) -> None:
        try:
            segment.discard()
        except OSError:
            self._note("unlink_failed", 1)

    # ---- shedding

    def _shed_memory(self, need: int, kind: int) -> bool:
        if self._book._is_owned():  # type: ignore[attr-defined]
            return False  # from inside the book's own work in this thread: nothing may move
        # Bounded, since a sender or the keeper may hold the book over a slow disk. Released as
        # in `_after_roll`: an exception may be thrown right after it was acquired.
        try:
            return self._book.acquire(timeout=_PATIENCE_S) and self._make_way(need, kind)
        finally:
            try:
                self._book.release()
            except RuntimeError:  # noqa: SIM105 - suppress() could be interrupted itself
                pass

    def _make_way(self, need: int, kind: int) -> bool:
        shed: dict[tuple[str, ...], list[bytes]] = {}
        for each in self._sheddable(kind):
            if self._budget.fits(need):
                break  # the dearer class is not touched for the slack alone
            self._shed_kind(each, need, shed)
        for losers, payloads in shed.items():
            self._shed("memory", payloads, losers)
        return self._budget.fits(need)

    def _shed_kind(self, kind: int, need: int, shed: dict[tuple[str, ...], list[bytes]]) -> None:
        """
        Give up the oldest of a class until there is some room again, in one pass; add them to
        *shed*, by the sinks that lost them.
        """
        for segment in self._bulk.segments:
            if not isinstance(segment, MemorySegment):
                continue
            for frame in segment.shed_order(kind):
                if not self._budget.is_tight(need):
                    break
                losers = self._give_up(segment, frame, "memory")
                if losers:
                    shed.setdefault(losers, []).append(frame.payload)
                segment.blank(frame)
            self._free(segment)

    def _give_up(self, segment: Segment, frame: Frame, reason: str) -> tuple[str, ...]:
        """
        Settle one record for all sinks that had still to get it; return their names.
        """
        losers = []
        for sink, reading in segment.readings.items():
            if reading.give_up(frame.offset):
                losers.append(sink)
                if sink in self._accounts:
                    self._accounts[sink].dropped[reason] += 1
        return tuple(losers)

    def _shed(self, reason: str, payloads: Sequence[bytes], losers: tuple[str, ...] = ()) -> None:
        # Named only where some are spared: what everyone lost is nobody's in particular.
        shed = Shed(reason, tuple(payloads), losers if {*self._accounts} - {*losers} else ())
        self._told.append(lambda: self._on_shed(shed))

    def _after_roll(self) -> None:
        if self._told:
            self._tell()

    # ---- erasure

    def erase(self, tag: bytes, *, only_consent: bool = False) -> int:
        """
        Make every undelivered payload of *tag* unreadable, in place; return how many.

        Reads all that is kept: milliseconds per megabyte.
        """
        if tag == _NOBODY:
            return 0
        if self._aside:
            self._drain_aside()
        with self._book:
            count = sum(
                self._erase_in(segment, tag, only_consent=only_consent)
                for segment in self._all_segments()
            )
            # All that is kept now; what comes in this very moment may be later.
            until_ns = max(self._clock.time_ns() + 1, self._dead.until_ns)
            self._dead.erase(Stone(tag, only_consent, until_ns))
        return count

    def erase_soon(self, tag: bytes, *, only_consent: bool = False) -> None:
        """
        Erase before the next lease and within a second; never blocks, for the host's thread.
        """
        self._withdrawn.append((tag, only_consent))

    def _erase_withdrawn(self) -> None:
        while self._withdrawn:
            tag, only_consent = self._withdrawn.popleft()
            self.erase(tag, only_consent=only_consent)

    def _erase_in(self, segment: Segment, tag: bytes, *, only_consent: bool) -> int:
        count = 0
        try:
            # From the start: what is delivered lies here too until the segment is over.
            for frame in segment.frames(segment.start):
                if frame.tag != tag or frame.kind == Kind.VOID:
                    continue
                if only_consent and not frame.kind & Kind.CONSENT_ONLY:
                    continue
                count += any(each.is_pending(frame.offset) for each in segment.readings.values())
                self._give_up(segment, frame, "erased")
                self._blank(segment, frame)
        except OSError:
            # Nothing is leased from here until it worked.
            segment.unerased.append((tag, only_consent))
            self._note("erase_failed", 1)
        return count

    def _blank(self, segment: Segment, frame: Frame) -> None:
        try:
            segment.blank(frame)
        except OSError:
            self._note("erase_failed", 1)  # on disk it stays; the tombstone tells the heir

    def _erase_again(self, segment: Segment) -> bool:
        todo, segment.unerased = segment.unerased, []
        for tag, only_consent in todo:
            self._erase_in(segment, tag, only_consent=only_consent)
        return not segment.unerased

    def _look_for_erasures(self) -> None:
        """
        Heed what other processes were asked to erase.
        """

    # ---- moving

    def _move(self, segment: Segment, frame: Frame) -> bool:
        """
        Append a record again elsewhere for the sinks that wait for it, and settle it here.

        What is in flight stays in flight here. Return whether nobody needs it here any more.

        Raises:
            SpoolFullError: there is no room; nothing changed.
        """
        at = frame.offset
        waiting = {
            sink
            for sink, each in segment.readings.items()
            if each.is_pending(at) and not each.is_leased(at)
        }
        if waiting:
            track = self._track(segment.lane)
            target, offset = self._place(track, frame.payload, frame.kind, frame.tag)
            self._moved += 1
            for sink, reading in target.readings.items():
                if sink not in waiting:
                    reading.leave_out(offset)
            for sink in waiting:
                segment.readings[sink].give_up(at)
        return not any(each.is_leased(at) for each in segment.readings.values())

    def _has_leases(self, segment: Segment) -> bool:
        return any(each.in_flight for each in segment.readings.values())
