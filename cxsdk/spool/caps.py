"""
Caps: how much may be kept, for how long, and what is given up first.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from cxsdk._guard import voice
from cxsdk.errors import SpoolFullError
from cxsdk.spool import _disk, directory
from cxsdk.spool._record import Frame
from cxsdk.spool.segment import FileSegment
from cxsdk.typing import Kind

if TYPE_CHECKING:
    from cxsdk.spool.file import FileSpool

__all__ = ["Caps"]

_EVERY = 5.0
_NONSENSE_NS = 10 * 365 * 86_400 * 1_000_000_000


class Caps:
    """
    Keep the root below its caps. Each owner sheds its own and what it adopted, in proportion.
    """

    def __init__(self, spool: FileSpool) -> None:
        self._spool = spool
        self._next = 0.0
        self._total = 0
        self._laggard = ""

    def hurry(self) -> None:
        """
        Look at the next step: a segment was just sealed.
        """
        self._next = 0.0

    def step(self) -> None:
        """
        Apply age and size caps if due.

        Raises:
            OSError: the disk refused.
        """
        spool = self._spool
        now = spool._clock.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        with spool._book:
            self.expire()
            excess = self._excess()
            if excess > 0:
                self._name_laggard()
                self._shed(excess)
            removed = spool._dead.cap()
        if removed:
            spool._note("dead_letter_files_removed", removed)

    def _sealed(self) -> list[FileSegment]:
        spool = self._spool
        own = [
            each
            for each in spool._all_segments()
            if isinstance(each, FileSegment) and each.sealed and not spool._has_leases(each)
        ]
        return sorted(own, key=lambda each: (each.created_ns, each.number))

    # ---- age

    def expire(self) -> None:
        """
        Give up the segments that are over the age cap. Under the book's lock.
        """
        for segment in self._sealed():
            if self._age(segment) > self._spool._options.max_age:
                self._shed_from(segment, None, "age")

    def _age(self, segment: FileSegment) -> float:
        """
        Return seconds since the segment's first record; 0 if the clocks make no sense.
        """
        if not segment.adopted:
            return self._spool._clock.monotonic() - segment.born
        age = self._spool._clock.time_ns() - segment.created_ns
        return age / 1e9 if 0 <= age <= _NONSENSE_NS else 0.0

    # ---- size

    def _excess(self) -> int:
        """
        Return how many bytes this owner is to give up.
        """
        spool = self._spool
        own = sum(each.filled for each in self._sealed())
        if not own:
            return 0
        self._total = max(own, self._measure())
        over = self._total - spool._options.max_bytes
        if over > 0:
            over = math.ceil(over * own / self._total)
        if spool._options.min_free_bytes:
            short = spool._options.min_free_bytes - _disk.free_bytes(spool.root)
            over = max(over, short)
        return min(over, own)

    def _measure(self) -> int:
        total = 0
        root = self._spool.root
        for service in _folders(root):
            if directory.is_own(service):
                continue
            for environment in _folders(root / service):
                for incarnation in _folders(root / service / environment):
                    folder = root / service / environment / incarnation
                    total += _size(folder, (".seg",)) + _size(folder / "dead", (".jsonl",))
        return total

    def _name_laggard(self) -> None:
        """
        Say which sink the room is taken by: at the cap, it is why events are given up.
        """
        behind: dict[str, int] = {}
        for segment in self._sealed():
            for sink, reading in segment.readings.items():
                behind[sink] = behind.get(sink, 0) + reading.pending
        laggard = max(behind, key=behind.__getitem__, default="")
        count = behind.get(laggard, 0)
        self._laggard = laggard
        self._spool._told.append(
            lambda: voice.say(
                logging.WARNING,
                f"spool_cap:{laggard}",
                "the spool is at its cap, so the oldest interactions are given up: sink %r is"
                " behind by %d events",
                laggard,
                count,
                among=self._spool.speaks,
            )
        )

    def _shed(self, excess: int) -> None:
        for kind in (*Kind.SHED_ORDER, None):
            for segment in self._sealed():
                if excess <= 0:
                    return
                if kind is not None and (segment.lane == "vital" or not self._holds(segment, kind)):
                    continue
                excess -= self._shed_from(segment, kind, "cap")

    def _holds(self, segment: FileSegment, kind: int) -> bool:
        if segment.kinds is None:
            frames = self._frames(segment)
            if frames is None:
                return False
            segment.kinds = frozenset(each.kind & Kind.MASK for each in frames)
        return kind in segment.kinds

    def _frames(self, segment: FileSegment) -> list[Frame] | None:
        """
        Return what is left in a segment; None where it cannot be read, and the others must do.
        """
        start = min((each.cursor for each in segment.readings.values()), default=segment.start)
        try:
            return list(segment.frames(start))
        except FileNotFoundError:
            self._spool._lose(segment)
        except OSError:
            self._spool._note("read_failed", 1)
        return None

    def _shed_from(self, segment: FileSegment, kind: int | None, reason: str) -> int:
        """
        Give up a segment's records of one class (None: all), move the others; return the bytes.
        """
        spool = self._spool
        shed: dict[tuple[str, ...], list[bytes]] = {}
        frames = self._frames(segment)
        if frames is None:
            return 0
        for frame in frames:
            if frame.kind < 0 or frame.kind == Kind.VOID:
                continue
            is_dearer = kind is not None and frame.kind & Kind.MASK != kind
            losers = self._move_on(segment, frame) if is_dearer else None
            if losers is None:
                losers = spool._give_up(segment, frame, reason)
            if losers:
                shed.setdefault(losers, []).append(frame.payload)
        for losers, payloads in shed.items():
            spool._shed(reason, payloads, losers)
        freed = segment.filled
        for reading in segment.readings.values():
            reading.position = segment.mark[0]
            reading.skip.clear()
        spool._close_gaps([r for s, r in segment.readings.items() if s in spool._accounts])
        spool._retire_if_over(segment)
        return freed

    def _move_on(self, segment: FileSegment, frame: Frame) -> tuple[str, ...] | None:
        """
        Move a record to where there is room; return the sinks that lose it by that, since they are
        none of ours and nothing is kept for them there. None: there is no room, it goes as well.
        """
        known = self._spool._accounts
        strangers = tuple(
            sink
            for sink, each in segment.readings.items()
            if sink not in known and each.is_pending(frame.offset)
        )
        try:
            self._spool._move(segment, frame)
        except SpoolFullError:
            return None
        return strangers

    def stats(self) -> dict[str, Any]:
        """
        Return the sealed bytes below the root, as last measured, and the sink that the cap was
        reached for, if it was.
        """
        return {"root_bytes": self._total, "laggard": self._laggard}


def _folders(path: Any) -> list[str]:
    try:
        return [name for name in _disk.names(path) if not name.startswith(".")]
    except OSError:
        return []


def _size(folder: Any, suffixes: tuple[str, ...]) -> int:
    total = 0
    for name in _folders(folder):
        if name.endswith(suffixes):
            try:
                total += _disk.link_stat(folder / name).st_size
            except OSError:
                continue
    return total
