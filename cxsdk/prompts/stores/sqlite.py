"""
A cap store in one SQLite file, for all processes of one machine. Standard library only.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, StoreUnavailableError
from cxsdk.prompts.stores import _statements as sql
from cxsdk.prompts.stores._forks import at_forks, never_close
from cxsdk.prompts.stores._sql import SqlCapStore
from cxsdk.prompts.stores._work import Row, Statement, Work

__all__ = ["SqliteCapStore"]

_BUSY = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
NAP_S = (0.0002, 0.001)
_KINDS = {"p": "", "bytes": "BLOB", "real": "REAL", "flat": "WITHOUT ROWID"}
_FORK_S = 2.0
"""How long a fork waits for a decision under way, which takes that long on a sick disk only."""

_EXAMPLE = "sqlite:///var/lib/shop/caps.db"


def _text(statement: str) -> str:
    found = _texts.get(statement)
    if found is None:
        found = _texts[statement] = statement.replace("{p}", "")
    return found


_texts: dict[str, str] = {}


class _Work(Work):
    """
    A transaction that has the write lock of the file.
    """

    def __init__(self, connection: sqlite3.Connection, time_s: Callable[[], float]) -> None:
        self._execute = connection.execute
        self._time = time_s
        self.who: Mapping[str, str] = {}

    def run(self, *statements: Statement) -> list[list[Row]]:
        execute = self._execute
        return [execute(_text(text), values).fetchall() for text, values in statements]

    def change(self, statement: Statement) -> int:
        return self._execute(_text(statement[0]), statement[1]).rowcount

    def ask(self, *statements: Statement) -> list[list[Row]]:
        found = self.run(*statements)
        self.now = self._time()
        return found


class SqliteCapStore(SqlCapStore):
    """
    A `CapStore` in a file. Safe from any thread; a forked child opens the file anew.

    A killed process loses nothing; a power cut may lose the last reservations and steps, never an
    answer, an opt-out or an erasure. The file is made at the first call, with mode 0600, in a
    folder with mode 0700 if that is made too. Not for network file systems.

    Args:
        path: of the file.

        timeout: seconds that a call waits for others to be done with the file.

        time_s: seconds since 1970, for tests.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        timeout: float = 0.05,
        time_s: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self.timeout = timeout
        self._time = time_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._generation = _fork.current()
        self._is_inherited = False
        self._is_closed = False
        at_forks(self)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        default_path: Path | str | None = None,
        timeout: float = 0.05,
        **options: Any,  # noqa: ARG003 - those of other stores
    ) -> SqliteCapStore:
        """
        Return a store for ``sqlite:///absolute/path``, ``sqlite:relative`` or ``sqlite:``.

        Raises:
            ConfigurationError: there is a host or a query, or no path and no *default_path*.
        """
        parts = urlsplit(url)
        path: Path | str | None = unquote(parts.path) or default_path
        if parts.netloc or parts.query or parts.fragment or not path or path == "/":
            raise ConfigurationError(f"prompts: expected a path, as in {_EXAMPLE}")
        if isinstance(path, str) and path.startswith("//"):
            path = path[1:]  # four slashes, as others write an absolute path
        return cls(path, timeout=timeout)

    def __repr__(self) -> str:
        return f"SqliteCapStore({str(self.path)!r})"

    # ---- transactions

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[Work]:
        deadline = time.monotonic() + self.timeout
        lock = self._own_lock()
        if not lock.acquire(timeout=self.timeout):
            raise StoreUnavailableError("sqlite: other threads of this process are not done")
        try:
            connection = self._opened(deadline)
            if durable:
                connection.execute("PRAGMA synchronous=FULL")
            begin(connection, deadline)
            yield _Work(connection, self._time)
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._roll_back(keep=is_busy(error))
            raise self._unavailable(error) from error
        except BaseException:
            self._roll_back(keep=True)
            raise
        finally:
            if durable and self._connection is not None:
                self._connection.execute("PRAGMA synchronous=NORMAL")
            lock.release()

    def _roll_back(self, *, keep: bool) -> None:
        """
        End what was begun; without *keep* the file is opened anew at the next call.
        """
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            keep = False
        if not keep:
            self._drop_connection()

    @contextmanager
    def _about(
        self, subjects: Collection[str], *, also: Iterable[str] = (), durable: bool = False
    ) -> Iterator[Work]:
        with self._transaction(durable=durable) as work:
            asked = sql.ALIASES.format(", ".join(["?"] * len(subjects)))
            (rows,) = work.ask((asked, tuple(subjects)))
            work.who = {**dict.fromkeys(subjects, ""), **{name: name for name in subjects}}
            work.who.update(rows)
            yield work

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        if is_busy(error):
            return StoreUnavailableError(f"sqlite: others use {self.path}")
        words = error.strerror if isinstance(error, OSError) else str(error)
        return StoreUnavailableError(f"sqlite: {self.path}: {words}")

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks and what is due of a subject, also from the file's free pages.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        count = super().forget(subject)
        # The log before it still has what was erased; while others read, that takes until the
        # next checkpoint.
        with suppress(StoreUnavailableError), self._alone() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return count

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        lock = self._own_lock()
        if not lock.acquire(timeout=self.timeout):
            raise StoreUnavailableError("sqlite: other threads of this process are not done")
        try:
            yield self._opened(time.monotonic() + self.timeout)
        except (sqlite3.Error, OSError) as error:
            self._roll_back(keep=is_busy(error))
            raise self._unavailable(error) from error
        finally:
            lock.release()

    # ---- the connection

    def _opened(self, deadline: float) -> sqlite3.Connection:
        """
        Return the connection of this process, with the lock held.
        """
        if self._is_closed:
            raise StoreUnavailableError("sqlite: the store is closed")
        if self._is_inherited:
            raise StoreUnavailableError(
                f"sqlite: {self.path} was open when a C library forked this process, which SQLite "
                "does not survive; ask the store first after the fork (uWSGI: lazy-apps)"
            )
        connection = self._connection
        if connection is not None:
            if self._file == self._found():
                return connection
            # Moved away or replaced. Closing would remove the log of whatever is there now.
            never_close(connection)
            self._connection = None
        self._connection = connection = self._connect()
        try:
            _prepare(connection, deadline)
        except BaseException:
            self._drop_connection()
            raise
        self._file = self._found()
        return connection

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - at every decision
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connect(self) -> sqlite3.Connection:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the log and the index the mode of the file, so this comes first.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        return sqlite3.connect(
            self.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._file is not None and self._file != self._found():
            never_close(connection)
            return
        with suppress(sqlite3.Error):
            connection.close()

    def close(self) -> None:
        """
        Close the file. Idempotent; later calls raise `StoreUnavailableError`.
        """
        with self._own_lock():
            self._is_closed = True
            if not self._is_inherited:
                self._drop_connection()

    # ---- forks

    def _own_lock(self) -> threading.Lock:
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._begin_process()
        return self._lock

    def _begin_process(self) -> None:
        self._lock = threading.Lock()
        if self._connection is not None:
            never_close(self._connection)
            self._connection, self._is_inherited = None, True
        self._generation = _fork.current()

    def _before_fork(self) -> bool:
        if self._generation != _fork.current():
            return False
        if not self._lock.acquire(timeout=_FORK_S):
            return False  # the child will refuse
        if not self._is_inherited:
            self._drop_connection()
        return True


def is_busy(error: BaseException) -> bool:
    """
    Say whether others are in the way.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _BUSY


def begin(connection: sqlite3.Connection, deadline: float) -> None:
    """
    Begin a transaction that has the write lock, by *deadline* of the monotonic clock.
    """
    # SQLite's own waiting sleeps longer each time, up to 100 ms, so that whoever came first is
    # served last; a transaction here takes a tenth of a millisecond.
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(*NAP_S))  # noqa: S311 - a nap
        else:
            return


def _prepare(connection: sqlite3.Connection, deadline: float) -> None:
    """
    Set a new connection up, and make the tables where there are none.

    Raises:
        StoreUnavailableError: they are of a newer version, or the file system cannot do it.
    """
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(*NAP_S))  # noqa: S311 - a nap
    if mode != "wal":
        raise StoreUnavailableError(f"sqlite: the file system does not do WAL (got {mode})")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")
    # Writing the log back waits for the disk; four times as much log is a quarter of the waits.
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA journal_size_limit=16777216")
    if _version(connection) == sql.VERSION:
        return
    begin(connection, deadline)
    if _version(connection) == 0:
        for statement in sql.SCHEMA:
            connection.execute(statement.format(**_KINDS))
        connection.execute(f"PRAGMA user_version={sql.VERSION}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > sql.VERSION:
        raise StoreUnavailableError(
            f"sqlite: the file is of a newer cxsdk (tables {version}, known is {sql.VERSION})"
        )
    return int(version)
