"""
A small local collector that answers cxsdk and its peers, each in its protocol, and counts events.

``python -m tests.benchmarks.sink`` prints its port and serves until its standard input closes.
``GET /counts`` gives ``{protocol: {events, requests, bytes, last}}`` (*last*: when the last event
came, seconds of ``time.monotonic``, comparable in all processes of one machine); ``POST /reset``
forgets them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import time
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw]


class _Data(msgspec.Struct):
    data: list[msgspec.Raw]


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]


def _cloudevents(body: bytes, kind: str) -> int:
    return len(_RAWS.decode(body)) if "batch" in kind else 1


def _otlp(body: bytes, kind: str) -> int:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest.FromString(body)
    return sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)


def _sentry(body: bytes, kind: str) -> int:
    # An envelope: a header line, then pairs of an item header and, `length` bytes long, the item.
    count, at = 0, body.index(b"\n") + 1
    while at < len(body):
        end = body.index(b"\n", at)
        header = json.loads(body[at:end])
        item = body[end + 1 : end + 1 + header["length"]]
        at = end + 2 + header["length"]
        if header["type"] == "log":
            count += len(msgspec.json.decode(item, type=_Items).items)
    return count


def _snowplow(body: bytes, kind: str) -> int:
    return len(msgspec.json.decode(body, type=_Data).data)


def _mixpanel(body: bytes, kind: str) -> int:
    data = urllib.parse.parse_qs(body.decode())["data"][0]
    return len(_RAWS.decode(data)) if data.startswith("[") else 1


def _posthog(body: bytes, kind: str) -> int:
    return len(msgspec.json.decode(body, type=_Batch).batch)


_OK = b"OK"
ROUTES: tuple[tuple[str, str, Callable[[bytes, str], int], str, bytes], ...] = (
    ("/events", "cxsdk", _cloudevents, "application/json", b""),
    ("/v1/logs", "otel", _otlp, "application/x-protobuf", b""),
    ("/api/", "sentry", _sentry, "application/json", b'{"id":"0"}'),
    ("/com.snowplow", "snowplow", _snowplow, "text/plain", b"ok"),
    ("/track", "mixpanel", _mixpanel, "application/json", b'{"status":1,"error":null}'),
    ("/batch", "posthog", _posthog, "application/json", b'{"status":1}'),
)


class Counts:
    """
    What came, by protocol.
    """

    def __init__(self) -> None:
        self.by_protocol: dict[str, dict[str, Any]] = {}

    def take(self, protocol: str, events: int, size: int) -> None:
        """
        Count one request of *events* events in *size* bytes.
        """
        row = self.by_protocol.setdefault(
            protocol, {"events": 0, "requests": 0, "bytes": 0, "last": 0.0}
        )
        row["events"] += events
        row["requests"] += 1
        row["bytes"] += size
        row["last"] = time.monotonic()


def _inflated(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def answer(counts: Counts, path: str, headers: dict[str, str], body: bytes) -> tuple[str, bytes]:
    """
    Count what *body* holds; return the content type and body of the reply.
    """
    if path == "/counts":
        return "application/json", json.dumps(counts.by_protocol).encode()
    if path == "/reset":
        counts.by_protocol.clear()
        return "application/json", b"{}"
    for start, protocol, count, kind, reply in ROUTES:
        if path.startswith(start):
            plain = _inflated(body, headers.get("content-encoding", ""))
            counts.take(protocol, count(plain, headers.get("content-type", "")), len(body))
            return kind, reply
    counts.take("unknown " + path, 0, len(body))
    return "application/json", b"{}"


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(chunks)


async def _serve(
    counts: Counts, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            pairs = (line.split(":", 1) for line in lines if line)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            body = await _body(reader, headers)
            kind, reply = answer(counts, first.split(" ")[1], headers, body)
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n"
                f"content-length: {len(reply)}\r\n\r\n".encode()
                + reply
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    counts = Counts()
    server = await asyncio.start_server(
        lambda reader, writer: _serve(counts, reader, writer), "127.0.0.1", 0, limit=1 << 24
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
