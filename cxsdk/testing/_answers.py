"""
What a `FaultCollector` can do with a request. Import these from ``cxsdk.testing.faults``.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from http.client import responses
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from cxsdk.testing.faults import FaultCollector

__all__ = [
    "Answer",
    "Exchange",
    "Request",
    "close_mid_body",
    "drop_response_after_accept",
    "for_seconds",
    "hang",
    "html_login",
    "max_body",
    "max_events",
    "ok",
    "per_event",
    "raw",
    "redirect",
    "refuse_batches_with",
    "reject_ids",
    "reset",
    "slow",
    "status",
]

_JSON = {"Content-Type": "application/json"}


@attrs.define(frozen=True, eq=False)
class Request:
    """
    One request as it arrived, body already decompressed.
    """

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""

    body: bytes
    wire_bytes: bytes
    """The body as it was on the wire."""

    at: float
    """Monotonic seconds of arrival."""

    events: list[Any]
    """The events in it, decoded; empty if the body is no JSON."""

    @property
    def ids(self) -> list[str]:
        """
        Ids of the events, in order.
        """
        return [str(event.get("id", "")) for event in self.events if isinstance(event, dict)]


class Exchange:
    """
    One request and the connection to answer it on. Used by one thread.
    """

    def __init__(
        self, collector: FaultCollector, handler: BaseHTTPRequestHandler, request: Request
    ) -> None:
        self.collector = collector
        self.request = request
        self._handler = handler

    def reply(self, code: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """
        Answer with *code*; *body* goes as JSON unless *headers* say otherwise.
        """
        self.write(head(code, len(body), {**(_JSON if body else {}), **(headers or {})}) + body)

    def write(self, data: bytes) -> None:
        """
        Put *data* on the wire as it is.
        """
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def accept(self, ids: list[str] | None = None) -> tuple[int, int]:
        """
        Keep the events (those named *ids*, or all); return how many are new and how many not.
        """
        return self.collector.accept(self.request, ids)

    def hang_up(self, *, hard: bool = False) -> None:
        """
        End the connection, with a reset if *hard*.
        """
        self._handler.close_connection = True
        connection = self._handler.connection
        if hard:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def pause(self, seconds: float) -> None:
        """
        Wait *seconds*, less if the collector is stopped.
        """
        self.collector.stopping.wait(seconds)


Answer = Callable[[Exchange], None]
"""What a collector does with one request."""


def head(code: int, length: int | None, headers: Mapping[str, str]) -> bytes:
    """
    Return a status line and headers.
    """
    lines = [f"HTTP/1.1 {code} {responses.get(code, 'Whatever')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# ---- answers ------------------------------------------------------------------------------


def ok() -> Answer:
    """
    Accept everything and say so, ``{accepted, duplicate, rejected}``.
    """

    def answer(exchange: Exchange) -> None:
        new, known = exchange.accept()
        body = {"accepted": new, "duplicate": known, "rejected": []}
        exchange.reply(202, json.dumps(body).encode())

    return answer


def status(
    code: int,
    *,
    body: bytes = b"",
    retry_after: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """
    Answer *code* and keep nothing.
    """
    more = dict(headers or {})
    if retry_after is not None:
        more["Retry-After"] = retry_after
    return lambda exchange: exchange.reply(code, body, more)


def for_seconds(seconds: float, answer: Answer, then: Answer | None = None) -> Answer:
    """
    Do *answer* until *seconds* after its first request, and *then* (`ok`) from there on.
    """
    after = then or ok()
    began: list[float] = []

    def choose(exchange: Exchange) -> None:
        began.append(exchange.request.at)
        (answer if exchange.request.at - began[0] < seconds else after)(exchange)

    return choose


def hang(seconds: float = 3600.0) -> Answer:
    """
    Say nothing for *seconds* (or until the collector stops), then hang up.
    """

    def answer(exchange: Exchange) -> None:
        exchange.pause(seconds)
        exchange.hang_up()

    return answer


def close_mid_body() -> Answer:
    """
    Accept, begin a 200 and hang up in the middle of its body.
    """

    def answer(exchange: Exchange) -> None:
        exchange.accept()
        exchange.write(head(200, 1000, _JSON) + b'{"accepted"')
        exchange.hang_up()

    return answer


def reset() -> Answer:
    """
    Reset the connection without a word.
    """
    return lambda exchange: exchange.hang_up(hard=True)


def drop_response_after_accept() -> Answer:
    """
    Accept everything and hang up: the sender cannot know.
    """

    def answer(exchange: Exchange) -> None:
        exchange.accept()
        exchange.hang_up()

    return answer


def reject_ids(predicate: Callable[[str], bool], reason: str = "poison") -> Answer:
    """
    Accept what *predicate* does not pick, and name the rest in ``rejected``.
    """

    def answer(exchange: Exchange) -> None:
        bad = [name for name in exchange.request.ids if predicate(name)]
        new, known = exchange.accept([name for name in exchange.request.ids if name not in bad])
        rejected = [{"id": name, "reason": reason} for name in bad]
        body = {"accepted": new, "duplicate": known, "rejected": rejected}
        exchange.reply(202, json.dumps(body).encode())

    return answer


def refuse_batches_with(predicate: Callable[[str], bool], code: int = 400) -> Answer:
    """
    Answer *code* to a batch with an event that *predicate* picks, and accept any other.
    """
    accept = ok()

    def answer(exchange: Exchange) -> None:
        if any(predicate(name) for name in exchange.request.ids):
            exchange.reply(code, b'{"error": "poison"}')
        else:
            accept(exchange)

    return answer


def per_event(choose: Callable[[str], int]) -> Answer:
    """
    Answer 207 with the status that *choose* has for each id; 2xx are accepted.
    """

    def answer(exchange: Exchange) -> None:
        codes = {name: choose(name) for name in exchange.request.ids}
        exchange.accept([name for name, code in codes.items() if 200 <= code < 300])
        results = [{"id": name, "status": code} for name, code in codes.items()]
        exchange.reply(207, json.dumps({"results": results}).encode())

    return answer


def max_events(count: int) -> Answer:
    """
    Answer 413 to more than *count* events.
    """
    accept = ok()
    return lambda exchange: (
        exchange.reply(413) if len(exchange.request.events) > count else accept(exchange)
    )


def max_body(size: int) -> Answer:
    """
    Answer 413 to a body of more than *size* bytes, decompressed.
    """
    accept = ok()
    return lambda exchange: (
        exchange.reply(413) if len(exchange.request.body) > size else accept(exchange)
    )


def slow(bytes_per_s: float, answer: bytes = b'{"accepted": 0}') -> Answer:
    """
    Accept, then send a 200 at *bytes_per_s*, beginning with its status line.
    """

    def drip(exchange: Exchange) -> None:
        exchange.accept()
        for byte in head(200, len(answer), _JSON) + answer:
            if exchange.collector.stopping.is_set():
                break
            exchange.write(bytes([byte]))
            exchange.pause(1.0 / bytes_per_s)

    return drip


def redirect(to: str, code: int = 307) -> Answer:
    """
    Point to another place.
    """
    return status(code, headers={"Location": to})


def html_login() -> Answer:
    """
    Answer 200 with a login page, as a captive portal does.
    """
    page = b"<!doctype html><html><title>Please sign in</title></html>"
    return status(200, body=page, headers={"Content-Type": "text/html"})


def raw(data: bytes) -> Answer:
    """
    Put *data* on the wire, whatever it is, and hang up.
    """

    def answer(exchange: Exchange) -> None:
        exchange.write(data)
        exchange.hang_up()

    return answer
