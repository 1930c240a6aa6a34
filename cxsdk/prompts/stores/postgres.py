"""
A cap store in PostgreSQL, for all machines of a service. Extra ``postgres``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, ExtraMissingError, StoreUnavailableError
from cxsdk.prompts.stores import _statements as sql
from cxsdk.prompts.stores._sql import SqlCapStore
from cxsdk.prompts.stores._work import Row, Statement, Work

if TYPE_CHECKING:
    from cxsdk.prompts.stores._pg_link import Link

__all__ = ["PostgresCapStore"]

_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
CLOCK: Statement = ("SELECT extract(epoch FROM clock_timestamp())::float8", ())
LOCKS = "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(?::text[]) AS name"
_META = (
    (
        "CREATE TABLE IF NOT EXISTS {p}meta (one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),"
        " version INTEGER NOT NULL)"
    ),
    "INSERT INTO {p}meta (version) VALUES (?) ON CONFLICT (one) DO NOTHING",
)
_CREATE_S = 30.0


def _skipping(delete: str) -> str:
    """
    Return a DELETE that leaves out rows which somebody else has locked.
    """
    head, _, rows = delete.partition(" WHERE ")
    table = head.removeprefix("DELETE FROM ")
    found = f"SELECT ctid FROM {table} WHERE {rows} FOR UPDATE SKIP LOCKED"  # noqa: S608 - constants
    return f"{head} WHERE ctid = ANY (ARRAY({found}))"


class _Work(Work):
    """
    A transaction on one connection.
    """

    def __init__(
        self, link: Link, text: Callable[[str], str], deadline: float, shift_s: Callable[[], float]
    ) -> None:
        self._link = link
        self._text = text
        self._deadline = deadline
        self._shift_s = shift_s
        self.who: Mapping[str, str] = {}

    def _run(self, statements: Iterable[Statement]) -> list[list[Row]]:
        told = [(self._text(text), values) for text, values in statements]
        return self._link.run(told, self._deadline)

    def run(self, *statements: Statement) -> list[list[Row]]:
        return self._run(statements)

    def change(self, statement: Statement) -> int:
        return self._link.change(self._text(statement[0]), statement[1], self._deadline)

    def ask(self, *statements: Statement) -> list[list[Row]]:
        *found, clock = self._run((*statements, CLOCK))
        self.now = clock[0][0] + self._shift_s()
        return found


class PostgresCapStore(SqlCapStore):
    """
    A `CapStore` in tables of a PostgreSQL database (11 and later). Safe from any thread; a forked
    child connects anew. One connection per process, made at the first call and again when it was
    lost; its transactions are its own and short.

    What is locked is the subject and not the table. Time is the server's. An answer is with the
    server when `answer` returns: on its disk, unless ``synchronous_commit`` is off there.

    Args:
        dsn: URL or connection string, as libpq takes it.

        timeout: seconds that a call takes at most, connecting included.

        namespace: what the names of the tables begin with; services that share a database but not
            their caps have one each.

        shift_s: seconds added to the server's clock, for tests.

    Raises:
        ConfigurationError: the DSN or the namespace is wrong.
        ExtraMissingError: psycopg is not installed.
    """

    for_update = " FOR UPDATE"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    # Two sweeps that delete the same rows in different orders would wait for each other.
    old_rows = tuple((_skipping(text), age) for text, age in SqlCapStore.old_rows)

    def __init__(
        self,
        dsn: str,
        *,
        timeout: float = 0.25,
        namespace: str = "cxsdk_caps",
        shift_s: Callable[[], float] = float,
    ) -> None:
        try:
            import psycopg
        except ImportError:
            raise ExtraMissingError("psycopg", "postgres") from None
        if not _NAMESPACE.match(namespace):
            raise ConfigurationError(
                "prompts: expected a namespace of a-z, 0-9 and _, at most 31 of them,"
                f" got {namespace!r}"
            )
        try:
            told = psycopg.conninfo.conninfo_to_dict(dsn)
        except psycopg.Error:
            # What could not be read may hold the password anywhere.
            raise ConfigurationError(
                "prompts: expected a PostgreSQL URL, as in postgresql://user@host:5432/database"
            ) from None
        self._shown = f"{told.get('host', '')}:{told.get('port', 5432)}/{told.get('dbname', '')}"
        self._dsn = dsn
        self.timeout = timeout
        self.namespace = namespace
        self._shift_s = shift_s
        self._texts: dict[str, str] = {}
        self._is_closed = False
        self._links: list[Link] = []
        self._begin_process()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.25,
        namespace: str = "cxsdk_caps",
        **options: Any,  # noqa: ARG003 - those of other stores
    ) -> PostgresCapStore:
        """
        Return a store for ``postgresql://user@host:5432/database``.

        Raises:
            ConfigurationError: the URL is wrong.
            ExtraMissingError: psycopg is not installed.
        """
        return cls(url, timeout=timeout, namespace=namespace)

    def __repr__(self) -> str:
        return f"PostgresCapStore({self._shown!r}, namespace={self.namespace!r})"

    def _begin_process(self) -> None:
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._generation = _fork.current()

    def _own_lock(self) -> threading.Lock:
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    if self._link is not None:
                        # The parent's: kept, so that nothing here says goodbye in its name.
                        self._links.append(self._link)
                    self._begin_process()
        return self._lock

    def _text(self, statement: str) -> str:
        found = self._texts.get(statement)
        if found is None:
            found = statement.replace("{p}", f"{self.namespace}_").replace("?", "%s")
            self._texts[statement] = found
        return found

    # ---- transactions

    @contextmanager
    def _held(self, seconds: float) -> Iterator[tuple[Link, float]]:
        """
        Hold the connection; give it and the moment at which to give up.
        """
        import psycopg

        deadline = time.monotonic() + seconds
        lock = self._own_lock()
        if not lock.acquire(timeout=seconds):
            raise StoreUnavailableError("postgres: other threads of this process are not done")
        try:
            if self._is_closed:
                raise StoreUnavailableError("postgres: the store is closed")
            if self._link is None:
                from cxsdk.prompts.stores._pg_link import Link

                self._link = Link(self._dsn, self.timeout, self._check)
            yield self._link, deadline
        except (psycopg.Error, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            lock.release()

    def _check(self, link: Link, deadline: float) -> None:
        """
        Look at the tables' version on a new connection.

        Raises:
            StoreUnavailableError: they are of a newer cxsdk.
        """
        there = link.run([("SELECT to_regclass(%s)", (f"{self.namespace}_meta",))], deadline)
        if there[0][0][0] is None:
            return  # the first statement says so better
        (rows,) = link.run([(f"SELECT version FROM {self.namespace}_meta", ())], deadline)  # noqa: S608
        if rows and rows[0][0] > sql.VERSION:
            raise StoreUnavailableError(
                f"postgres: the tables {self.namespace}_* are of a newer cxsdk"
                f" (version {rows[0][0]}, known is {sql.VERSION})"
            )

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        import psycopg

        if isinstance(error, psycopg.errors.UndefinedTable):
            return StoreUnavailableError(
                f"postgres: there are no tables {self.namespace}_*; make them once with"
                " PostgresCapStore.create_tables()"
            )
        said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
        words = said.strip().partition("\n")[0]
        return StoreUnavailableError(f"postgres: {words or type(error).__name__}")

    @contextmanager
    def _begun(self, first: list[Statement]) -> Iterator[tuple[_Work, list[list[Row]]]]:
        with self._held(self.timeout) as (link, deadline):
            work = _Work(link, self._text, deadline, self._shift_s)
            told = [(self._text(text), values) for text, values in first]
            try:
                yield work, link.begin(told, deadline)
                link.end("COMMIT", deadline)
            except BaseException:
                link.roll_back(deadline)
                raise

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[Work]:  # noqa: ARG002 - all are
        with self._begun([]) as (work, _):
            yield work

    @contextmanager
    def _about(
        self,
        subjects: Collection[str],
        *,
        also: Iterable[str] = (),
        durable: bool = False,  # noqa: ARG002 - all are
    ) -> Iterator[Work]:
        asked = sql.ALIASES.format(", ".join(["?"] * len(subjects)))
        names = set(subjects)
        while True:
            locks = sorted(f"{self.namespace}:{name}" for name in (*names, *also))
            first: list[Statement] = [(LOCKS, (locks,)), (asked, tuple(subjects)), CLOCK]
            with self._begun(first) as (work, (_, rows, clock)):
                roots = {root for _, root in rows}
                # Locks are taken in one order or not at all: with somebody else's in hand, more
                # of them could close a circle.
                if roots <= names:
                    work.who = {**{name: name for name in subjects}, **dict(rows)}
                    work.now = clock[0][0] + self._shift_s()
                    yield work
                    return
            names |= roots

    # ---- tables

    def create_tables(self) -> None:
        """
        Make the tables and indexes that are not there yet; several may call it at once.

        Blocks up to half a minute. Needs the right to create tables; the calls after it do not.

        Raises:
            StoreUnavailableError: the server cannot be asked, or does not allow it.
        """
        kinds = {"bytes": "BYTEA", "real": "DOUBLE PRECISION", "flat": ""}
        made = [(text.format(p=f"{self.namespace}_", **kinds), ()) for text in sql.SCHEMA]
        meta = [(self._text(_META[0]), ()), (self._text(_META[1]), (sql.VERSION,))]
        lock = (self._text(LOCKS), ([f"{self.namespace}:tables"],))
        with self._held(_CREATE_S) as (link, deadline):
            try:
                link.begin([("SET LOCAL statement_timeout = 0", ()), lock], deadline)
                for statement in (*made, *meta):
                    link.run([statement], deadline)
                link.end("COMMIT", deadline)
            except BaseException:
                link.roll_back(deadline)
                raise

    def close(self) -> None:
        """
        Close the connection. Idempotent; later calls raise `StoreUnavailableError`.
        """
        with self._own_lock():
            self._is_closed = True
            link, self._link = self._link, None
            if link is not None:
                with suppress(Exception):
                    link.close()
