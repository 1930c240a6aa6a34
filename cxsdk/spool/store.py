"""
Segments on disk: making, sealing, syncing them; what happens when the disk fails and returns.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Mapping

from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.config import SpoolOptions
from cxsdk.spool import _disk, directory
from cxsdk.spool._record import HEADER_BYTES
from cxsdk.spool.buffer import MemorySegment
from cxsdk.spool.desk import Desk
from cxsdk.spool.intake import Track
from cxsdk.spool.segment import FileSegment, Segment
from cxsdk.typing import Kind, Shed

__all__ = ["Store"]


_UNSEALED = 3
_WORTH_WARMING = 64 * 1024


class Store(Desk):
    """
    A desk whose segments are files in a directory of its own.

    While the disk refuses, memory segments stand in; they are moved to disk once it is back.
    """

    def __init__(
        self,
        options: SpoolOptions,
        clock: Clock,
        fingerprints: Mapping[str, str],
        *,
        service: str,
        environment: str,
        on_shed: Callable[[Shed], None],
        note: Callable[[str, int], None],
        on_pressure: Callable[[], None],
    ) -> None:
        super().__init__(
            options,
            clock,
            tuple(fingerprints),
            on_shed=on_shed,
            note=note,
            on_pressure=on_pressure,
        )
        self.root = options.directory or directory.default_root()
        self.service = service
        self.environment = environment
        self.fingerprints = dict(fingerprints)
        self._home: directory.Home | None = None
        self._number = 0
        self._mapped = options.mode == "mmap"
        self._volatile: bool | None = None
        self._broken = False
        self._retry_at = 0.0
        self._sync_at = 0.0

    @property
    def durable(self) -> bool:
        """
        True: what is appended now survives the death of the process.
        """
        return not self._broken

    @property
    def level(self) -> str:
        """
        The level in force: ``mmap``, ``write`` or ``memory``.
        """
        if self._broken:
            return "memory"
        return "mmap" if self._mapped else "write"

    def _sealed_one(self) -> None:
        """
        A segment was sealed: the caps may have to be looked at.
        """

    # ---- segments

    def _make_segment(self, track: Track, need: int) -> Segment:
        now = self._clock.monotonic()
        if not self._broken or now >= self._retry_at:
            try:
                made = self._file_segment(track, need)
                self._begin(track, made)
            except OSError as error:
                self._disk_failed(error)
            else:
                if track.next_seq > 1:
                    self._note("segment_inline", 1)
                if self._broken:
                    self._disk_is_back()
                return made
        return self._memory_segment(track)

    def _file_segment(self, track: Track, need: int) -> FileSegment:
        home = self._open_home()
        options = self._options
        usual = track.next_size or options.segment_bytes
        track.next_size = 0  # small again if the disk refuses what comes now
        size = max(usual, need + HEADER_BYTES)
        if _disk.free_bytes(home.path) - size < options.min_free_bytes:
            raise OSError(errno.ENOSPC, "too little room left on the file system")
        self._number += 1
        made = FileSegment(home.path, track.lane, self._number, size)
        try:
            made.make(mapped=self._mapped)
        except OSError as error:
            unsupported = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV}
            if not self._mapped or error.errno not in unsupported:
                raise
            self._mapped = False
            made.make(mapped=False)
        track.next_size = min(usual * 2, max(options.max_segment_bytes, usual))
        return made

    def _open_home(self) -> directory.Home:
        if self._home is None:
            self._home = directory.create(
                self.root, self.service, self.environment, self.fingerprints
            )
            kind = directory.file_system(self._home.path)
            self._mapped = self._mapped and directory.may_map(kind)
            self._volatile = kind in directory.VOLATILE
            self._dead.directory = self._home.path / "dead"
        return self._home

    def _begin(self, track: Track, segment: FileSegment) -> None:
        home = self._home
        mark = home.incarnation.replace("-", "") if home else ""
        segment.begin(
            track.next_seq,
            self._clock.time_ns(),
            self._clock.monotonic(),
            bytes.fromhex(mark) if len(mark) == 32 else bytes(16),
        )

    def _after_roll(self) -> None:
        # Without a keeper nobody else would unmap the full ones; with one, it is at work.
        full = sum(each.shut and not each.sealed for t in self._tracks for each in t.segments)
        if full > _UNSEALED and not self._book._is_owned():  # type: ignore[attr-defined]
            # A host's exception may be thrown right after acquire: only release itself, one step
            # that raises where there is nothing to release, can tell whether it succeeded.
            try:
                if self._book.acquire(blocking=False):
                    self._seal_full()
            finally:
                try:
                    self._book.release()
                except RuntimeError:  # noqa: SIM105 - suppress() could be interrupted itself
                    pass
        super()._after_roll()

    def _disk_failed(self, error: OSError) -> None:
        self._retry_at = self._clock.monotonic() + self._options.retry_disk_after
        if not self._broken:
            self._broken = True
            self._note("disk_failed", 1)
        self._told.append(lambda: self._warn(error))

    def _warn(self, error: OSError) -> None:
        voice.say(
            logging.WARNING,
            f"spool_disk:{error.errno}",
            "the spool's disk refuses (%s at %s): events are kept in memory, at most %d bytes,"
            " until it is back",
            error.strerror or error,
            self.root,
            self._options.memory_bytes,
        )

    def _disk_is_back(self) -> None:
        self._broken = False
        self._note("disk_back", 1)

    def _check_home(self) -> None:
        home = self._home
        if home is None or home.is_there():
            return
        with self._making, self._lock:
            # Somebody removed it. What is still mapped is moved to a new one, the rest is gone.
            for track in self._tracks:
                track.active.shut = True
                track.active.limit = -1
                if track.spare is not None:
                    track.spare.forget()
                    track.spare = None
            home.release()
            self._home = None
        self._note("directory_lost", 1)
        with self._book:
            for track in self._tracks:
                for segment in tuple(track.segments):
                    if isinstance(segment, FileSegment):
                        self._rescue(segment)

    def _rescue(self, segment: FileSegment) -> None:
        if segment.view is not None or segment.fd is not None:
            self._move_all(segment)
        segment.sealed = True
        self._lose(segment)

    def _move_all(self, segment: Segment) -> None:
        start = min((each.cursor for each in segment.readings.values()), default=segment.start)
        for frame in segment.frames(start):
            if frame.kind < 0 or frame.kind == Kind.VOID:
                continue
            if self._move(segment, frame) and isinstance(segment, MemorySegment):
                segment.blank(frame)

    def _return_to_disk(self) -> None:
        memory = [
            segment
            for track in self._tracks
            for segment in track.segments
            if isinstance(segment, MemorySegment)
        ]
        if not memory or (self._broken and self._clock.monotonic() < self._retry_at):
            return
        for track in self._tracks:
            with self._making:
                if isinstance(track.active, MemorySegment) and not self._closed:
                    self._replace(track)
        with self._book:
            for segment in memory:
                if segment.shut and not self._broken:
                    self._move_all(segment)
                    segment.sealed = True
                    self._retire_if_over(segment)

    def _replace(self, track: Track) -> None:
        made = self._file_segment_or_none(track)
        if made is not None:
            self._inside_making = True
            try:
                self._shut(track, track.active)
                self._begin(track, made)
                self._install(track, made)
            finally:
                self._inside_making = False
            if self._broken:
                self._disk_is_back()

    def _file_segment_or_none(self, track: Track) -> FileSegment | None:
        try:
            return self._file_segment(track, 0)
        except OSError as error:
            self._disk_failed(error)
            return None

    def _begin_anew(self) -> None:
        """
        Have both lanes go on in new segments, also where nothing came to the present one yet.
        """
        for track in self._tracks:
            if isinstance(track.active, FileSegment):
                self._retire_active(track, track.active)
        with self._book:
            self._seal_full()

    def _seal_due(self) -> None:
        now = self._clock.monotonic()
        for track in self._tracks:
            segment = track.active
            old = now - segment.born >= self._options.seal_after
            if isinstance(segment, FileSegment) and segment.mark[1] and old:
                self._retire_active(track, segment)
        with self._book:
            self._seal_full()

    def _retire_active(self, track: Track, segment: Segment) -> None:
        with self._making:
            if track.active is segment:
                self._shut(track, segment)
                with self._lock:
                    track.active = track.nowhere

    def _seal_full(self) -> None:
        for track in self._tracks:
            for segment in tuple(track.segments):
                if segment is track.active or segment.sealed or not segment.shut:
                    continue
                if isinstance(segment, FileSegment):
                    try:
                        segment.seal()
                    except OSError:
                        self._note("seal_failed", 1)
                    self._sealed_one()
                    self._close_gaps(list(segment.readings.values()))
                    self._retire_if_over(segment)

    def _make_spares(self) -> None:
        if self._broken and self._clock.monotonic() < self._retry_at:
            return
        for track in self._tracks:
            active = track.active
            if track.spare is None and isinstance(active, FileSegment) and active.mark[1]:
                with self._making:
                    if track.spare is None and not self._closed:
                        track.spare = self._file_segment_or_none(track)
                        if track.spare is not None and self._broken:
                            self._disk_is_back()

    def _sync(self) -> None:
        now = self._clock.monotonic()
        if self._options.sync == "never" or now < self._sync_at:
            return
        self._sync_at = now + self._options.sync_interval
        self.sync()

    def sync(self) -> None:
        """
        Bring what was appended so far to the disk itself, unless the policy is ``never``.

        Blocks on the disk. Thread-safe.

        Raises:
            OSError: the disk refused.
        """
        if self._options.sync == "never":
            return
        home = self._home
        if home is not None and not home.synced:
            # Without its manifest a directory is nobody's after a power cut.
            _disk.sync(home.path / "manifest.json")
            home.synced = True
        for track in self._tracks:
            for segment in tuple(track.segments):
                # Those that filled up since the last time as well.
                if isinstance(segment, FileSegment):
                    _sync_segment(segment)

    def _warm(self) -> None:
        """
        Prepare as many bytes as came in since the last look, after the sync, which takes the
        preparation away: a quarter of all appends would meet the first touch of a page.
        """
        for track in self._tracks:
            segment, spare = track.active, track.spare
            if not isinstance(segment, FileSegment):
                continue
            came = segment.mark[0] - segment.seen
            segment.seen = segment.mark[0]
            if came < _WORTH_WARMING:
                continue
            segment.warm(came)
            if spare is not None and segment.mark[0] + came > segment.size:
                spare.warm(came)


def _sync_segment(segment: FileSegment) -> None:
    for _ in range(2):  # it may be renamed by its sealing once, or be delivered meanwhile
        with contextlib.suppress(FileNotFoundError):
            segment.sync()
            return
