"""
The way in: append, its two lanes, and how a lane gets its next segment.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from zlib import crc32

from cxsdk._clock import Clock
from cxsdk.config import SpoolOptions
from cxsdk.errors import SpoolFullError
from cxsdk.spool._record import COMMIT, OVERHEAD, pack_begin, pack_head
from cxsdk.spool.buffer import Budget, MemorySegment
from cxsdk.spool.reading import Reading
from cxsdk.spool.segment import FileSegment, Segment
from cxsdk.typing import Kind, Lane

__all__ = ["Intake", "Track"]


class Track:
    """
    A lane's segments: the active one, the spare, and all that readers still need.
    """

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.nowhere = Segment(lane, 0, 0)
        self.active: Segment = self.nowhere
        self.spare: FileSegment | None = None
        self.segments: list[Segment] = []
        self.next_seq = 1
        self.next_size = 0
        self.retired = 0

    def accepted(self) -> int:
        """
        Return how many records were ever published.
        """
        return self.retired + sum(segment.mark[1] for segment in self.segments)


class Intake:
    """
    Take records in: any thread, signal handlers, ``__del__``.

    Locks, always taken in this order: book (readers, may hold it across I/O) → making (one
    new segment at a time) → append (never across I/O, but for ``write`` mode's own call).
    """

    def __init__(
        self,
        options: SpoolOptions,
        clock: Clock,
        sinks: tuple[str, ...],
        note: Callable[[str, int], None],
        on_pressure: Callable[[], None],
    ) -> None:
        self._options = options
        self._clock = clock
        self._sinks = sinks
        self._on_note = note
        self._on_pressure = on_pressure
        self._vital = Track("vital")
        self._bulk = Track("bulk")
        self._tracks = (self._vital, self._bulk)
        self._budget = Budget(options.memory_bytes, options.memory_events)
        self._moved = 0
        self._armed = True
        self._closed = False
        self._told: deque[Callable[[], object]] = deque()
        self._telling = False
        self._renew_locks()

    def _renew_locks(self) -> None:
        self._book = threading.RLock()
        self._making = threading.RLock()
        self._lock = threading.RLock()
        self._busy = False
        self._inside_making = False
        self._aside: deque[tuple[Track, bytes, int, bytes]] = deque()

    # ---- append

    def append(self, lane: Lane, payload: bytes, kind: int, tag: bytes) -> bool:
        """
        Keep one event; return whether it is durable.

        Thread-safe, signal-safe; about a microsecond in ``mmap`` mode, no system call.

        Raises:
            SpoolFullError: there is no room, and nothing was kept.
        """
        track = self._vital if lane == "vital" else self._bulk
        lock = self._lock
        try:
            # Not `with`, which costs twice as much. A handler may throw right after acquire, but
            # not between it and the next line; one that throws while we wait has us release what
            # is not ours, which the lock itself refuses.
            try:
                lock.acquire()
                if self._busy:
                    return self._set_aside(track, payload, kind, tag)
                self._busy = True
                try:
                    segment = track.active
                    tail, count = segment.mark
                    size = len(payload)
                    end = tail + OVERHEAD + size
                    if end <= segment.limit and count < segment.watch:
                        view: Any = segment.view
                        body = pack_head(size, segment.first_seq + count, kind, tag) + payload
                        view[tail + 8 : end] = body
                        begin = pack_begin(COMMIT, crc32(body))
                        # No call from here to the mark, so that no signal handler runs between:
                        # a record is whole and published, or it is overwritten by the next. The
                        # commit word comes last, in one store with its neighbour.
                        view[tail : tail + 8] = begin
                        segment.mark = (end, count + 1)
                        return True
                except BaseException:
                    self._wipe(track, payload)
                    raise
                finally:
                    self._busy = False
            finally:
                try:
                    lock.release()
                except RuntimeError:  # noqa: SIM105 - suppress() could be interrupted itself
                    pass
            return self._append_slowly(track, payload, kind, tag)
        finally:
            if self._aside and not self._busy:
                self._drain_aside()

    def _wipe(self, track: Track, payload: bytes) -> None:
        segment = track.active
        if isinstance(segment, FileSegment):
            segment.wipe(OVERHEAD + len(payload))

    def _set_aside(self, track: Track, payload: bytes, kind: int, tag: bytes) -> bool:
        if self._closed or len(self._aside) >= self._options.memory_events:
            raise SpoolFullError("too many events from inside another append")
        self._aside.append((track, payload, kind, tag))
        return False  # only in memory until the append that this one interrupted is through

    def _append_slowly(self, track: Track, payload: bytes, kind: int, tag: bytes) -> bool:
        if self._making_is_mine() or self._is_inside():
            return self._set_aside(track, payload, kind, tag)
        try:
            segment, _ = self._place(track, payload, kind, tag)
        finally:
            if self._told:
                self._tell()
        if self._armed and segment.due():
            self._ring()
        return segment.durable

    def _making_is_mine(self) -> bool:
        return self._inside_making and self._making._is_owned()  # type: ignore[attr-defined]

    def _is_inside(self) -> bool:
        """
        Say whether this thread was interrupted where it has the lock. Who makes room waits for it,
        so that nobody may wait for them with it: what is further out drains, or the next to lease.
        """
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]

    def _place(
        self, track: Track, payload: bytes, kind: int, tag: bytes, *, force: bool = False
    ) -> tuple[Segment, int]:
        while True:
            trouble = None
            with self._lock:
                self._busy = True
                try:
                    segment = track.active
                    offset = segment.mark[0]
                    if segment is not track.nowhere and segment.put(
                        payload, kind, tag, force=force
                    ):
                        return segment, offset
                except OSError as error:
                    self._shut(track, segment)
                    trouble = error
                finally:
                    self._busy = False
            if trouble is not None:
                self._disk_failed(trouble)
            if self._closed:
                raise SpoolFullError("the spool is closed")
            self._make_room(track, segment, OVERHEAD + len(payload), kind)

    def _drain_aside(self) -> None:
        while self._aside and not self._busy and not self._is_inside():
            stuck = None
            with self._lock:
                if self._busy or not self._aside:
                    return
                self._busy = True
                try:
                    track, payload, kind, tag = self._aside[0]
                    stuck = track.active
                    if stuck is not track.nowhere and self._put_aside(stuck, payload, kind, tag):
                        stuck = None
                finally:
                    self._busy = False
            if stuck is not None:
                if self._making_is_mine():
                    return  # the outer append, which is making room, drains
                if self._closed:
                    # Nobody knows any more who set it aside; as with an interrupted append.
                    self._note("interrupted", len(self._aside))
                    self._aside.clear()
                    return
                self._make_room(track, stuck, OVERHEAD + len(payload), kind)

    def _put_aside(self, segment: Segment, payload: bytes, kind: int, tag: bytes) -> bool:
        # It was accepted when it was set aside, so the bound of the memory gives way. Between
        # the mark inside put and popleft no other call returns, so a signal cannot part them.
        try:
            if segment.put(payload, kind, tag, force=True):
                self._aside.popleft()
                return True
        except OSError as error:
            self._shut(self._track(segment.lane), segment)
            self._disk_failed(error)
        return False

    # ---- room

    def _make_room(self, track: Track, full: Segment, need: int, kind: int) -> None:
        """
        Give *track* another active segment than *full*, or room in that one.

        Raises:
            SpoolFullError: there is none to be had.
        """
        if isinstance(full, MemorySegment) and not full.shut:
            if not self._budget.fits(need) and not self._shed_memory(need, kind):
                raise SpoolFullError("the memory spool is full")
            return
        with self._making:
            if track.active is not full:
                return
            if self._closed:
                raise SpoolFullError("the spool is closed")
            self._inside_making = True
            try:
                self._shut(track, full)
                made = self._take_spare(track, need) or self._make_segment(track, need)
                self._install(track, made)
            finally:
                self._inside_making = False
        self._after_roll()

    def _shut(self, track: Track, full: Segment) -> None:
        # From here on its count stands still, so the next segment's first number is known.
        with self._lock:
            full.shut = True
            full.limit = -1
            if full is not track.nowhere:
                track.next_seq = full.first_seq + full.mark[1]

    def _take_spare(self, track: Track, need: int) -> FileSegment | None:
        spare = track.spare
        if spare is None or spare.start + need > spare.size:
            return None
        track.spare = None
        try:
            self._begin(track, spare)
        except OSError:
            return None
        return spare

    def _begin(self, track: Track, segment: FileSegment) -> None:
        raise NotImplementedError

    def _make_segment(self, track: Track, need: int) -> Segment:
        raise NotImplementedError

    def _after_roll(self) -> None:
        """
        Do what follows a change of segments, outside all locks.
        """

    def _disk_failed(self, error: OSError) -> None:
        """
        Note that the disk refused; from here on memory stands in.
        """

    def _shed_memory(self, need: int, kind: int) -> bool:
        raise NotImplementedError

    def _note(self, name: str, count: int) -> None:
        self._told.append(lambda: self._on_note(name, count))

    def _tell(self) -> None:
        """
        Make the calls that leave this room, outside all locks: notes, log lines, sheds.

        What a callback appends may have something to tell as well: the outer round does it.
        """
        if self._telling or self._book._is_owned() or self._making._is_owned():  # type: ignore[attr-defined]
            return
        self._telling = True
        try:
            while self._told:
                try:
                    tell = self._told.popleft()
                except IndexError:
                    return  # another thread was quicker
                tell()
        finally:
            self._telling = False

    def _memory_segment(self, track: Track) -> MemorySegment:
        segment = MemorySegment(track.lane, 0, self._budget)
        segment.begin(track.next_seq, self._clock.time_ns(), self._clock.monotonic())
        return segment

    def _install(self, track: Track, segment: Segment) -> None:
        for sink in self._sinks:
            segment.readings[sink] = Reading(segment, sink)
        with self._lock:
            if self._armed:
                segment.arm()
            else:
                segment.disarm()
            track.segments.append(segment)
            track.active = segment

    def _track(self, lane: Lane) -> Track:
        return self._vital if lane == "vital" else self._bulk

    # ---- pressure

    def _ring(self) -> None:
        self._armed = False
        with self._lock:
            for track in self._tracks:
                track.active.disarm()
        self._on_pressure()

    def _arm(self) -> None:
        with self._lock:
            self._armed = True
            for track in self._tracks:
                if track.active is not track.nowhere:
                    track.active.arm()

    def _sheddable(self, kind: int) -> tuple[int, ...]:
        # Never give up something dearer than what comes in.
        order = Kind.SHED_ORDER
        kind &= Kind.MASK
        return order[: order.index(kind) + 1] if kind in order else order
