"""
The database of a shared memory in PostgreSQL. Imported at the first call, because SQLAlchemy is.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert

from cxsdk._postgres import Attempt, Connection, connect, is_hung_up
from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.shared._listening import Listener
from cxsdk.lookup.shared._tables import Statements, metadata

__all__ = ["PostgresDatabase"]

_CONNECTIONS = 4
_CHANNEL = "cxsdk_memory"
_CREATING = 4_857_293_017_442_881  # any number that nobody else locks


class _Connection(Connection):
    """
    One that is closed when it is given up, so that SQLAlchemy knows it for lost.
    """

    def too_late(self) -> Exception:
        """
        Return what is raised where the server does not answer in time.
        """
        self.close()
        return psycopg.OperationalError("no answer in time")


class _Ear:
    """
    A connection that listens.
    """

    def __init__(self, connection: _Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._poll = select.poll()
        self._poll.register(connection.pgconn.socket, select.POLLIN)
        self._said: list[str] = []
        connection.add_notify_handler(lambda notice: self._said.append(notice.payload))

    def listen(self, seconds: float) -> Sequence[str]:
        link = self._connection.pgconn
        if self._poll.poll(seconds * 1000):
            link.consume_input()
        while (notice := link.notifies()) is not None:
            self._said.append(bytes(notice.extra).decode())
        return self._taken()

    def beat(self) -> Sequence[str]:
        self._connection.deadline = time.monotonic() + self._seconds
        self._connection.execute("SELECT 1")
        return self._taken()

    def _taken(self) -> Sequence[str]:
        said, self._said = self._said, []
        return said

    def close(self) -> None:
        self._connection.close()


class PostgresDatabase:
    """
    At most four connections, of one process.

    Args:
        dsn: as libpq takes it.

        timeout: seconds that a call takes at most.
    """

    word = "postgres"
    locks = True
    is_open = False

    def __init__(self, dsn: str, timeout: float) -> None:
        self._dsn = dsn
        self.timeout = timeout
        clock: Any = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double())
        self.statements = Statements(clock, insert)
        self._late: deque[Attempt[_Connection]] = deque()
        self._mine = threading.local()
        self._is_ready = False
        self._is_closed = False
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self._created,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=timeout,
            isolation_level="READ COMMITTED",
        )
        event.listen(self._engine, "checkout", self._taken)
        self._plain = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def now(self) -> Mapping[str, float]:
        """
        Return no parameters: the clock is the server's.
        """
        return {}

    # ---- connections

    def _make(self) -> _Connection:
        made = connect(_Connection, self._dsn, self.timeout)
        made.autocommit = False
        return made

    def _created(self) -> _Connection:
        try:
            attempt = self._late.popleft()
        except IndexError:
            attempt = Attempt(self._make)
        if not attempt.wait(self._mine.deadline):
            self._late.append(attempt)  # it goes on; a later call finds it made or failed
            raise psycopg.OperationalError("no connection in time")
        if attempt.made is None:
            raise attempt.error or psycopg.OperationalError("the memory is closed")
        attempt.made.deadline = self._mine.deadline
        return attempt.made

    def _taken(self, connection: Any, *_: Any) -> None:
        """
        Have a connection that the server has left made again.
        """
        if is_hung_up(connection):
            raise sa.exc.DisconnectionError
        connection.deadline = self._mine.deadline

    @contextmanager
    def _held(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        if self._is_closed:
            raise StoreUnavailableError("postgres: the memory is closed")
        connection = engine.connect()
        try:
            yield connection
        except BaseException:
            raw: Any = None if connection.invalidated else connection.connection.dbapi_connection
            if raw is not None and (
                raw.pgconn.transaction_status == TransactionStatus.ACTIVE
                or time.monotonic() >= self._mine.deadline
            ):
                connection.invalidate()  # in the middle of a statement, or no time to roll back
            raise
        finally:
            connection.close()

    @contextmanager
    def reading(self, deadline: float) -> Iterator[sa.Connection]:
        """
        Hold a connection for one statement.
        """
        self._mine.deadline = deadline
        self._make_tables()
        with self._held(self._plain) as connection:
            yield connection

    @contextmanager
    def begun(self, deadline: float) -> Iterator[sa.Connection]:
        """
        Hold a connection in a transaction; commit at the end.
        """
        self._mine.deadline = deadline
        self._make_tables()
        with self._held(self._engine) as connection:
            yield connection
            connection.commit()

    def _make_tables(self) -> None:
        if self._is_ready:
            return
        with self._held(self._engine) as connection:
            names = [f"to_regclass('{name}')" for name in metadata.tables]
            there = connection.exec_driver_sql(f"SELECT {', '.join(names)}").one()
            if None in there:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATING)))
                metadata.create_all(connection)
            connection.commit()
        self._is_ready = True

    # ---- what differs between databases

    def lock(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """
        Lock subjects until the end of the transaction, in one order.
        """
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended('cxsdk_memory:' || name, 0))"
            " FROM unnest(%s::text[]) AS name",
            (sorted(names),),
        )

    def say(self, connection: sa.Connection, words: Sequence[str]) -> None:
        """
        Tell everybody who listens, when the transaction is committed.
        """
        connection.exec_driver_sql(
            "SELECT pg_notify(%s, word) FROM unnest(%s::text[]) AS word", (_CHANNEL, list(words))
        )

    def listener(self, me: str, heard: Callable[[str | None], None]) -> Listener:
        """
        Return what listens from now on.
        """
        return Listener(self._listen, me, heard)

    def _listen(self) -> _Ear:
        connection = self._make()
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {_CHANNEL}")
        except BaseException:
            connection.close()
            raise
        return _Ear(connection, max(1.0, self.timeout))

    def erased(self, deadline: float) -> None:
        """
        Do nothing: dead rows are the database's business.
        """

    def close(self) -> None:
        """
        Close the connections, also those that are on their way.
        """
        self._is_closed = True
        with suppress(IndexError):
            while True:
                self._late.popleft().give_up()
        self._mine.deadline = time.monotonic() + self.timeout
        self._engine.dispose()
