"""
Framing: how records and segment headers stand in a file. Pure functions over bytes.

Record, little endian, `OVERHEAD` bytes before the payload::

    commit 4 | crc32 4 | length 4 | seq 8 | kind 1 | tag 8 | payload

The CRC covers everything after itself. The commit word is written last and holds bytes that
UTF-8 never has, so no payload can look like the beginning of a record. `VOIDED` in its place
says that the payload is being, or was, erased: such a record is skipped whatever its CRC.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from cxsdk.typing import Kind

__all__ = [
    "COMMIT",
    "GAP",
    "HEADER_BYTES",
    "OVERHEAD",
    "VERSION",
    "VOIDED",
    "Frame",
    "Header",
    "encode",
    "find",
    "pack_begin",
    "pack_crc",
    "pack_head",
    "pack_header",
    "parse",
    "parse_header",
    "run",
    "void",
]

VERSION = 1
COMMIT = b"\xff\x01\xc5\xfe"
VOIDED = b"\xff\x02\xc5\xfe"
GAP = -1
"""Kind of a `Frame` that stands for bytes that are no record."""

_RECORD = struct.Struct("<4sIIQB8s")
_HEADER = struct.Struct("<8sHBBIQQ16s16x")
_MAGIC = b"cxspool\x00"
_LANES = ("vital", "bulk")
OVERHEAD = _RECORD.size
HEADER_BYTES = _HEADER.size
_NOTHING = b"\x00\x00\x00\x00"

pack_head = struct.Struct("<IQB8s").pack
pack_begin = struct.Struct("<4sI").pack
pack_crc = struct.Struct("<I").pack


class Frame(NamedTuple):
    """
    One record as found, or a gap (kind `GAP`, the raw bytes as payload).
    """

    offset: int
    end: int
    seq: int
    kind: int
    tag: bytes
    payload: bytes


class Header(NamedTuple):
    """
    The first 64 bytes of a segment.
    """

    version: int
    lane: str
    created_ns: int
    first_seq: int
    incarnation: bytes


def encode(payload: bytes, seq: int, kind: int, tag: bytes) -> bytes:
    """
    Return one whole record.
    """
    body = pack_head(len(payload), seq, kind, tag) + payload
    return COMMIT + pack_crc(crc32(body)) + body


def void(length: int, seq: int, tag: bytes) -> bytes:
    """
    Return a record without its commit word that says: erased, *length* bytes to skip.
    """
    body = pack_head(length, seq, Kind.VOID, tag) + bytes(length)
    return pack_crc(crc32(body)) + body


def parse(data: bytes, at: int, base: int) -> Frame | None:
    """
    Return the record at ``data[at:]``, or None where there is no whole, valid one.

    Args:
        data: bytes of a segment.

        at: where to look.

        base: the segment offset of ``data[0]``.
    """
    body = at + OVERHEAD
    if body > len(data):
        return None
    commit, crc, length, seq, kind, tag = _RECORD.unpack_from(data, at)
    end = body + length
    if end > len(data):
        return None
    if commit == COMMIT:
        if crc32(data[at + 8 : end]) != crc:
            return None
        return Frame(base + at, base + end, seq, kind, tag, data[body:end])
    if commit == VOIDED and _plausible(data, end):
        return Frame(base + at, base + end, seq, Kind.VOID, tag, b"")
    return None


def run(
    data: bytes, base: int, most: int, room: int
) -> tuple[list[tuple[int, int, bytes]], int, bool]:
    """
    Return what stands at the beginning of *data* as whole, valid records, without a `Frame` each.

    Args:
        data: bytes of a segment.

        base: the segment offset of ``data[0]``.

        most: records at most.

        room: payload bytes at most.

    Returns:
        (offset, kind, payload) of each; the segment offset behind the last; whether there
        are as many as there may be.
    """
    found: list[tuple[int, int, bytes]] = []
    unpack, size = _RECORD.unpack_from, len(data)
    at = 0
    while at + OVERHEAD <= size:
        if len(found) >= most:
            return found, base + at, True
        commit, crc, length, _, kind, _ = unpack(data, at)
        body = at + OVERHEAD
        end = body + length
        if length > room:
            break  # too much, or a damaged length: `frames` tells
        if commit != COMMIT or end > size or kind == Kind.VOID or crc32(data[at + 8 : end]) != crc:
            break
        room -= length
        found.append((base + at, kind, data[body:end]))
        at = end
    return found, base + at, len(found) >= most


def _plausible(data: bytes, end: int) -> bool:
    # A torn blank has no valid CRC; its length counts if something known follows.
    word = data[end : end + 4]
    return len(word) < 4 or word in {COMMIT, VOIDED, _NOTHING}


def find(data: bytes, at: int, base: int) -> Frame | None:
    """
    Return the first valid record at or after ``data[at:]``.
    """
    frame = parse(data, at, base)
    if frame is not None:
        return frame  # no search for what is mostly not there, to the end of the segment
    while True:
        places = [place for word in (COMMIT, VOIDED) if (place := data.find(word, at)) >= 0]
        if not places:
            return None
        at = min(places)
        frame = parse(data, at, base)
        if frame is not None:
            return frame
        at += 1


def pack_header(lane: str, created_ns: int, first_seq: int, incarnation: bytes) -> bytes:
    """
    Return the 64 bytes with which a segment begins.
    """
    fields = (created_ns, first_seq, incarnation)
    blank = _HEADER.pack(_MAGIC, VERSION, _LANES.index(lane), 0, 0, *fields)
    return _HEADER.pack(_MAGIC, VERSION, _LANES.index(lane), 0, crc32(blank), *fields)


def parse_header(data: bytes) -> Header | None:
    """
    Return a segment's header, or None where it is missing or damaged.
    """
    if len(data) < HEADER_BYTES:
        return None
    magic, version, lane, _, crc, created_ns, first_seq, incarnation = _HEADER.unpack_from(data)
    blank = data[:12] + _NOTHING + data[16:HEADER_BYTES]
    if magic != _MAGIC or crc32(blank) != crc:
        return None
    name = _LANES[lane] if lane < len(_LANES) else ""
    return Header(version, name, created_ns, first_seq, incarnation)
