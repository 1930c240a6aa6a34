"""
Django's transactions, as facts wait for them: ``transaction.on_commit``, and what is rolled back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cxsdk.integrations.django.project import project
from cxsdk.outbox.pending import quietly

__all__ = ["Atomic"]

Call = Callable[[], object]

_DJANGOS = BaseDatabaseWrapper.__module__
_UNDO = frozenset({"rollback", "savepoint_rollback", "close", "connect"})


class Atomic:
    """
    The ``atomic`` blocks that the running code is in, on all of its databases. A transaction that
    only isolates a test (``TestCase``) is none: without an ``atomic`` of the host's, a fact is said
    at once, as it would be in production. Nor is one where autocommit is off: of the host's own
    ``commit`` Django tells nobody.

    Never raises and makes no query. Safe from any thread: Django's connections belong to one.
    """

    def is_open(self) -> bool:
        """
        Say whether there is one.
        """
        return bool(_open())

    def wait(self, said: Call, lost: Call) -> None:
        """
        Call *said* after the last commit, or *lost* when one of the blocks is rolled back.
        """
        found = _open()
        news = _News(said, lost, len(found))
        for connection in found:
            connection.on_commit(_Ticket(news, connection))


def _open() -> list[Any]:
    heeded = project().on_commit
    if heeded is False:
        return []
    return [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block
        # Without autocommit a block ends in no commit, and Django tells nobody of the host's own.
        and connection.commit_on_exit
        and (heeded is True or connection.alias in heeded)
        and not all(block._from_testcase for block in connection.atomic_blocks)
    ]


class _News:
    """
    What became of the transactions a fact waits for. Told by one thread.
    """

    __slots__ = ("_is_over", "_left", "_lost", "_said")

    def __init__(self, said: Call, lost: Call, count: int) -> None:
        self._said = said
        self._lost = lost
        self._left = count
        self._is_over = False

    def committed(self) -> None:
        self._left -= 1
        if not self._left and not self._is_over:
            self._is_over = True
            quietly(self._said)

    def rolled_back(self) -> None:
        if not self._is_over:
            self._is_over = True
            quietly(self._lost)


class _Ticket:
    """
    What lies in a connection's list of things to do on commit. Django tells nobody of a rollback,
    but lets go of the list.
    """

    __slots__ = ("_connection", "_is_used", "_news")

    def __init__(self, news: _News, connection: Any) -> None:
        self._news = news
        self._connection = connection
        self._is_used = False

    def __call__(self) -> None:
        if not self._is_used:
            self._is_used = True
            self._news.committed()

    def __del__(self) -> None:
        if self._is_used:
            return
        self._is_used = True
        # Committed, and a function of the host's before this one raised: Django calls none after
        # it, but what was promised is promised. Whoever keeps the exception keeps this as well, so
        # that the connection may be in its next transaction by now.
        if self._connection.autocommit or not (self._is_listed() or _is_undone(sys._getframe(1))):
            self._news.committed()
        else:
            self._news.rolled_back()

    def _is_listed(self) -> bool:
        # The thread of an open transaction has ended, and its connection goes with it.
        return any(each[1] is self for each in self._connection.run_on_commit)


def _is_undone(frame: FrameType) -> bool:
    """
    Say whether *frame* is where Django lets go of what is rolled back.
    """
    return frame.f_globals.get("__name__") == _DJANGOS and frame.f_code.co_name in _UNDO
