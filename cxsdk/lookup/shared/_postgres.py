"""
The database of a shared memory in PostgreSQL. Imported at the first call, because SQLAlchemy is.

libpq has no time limit below two seconds for a connect and none for an answer, so the first is
made on a thread, and the second is waited for here.
"""

from __future__ import annotations

import logging
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

from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.shared._listening import Listener
from cxsdk.lookup.shared._tables import Statements, metadata

__all__ = ["PostgresDatabase"]

_CONNECTIONS = 4
_CONNECT_S = 5
_CHANNEL = "cxsdk_memory"
_CREATING = 4_857_293_017_442_881  # any number that nobody else locks
_READ, _WRITE = 1, 2

logging.getLogger("psycopg").addHandler(logging.NullHandler())


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """
    Waits until *deadline* (of the monotonic clock) for the server, and no longer.
    """

    deadline = float("inf")

    def wait(self, gen: Any, *_: Any, **__: Any) -> Any:
        """
        Run one of psycopg's generators to its end; close where there is no answer in time.
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
                    self.close()  # so that SQLAlchemy knows it for lost
                    raise psycopg.OperationalError("no answer in time")
                ready = _READ if came[0][1] & ~select.POLLOUT else 0
                ready |= _WRITE if came[0][1] & select.POLLOUT else 0
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
        self._made: _Connection | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="cxsdk-connect", daemon=True).start()

    def _run(self) -> None:
        try:
            made = self._make()
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self._error = error
        else:
            with self._lock:
                self._made = None if self._is_given_up else made
            if self._made is None:
                made.close()
        self._done.set()

    def take(self, deadline: float) -> _Connection | None:
        """
        Return the connection; None where it is not there in time. Raises what it failed with.
        """
        if not self._done.wait(max(0.0, deadline - time.monotonic())):
            return None
        if self._made is None:
            raise self._error or psycopg.OperationalError("the memory is closed")
        return self._made

    def give_up(self) -> None:
        """
        Have what comes of it closed.
        """
        with self._lock:
            self._is_given_up = True
            made, self._made = self._made, None
        if made is not None:
            made.close()


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
        self._late: deque[_Attempt] = deque()
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
        made = _Connection.connect(
            self._dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name="cxsdk"
        )
        limit = max(1, int(self.timeout * 1000))
        made.deadline = time.monotonic() + _CONNECT_S
        # Ours went long before that; a server that has lost sight of us must not keep locks.
        made.execute(
            f"SET statement_timeout = {limit}; SET lock_timeout = {limit};"
            f" SET idle_in_transaction_session_timeout = {max(1000, 4 * limit)}"
        )
        made.autocommit = False
        return made

    def _created(self) -> _Connection:
        try:
            attempt = self._late.popleft()
        except IndexError:
            attempt = _Attempt(self._make)
        made = attempt.take(self._mine.deadline)
        if made is None:
            self._late.append(attempt)  # it goes on; a later call finds it made or failed
            raise psycopg.OperationalError("no connection in time")
        made.deadline = self._mine.deadline
        return made

    def _taken(self, connection: Any, *_: Any) -> None:
        """
        Have a connection that the server has left made again.
        """
        poll = select.poll()
        if not connection.closed:
            poll.register(connection.pgconn.socket, select.POLLIN)
        # At rest a server has nothing to say but goodbye.
        if connection.closed or poll.poll(0):
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
