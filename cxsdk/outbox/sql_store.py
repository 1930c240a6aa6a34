"""
The outbox's table through SQLAlchemy, synchronous or asynchronous.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from cxsdk.errors import ConfigurationError
from cxsdk.outbox.row import COLUMNS, Keep, Row, Waiting
from cxsdk.outbox.sql import words_of
from cxsdk.outbox.store import Store
from cxsdk.outbox.table import outbox_table

__all__ = ["AsyncSqlStore", "SqlStore", "shown", "sql_store"]


def shown(url: str) -> str:
    """
    Return *url* without its password.

    Raises:
        ConfigurationError: it is no URL of a database.
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        # What could not be read may hold the password anywhere.
        raise ConfigurationError("outbox: expected the URL of a database") from None


def sql_store(source: Any) -> Store:
    """
    Return the table behind an engine or a URL.

    Raises:
        ConfigurationError: it is neither, or its driver is not installed.
    """
    if isinstance(source, AsyncEngine):
        source = source.sync_engine
    if isinstance(source, Engine):
        # Of the same making, with a pool of its own: the host's is not used up, and after a fork
        # no connection is shared with a parent.
        engine = Engine(source.pool.recreate(), source.dialect, source.url)
    else:
        engine = _engine_of(source)
    return AsyncSqlStore(engine) if engine.dialect.is_async else SqlStore(engine)


def _engine_of(url: Any) -> Engine:
    if not isinstance(url, (str, sa.URL)):
        raise ConfigurationError(
            f"outbox: expected an engine, a URL or 'django:<alias>', got {type(url).__name__}"
        )
    try:
        read = make_url(url)
        if read.get_dialect().is_async:
            from sqlalchemy.ext.asyncio import create_async_engine

            return create_async_engine(read).sync_engine
        return sa.create_engine(read)
    except SQLAlchemyError:
        raise ConfigurationError("outbox: expected the URL of a database") from None
    except ImportError as error:
        raise ConfigurationError(f"outbox: a driver is missing: {error}") from error


class SqlStore:
    """
    A `Store` over an engine that nobody else uses.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, service: str, environment: str, limit: int, keep: Keep) -> int:
        """
        Hand over up to *limit* rows; see `Store.take`.

        Raises:
            SQLAlchemyError: the database refused.
        """
        with self._engine.begin() as connection:
            return _take(connection, service, environment, limit, keep)

    def waiting(self) -> Sequence[Waiting]:
        """
        Return what waits.

        Raises:
            SQLAlchemyError: the database refused.
        """
        with self._engine.begin() as connection:
            return _waiting(connection)

    def words_of(self, error: BaseException) -> str:
        """
        Return what went wrong.
        """
        return words_of(error)

    def rest(self) -> None:
        """
        Close idle connections.
        """
        self._engine.dispose()


class AsyncSqlStore:
    """
    A `Store` over an asynchronous engine that nobody else uses, in a loop of its own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = AsyncEngine(engine)
        self._runner: Any = None

    def take(self, service: str, environment: str, limit: int, keep: Keep) -> int:
        """
        Hand over up to *limit* rows; see `Store.take`.

        Raises:
            SQLAlchemyError: the database refused.
        """
        taken: int = self._run(_take, service, environment, limit, keep)
        return taken

    def waiting(self) -> Sequence[Waiting]:
        """
        Return what waits.

        Raises:
            SQLAlchemyError: the database refused.
        """
        found: Sequence[Waiting] = self._run(_waiting)
        return found

    def _run(self, work: Any, *args: Any) -> Any:
        async def main() -> Any:
            async with self._engine.begin() as connection:
                return await connection.run_sync(work, *args)

        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner.run(main())

    def words_of(self, error: BaseException) -> str:
        """
        Return what went wrong.
        """
        return words_of(error)

    def rest(self) -> None:
        """
        Close idle connections, and the loop.
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            with runner:
                runner.run(self._engine.dispose())


# ---- what happens in the transaction ------------------------------------------------------


def _take(connection: Connection, service: str, environment: str, limit: int, keep: Keep) -> int:
    if connection.dialect.name == "sqlite":
        _lock(connection)
    found = connection.execute(
        sa.select(*(outbox_table.c[name] for name in COLUMNS))
        .where(outbox_table.c.service == service, outbox_table.c.environment == environment)
        .order_by(outbox_table.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = [Row(**{**each, "tag": bytes(each["tag"])}) for each in map(_fields, found)]
    kept = keep(rows) if rows else ()
    if kept:
        connection.execute(outbox_table.delete().where(outbox_table.c.id.in_(list(kept))))
    return len(kept)


def _fields(row: Any) -> dict[str, Any]:
    return dict(row._mapping)


def _lock(connection: Connection) -> None:
    """
    Be the only writer from here on: SQLite has no rows that could be locked one by one.
    """
    driver = connection.connection.driver_connection
    if getattr(driver, "in_transaction", True):
        connection.execute(outbox_table.delete().where(outbox_table.c.id == ""))
    else:
        # Said outright, since a host's own settings decide whether the driver would begin.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _waiting(connection: Connection) -> list[Waiting]:
    c = outbox_table.c
    found = connection.execute(
        sa.select(c.service, c.environment, sa.func.count(), sa.func.min(c.created))
        .group_by(c.service, c.environment)
        .order_by(c.service, c.environment)
    )
    return [Waiting(*row) for row in found]
