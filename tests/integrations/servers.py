"""
Two small servers under different host names, to see what a request tells each of them.
"""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

__all__ = ["Pair", "running"]


class Pair:
    """
    ``ours`` and ``theirs``: the same machine by two names, and what each was told.
    """

    def __init__(self, port: int) -> None:
        self.ours = f"http://127.0.0.1:{port}"
        self.theirs = f"http://localhost:{port}"
        self.told: list[tuple[str, str, dict[str, str]]] = []
        """(host, path, headers) of each request, in order; names of headers in lower case."""

    def baggage(self) -> list[tuple[str, str | None]]:
        """Return host and baggage of each request."""
        return [(host, headers.get("baggage")) for host, _, headers in self.told]


@contextlib.contextmanager
def running() -> Iterator[Pair]:
    """
    Serve: ``/to/ours/x`` and ``/to/theirs/x`` redirect to ``/x`` there, all else is empty.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            host = self.headers["host"].partition(":")[0]
            sent = {name.lower(): value for name, value in self.headers.items()}
            pair.told.append((host, self.path, sent))
            if self.path.startswith("/to/"):
                _, _, whose, rest = self.path.split("/", 3)
                self.send_response(302)
                self.send_header("Location", f"{getattr(pair, whose)}/{rest}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pair = Pair(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield pair
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
