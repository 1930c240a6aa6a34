"""
A CRM in a process of its own: ``GET /customers/<id>`` knows everybody whose id begins with ``u``.

Not a test: `tests.lookup.test_servers` starts it, and kills it.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A connection that was cut is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        document = {"short": [{"id": name}], "long": [{"id": name}]}
        body = json.dumps(document if name.startswith("u") else {}).encode()
        self.send_response(200 if name.startswith("u") else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """
    Serve until killed, on the port that is the first argument.
    """
    server = _Server(("127.0.0.1", int(sys.argv[1])), _Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
