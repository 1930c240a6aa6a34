"""
A cap store in one of Django's databases. Extra ``django``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, ExtraMissingError, StoreUnavailableError
from cxsdk.prompts.stores import _statements as sql
from cxsdk.prompts.stores._forks import at_forks, never_close
from cxsdk.prompts.stores._sql import SqlCapStore
from cxsdk.prompts.stores._work import Work, marks

try:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connections
    from django.db.utils import load_backend

    from cxsdk.integrations.django._link import Link, LinkWork
    from cxsdk.integrations.django._postgres_link import PostgresLink
    from cxsdk.integrations.django._sqlite_link import SqliteLink
except ImportError:
    raise ExtraMissingError("django", "django") from None

__all__ = ["DjangoCapStore"]

_LINKS: dict[str, type[Link]] = {"sqlite": SqliteLink, "postgresql": PostgresLink}
_FORK_S = 2.0
"""How long a fork waits for a decision under way."""


class DjangoCapStore(SqlCapStore):
    """
    A `CapStore` in the tables of the app ``cxsdk.integrations.django``: SQLite (for one machine) or
    PostgreSQL (for all). Safe from any thread; a forked child connects anew.

    Decisions are made on a connection of the store's own, one per process, opened through Django
    with the settings of the alias, and not on that of the thread: they are short transactions that
    neither join nor wait for one of the host's, and ``on_commit``, ``assertNumQueries`` and
    ``ATOMIC_REQUESTS`` do not see them. It is closed as ``CONN_MAX_AGE`` says, after each call by
    default; a pool of ``OPTIONS`` is not used. PostgreSQL locks the subject and not the table, and
    a transaction of the host's is no hindrance; SQLite has one writer, so while a transaction of
    the host's has written, there is no decision, and after *timeout* the store is unavailable.

    Time is the server's, or of SQLite the machine's. An answer is on disk when `answer` returns, as
    far as the database is set to keep what it commits. With psycopg 2 a server that accepts and
    never answers is waited for longer than *timeout*.

    Args:
        using: alias in ``DATABASES``. Looked at now if Django's settings are there, else at the
            first call.

        timeout: seconds that a call takes at most, connecting included; None: 0.25 on PostgreSQL,
            0.04 on SQLite, where it is spent waiting for others.

        shift_s: seconds added to the clock, for tests.

    Raises:
        ConfigurationError: there is no such alias, its driver is missing, or it is neither SQLite
            nor PostgreSQL.
        ExtraMissingError: Django is not installed (when this module is imported).
    """

    def __init__(
        self,
        using: str = "default",
        *,
        timeout: float | None = None,
        shift_s: Callable[[], float] = float,
    ) -> None:
        self.using = using
        self._given_timeout = timeout
        self.timeout = 0.0 if timeout is None else timeout
        self._shift_s = shift_s
        self._kind: type[Link] | None = None
        self._link: Link | None = None
        self._left: Link | None = None
        self._is_closed = False
        self._begin_process()
        if settings.configured:
            self._settle()
        at_forks(self)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float | None = None,
        **options: Any,  # noqa: ARG003 - those of other stores
    ) -> DjangoCapStore:
        """
        Return a store for ``django:alias``; ``django:`` is the alias ``default``.

        Raises:
            ConfigurationError: the alias is of no use, as for the class.
        """
        return cls(url.partition(":")[2] or "default", timeout=timeout)

    def __repr__(self) -> str:
        return f"DjangoCapStore({self.using!r})"

    def _settle(self) -> type[Link]:
        """
        Look at what kind of database it is.

        Raises:
            ConfigurationError: one that is of no use.
        """
        try:
            if self.using not in connections.settings:
                raise ConfigurationError(f"prompts: DATABASES has no {self.using!r}")
            engine = load_backend(connections.settings[self.using]["ENGINE"])
        except ImproperlyConfigured as error:
            words = str(error).strip().partition("\n")[0]
            raise ConfigurationError(f"prompts: DATABASES[{self.using!r}]: {words}") from error
        kind = _LINKS.get(engine.DatabaseWrapper.vendor)
        if kind is None:
            raise ConfigurationError(
                f"prompts: the cap store knows SQLite and PostgreSQL, and DATABASES[{self.using!r}]"
                f" is {engine.DatabaseWrapper.vendor}; name another alias, or another store"
            )
        if self._given_timeout is None:
            self.timeout = kind.patience_s
        self.for_update, self.skip_locked = kind.for_update, kind.skip_locked
        self.old_rows = kind.old_rows
        self._kind = kind
        return kind

    # ---- transactions

    @contextmanager
    def _held(self) -> Iterator[tuple[Link, float]]:
        """
        Hold the connection; give it and the moment at which to give up.
        """
        try:
            kind = self._kind or self._settle()
        except ConfigurationError as error:
            raise StoreUnavailableError(f"django: {error}") from error
        deadline = time.monotonic() + self.timeout
        lock = self._own_lock()
        if not lock.acquire(timeout=self.timeout):
            raise StoreUnavailableError("django: other threads of this process are not done")
        try:
            link = self._opened(kind, deadline)
            try:
                yield link, deadline
            except link.errors as error:
                raise StoreUnavailableError(f"django: {link.words(error)}") from error
            finally:
                link.rest()
        finally:
            lock.release()

    def _opened(self, kind: type[Link], deadline: float) -> Link:
        if self._is_closed:
            raise StoreUnavailableError("django: the store is closed")
        if self._left is not None and self._left.locks_all:
            raise StoreUnavailableError(
                f"django: {self.using!r} was open when a C library forked this process, which"
                " SQLite does not survive; ask the store first after the fork (uWSGI: lazy-apps)"
            )
        if self._link is None:
            self._link = kind(self.using, self.timeout, self._shift_s)
        self._link.open(deadline)
        return self._link

    @contextmanager
    def _begun(self, locks: Collection[str], *, durable: bool) -> Iterator[tuple[Work, bool]]:
        with self._held() as (link, deadline):
            try:
                link.begin(deadline, sorted(locks), durable=durable)
                yield LinkWork(link), link.locks_all
                link.commit(deadline)
            except BaseException:
                link.roll_back(deadline)
                raise

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[Work]:
        with self._begun((), durable=durable) as (work, _):
            yield work

    @contextmanager
    def _about(
        self, subjects: Collection[str], *, also: Iterable[str] = (), durable: bool = False
    ) -> Iterator[Work]:
        asked = sql.ALIASES.format(marks(len(subjects)))
        names, others = set(subjects), tuple(also)
        while True:
            with self._begun({*names, *others}, durable=durable) as (work, has_all):
                (rows,) = work.ask((asked, tuple(subjects)))
                roots = {root for _, root in rows}
                # Locks are taken in one order or not at all: with somebody else's in hand, more
                # of them could close a circle.
                if has_all or roots <= names:
                    work.who = {**{name: name for name in subjects}, **dict(rows)}
                    yield work
                    return
            names |= roots

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks and what is due of a subject; of SQLite also from the file's free pages
        and its log.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        count = super().forget(subject)
        with suppress(StoreUnavailableError), self._held() as (link, _):
            link.empty_log()
        return count

    def close(self) -> None:
        """
        Close the connection. Idempotent; later calls raise `StoreUnavailableError`.
        """
        with self._own_lock():
            self._is_closed = True
            if self._link is not None:
                self._link.close()
                self._link = None

    # ---- forks

    def _begin_process(self) -> None:
        self._lock = threading.Lock()
        self._link = None
        self._generation = _fork.current()

    def _own_lock(self) -> threading.Lock:
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._leave()
                    self._begin_process()
        return self._lock

    def _leave(self) -> None:
        """
        Leave an inherited connection to the parent.
        """
        if self._link is None:
            return
        raw = self._link.leave()
        if raw is not None:
            # Kept, so that nothing here says goodbye in the parent's name.
            never_close(raw)
            self._left = self._link

    def _before_fork(self) -> bool:
        if self._generation != _fork.current():
            return False
        if not self._lock.acquire(timeout=_FORK_S):
            return False  # the child leaves the connection to the parent
        if self._link is not None:
            self._link.close()
        return True
