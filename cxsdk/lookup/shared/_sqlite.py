"""
The file of a shared memory in SQLite. Imported at the first call, because SQLAlchemy is.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from cxsdk import _fork
from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.shared._tables import Statements, metadata

__all__ = ["SqliteFile"]

_BUSY = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
_NAP_S = (0.0002, 0.001)
_FORK_S = 2.0
"""How long a fork waits for a call under way, which takes that long on a sick disk only."""

_files: weakref.WeakSet[SqliteFile] = weakref.WeakSet()
_is_hooked = False


class SqliteFile:
    """
    One connection, for one thread at a time; closed for the moment of a fork.

    Args:
        path: of the file.

        timeout: seconds that a call waits at most: for other threads, then for other processes.
    """

    word = "sqlite"
    locks = False

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self.statements = Statements(sa.bindparam("now", type_=sa.Double()), insert)
        self._lock = threading.Lock()
        self._engine: sa.Engine | None = None
        self._is_closed = False
        self._owes_checkpoint = False
        self._generation = _fork.current()
        _files.add(self)
        _hook()

    @property
    def is_open(self) -> bool:
        """
        Say whether the file is open, which no child that C code forked survives.
        """
        return self._engine is not None

    def now(self) -> Mapping[str, float]:
        """
        Return the clock, as a parameter.
        """
        return {"now": time.time()}

    # ---- connections

    @contextmanager
    def reading(self, deadline: float) -> Iterator[sa.Connection]:
        """
        Hold the connection.
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise StoreUnavailableError("sqlite: other threads of this process are not done")
        try:
            if self._is_closed:
                raise StoreUnavailableError("sqlite: the memory is closed")
            with self._opened(deadline).connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            if not _is_busy(error):
                self._drop()  # perhaps the file was damaged, and is soon replaced
            raise
        finally:
            self._lock.release()

    @contextmanager
    def begun(self, deadline: float) -> Iterator[sa.Connection]:
        """
        Hold the connection and the write lock of the file; commit at the end.
        """
        with self.reading(deadline) as connection:
            _patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"), deadline)
            yield connection
            connection.commit()
            if self._owes_checkpoint:
                self._checkpoint(connection, deadline)

    def _opened(self, deadline: float) -> sa.Engine:
        if self._engine is None:
            engine = sa.create_engine(
                "sqlite://", creator=lambda: self._connect(deadline), poolclass=sa.StaticPool
            )
            try:
                with engine.connect() as connection:
                    self._make_tables(connection, deadline)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        return self._engine

    @staticmethod
    def _make_tables(connection: sa.Connection, deadline: float) -> None:
        there = "SELECT count(*) FROM sqlite_master WHERE name = 'cx_told'"
        if not _patiently(lambda: connection.exec_driver_sql(there).scalar_one(), deadline):
            _patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"), deadline)
            metadata.create_all(connection)
            connection.commit()

    def _connect(self, deadline: float) -> sqlite3.Connection:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the log and the index the mode of the file, so this comes first.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        made = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            journal = _patiently(lambda: made.execute("PRAGMA journal_mode=WAL"), deadline)
            (mode,) = journal.fetchone()
            if mode != "wal":
                raise StoreUnavailableError(  # noqa: TRY301 - closed below
                    f"sqlite: the file system does not do WAL (got {mode})"
                )
            for words in ("synchronous=NORMAL", "secure_delete=ON", "journal_size_limit=16777216"):
                made.execute(f"PRAGMA {words}")
        except BaseException:
            made.close()
            raise
        return made

    # ---- what differs between databases

    def lock(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """
        Do nothing: the file is locked.
        """

    def say(self, connection: sa.Connection, words: Sequence[str]) -> None:
        """
        Do nothing: nobody hears.
        """

    def listener(self, me: str, heard: Callable[[str | None], None]) -> None:
        """
        Return None: a file says nothing.
        """

    def erased(self, deadline: float) -> None:
        """
        Empty the log, which still has what was erased; where others read, after the next call.
        """
        self._owes_checkpoint = True
        with self.reading(deadline) as connection:
            self._checkpoint(connection, deadline)

    def _checkpoint(self, connection: sa.Connection, deadline: float) -> None:
        while True:
            told = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            self._owes_checkpoint = bool(told[0])
            if not told[0] or time.monotonic() >= deadline:
                return
            time.sleep(random.uniform(*_NAP_S))  # noqa: S311 - a nap

    def close(self) -> None:
        """
        Close the file.
        """
        with self._lock:
            self._is_closed = True
            self._drop()

    # ---- forks

    def _drop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _before_fork(self) -> bool:
        if self._generation != _fork.current():
            return False  # the parent's
        if not self._lock.acquire(timeout=_FORK_S):
            return False  # the child will refuse
        self._drop()
        return True


def _is_busy(error: BaseException) -> bool:
    cause = getattr(error, "orig", error)
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _patiently(call: Callable[[], Any], deadline: float) -> Any:
    # SQLite's own waiting sleeps longer each time, up to 100 ms, so that whoever came first is
    # served last; a transaction here takes less than a millisecond.
    while True:
        try:
            return call()
        except (sqlite3.OperationalError, sa.exc.OperationalError) as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(*_NAP_S))  # noqa: S311 - a nap


def _hook() -> None:
    """
    Have open files closed for the moment of a fork: SQLite keeps one list of open files and their
    locks per process, and POSIX does not hand locks to a child; see "How To Corrupt An SQLite
    Database File", 2.6.
    """
    global _is_hooked
    if _is_hooked or not hasattr(os, "register_at_fork"):
        return
    _is_hooked = True
    held: list[SqliteFile] = []

    def before() -> None:
        held[:] = [file for file in list(_files) if file._before_fork()]

    def after() -> None:
        for file in held:
            file._lock.release()
        held.clear()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
