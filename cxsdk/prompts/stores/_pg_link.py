"""
One connection to PostgreSQL, made again when it was lost. Imported at the first call, because
psycopg is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

from cxsdk._postgres import Attempt, Connection, connect, is_hung_up
from cxsdk.errors import StoreUnavailableError

__all__ = ["Link"]

Told: TypeAlias = tuple[str, Sequence[Any]]


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
        self._attempt: Attempt[Connection] | None = None
        self._connection: Connection | None = None

    def _make(self) -> Connection:
        isolation = " SET default_transaction_isolation = 'read committed'"
        return connect(Connection, self._dsn, self._timeout, isolation)

    def _connected(self, deadline: float) -> Connection:
        connection = self._connection
        if connection is not None:
            if not is_hung_up(connection):
                return connection
            self._lose()
        if self._attempt is None:
            self._attempt = Attempt(self._make)
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
