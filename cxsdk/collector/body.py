"""
A request body: read under a cap, inflated under a cap, and cut into the JSON texts of its events.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import ClientDisconnect, Request

from cxsdk.collector.limits import Limits

__all__ = ["BodyError", "inflate", "read_body", "split"]

_JSON = frozenset(
    {
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
    }
)
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_listed = msgspec.json.Decoder(list[msgspec.Raw])
_single = msgspec.json.Decoder(msgspec.Raw)


class BodyError(Exception):
    """
    A body that is answered as a whole with an error status.

    Args:
        status: the HTTP status.

        reason: what is wrong, in words for the sender.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


def _media_type(request: Request) -> str:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _JSON and media not in _LINES:
        known = ", ".join(sorted(_JSON | {"application/x-ndjson"}))
        raise BodyError(415, f"content-type: expected one of {known}")
    return media


def _coding(request: Request) -> str:
    coding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if coding != "identity" and coding not in _WINDOW_BITS:
        raise BodyError(415, "content-encoding: expected one of gzip, deflate, identity")
    return coding


async def read_body(request: Request, limits: Limits) -> tuple[bytes, str, str]:
    """
    Read the body of *request*; return it with its coding and its media type.

    Raises:
        BodyError: 415 unknown type or coding, 413 too long, 408 too slow, 400 broken off.
    """
    media, coding = _media_type(request), _coding(request)
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told[:20]) > limits.body_bytes:
        raise BodyError(413, f"body: expected at most {limits.body_bytes} bytes")
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _collect(request.stream(), limits.body_bytes), coding, media
    except TimeoutError:
        raise BodyError(408, f"body: expected within {limits.body_seconds:g} s") from None
    except ClientDisconnect:
        raise BodyError(400, "body: broken off") from None


async def _collect(stream: AsyncIterator[bytes], most: int) -> bytes:
    parts = []
    size = 0
    async for part in stream:
        size += len(part)
        if size > most:
            raise BodyError(413, f"body: expected at most {most} bytes")
        parts.append(part)
    return b"".join(parts)


def inflate(body: bytes, coding: str, most: int) -> bytes:
    """
    Undo *coding*; no more than *most* + 1 bytes are ever made of it. Blocks for the CPU time.

    Raises:
        BodyError: 413 it inflates to more than *most* bytes, 400 it is damaged.
    """
    if coding == "identity":
        if len(body) > most:
            raise BodyError(413, f"body: expected at most {most} bytes")
        return body
    bits = _WINDOW_BITS[coding]
    if coding == "deflate" and not _has_zlib_header(body):
        bits = -15
    out = bytearray()
    while body:
        inflater = zlib.decompressobj(bits)
        try:
            out += inflater.decompress(body, most + 1 - len(out))
        except zlib.error:
            raise BodyError(400, f"body: damaged {coding}") from None
        if len(out) > most:
            raise BodyError(413, f"body: expected at most {most} bytes when inflated")
        if not inflater.eof:
            raise BodyError(400, f"body: {coding} broken off")
        # gzip allows several members one after the other.
        body = inflater.unused_data
    return bytes(out)


def _has_zlib_header(body: bytes) -> bool:
    # RFC 1950: method 8, and the first two bytes as a number divide by 31.
    return len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0


def split(body: bytes, media: str, most: int) -> list[bytes]:
    """
    Return the JSON text of each event of a body, uninterpreted.

    Raises:
        BodyError: 400 it is no JSON at all, 413 it holds more than *most* events.
    """
    texts = _lines(body) if media in _LINES else _values(body)
    if len(texts) > most:
        raise BodyError(413, f"body: expected at most {most} events")
    return texts


def _lines(body: bytes) -> list[bytes]:
    lines = [line.strip() for line in body.split(b"\n")]
    texts = [line for line in lines if line]
    if texts and not any(line.startswith(b"{") for line in texts):
        raise BodyError(400, "body: expected one JSON object per line")
    return texts


def _values(body: bytes) -> list[bytes]:
    try:
        if body.lstrip(b" \t\r\n").startswith(b"["):
            return [bytes(text) for text in _listed.decode(body)]
        return [bytes(_single.decode(body))]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BodyError(400, "body: expected JSON, one event or a list of events") from None
