"""
How far one sink has got in one segment, kept in two slots of 16 bytes.
"""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path
from zlib import crc32

from cxsdk.spool import _disk

__all__ = ["load", "path_of", "save"]

_SLOT = struct.Struct("<QII")
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,48}\Z")


def path_of(segment: Path, sink: str) -> Path:
    """
    Return where the cursor of *sink* in *segment* is kept.
    """
    if not _PLAIN.match(sink):
        sink = "~" + hashlib.blake2s(sink.encode(), digest_size=8).hexdigest()
    return segment.with_suffix(f".{sink}.cur")


def save(path: Path, value: int, generation: int) -> None:
    """
    Write *value* into the slot of *generation*; the other one stays as it was.

    Raises:
        OSError: the disk refused; what was there before still holds.
    """
    slot = _SLOT.pack(value, generation, crc32(_SLOT.pack(value, generation, 0)))
    try:
        fd = _disk.open_write(path)
    except FileNotFoundError:
        fd = _disk.create(path)
    try:
        _disk.pwrite(fd, slot, 16 * (generation % 2))
    finally:
        _disk.close(fd)


def load(path: Path) -> tuple[int, int]:
    """
    Return the value that got furthest and its generation; (0, 0) where there is none.
    """
    try:
        fd = _disk.open_read(path)
    except OSError:
        return 0, 0
    try:
        data = _disk.pread(fd, 32, 0)
    except OSError:
        return 0, 0
    finally:
        _disk.close(fd)
    best = (0, 0)
    for at in (0, 16):
        if len(data) >= at + 16:
            value, generation, crc = _SLOT.unpack_from(data, at)
            if crc == crc32(_SLOT.pack(value, generation, 0)):
                best = max(best, (value, generation))
    return best
