"""
A connection of the cap store's own to a PostgreSQL server.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from contextlib import nullcontext
from types import MethodType
from typing import Any

from django.db import Error

from cxsdk.errors import StoreUnavailableError
from cxsdk.integrations.django._link import PREFIX, Link
from cxsdk.prompts.stores._work import Row, Statement
from cxsdk.prompts.stores.postgres import CLOCK, LOCKS, PostgresCapStore

__all__ = ["PostgresLink"]

_IDLE, _ACTIVE = 0, 1  # of libpq's transaction status
_LIMITS = (
    "SELECT set_config('statement_timeout', ?, true), set_config('lock_timeout', ?, true),"
    " set_config('idle_in_transaction_session_timeout', ?, true)"
)


class PostgresLink(Link):
    """
    A server. A transaction has the locks of its subjects; time is the server's.
    """

    patience_s = 0.25
    locks_all = False
    for_update = PostgresCapStore.for_update
    skip_locked = PostgresCapStore.skip_locked
    old_rows = PostgresCapStore.old_rows
    _first: tuple[Statement, ...] = ()
    _has_pipelines = False
    _is_bounded = False

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        options.pop("pool", None)  # a connection that somebody else gets next
        return options

    def _prepare(self, raw: Any) -> None:
        self._is_bounded = hasattr(raw, "pgconn")  # psycopg 3; 2 waits as long as it takes
        if self._is_bounded:
            import psycopg

            from cxsdk._postgres import Connection

            raw.deadline = float("inf")
            raw.wait = MethodType(Connection.wait, raw)
            raw.too_late = lambda: StoreUnavailableError("django: no answer in time")
            self._has_pipelines = psycopg.Pipeline.is_supported()
        else:
            self._has_pipelines = False

    def _is_lost(self) -> bool:
        if self.raw.closed:
            return True
        # At rest a server has nothing to say but goodbye.
        poll = select.poll()
        try:
            poll.register(self.raw.fileno(), select.POLLIN)
            return bool(poll.poll(0))
        except self.errors:
            return True

    def begin(self, deadline: float, locks: Sequence[str], *, durable: bool) -> None:
        """
        Have the transaction begin with the first statement, in one go with it.
        """
        if self._is_bounded:
            self.raw.deadline = deadline
        # A little less than is left: what the server ends costs no connection.
        limit = max(1, int((deadline - time.monotonic()) * 900))
        # For this transaction only: behind a pooler the next one is somebody else's.
        limits = (str(limit), str(limit), str(max(1000, 4 * limit)))
        self._first = (("BEGIN ISOLATION LEVEL READ COMMITTED", ()), (_LIMITS, limits))
        if locks:
            names = [f"cxsdk_caps:{name}" for name in locks]
            self._first += ((LOCKS, (sorted(names),)),)

    def send(self, statements: Sequence[Statement]) -> list[Any]:
        """
        Execute *statements* in order and in one go; return the cursor of each.
        """
        first, self._first = self._first, ()
        told = [(self._text(text), values) for text, values in (*first, *statements)]
        is_one_go = self._has_pipelines and len(told) > 1
        try:
            with self.raw.pipeline() if is_one_go else nullcontext():
                cursors = [self._execute(*each) for each in told]
        except self.errors as error:
            if isinstance(error.__context__, StoreUnavailableError):
                raise error.__context__ from None  # too late, and so in the middle of a pipeline
            raise
        return cursors[len(first) :]

    def _execute(self, text: str, values: Sequence[Any]) -> Any:
        cursor = self.raw.cursor()
        cursor.execute(text, values)
        return cursor

    def _text(self, statement: str) -> str:
        found = self._texts.get(statement)
        if found is None:
            found = statement.replace("{p}", PREFIX).replace("?", "%s")
            self._texts[statement] = found
        return found

    def ask(self, statements: Sequence[Statement]) -> tuple[list[list[Row]], float]:
        """
        Execute *statements*, then read the clock; return the rows of each, and the time.
        """
        *found, clock = self.rows((*statements, CLOCK))
        return found, clock[0][0] + self._shift_s()

    def commit(self, deadline: float) -> None:
        """
        Commit.
        """
        if self._first:
            self._first = ()  # nothing was asked
        else:
            self._execute("COMMIT", ())

    def roll_back(self, deadline: float) -> None:
        """
        Roll back where the server still listens; else let go of the connection, which does it.
        """
        self._first = ()
        if self.raw is None:
            return
        status = int(self.raw.info.transaction_status)
        if status == _IDLE:
            return
        try:
            if status == _ACTIVE:
                self.close()
            else:
                self._execute("ROLLBACK", ())
        except Exception:  # noqa: BLE001 - the server rolls back what is cut off
            self.close()

    def empty_log(self) -> None:
        """
        Nothing: the server's log is not ours.
        """

    def words(self, error: BaseException) -> str:
        """
        Return what went wrong, in one line, without what a row holds.
        """
        said = getattr(getattr(error, "diag", None), "message_primary", None)
        return said if said and not self._is_without_tables(error) else super().words(error)

    def _is_without_tables(self, error: BaseException) -> bool:
        driver = error.__cause__ if isinstance(error, Error) else error
        return "42P01" in {getattr(driver, "sqlstate", ""), getattr(driver, "pgcode", "")}
