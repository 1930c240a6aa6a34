"""
Sockets under one time budget: name lookup, connect, TLS, writing and reading together.

httpcore's own timeouts count per operation, so a server that sends one byte a second is never
late, and ``getaddrinfo`` has no timeout at all. Here every wait is cut to what is left of the
request's total. This module is imported at the first send, because httpcore is.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

__all__ = ["Budget", "BudgetBackend", "BudgetStream", "TlsError"]

_Address = tuple[int, Any]
"""Address family and socket address, as ``getaddrinfo`` returns them."""


class TlsError(httpcore.ConnectError):
    """
    A handshake failed. Its own class, because httpcore cuts the chain of causes.
    """

    def __init__(self, error: ssl.SSLError) -> None:
        super().__init__(error.reason or str(error))
        broken = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        self.lasting = not isinstance(error, broken)
        """True: a certificate or a protocol, which a person must repair."""


class Budget:
    """
    What is left of one request's time, and what it did to the network so far.

    One thread sends at a time; `abort` may come from another.

    Args:
        connect: seconds for name lookup, connect and TLS together.

        total: seconds for the whole request, connect included.
    """

    def __init__(self, connect: float, total: float) -> None:
        self._connect = connect
        self._total = total
        self._last: float | None = None
        self._aborted = False
        self._ends = 0.0
        self._connect_ends = 0.0
        self.connected = False
        self.received = 0
        self.sent = 0
        self.live: set[BudgetStream] = set()

    def begin(self) -> None:
        """
        Start a request's clock.
        """
        now = time.monotonic()
        self._ends = now + self._total if self._last is None else min(now + self._total, self._last)
        self.again()

    def again(self) -> None:
        """
        Forget what the previous attempt did; the time left stays what it is.
        """
        self._connect_ends = time.monotonic() + self._connect
        self.connected = False
        self.received = 0
        self.sent = 0

    def end_by(self, moment: float | None) -> None:
        """
        Let no request, the running one included, go past *moment* (monotonic seconds).
        """
        self._last = moment
        if moment is not None:
            self._ends = min(self._ends, moment)

    def left(self, error: type[Exception], *, connecting: bool = False) -> float:
        """
        Return the seconds left.

        Raises:
            Exception: *error*, when none are.
        """
        ends = min(self._ends, self._connect_ends) if connecting else self._ends
        left = ends - time.monotonic()
        if left <= 0 or self._aborted:
            raise error("closed" if self._aborted else "out of time")
        return left

    def abort(self) -> None:
        """
        Wake whoever waits on one of our sockets, and let nobody wait again. The waiting thread closes them itself: a file
        descriptor closed under its feet could by then be somebody else's.
        """
        self._aborted = True
        for stream in list(self.live):
            stream.shutdown()


class BudgetStream(httpcore.NetworkStream):
    """
    One socket, plain or TLS, whose every wait ends with the budget.
    """

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        self._sock = sock
        self._budget = budget
        budget.live.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """
        Return up to *max_bytes*, none at the end of the stream.

        Raises:
            httpcore.ReadTimeout: the budget is spent.
            httpcore.ReadError: the connection broke.
        """
        try:
            self._sock.settimeout(self._budget.left(httpcore.ReadTimeout))
            data = self._sock.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        self._budget.received += len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """
        Send all of *buffer*.

        Raises:
            httpcore.WriteTimeout: the budget is spent.
            httpcore.WriteError: the connection broke.
        """
        rest = memoryview(buffer)
        try:
            while rest:
                self._sock.settimeout(self._budget.left(httpcore.WriteTimeout))
                count = self._sock.send(rest)
                self._budget.sent += count
                rest = rest[count:]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """
        Close the socket. Does not block and never raises.
        """
        self._budget.live.discard(self)
        with contextlib.suppress(OSError):
            self._sock.close()

    def shutdown(self) -> None:
        """
        End both directions, which wakes a thread that reads or writes. Safe from any thread.
        """
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """
        Return this connection under TLS.

        Raises:
            httpcore.ConnectTimeout: the budget is spent.
            TlsError: the handshake failed.
            httpcore.ConnectError: the connection broke.
        """
        try:
            self._sock.settimeout(self._budget.left(httpcore.ConnectTimeout, connecting=True))
            wrapped = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname)
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout(str(error)) from error
        except ssl.SSLError as error:
            self.close()
            raise TlsError(error) from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            self.close()
            raise
        self._budget.live.discard(self)
        return BudgetStream(wrapped, self._budget)

    def get_extra_info(self, info: str) -> Any:
        """
        Return what httpcore asks for: whether an idle connection has news (that is, its end).
        """
        if info == "is_readable":
            return _readable(self._sock)
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        return self._sock if info == "socket" else None


def _readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


class BudgetBackend(httpcore.NetworkBackend):
    """
    Opens `BudgetStream` connections. Used by one thread at a time.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._known: dict[tuple[str, int], list[_Address]] = {}
        self._asking: threading.Thread | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """
        Connect to the first address of *host* that answers.

        Raises:
            httpcore.ConnectTimeout: the budget is spent.
            httpcore.ConnectError: the name is unknown, or nobody answers.
        """
        failure: OSError | None = None
        for family, address in self._addresses(host, port):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._budget.left(httpcore.ConnectTimeout, connecting=True))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failure = error
                continue
            except BaseException:
                sock.close()
                raise
            self._budget.connected = True
            return BudgetStream(sock, self._budget)
        if isinstance(failure, TimeoutError):
            raise httpcore.ConnectTimeout(str(failure)) from failure
        raise httpcore.ConnectError(str(failure or "no address")) from failure

    def _addresses(self, host: str, port: int) -> list[_Address]:
        try:
            literal = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return self._look_up(host, port)
        family = socket.AF_INET6 if literal.version == 6 else socket.AF_INET
        return [(family, (str(literal), port))]

    def _look_up(self, host: str, port: int) -> list[_Address]:
        """
        Resolve *host* in a thread of its own, since nothing else can end a name lookup.

        At most one such thread lives at a time. Where none can be started (the interpreter is
        going down), the addresses found last are taken.
        """
        if self._asking is not None and self._asking.is_alive():
            return self._remembered(host, port, "an earlier name lookup hangs")
        answer: list[list[_Address] | OSError] = []

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answer.append([(entry[0], entry[4]) for entry in found])
            except OSError as error:
                answer.append(error)

        self._asking = threading.Thread(target=ask, name="cxsdk-lookup", daemon=True)
        try:
            self._asking.start()
        except RuntimeError:
            self._asking = None
            return self._remembered(host, port, "no thread for a name lookup")
        self._asking.join(self._budget.left(httpcore.ConnectTimeout, connecting=True))
        if not answer:
            raise httpcore.ConnectTimeout(f"name lookup of {host} hangs")
        if isinstance(answer[0], OSError):
            raise httpcore.ConnectError(f"name lookup: {answer[0]}") from answer[0]
        self._known[host, port] = answer[0]
        return answer[0]

    def _remembered(self, host: str, port: int, why: str) -> list[_Address]:
        if (host, port) not in self._known:
            raise httpcore.ConnectError(why)
        return self._known[host, port]
