"""
SQLAlchemy's sessions and connections as hosts of the outbox.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from cxsdk.errors import ConfigurationError, OutboxError
from cxsdk.outbox.host import Host
from cxsdk.outbox.pending import Call, Lost, Pending
from cxsdk.outbox.row import COLUMNS, Row
from cxsdk.outbox.table import outbox_table

__all__ = ["insert", "sql_host", "words_of"]

_PENDING = "cxsdk.outbox"
_CLAUSE = {"clause": outbox_table}
_INSERT = outbox_table.insert()

# A statement that fails there leaves the transaction as it was. pysqlite moreover commits with
# the release of a savepoint that came before any other statement.
_NEEDS_NO_SAVEPOINT = frozenset({"sqlite", "mysql", "mariadb", "oracle"})


def sql_host(over: Any) -> Host | None:
    """
    Return *over* as a host, or None when it is nothing of SQLAlchemy's that has a transaction.

    Raises:
        ConfigurationError: it is an `AsyncConnection` that was not started.
    """
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    if isinstance(over, (scoped_session, async_scoped_session)):
        over = over()
    if isinstance(over, Session):
        return SessionHost(over)
    if isinstance(over, Connection):
        return ConnectionHost(over)
    if isinstance(over, AsyncSession):
        return SessionHost(over.sync_session, over)
    if isinstance(over, AsyncConnection):
        if over.sync_connection is None:
            raise ConfigurationError("outbox: the AsyncConnection is not open yet; await it first")
        return ConnectionHost(over.sync_connection, over)
    return None


# ---- writing ------------------------------------------------------------------------------


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """
    Write *rows* in the connection's transaction; what fails does not harm it.

    Raises:
        OutboxError: the database refused.
    """
    values = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
    try:
        if connection.dialect.name in _NEEDS_NO_SAVEPOINT or _is_autocommit(connection):
            connection.execute(_INSERT, values)
        else:
            with connection.begin_nested():
                connection.execute(_INSERT, values)
    except SQLAlchemyError as error:
        raise OutboxError(words_of(error)) from error


def _is_autocommit(connection: Connection) -> bool:
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return level == "AUTOCOMMIT"


def words_of(error: BaseException) -> str:
    """
    Return what the database said, without the statement and its values: they hold the event.
    """
    said = error.orig if isinstance(error, DBAPIError) else error
    first = (str(said).splitlines() or [""])[0][:200]
    return f"{type(said).__name__}: {first}"


def _write_pending(pending: Pending, connection: Connection) -> None:
    rows = pending.take_rows()
    try:
        insert(connection, [row for row, _ in rows])
    except OutboxError as error:
        for _, lost in rows:
            lost(error)


# ---- sessions -----------------------------------------------------------------------------


class SessionHost:
    """
    A `Session`, or the one inside an `AsyncSession`, whose rows wait for a moment to await.
    """

    is_told_late = False

    def __init__(self, session: Session, outer: Any = None) -> None:
        _listen_to_sessions()
        self._session = session
        self._outer = outer
        self._pending: Pending = session.info.setdefault(_PENDING, Pending())

    def source(self) -> Any:
        """
        Return the engine behind the session.

        Raises:
            OutboxError: there is none.
        """
        try:
            return self._session.get_bind(**_CLAUSE).engine  # type: ignore[arg-type]
        except SQLAlchemyError as error:
            raise OutboxError(words_of(error)) from error

    def write(self, row: Row, lost: Lost) -> None:
        """
        Write at once; for an `AsyncSession` note what is to be written.

        Raises:
            OutboxError: the database refused, or there is no transaction.
        """
        try:
            if self._outer is None:
                connection = self._session.connection(bind_arguments=_CLAUSE)
            elif not self._session.in_transaction():
                # Otherwise a rollback before the first statement would pass unseen.
                if not self._session.autobegin:
                    raise OutboxError("no transaction is begun")  # noqa: TRY301
                self._session.begin()
        except SQLAlchemyError as error:
            raise OutboxError(words_of(error)) from error
        if self._outer is None:
            insert(connection, [row])
        else:
            self._pending.rows.append((row, lost))

    def after_commit(self, call: Call) -> None:
        """
        Make *call* after the outermost commit.
        """
        self._pending.calls.append(call)

    async def settle(self) -> None:
        """
        Write what waits, in the savepoint that is open now.
        """
        if self._pending.rows:
            await self._outer.run_sync(_write_of_session)


def _write_of_session(session: Session) -> None:
    pending: Pending = session.info[_PENDING]
    try:
        connection = session.connection(bind_arguments=_CLAUSE)
    except SQLAlchemyError as error:
        for _, lost in pending.take_rows():
            lost(OutboxError(words_of(error)))
        return
    _write_pending(pending, connection)


def _listen_to_sessions() -> None:
    if not event.contains(Session, "after_transaction_end", _session_ended):
        event.listen(Session, "after_transaction_create", _session_began)
        event.listen(Session, "before_commit", _session_commits)
        event.listen(Session, "after_commit", _session_committed)
        event.listen(Session, "after_transaction_end", _session_ended)


def _session_began(session: Session, transaction: SessionTransaction) -> None:
    pending = session.info.get(_PENDING)
    if pending is not None and transaction.nested:
        pending.mark(transaction)


def _session_commits(session: Session) -> None:
    pending = session.info.get(_PENDING)
    if pending is not None and pending.rows and not session.in_nested_transaction():
        _write_of_session(session)


def _session_committed(session: Session) -> None:
    pending = session.info.get(_PENDING)
    if pending is None:
        return
    nested = session.get_nested_transaction()
    if nested is None:
        pending.committed()
    else:
        pending.mark(nested)  # released: its end undoes nothing


def _session_ended(session: Session, transaction: SessionTransaction) -> None:
    pending = session.info.get(_PENDING)
    if pending is None:
        return
    if transaction.nested:
        pending.undo(transaction)
    elif transaction.parent is None:
        pending.clear()


# ---- connections --------------------------------------------------------------------------


class ConnectionHost:
    """
    A `Connection`, or the one inside an `AsyncConnection`.
    """

    # SQLAlchemy tells of a connection's commit just before it.
    is_told_late = True

    def __init__(self, connection: Connection, outer: Any = None) -> None:
        self._connection = connection
        self._outer = outer
        self._pending = _pending_of(connection)

    def source(self) -> Any:
        """
        Return the engine behind the connection.
        """
        return self._connection.engine

    def write(self, row: Row, lost: Lost) -> None:
        """
        Write at once; for an `AsyncConnection` note what is to be written.

        Raises:
            OutboxError: the database refused, or there is no transaction.
        """
        if self._outer is None:
            insert(self._connection, [row])
        elif not self._connection.in_transaction():
            raise OutboxError("no transaction is begun on the AsyncConnection")
        else:
            self._pending.rows.append((row, lost))

    def after_commit(self, call: Call) -> None:
        """
        Make *call* when the connection's transaction is committed.
        """
        self._pending.calls.append(call)

    async def settle(self) -> None:
        """
        Write what waits, in the savepoint that is open now.
        """
        if self._pending.rows:
            await self._outer.run_sync(lambda inner: _write_pending(self._pending, inner))


class _Watched(Pending):
    """
    What waits for the end of a connection's transaction, and its open savepoints, innermost last.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open: list[list[str | None]] = []

    def savepoint_begins(self, connection: Connection) -> None:
        """
        SQLAlchemy tells of a savepoint before it has a name, and of its end by the name.
        """
        self._name(connection)
        self._open.append([None])
        self.mark(id(self._open[-1]))

    def _name(self, connection: Connection) -> None:
        if self._open and self._open[-1][0] is None:
            inner = connection.get_nested_transaction()
            self._open[-1][0] = getattr(inner, "_savepoint", None)

    def savepoint_ended(self, connection: Connection, name: str) -> int:
        """
        Return the mark of the savepoint *name*, with which those inside it end too.
        """
        self._name(connection)
        while self._open:
            ended = self._open.pop()
            if ended[0] in {name, None}:
                return id(ended)
        return 0  # it began before anything was said here

    def clear(self) -> None:
        """
        Forget everything.
        """
        super().clear()
        self._open = []


