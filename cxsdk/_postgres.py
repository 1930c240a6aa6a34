"""
Connections to PostgreSQL on which no wait is longer than it may be.

libpq has no time limit below two seconds for a connect and none for an answer, so the first is
made on a thread, and the second is waited for here. Imported where it is used, because psycopg is.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psycopg

from cxsdk.errors import StoreUnavailableError

__all__ = ["Attempt", "Connection", "connect", "is_hung_up"]

_CONNECT_S = 5
_READ, _WRITE = 1, 2

logging.getLogger("psycopg").addHandler(logging.NullHandler())


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """
    Waits until *deadline* (of the monotonic clock) for the server, and no longer.
    """

    deadline = float("inf")

    def wait(self, gen: Any, *_: Any, **__: Any) -> Any:
        """
        Run one of psycopg's generators to its end.

        Raises:
            Exception: what `too_late` returns, where there was no answer in time.
        """
        poll = select.poll()
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                ends = (select.POLLIN if wanted & _READ else 0) | (
                    select.POLLOUT if wanted & _WRITE else 0
                )
                poll.register(descriptor, ends)
                left = self.deadline - time.monotonic()
                came = poll.poll(max(0.0, left) * 1000 if left != float("inf") else None)
                if not came:
                    raise self.too_late()
                ready = _READ if came[0][1] & ~select.POLLOUT else 0
                ready |= _WRITE if came[0][1] & select.POLLOUT else 0
                wanted = gen.send((ready & wanted) or ready)
        except StopIteration as end:
            return end.value

    def too_late(self) -> Exception:
        """
        Return what is raised where the server does not answer in time.
        """
        return StoreUnavailableError("postgres: no answer in time")


C = TypeVar("C", bound=Connection)


class Attempt(Generic[C]):
    """
    A connect on its way, on a thread of its own.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._is_given_up = False
        self.made: C | None = None
        self.error: Exception | None = None
        threading.Thread(target=self._run, name="cxsdk-connect", daemon=True).start()

    def _run(self) -> None:
        try:
            made = self._make()
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self.error = error
        else:
            with self._lock:
                self.made = None if self._is_given_up else made
            if self.made is None:
                made.close()
        self._done.set()

    def wait(self, deadline: float) -> bool:
        """
        Say whether it is over by *deadline*, one way or the other.
        """
        return self._done.wait(max(0.0, deadline - time.monotonic()))

    def give_up(self) -> None:
        """
        Have what comes of it closed.
        """
        with self._lock:
            self._is_given_up = True
            made, self.made = self.made, None
        if made is not None:
            made.close()


def connect(kind: type[C], dsn: str, timeout: float, more: str = "") -> C:
    """
    Return a connection, in autocommit; blocks up to five seconds.

    Args:
        dsn: as libpq takes it.

        timeout: seconds that the server may take for one statement.

        more: further settings, as SQL.

    Raises:
        psycopg.Error: there is none to be had.
    """
    made = kind.connect(dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name="cxsdk")
    limit = max(1, int(timeout * 1000))
    made.deadline = time.monotonic() + _CONNECT_S
    # Ours went long before that; a server that has lost sight of us must not keep locks.
    made.execute(
        f"SET statement_timeout = {limit}; SET lock_timeout = {limit};"
        f" SET idle_in_transaction_session_timeout = {max(1000, 4 * limit)};{more}"
    )
    return made


def is_hung_up(connection: Connection) -> bool:
    """
    Say whether the server has left a connection that is at rest.
    """
    if connection.closed:
        return True
    # At rest a server has nothing to say but goodbye.
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
