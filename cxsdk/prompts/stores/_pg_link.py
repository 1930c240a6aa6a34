"""
One connection to PostgreSQL on which no wait is longer than it may be.

libpq has no time limit below two seconds for a connect and none for an answer, so the first is
made on a thread, and the second is waited for here. Imported at the first call, because psycopg is.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

from cxsdk.errors import StoreUnavailableError

__all__ = ["Link"]

Told: TypeAlias = tuple[str, Sequence[Any]]

_CONNECT_S = 5
_READ, _WRITE = 1, 2

logging.getLogger("psycopg").addHandler(logging.NullHandler())


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """
    Waits until *deadline* (of the monotonic clock) for the server, and no longer.
    """

    deadline = float("inf")

    def wait(self, gen: Any, *_: Any, **__: Any) -> Any:
        """
        Run one of psycopg's generators to its end.

        Raises:
            StoreUnavailableError: there was no answer in time.
        """
        poll = select.poll()
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                events = (select.POLLIN if wanted & _READ else 0) | (
                    select.POLLOUT if wanted & _WRITE else 0
                )
                poll.register(descriptor, events)
                left = self.deadline - time.monotonic()
                came = poll.poll(max(0.0, left) * 1000) if left != float("inf") else poll.poll()
                if not came:
                    raise StoreUnavailableError("postgres: no answer in time")
                happened = came[0][1]
                ready = _READ if happened & ~select.POLLOUT else 0
                ready |= _WRITE if happened & select.POLLOUT else 0
                wanted = gen.send((ready & wanted) or ready)
        except StopIteration as end:
            return end.value


class _Attempt:
    """
    A connect on its way, on a thread of its own.
    """

    def __init__(self, make: Callable[[], _Connection]) -> None:
        self._make = make
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._is_given_up = False
        self.made: _Connection | None = None
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
        Say whether it is over, one way or the other.
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


class Link:
    """
    The connection of one process, made again when it was lost. For one thread at a time.

    Args:
        dsn: as libpq takes it.

        timeout: seconds that the server may take for one statement.

        check: called with each new connection.
    """

    def __init__(self, dsn: str, timeout: float, check: Callable[[Link, float], None]) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._check = check
        self._attempt: _Attempt | None = None
        self._connection: _Connection | None = None

    def _make(self) -> _Connection:
        made = _Connection.connect(
            self._dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name="cxsdk"
        )
        limit = max(1, int(self._timeout * 1000))
        # Ours went long before that; a server that has lost sight of us must not keep locks.
        made.deadline = time.monotonic() + _CONNECT_S
        made.execute(
            f"SET statement_timeout = {limit}; SET lock_timeout = {limit};"
            f" SET idle_in_transaction_session_timeout = {max(1000, 4 * limit)};"
            " SET default_transaction_isolation = 'read committed'"
        )
        return made

    def _connected(self, deadline: float) -> _Connection:
        connection = self._connection
        if connection is not None:
            if not self._is_hung_up(connection):
                return connection
            self._lose()
        if self._attempt is None:
            self._attempt = _Attempt(self._make)
        attempt = self._attempt
        if not attempt.wait(deadline):
            # It goes on; a later call finds it made or failed.
            raise StoreUnavailableError("postgres: no connection in time")
        self._attempt = None
        if attempt.made is None:
            error = attempt.error
            if isinstance(error, (psycopg.Error, OSError, StoreUnavailableError)):
                raise error
            raise StoreUnavailableError(f"postgres: {type(error).__name__}") from error
        self._connection = connection = attempt.made
        try:
            self._check(self, deadline)
        except BaseException:
            self._lose()
            raise
        return connection

    def _is_hung_up(self, connection: _Connection) -> bool:
        # At rest a server has nothing to say but goodbye.
        if connection.closed:
            return True
        poll = select.poll()
        poll.register(connection.pgconn.socket, select.POLLIN)
        return bool(poll.poll(0))

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    # ---- statements

    def begin(self, told: Sequence[Told], deadline: float) -> list[list[tuple[Any, ...]]]:
        """
        Begin a transaction with *told*; return the rows of each.
        """
        self._connected(deadline)
        return self.run([("BEGIN ISOLATION LEVEL READ COMMITTED", ()), *told], deadline)[1:]

    def run(self, told: Sequence[Told], deadline: float) -> list[list[tuple[Any, ...]]]:
        """
        Execute *told* in order and in one go; return the rows of each.
        """
        connection = self._connected(deadline)
        connection.deadline = deadline
        if len(told) == 1 or not psycopg.Pipeline.is_supported():
            return [self._rows(connection.execute(*each)) for each in told]
        with connection.pipeline():
            cursors = [connection.execute(*each) for each in told]
        return [self._rows(cursor) for cursor in cursors]

    @staticmethod
    def _rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return cursor.fetchall() if cursor.description else []

    def change(self, text: str, values: Sequence[Any], deadline: float) -> int:
        """
        Execute one statement; return how many rows it changed.
        """
        connection = self._connected(deadline)
        connection.deadline = deadline
        return connection.execute(text, values).rowcount

    def end(self, word: str, deadline: float) -> None:
        """
        Commit.
        """
        self.run([(word, ())], deadline)

    def roll_back(self, deadline: float) -> None:
        """
        Roll back where the server still listens; else let go of the connection, which does it.
        """
        connection = self._connection
        if connection is None:
            return
        idle, *failed = (
            TransactionStatus.IDLE,
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )
        status = connection.pgconn.transaction_status
        if status == idle:
            return
        if status not in failed:
            self._lose()  # in the middle of a statement
            return
        try:
            connection.deadline = deadline
            connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the server rolls back what is cut off
            self._lose()

    def close(self) -> None:
        """
        Close the connection, also one that is on its way.
        """
        if self._attempt is not None:
            self._attempt.give_up()
            self._attempt = None
        self._lose()
