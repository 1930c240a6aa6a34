"""
Connections that many threads share, each within a time budget of its own. Imported at the first
request, because httpcore is.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import httpcore

from cxsdk.sinks._wire import Budget, BudgetBackend, BudgetStream

__all__ = ["Pool"]

_CONNECTIONS = 32
_KEEP_ALIVE_S = 30.0


class ThreadBudget(threading.local, Budget):
    """
    A budget of each thread's own; only the open sockets are everybody's.
    """

    def __init__(self, connect: float, live: set[BudgetStream]) -> None:
        Budget.__init__(self, connect, 0.0)
        self.live = live

    def begin_by(self, deadline: float) -> None:
        """
        Start this thread's request, which ends at *deadline* (monotonic seconds).
        """
        self._total = deadline - time.monotonic()
        self.begin()


class _Backend(BudgetBackend):
    """
    Opens connections for many threads, which share a name lookup that is on its way.
    """

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, int], Future[Any]] = {}

    def _look_up(self, host: str, port: int) -> list[Any]:
        flight = self._flight(host, port)
        wait = self._budget.left(httpcore.ConnectTimeout, connecting=True)
        try:
            found = flight.result(wait)
        except TimeoutError:
            raise httpcore.ConnectTimeout("name lookup hangs") from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("name lookup") from error
        return [(entry[0], entry[4]) for entry in found]

    def _flight(self, host: str, port: int) -> Future[Any]:
        with self._lock:
            flight = self._flights.get((host, port))
            if flight is not None and not flight.done():
                return flight
            flight = self._flights[host, port] = Future()

        def ask() -> None:
            try:
                flight.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:  # noqa: BLE001 - told to all who wait
                flight.set_exception(error)

        try:
            threading.Thread(target=ask, name="cxsdk-lookup", daemon=True).start()
        except RuntimeError:  # the interpreter is going down
            flight.set_exception(OSError("no thread for a name lookup"))
        return flight


class Pool:
    """
    The connections of one process.

    Args:
        connect_timeout: seconds for name lookup, connect and TLS together.

        ca: a file of PEM certificates to trust instead of certifi's.

        proxy: URL of an HTTP proxy.
    """

    def __init__(self, connect_timeout: float, ca: Path | str | None, proxy: str | None) -> None:
        live: set[BudgetStream] = set()
        self.budget = ThreadBudget(connect_timeout, live)
        self._live = live
        options: dict[str, Any] = {
            "ssl_context": _trust(ca),
            "max_connections": _CONNECTIONS,
            "keepalive_expiry": _KEEP_ALIVE_S,
            "network_backend": _Backend(self.budget),
        }
        self.connections: httpcore.ConnectionPool
        if proxy:
            parts = urlsplit(proxy)
            if parts.username is not None:
                options["proxy_auth"] = (unquote(parts.username), unquote(parts.password or ""))
                proxy = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            self.connections = httpcore.HTTPProxy(proxy, **options)
        else:
            self.connections = httpcore.ConnectionPool(**options)

    def close(self) -> None:
        """
        Close all connections; whoever waits on one wakes.
        """
        for stream in list(self._live):
            stream.shutdown()
        with contextlib.suppress(Exception):
            self.connections.close()


def _trust(ca: Path | str | None) -> ssl.SSLContext:
    import certifi

    # Not create_default_context: that one obeys SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=ca or certifi.where())
    return context
