"""
A connection of the cap store's own to one of Django's databases.

Not that of the thread, which may be in a transaction of the host's: what is decided there would
wait for its commit, hold its locks as long, and vanish with its rollback.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from django.db import Error, connections

from cxsdk import _standin
from cxsdk._attempt import Attempt
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts.stores._sql import SqlCapStore
from cxsdk.prompts.stores._work import Row, Statement, Work

__all__ = ["PREFIX", "Link", "LinkWork"]

PREFIX = "cxsdk_caps_"


class Link(abc.ABC):
    """
    The connection of one process, made through Django and again when it was lost or has become
    older than ``CONN_MAX_AGE``. For one thread at a time.

    Args:
        alias: of ``DATABASES``.

        timeout: seconds that one statement may take.

        shift_s: seconds added to the database's clock, for tests.
    """

    patience_s: ClassVar[float]
    """Seconds that a call waits, unless it is told."""

    locks_all: ClassVar[bool]
    """Whether a transaction is the only one there is."""

    for_update = SqlCapStore.for_update
    skip_locked = SqlCapStore.skip_locked
    old_rows = SqlCapStore.old_rows

    def __init__(self, alias: str, timeout: float, shift_s: Callable[[], float]) -> None:
        self._alias = alias
        self._timeout = timeout
        self._shift_s = shift_s
        self._wrapper: Any = None
        self._attempt: Attempt[_Made] | None = None
        self._texts: dict[str, str] = {}
        self.raw: Any = None
        self.errors: tuple[type[BaseException], ...] = (Error, OSError)

    # ---- the connection

    def open(self, deadline: float) -> None:
        """
        Connect, where there is no connection that is still good.

        Raises:
            StoreUnavailableError: there is none by *deadline*.
        """
        if self.raw is not None:
            if not self._is_old() and not self._is_lost():
                return
            self.close()
        if self._attempt is None:
            try:
                self._attempt = Attempt(self._make)
            except RuntimeError as error:  # the interpreter is going down
                raise StoreUnavailableError(f"django: {error}") from None
        attempt = self._attempt
        if not attempt.wait(deadline):
            # It goes on; a later call finds it made or failed.
            raise StoreUnavailableError("django: no connection in time")
        self._attempt = None
        if attempt.made is None:
            words = str(attempt.error).strip().partition("\n")[0]
            name = type(attempt.error).__name__
            raise StoreUnavailableError(f"django: {words or name}") from attempt.error
        self._wrapper, self.raw = attempt.made.wrapper, attempt.made.raw
        self.errors = (Error, OSError, self._wrapper.Database.Error)

    def _make(self) -> _Made:
        wrapper = connections.create_connection(self._alias)
        told = wrapper.settings_dict
        options = self._options(dict(told["OPTIONS"]))
        # Transactions are begun here, also where the host has Django begin them.
        wrapper.settings_dict = {**told, "AUTOCOMMIT": True, "OPTIONS": options}
        wrapper.inc_thread_sharing()
        made = _Made(wrapper)
        try:
            wrapper.connect()
            made.raw = wrapper.connection
            self._prepare(made.raw)
        except BaseException:
            made.close()
            raise
        return made

    @abc.abstractmethod
    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        """
        Return the host's ``OPTIONS`` as they are to be for this connection.
        """

    @abc.abstractmethod
    def _prepare(self, raw: Any) -> None:
        """
        Set a new connection up.
        """

    def _is_old(self) -> bool:
        at = self._wrapper.close_at
        if at is not None and time.monotonic() >= at:
            return True
        # Django's test runner gives a database another name while it runs.
        name: Any = connections.settings[self._alias]["NAME"]
        return bool(self._wrapper.settings_dict["NAME"] != name)

    def _is_lost(self) -> bool:
        return False

    def rest(self) -> None:
        """
        Close the connection where ``CONN_MAX_AGE`` says so.
        """
        if self.raw is not None and (self._is_old() or _standin.is_djangos()):
            self.close()

    def close(self) -> None:
        """
        Close the connection, also one that is on its way.
        """
        if self._attempt is not None:
            self._attempt.give_up()
            self._attempt = None
        wrapper, self._wrapper, self.raw = self._wrapper, None, None
        if wrapper is not None:
            _Made(wrapper).close()

    def leave(self) -> Any:
        """
        Forget the connection without closing it, and return it: in a child it is the parent's.
        """
        raw, self.raw = self.raw, None
        return raw

    # ---- transactions

    @abc.abstractmethod
    def begin(self, deadline: float, locks: Sequence[str], *, durable: bool) -> None:
        """
        Begin a transaction that nobody else has about *locks*.
        """

    @abc.abstractmethod
    def send(self, statements: Sequence[Statement]) -> list[Any]:
        """
        Execute *statements* in order; return the cursor of each.
        """

    @abc.abstractmethod
    def ask(self, statements: Sequence[Statement]) -> tuple[list[list[Row]], float]:
        """
        Execute *statements*, then read the clock; return the rows of each, and the time.
        """

    @abc.abstractmethod
    def commit(self, deadline: float) -> None:
        """
        Commit.
        """

    @abc.abstractmethod
    def roll_back(self, deadline: float) -> None:
        """
        Roll back, or let go of a connection that is in no state to.
        """

    @abc.abstractmethod
    def empty_log(self) -> None:
        """
        Remove what was erased from a log of the database's, where that can be done.
        """

    def rows(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """
        Execute *statements* in order; return the rows of each.
        """
        return [each.fetchall() if each.description else [] for each in self.send(statements)]

    # ---- words

    def words(self, error: BaseException) -> str:
        """
        Return what went wrong, in one line.
        """
        if self._is_without_tables(error):
            return f"{self._alias!r} has no tables {PREFIX}*; run manage.py migrate cxsdk"
        return str(error).strip().partition("\n")[0] or type(error).__name__

    @abc.abstractmethod
    def _is_without_tables(self, error: BaseException) -> bool:
        """
        Say whether a table is missing.
        """


class _Made:
    """
    One of Django's connections, and the driver's below it.
    """

    def __init__(self, wrapper: Any) -> None:
        self.wrapper = wrapper
        self.raw = wrapper.connection

    def close(self) -> None:
        """
        Close it, also where Django would not: on an event loop's thread, or in memory.
        """
        raw, self.wrapper.connection = self.wrapper.connection, None
        if raw is not None:
            with suppress(Exception):
                raw.close()


class LinkWork(Work):
    """
    A transaction under way.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.who = {}

    def run(self, *statements: Statement) -> list[list[Row]]:
        """
        Execute *statements* in order; return the rows of each.
        """
        return self._link.rows(statements)

    def change(self, statement: Statement) -> int:
        """
        Execute one statement; return how many rows it changed.
        """
        return int(self._link.send((statement,))[-1].rowcount)

    def ask(self, *statements: Statement) -> list[list[Row]]:
        """
        Like `run`, and read the clock into *now* after them.
        """
        found, self.now = self._link.ask(statements)
        return found