_watched: weakref.WeakKeyDictionary[Connection, _Watched] = weakref.WeakKeyDictionary()


def _pending_of(connection: Connection) -> Pending:
    _listen_to_connections()
    watched = _watched.get(connection)
    if watched is None:
        watched = _watched[connection] = _Watched()
    return watched


def _listen_to_connections() -> None:
    # To all of them, as for sessions: a single connection cannot be listened to in every release.
    if not event.contains(Engine, "commit", _connection_commits):
        event.listen(Engine, "savepoint", _savepoint_begins)
        event.listen(Engine, "release_savepoint", _savepoint_released)
        event.listen(Engine, "rollback_savepoint", _savepoint_rolled_back)
        event.listen(Engine, "prepare_twophase", _connection_prepares)
        event.listen(Engine, "rollback", _connection_rolls_back)
        event.listen(Engine, "rollback_twophase", _connection_rolls_back)
        event.listen(Engine, "commit_twophase", _connection_commits)
        event.listen(Engine, "commit", _connection_commits)


def _savepoint_begins(connection: Connection, _: Any) -> None:
    watched = _watched.get(connection)
    if watched is not None:
        watched.savepoint_begins(connection)


def _savepoint_released(connection: Connection, name: str, _: Any) -> None:
    watched = _watched.get(connection)
    if watched is not None:
        watched.savepoint_ended(connection, name)


def _savepoint_rolled_back(connection: Connection, name: str, _: Any) -> None:
    watched = _watched.get(connection)
    if watched is not None:
        watched.undo(watched.savepoint_ended(connection, name))


def _connection_prepares(connection: Connection, *_: Any) -> None:
    watched = _watched.get(connection)
    if watched is not None and watched.rows:
        _write_pending(watched, connection)


def _connection_commits(connection: Connection, *_: Any) -> None:
    watched = _watched.get(connection)
    if watched is not None:
        if watched.rows:
            _write_pending(watched, connection)
        watched.committed()


def _connection_rolls_back(connection: Connection, *_: Any) -> None:
    watched = _watched.get(connection)
    if watched is not None:
        watched.clear()
