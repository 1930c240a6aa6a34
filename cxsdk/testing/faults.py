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
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from cxsdk.testing._answers import (
    Answer,
    Exchange,
    Request,
    close_mid_body,
    drop_response_after_accept,
    for_seconds,
    hang,
    html_login,
    max_body,
    max_events,
    ok,
    per_event,
    raw,
    redirect,
    refuse_batches_with,
    reject_ids,
    reset,
    slow,
    status,
)

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


class FaultCollector:
    """
    An HTTP server on a loopback port that does what it is told. Safe from any thread.

    Answers come from `script` first, one per request, then from *always*.

    Args:
        always: what to do when the script is over; `ok` by default.

        tls: an ``ssl.SSLContext`` to serve HTTPS with.

        read: how the events are read from a body and its headers, for sinks that send something
            else than CloudEvents in JSON: returns objects with an ``id``.
    """

    def __init__(
        self,
        always: Answer | None = None,
        *,
        tls: Any = None,
        read: Callable[[bytes, Mapping[str, str]], list[Any]] | None = None,
    ) -> None:
        self.always: Answer = always or ok()
        self.stopping = threading.Event()
        self.requests: list[Request] = []
        self.accepted: dict[str, Any] = {}
        self.times: Counter[str] = Counter()
        self._tls = tls
        self._read = read or _cloudevents
        self._script: deque[Answer] = deque()
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._open: set[socket.socket] = set()
        self.port = 0
        self.connections = 0

    def __enter__(self) -> Self:
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
                request = _received(self, collector._read)
                collector._next(request)(Exchange(collector, self, request))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler


def _received(
    handler: BaseHTTPRequestHandler, read: Callable[[bytes, Mapping[str, str]], list[Any]]
) -> Request:
    at = time.monotonic()
    headers = {name.lower(): value for name, value in handler.headers.items()}
    wire = handler.rfile.read(int(headers.get("content-length", "0")))
    body = gzip.decompress(wire) if headers.get("content-encoding") == "gzip" else wire
    return Request(handler.path, headers, body, wire, at, read(body, headers))


def _cloudevents(body: bytes, headers: Mapping[str, str]) -> list[Any]:  # noqa: ARG001
    try:
        decoded = json.loads(body)
    except ValueError:
        return []
    return decoded if isinstance(decoded, list) else [decoded]


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
            super().finish_request(request, client_address)
            return
        with tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """
        Say nothing: broken connections are what this server is for.
        """


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended by itself
        connection.shutdown(socket.SHUT_RDWR)
