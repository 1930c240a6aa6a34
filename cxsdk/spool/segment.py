"""
A run of records of one lane, in a file: mapped or written while active, read once sealed.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from cxsdk.spool import _disk
from cxsdk.spool._record import (
    COMMIT,
    GAP,
    HEADER_BYTES,
    OVERHEAD,
    VOIDED,
    Frame,
    encode,
    find,
    pack_crc,
    pack_head,
    pack_header,
    parse,
    run,
    void,
)
from cxsdk.typing import Lane

if TYPE_CHECKING:
    from cxsdk.spool.reading import Reading

__all__ = ["BELL_BYTES", "BELL_RECORDS", "FileSegment", "Segment"]

_CHUNK = 256 * 1024
# A whole batch at the usual limits, so that a lease reads once.
_RUN = 512 * 1024
_STEP = 64 * 1024
_NEVER = 1 << 62
BELL_RECORDS = 500
BELL_BYTES = 256 * 1024


class Segment:
    """
    What appenders and readers know of a segment.

    ``mark`` is the published end as one tuple (offset, records): one assignment publishes a
    record, so neither a reader nor an exception ever sees half of it. ``limit`` and ``watch``
    bound the fast path of append (bytes, records): beyond them a segment is full or the sender
    is due to be woken. Appending happens under the append lock, all else under the book.
    """

    durable = False
    view: mmap.mmap | None = None
    path: Path | None = None

    def __init__(self, lane: Lane, number: int, size: int) -> None:
        self.lane = lane
        self.number = number
        self.size = size
        self.first_seq = 0
        self.created_ns = 0
        self.born = 0.0
        self.start = 0
        self.mark = (0, 0)
        self.limit = -1
        self.watch = _NEVER
        self.bell = _NEVER
        self.shut = False
        self.sealed = False
        self.adopted = False
        self.reported = False
        self.unerased: list[tuple[bytes, bool]] = []
        self.kinds: frozenset[int] | None = None
        self.readings: dict[str, Reading] = {}

    @property
    def filled(self) -> int:
        """
        Bytes that records take.
        """
        return self.mark[0]

    def arm(self) -> None:
        """
        Have the bell ring after so many more records or bytes.
        """
        self.watch = self.mark[1] + BELL_RECORDS
        self.bell = self.filled + BELL_BYTES
        if self.view is not None and not self.shut:
            self.limit = min(self.size, self.bell)

    def disarm(self) -> None:
        """
        Let the bell be silent.
        """
        self.watch = self.bell = _NEVER
        self.limit = self.size if self.view is not None and not self.shut else -1

    def due(self) -> bool:
        """
        Say whether the bell is to ring.
        """
        return self.mark[1] >= self.watch or self.filled >= self.bell

    def put(self, payload: bytes, kind: int, tag: bytes, *, force: bool = False) -> bool:
        """
        Publish one record; say whether there was room.

        Raises:
            OSError: the disk refused; nothing was published.
        """
        raise NotImplementedError

    def frames(self, start: int) -> Iterator[Frame]:
        """
        Yield records, erased ones and gaps from offset *start* to the published end.

        Raises:
            OSError: the file cannot be read.
        """
        raise NotImplementedError

    def run(
        self, start: int, most: int, room: int
    ) -> tuple[list[tuple[int, int, bytes]], int, bool]:
        """
        Return the records from offset *start* on until something else stands there, which
        `frames` tells; see `cxsdk.spool._record.run`.

        Raises:
            OSError: the file cannot be read.
        """
        return [], start, False

    def frame(self, offset: int) -> Frame | None:
        """
        Return the record at *offset*, or None where it is damaged or gone.
        """
        for frame in self.frames(offset):
            return frame if frame.offset == offset and frame.kind != GAP else None
        return None

    def blank(self, frame: Frame) -> None:
        """
        Make one payload unreadable, in place.
        """
        raise NotImplementedError

    def seal(self) -> None:
        """
        Unmap, cut to the used size and close. Nothing is appended any more.
        """
        self.sealed = self.shut = True

    def discard(self) -> None:
        """
        Remove what is kept.
        """

    def forget(self) -> None:
        """
        Drop maps and descriptors without touching a file: this process is a forked child.
        """
        self.limit = -1
        self.view = None


class FileSegment(Segment):
    """
    Records in a file, mapped or written while active, later read with ``pread``.

    Named ``<number>.<lane>.open`` while active and ``.seg`` once sealed, so that others can
    count sealed bytes by the names alone.
    """

    durable = True

    def __init__(
        self, directory: Path, lane: Lane, number: int, size: int, *, sealed: bool = False
    ) -> None:
        super().__init__(lane, number, size)
        suffix = "seg" if sealed else "open"
        self.path: Path = directory / f"{number:08x}.{lane}.{suffix}"
        self.sealed = self.shut = sealed
        self.fd: int | None = None
        self.start = HEADER_BYTES
        self.mark = (HEADER_BYTES, 0)
        self.synced = HEADER_BYTES
        self.seen = HEADER_BYTES
        """Where the published end was when the keeper last looked."""

    @property
    def filled(self) -> int:
        """
        Bytes of the file in use.
        """
        return self.mark[0]

    def make(self, *, mapped: bool) -> None:
        """
        Make the file, with all its room if it is to be mapped.

        Raises:
            OSError: the disk refused; nothing is left behind.
        """
        fd = _disk.create(self.path)
        try:
            if mapped:
                _disk.fallocate(fd, self.size)
                self.view = _disk.map_file(fd, self.size)
        except BaseException:
            _disk.close(fd)
            _unlink_quietly(self.path)
            raise
        if mapped:
            _disk.close(fd)  # the map keeps its own duplicate
        else:
            self.fd = fd

    def begin(self, first_seq: int, created_ns: int, born: float, incarnation: bytes) -> None:
        """
        Write the header: the segment is about to get its first record.
        """
        self.first_seq, self.created_ns, self.born = first_seq, created_ns, born
        header = pack_header(self.lane, created_ns, first_seq, incarnation)
        if self.view is not None:
            self.view[:HEADER_BYTES] = header
        elif self.fd is not None:
            _write_whole(self.fd, header, 0)

    def put(self, payload: bytes, kind: int, tag: bytes, *, force: bool = False) -> bool:
        """
        Publish one record; say whether there was room.

        Raises:
            OSError: the disk refused; nothing was published.
        """
        del force
        tail, count = self.mark
        end = tail + OVERHEAD + len(payload)
        if end > self.size or self.shut:
            return False
        if self.view is not None:
            body = pack_head(len(payload), self.first_seq + count, kind, tag) + payload
            self.view[tail + 4 : end] = pack_crc(crc32(body)) + body
            self.view[tail : tail + 4] = COMMIT
        elif self.fd is not None:
            # One writer per file: what was cut short or interrupted is undone by cutting it off.
            try:
                _write_whole(self.fd, encode(payload, self.first_seq + count, kind, tag), tail)
            except BaseException:
                _truncate_quietly(self.fd, tail)
                raise
        else:
            return False
        self.mark = (end, count + 1)
        return True

    def wipe(self, size: int) -> None:
        """
        Clear what an interrupted append left behind the published end.
        """
        if self.view is not None:
            tail = self.mark[0]
            self.view[tail : min(self.size, tail + size)] = bytes(min(size, self.size - tail))

    def read(self, start: int, stop: int) -> bytes:
        """
        Return bytes ``start:stop``, fewer where the file is shorter.

        Raises:
            OSError: the file is missing or cannot be read.
        """
        if self.view is not None:
            return self.view[start:stop]
        if self.fd is not None:
            return _disk.pread(self.fd, stop - start, start)
        try:
            fd = _disk.open_read(self.path)
        except FileNotFoundError:
            # An exception thrown into `seal` may have parted the renaming from the noting of it.
            fd = _disk.open_read(self.path.with_suffix(".seg"))
            self.path = self.path.with_suffix(".seg")
        try:
            return _disk.pread(fd, stop - start, start)
        finally:
            _disk.close(fd)

    def frames(self, start: int) -> Iterator[Frame]:
        """
        Yield records, erased ones and gaps from offset *start* to the published end.

        Raises:
            OSError: the file cannot be read.
        """
        tail = self.mark[0]
        while start < tail:
            data = self.read(start, min(tail, start + _CHUNK))
            at = 0
            while (frame := parse(data, at, start)) is not None:
                yield frame
                at = frame.end - start
            if not at:
                frame = self._frame_or_gap(start, tail)
                yield frame
                at = frame.end - start
            start += at

    def run(
        self, start: int, most: int, room: int
    ) -> tuple[list[tuple[int, int, bytes]], int, bool]:
        """
        Return the records from offset *start* on until something else stands there.

        Raises:
            OSError: the file cannot be read.
        """
        needed = min(_RUN, room + most * OVERHEAD)
        return run(self.read(start, min(self.mark[0], start + needed)), start, most, room)

    def _frame_or_gap(self, start: int, tail: int) -> Frame:
        data = self.read(start, tail)
        frame = find(data, 0, start)
        if frame is not None and frame.offset == start:
            return frame
        end = tail if frame is None else frame.offset
        return Frame(start, end, -1, GAP, b"", data[: end - start])

    def blank(self, frame: Frame) -> None:
        """
        Erase in place: first the commit word that says so, then the payload.

        Raises:
            OSError: the disk refused.
        """
        length = frame.end - frame.offset - OVERHEAD
        rest = void(length, frame.seq, frame.tag)
        if self.view is not None:
            self.view[frame.offset : frame.offset + 4] = VOIDED
            self.view[frame.offset + 4 : frame.end] = rest
            return
        fd = self.fd if self.fd is not None else _disk.open_write(self.path)
        try:
            _write_whole(fd, VOIDED, frame.offset)
            _write_whole(fd, rest, frame.offset + 4)
        finally:
            if fd != self.fd:
                _disk.close(fd)

    def sync(self) -> None:
        """
        Bring new records to the disk.

        Raises:
            OSError: the disk refused.
        """
        tail = self.mark[0]
        if tail > self.synced:
            _disk.sync(self.path)
            self.synced = tail

    def warm(self, size: int) -> None:
        """
        Have the next *size* bytes ready to be written without a page fault.

        Costs the caller what it saves the host's thread, in steps that hold the GIL for 20 µs.
        """
        view = self.view
        if view is None:
            return
        start = self.mark[0] // _STEP * _STEP
        for at in range(start, min(self.size, self.mark[0] + size), _STEP):
            if not _disk.populate(view, at, min(_STEP, self.size - at)):
                return

    def seal(self) -> None:
        """
        Unmap, then cut to the used size, then take the sealed name.

        Raises:
            OSError: the disk refused; the segment is sealed all the same.
        """
        if self.sealed:
            return
        self.sealed = self.shut = True
        self.limit = -1
        view, self.view = self.view, None
        fd, self.fd = self.fd, None
        if view is not None:
            view.close()
        if fd is not None:
            _disk.close(fd)
        fd = _disk.open_write(self.path)
        try:
            _disk.truncate(fd, self.mark[0])
        finally:
            _disk.close(fd)
        target = self.path.with_suffix(".seg")
        _disk.rename(self.path, target)
        self.path = target

    def discard(self) -> None:
        """
        Remove the file; cursors go after it, since they say that it is done.

        Raises:
            OSError: the disk refused.
        """
        view, self.view = self.view, None
        fd, self.fd = self.fd, None
        self.limit = -1
        if view is not None:
            view.close()
        if fd is not None:
            _disk.close(fd)
        _disk.unlink(self.path)
        if self.sealed and self.path.suffix == ".open":
            _disk.unlink(self.path.with_suffix(".seg"))  # see `read`
        for reading in self.readings.values():
            reading.discard()

    def forget(self) -> None:
        """
        Drop maps and descriptors without touching a file: this process is a forked child.
        """
        super().forget()
        fd, self.fd = self.fd, None
        if fd is not None:
            _disk.close(fd)


def _write_whole(fd: int, data: bytes, offset: int) -> None:
    if _disk.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, "short write")


def _truncate_quietly(fd: int, size: int) -> None:
    with contextlib.suppress(OSError):
        _disk.truncate(fd, size)


def _unlink_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):
        _disk.unlink(path)
