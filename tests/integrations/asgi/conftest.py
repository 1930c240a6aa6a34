"""
Servers in threads of their own, so that what their handlers emit is seen here.
"""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
import uvicorn

GUARD_S = 30.0


class Uvicorn:
    """
    A real server for one application.
    """

    def __init__(self, app):
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio")
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve([self._socket])), daemon=True
        )
        self._thread.start()

    @property
    def url(self):
        return f"http://{self.host}"

    def stop(self):
        """End gracefully, with the lifespan's shutdown."""
        self._server.should_exit = True
        self._thread.join(GUARD_S)
        assert not self._thread.is_alive()
        self._socket.close()


@pytest.fixture
def serve():
    """Start servers; stop them at the end."""
    running = []

    def start(app):
        running.append(Uvicorn(app))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def soon():
    """Wait until something is true, for a bounded time; return what it was last."""
    tick = threading.Event()

    def look(is_true):
        for _ in range(int(GUARD_S / 0.01)):
            found = is_true()
            if found:
                return found
            tick.wait(0.01)
        return found

    return look
