"""
A collector that misbehaves on demand, for tests of whatever sends to it.

::

    with FaultCollector() as collector:
        collector.script(status(503, retry_after="2"), hang(0.5), ok())
        cx.init(service="shop", collector=collector.url)
        ...
        collector.wait_for(1, timeout=5)
        assert collector.ids == ["018f…"]

Standard library only. Every answer is a function of one request, so a test can bring its own.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import attrs

__all__ = [
    "Answer",
    "Exchange",
    "FaultCollector",
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

    def reply(
        self, code: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
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


# ---- the collector ------------------------------------------------------------------------


class FaultCollector:
    """
    An HTTP server on a loopback port that does what it is told. Safe from any thread.

    Answers come from `script` first, one per request, then from *always*.

    Args:
        always: what to do when the script is over; `ok` by default.

        tls: an ``ssl.SSLContext`` to serve HTTPS with.
    """

    def __init__(self, always: Answer | None = None, *, tls: Any = None) -> None:
        self.always: Answer = always or ok()
        self.stopping = threading.Event()
        self.requests: list[Request] = []
        self.accepted: dict[str, Any] = {}
        self.times: Counter[str] = Counter()
        self._tls = tls
        self._script: deque[Answer] = deque()
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._open: set[socket.socket] = set()
        self.port = 0
        self.connections = 0

    def __enter__(self) -> FaultCollector:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """
        Where it listens, with an empty path.
        """
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        """
        Ids accepted, each once, in the order of arrival.
        """
        with self._changed:
            return list(self.accepted)

    @property
    def duplicates(self) -> int:
        """
        How often an event came that was there already.
        """
        with self._changed:
            return sum(self.times.values()) - len(self.times)

    def script(self, *answers: Answer) -> None:
        """
        Do *answers* for the next requests, one each.
        """
        with self._changed:
            self._script.extend(answers)

    def start(self) -> None:
        """
        Listen; on the same port as before after `stop`. Idempotent.
        """
        if self._server is not None:
            return
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self.port), self._handler(), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="fault-collector", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """
        Stop listening and end all connections. Idempotent; blocks some milliseconds.
        """
        server, self._server = self._server, None
        if server is None:
            return
        self.stopping.set()
        server.shutdown()
        with self._changed:
            open_now = list(self._open)
        for connection in open_now:
            _end(connection)
        server.server_close()
        if self._thread is not None:
            self._thread.join(5.0)

    def wait_for(self, count: int, timeout: float = 5.0) -> bool:
        """
        Block until *count* different events were accepted, or *timeout* seconds; say which.
        """
        with self._changed:
            return self._changed.wait_for(lambda: len(self.accepted) >= count, timeout)

    def wait_for_requests(self, count: int, timeout: float = 5.0) -> bool:
        """
        Block until *count* requests came, or *timeout* seconds; say which.
        """
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= count, timeout)

    def accept(self, request: Request, ids: list[str] | None = None) -> tuple[int, int]:
        """
        Keep the events of *request* (those named *ids*, or all); return how many are new and
        how many are not.
        """
        new = known = 0
        with self._changed:
            for event in request.events:
                name = str(event.get("id", "")) if isinstance(event, dict) else ""
                if ids is not None and name not in ids:
                    continue
                self.times[name] += 1
                if name in self.accepted:
                    known += 1
                else:
                    new += 1
                    self.accepted[name] = event
            self._changed.notify_all()
        return new, known

    def _next(self, request: Request) -> Answer:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return self._script.popleft() if self._script else self.always

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with collector._changed:
                    collector.connections += 1
                    collector._open.add(self.connection)

            def finish(self) -> None:
                with collector._changed:
                    collector._open.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                request = _received(self)
                collector._next(request)(Exchange(collector, self, request))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler


def _received(handler: BaseHTTPRequestHandler) -> Request:
    at = time.monotonic()
    headers = {name.lower(): value for name, value in handler.headers.items()}
    wire = handler.rfile.read(int(headers.get("content-length", "0")))
    body = gzip.decompress(wire) if headers.get("content-encoding") == "gzip" else wire
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = []
    events = decoded if isinstance(decoded, list) else [decoded]
    return Request(handler.path, headers, body, wire, at, events)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        collector: FaultCollector,
    ) -> None:
        self._collector = collector
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """
        Do the TLS handshake on the connection's own thread, so that none blocks the others.
        """
        tls = self._collector._tls
        if tls is None:
            self.RequestHandlerClass(request, client_address, self)
            return
        with tls.wrap_socket(request, server_side=True) as wrapped:
            self.RequestHandlerClass(wrapped, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """
        Say nothing: broken connections are what this server is for.
        """


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended by itself
        connection.shutdown(socket.SHUT_RDWR)
