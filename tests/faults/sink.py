"""
A collector for cxsdk and its peers alike that fails as it is told and counts what arrived.

Every event of a run carries a mark of its own (``ev-000042``) in one of its properties; all peers
send properties inside their bodies, so counting marks needs little of their protocols.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
import threading
import time
import urllib.parse
import zlib
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["FaultySink", "Reply"]

_MARK = re.compile(rb"ev-\d{6}")
_REPLIES = (
    ("/v1/logs", "application/x-protobuf", b""),
    ("/api/", "application/json", b'{"id":"0"}'),
    ("/com.snowplow", "text/plain", b"ok"),
    ("/track", "application/json", b'{"status":1,"error":null}'),
    ("/batch", "application/json", b'{"status":1}'),
    ("/", "application/json", b"{}"),
)

Reply = Callable[[list[str]], tuple[int, dict[str, str]] | None]
"""Gets the marks of a request; returns a status and headers, or None: never answer."""


def well(_: list[str]) -> tuple[int, dict[str, str]]:
    """Take everything."""
    return 200, {}


class FaultySink:
    """
    Listens on one loopback port, also after `close` and `open`. Safe from any thread.
    """

    def __init__(self) -> None:
        self.reply: Reply = well
        self.delay = 0.0
        """Seconds before each answer."""
        self.times: Counter[str] = Counter()
        self.requests = 0
        self.port = 0
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._closing = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Listen."""
        self._closing.clear()
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        server, self._server = self._server, None
        self._closing.set()
        if server is not None:
            server.shutdown()
            server.server_close()

    def wait_for(self, count: int, timeout: float) -> bool:
        """Wait until *count* different events arrived; say whether they did."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.times) >= count, timeout)

    def _take(self, marks: list[str]) -> None:
        with self._changed:
            self.times.update(marks)
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                marks = _marks(self)
                sink.requests += 1
                verdict = sink.reply(marks)
                if verdict is None:
                    sink._closing.wait()
                    self.close_connection = True
                    return
                if sink.delay:
                    time.sleep(sink.delay)
                status, headers = verdict
                if 200 <= status < 300:
                    sink._take(marks)
                kind, body = next(
                    (kind, body) for start, kind, body in _REPLIES if self.path.startswith(start)
                )
                self.send_response(status)
                for name, value in {"Content-Type": kind, **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.send_error(404)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        pass  # a killed client is the point of the exercise


def _marks(request: BaseHTTPRequestHandler) -> list[str]:
    if request.headers.get("Transfer-Encoding") == "chunked":
        body = b""
        while size := int(request.rfile.readline().split(b";")[0], 16):
            body += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
    else:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    coding = request.headers.get("Content-Encoding", "")
    if coding == "gzip" or body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    elif coding == "deflate":
        body = zlib.decompress(body)
    if b"form-urlencoded" in request.headers.get("Content-Type", "").encode():
        body = urllib.parse.unquote_to_bytes(body)
    if request.path.startswith("/com.snowplow"):
        # The one peer whose events are encoded once more.
        coded = [event.get("ue_px", "") for event in json.loads(body)["data"]]
        body = b" ".join(base64.urlsafe_b64decode(text + "==") for text in coded)
    return [mark.decode() for mark in _MARK.findall(body)]


def main() -> None:
    """
    Print the port, listen until standard input closes, print how many events came.
    """
    with FaultySink() as sink:
        print(sink.port, flush=True)
        sys.stdin.read()
        print(len(sink.times))


if __name__ == "__main__":
    main()
