"""
Reading a segment that an earlier process left: what is in it, what is damaged, where it ends.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from cxsdk.errors import SpoolCorruptError
from cxsdk.spool import _disk
from cxsdk.spool._record import (
    COMMIT,
    HEADER_BYTES,
    VERSION,
    VOIDED,
    Frame,
    find,
    parse,
    parse_header,
)
from cxsdk.typing import Kind

__all__ = ["Survey", "survey"]

_MOST = 1 << 30


@attrs.define
class Survey:
    """
    What a segment holds.
    """

    size: int
    end: int = HEADER_BYTES
    """Where the last valid record ends, or the debris after it."""
    created_ns: int = 0
    first_seq: int = 1
    offsets: list[int] = attrs.Factory(list)
    """Offsets of records that are whole and not erased."""
    gaps: list[tuple[int, int]] = attrs.Factory(list)
    """Damaged spans: offset and how many records are missing there."""
    debris: bool = False
    """Something damaged that may never have been a record."""


def survey(path: Path) -> Survey | None:
    """
    Read a whole segment; None if it never held a record.

    Raises:
        SpoolCorruptError: it is of a newer format; leave it alone.
        OSError: it cannot be read.
    """
    fd = _disk.open_read(path)
    try:
        about = _disk.fstat(fd)
        data = _disk.pread(fd, min(about.st_size, _MOST), 0)
    finally:
        _disk.close(fd)
    found = Survey(size=len(data))
    header = parse_header(data)
    if header is not None:
        if header.version > VERSION:
            raise SpoolCorruptError(f"{path}: written by a newer version ({header.version})")
        found.created_ns, found.first_seq = header.created_ns, header.first_seq
    else:
        found.created_ns = about.st_mtime_ns
        found.first_seq = 0
    _walk(data, found, torn_allowed=path.suffix == ".open")
    if not found.offsets and not found.gaps and not found.debris:
        return None
    return found


def _walk(data: bytes, found: Survey, *, torn_allowed: bool) -> None:
    expected = found.first_seq
    at = HEADER_BYTES
    while True:
        frame = parse(data, at, 0)
        if frame is None:
            frame = find(data, at + 1, 0)
            if frame is None:
                break
            lost = frame.seq - expected if expected else 1
            if data[at : at + 4] == VOIDED:
                lost -= 1
            found.gaps.append((at, max(0, lost)))
        expected = frame.seq + 1
        at = frame.end
        if frame.kind != Kind.VOID:
            found.offsets.append(frame.offset)
    found.end = at
    # What follows the last record: nothing, the room of a mapped file, a torn append (not in a
    # sealed file), or a record that was whole once. Only the last was ever acknowledged.
    word = data[at : at + 4]
    if not word.strip(b"\x00") or word == VOIDED or (torn_allowed and _is_torn(data, at)):
        return
    found.gaps.append((at, 1))
    found.end = len(data.rstrip(b"\x00"))


def _is_torn(data: bytes, at: int) -> bool:
    """
    Say whether the file ends inside the record at *at*.
    """
    word = data[at : at + 4]
    if word != COMMIT[: len(word)]:
        return False
    if len(data) < at + 12:
        return True
    return at + 29 + int.from_bytes(data[at + 8 : at + 12], "little") > len(data)


def frames_of(data: bytes) -> list[Frame]:
    """
    Return all valid records of a segment's bytes, erased ones included.
    """
    frames = []
    at = HEADER_BYTES
    while (frame := find(data, at, 0)) is not None:
        frames.append(frame)
        at = frame.end
    return frames
