"""
A connection of the cap store's own to a file of SQLite.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from cxsdk.integrations.django._link import PREFIX, Link
from cxsdk.prompts.stores._work import Row, Statement
from cxsdk.prompts.stores.sqlite import NAP_S, begin, is_busy

__all__ = ["SqliteLink"]


class SqliteLink(Link):
    """
    A file. A transaction has its write lock; time is this machine's.
    """

    patience_s = 0.04  # for others; so that it is said before an engine's deadline
    locks_all = True
    _time: Callable[[], float] = staticmethod(time.time)
    _is_wal = False

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "timeout": self._timeout}

    def _prepare(self, raw: Any) -> None:
        (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
        self._is_wal = mode == "wal"
        raw.execute("PRAGMA secure_delete=ON")
        raw.execute("PRAGMA busy_timeout=0")  # SQLite's own waiting serves the last first

    def begin(self, deadline: float, locks: Sequence[str], *, durable: bool) -> None:
        """
        Take the write lock.
        """
        if self._is_wal:
            # Without a log a power cut could harm the host's own tables: there it stays as it is.
            self.raw.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        begin(self.raw, deadline)

    def send(self, statements: Sequence[Statement]) -> list[Any]:
        """
        Execute *statements* in order; return the cursor of each.
        """
        execute = self.raw.execute
        return [execute(self._text(text), values) for text, values in statements]

    def _text(self, statement: str) -> str:
        found = self._texts.get(statement)
        if found is None:
            found = self._texts[statement] = statement.replace("{p}", PREFIX)
        return found

    def ask(self, statements: Sequence[Statement]) -> tuple[list[list[Row]], float]:
        """
        Execute *statements*, then read the clock; return the rows of each, and the time.
        """
        return self.rows(statements), self._time() + self._shift_s()

    def commit(self, deadline: float) -> None:
        """
        Commit, as soon as those who read are done.
        """
        while True:
            try:
                self.raw.execute("COMMIT")
            except self._wrapper.Database.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(random.uniform(*NAP_S))  # noqa: S311 - a nap
            else:
                return

    def roll_back(self, deadline: float) -> None:
        """
        Roll back, or let go of the connection.
        """
        try:
            if self.raw is not None and self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - closing does it
            self.close()

    def empty_log(self) -> None:
        """
        Remove from the log what was erased; while others read, that takes until its next writing.
        """
        if self._is_wal:
            self.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def words(self, error: BaseException) -> str:
        """
        Return what went wrong, in one line.
        """
        return f"others use {self._alias!r}" if is_busy(error) else super().words(error)

    def _is_without_tables(self, error: BaseException) -> bool:
        return str(error).startswith("no such table")
