"""
Files of SQLite and forks: whatever is open is closed for the moment of one.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol

__all__ = ["Forking", "at_forks", "never_close"]


class Forking(Protocol):
    """
    A store that has a file open.
    """

    _lock: threading.Lock

    def _before_fork(self) -> bool:
        """
        Close the file and keep the lock; return False where the lock cannot be had.
        """


_stores: weakref.WeakSet[Any] = weakref.WeakSet()
_is_hooked = False
_left: list[Any] = []
"""Connections that nobody may close in this process."""


def never_close(connection: Any) -> None:
    """
    Never close *connection*, not even when this process ends.
    """
    import ctypes

    _left.append(connection)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def at_forks(store: Forking) -> None:
    """
    Have the file of *store* closed for the moment of a fork.

    SQLite keeps one list of open files and their locks per process, and POSIX does not hand locks
    to a child. A child that opened a file which is on the inherited list would believe in locks
    that it does not hold, and the next to come could truncate the log under it. So there must be
    nothing on the list; see "How To Corrupt An SQLite Database File", 2.6. Where C code forks
    without these hooks, the child refuses.
    """
    global _is_hooked
    _stores.add(store)
    if _is_hooked or not hasattr(os, "register_at_fork"):
        return
    _is_hooked = True
    held: list[Forking] = []

    def before() -> None:
        held[:] = [each for each in list(_stores) if each._before_fork()]

    def after() -> None:
        for each in held:
            each._lock.release()
        held.clear()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
