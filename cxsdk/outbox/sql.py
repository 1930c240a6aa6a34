"""
SQLAlchemy's sessions and connections as hosts of the outbox.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from cxsdk.errors import OutboxError
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
        return ConnectionHost(over.sync_connection, over)  # type: ignore[arg-type]
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

_of_connections: weakref.WeakKeyDictionary[Connection, Pending] = weakref.WeakKeyDictionary()


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


def _pending_of(connection: Connection) -> Pending:
    pending = _of_connections.get(connection)
    if pending is None:
        pending = _of_connections[connection] = Pending()
        _listen_to(connection, pending)
    return pending


def _listen_to(connection: Connection, pending: Pending) -> None:
    savepoints = _Savepoints(pending)

    def write(inner: Connection, *_: Any) -> None:
        if pending.rows:
            _write_pending(pending, inner)

    def commits(inner: Connection, *_: Any) -> None:
        write(inner)
        savepoints.open = []
        pending.committed()

    def rolls_back(*_: Any) -> None:
        savepoints.open = []
        pending.clear()

    event.listen(connection, "savepoint", savepoints.begin)
    event.listen(connection, "release_savepoint", savepoints.release)
    event.listen(connection, "rollback_savepoint", savepoints.roll_back)
    event.listen(connection, "commit", commits)
    event.listen(connection, "rollback", rolls_back)
    event.listen(connection, "prepare_twophase", write)
    event.listen(connection, "commit_twophase", lambda *_: pending.committed())
    event.listen(connection, "rollback_twophase", rolls_back)


class _Savepoints:
    """
    The open savepoints of a connection, innermost last.

    SQLAlchemy tells of a savepoint before it has a name, and of its end by the name.
    """

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self.open: list[list[str | None]] = []

    def begin(self, connection: Connection, _: Any) -> None:
        self._name(connection)
        self.open.append([None])
        self._pending.mark(id(self.open[-1]))

    def _name(self, connection: Connection) -> None:
        if self.open and self.open[-1][0] is None:
            inner = connection.get_nested_transaction()
            self.open[-1][0] = getattr(inner, "_savepoint", None)

    def _end(self, connection: Connection, name: str) -> int:
        """
        Return the mark of the savepoint *name*, with which those inside it end too.
        """
        self._name(connection)
        while self.open:
            ended = self.open.pop()
            if ended[0] in {name, None}:
                return id(ended)
        return 0  # it began before anything was said here

    def release(self, connection: Connection, name: str, _: Any) -> None:
        self._end(connection, name)

    def roll_back(self, connection: Connection, name: str, _: Any) -> None:
        self._pending.undo(self._end(connection, name))
