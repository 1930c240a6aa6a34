"""
Real sources of the providers under test: an HTTP server that can be killed and started again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from cxsdk.knowing import LookupRequest, Subject
from tests.prompts.cap_servers import free_port


def request(*identifiers, sections=("profile",), seconds=30.0, space="id", **more):
    """Return a request about *identifiers*."""
    return LookupRequest(
        subjects=tuple(Subject(each, space) for each in identifiers),
        sections=frozenset(sections),
        purpose="support",
        deadline=time.monotonic() + seconds,
        **more,
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.source.heard(self, None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.source.heard(self, json.loads(body))

    def log_message(self, *args):
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def process_request(self, request, client_address):
        self.source.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.source.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """A connection that was cut is no news."""


class HttpSource:
    """
    Customers as JSON: ``GET /customers/<id>`` with an ETag, ``POST /customers``, and the
    collector's ``POST /context``.
    """

    def __init__(self):
        self.known, self.requests, self.open, self.peers = {}, [], set(), []
        self.over = threading.Event()
        """Set: the customer ``slow`` dawdles no longer."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.source = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def kill(self):
        """Listen no more, and cut all connections."""
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    close = kill

    def put(self, identifier, section, value):
        self.known.setdefault(identifier, {})[section] = value

    def heard(self, asked, body):
        self.peers.append(asked.client_address)
        self.requests.append((asked.command, asked.path, dict(asked.headers), body))
        if body is None:
            self._get(asked)
        elif asked.path == "/context":
            self._context(asked, body)
        else:
            found = [{"id": i, **self.known[i]} for i in body["ids"] if i in self.known]
            self._say(asked, 200, {"customers": found})

    def _get(self, asked):
        head, _, name = urlsplit(asked.path).path.rpartition("/")
        if name == "slow":
            self._dawdle(asked)
            return
        document = self.known.get(unquote(name)) if head == "/customers" else None
        if document is None:
            self._say(asked, 404, {"error": "nobody"})
            return
        tag = '"' + hashlib.sha256(json.dumps(document).encode()).hexdigest()[:16] + '"'
        if asked.headers.get("If-None-Match") == tag:
            asked.send_response(304)
            asked.send_header("ETag", tag)
            asked.end_headers()
            return
        self._say(asked, 200, document, ETag=tag)

    def _dawdle(self, asked):
        """One byte at a time keeps every read short."""
        asked.send_response(200)
        asked.send_header("Content-Length", "99999")
        asked.end_headers()
        asked.close_connection = True
        with contextlib.suppress(OSError):
            while not self.over.wait(0.02):
                asked.wfile.write(b"x")

    def _context(self, asked, body):
        found = [
            {
                **customer,
                "sections": {
                    name: {"value": value, "as_of": "2026-11-20T10:00:00Z", "truncated": False}
                    for name, value in self.known.get(customer["id"], {}).items()
                    if name in body["sections"]
                },
            }
            for customer in body["customers"]
        ]
        self._say(asked, 200, {"customers": found})

    def _say(self, asked, status, document, **headers):
        body = json.dumps(document).encode()
        asked.send_response(status)
        for name, value in headers.items():
            asked.send_header(name, value)
        asked.send_header("Content-Type", "application/json; charset=utf-8")
        asked.send_header("Content-Length", str(len(body)))
        asked.end_headers()
        asked.wfile.write(body)
