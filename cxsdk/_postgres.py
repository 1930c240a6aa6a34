"""
Connections to PostgreSQL on which no wait is longer than it may be.

libpq has no time limit below two seconds for a connect and none for an answer, so the first is
made on a thread, and the second is waited for here. Imported where it is used, because psycopg is.
"""

from __future__ import annotations

import logging
import select
import time
from typing import Any, TypeVar

import psycopg

from cxsdk._attempt import Attempt
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
