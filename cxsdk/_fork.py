"""
The fork generation: a byte that is different in every process of a family of forks.

``os.register_at_fork`` hooks do not run when C code forks (uWSGI), so the truth is a private
anonymous page that the kernel wipes in the child (MADV_WIPEONFORK). Where that does not exist,
the hook clears it. A client keeps the value of ``page[0]`` it was made under and compares it at
each emit (about 25 ns); a difference means: drop every reference, replace every lock.
Nothing else ever happens in a fork hook, except where a library cannot do without: an SQLite cap
store that is open is closed for the moment of a fork.
"""

from __future__ import annotations

import mmap
import os
import threading
from typing import Any

__all__ = ["current", "own_lock", "page"]

_MADV_WIPEONFORK = 18  # linux/mman.h; the mmap module has no name for it


def _make_page() -> mmap.mmap | bytearray:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return bytearray(1)
    made = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        made.madvise(_MADV_WIPEONFORK)
    except (OSError, ValueError, AttributeError):
        # Older kernel or not Linux: the hook below still clears the byte for os.fork.
        pass
    return made


page: mmap.mmap | bytearray = _make_page()
page[0] = 1
_value = 1
_locks: dict[int, Any] = {}


def _wipe() -> None:
    page[0] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_wipe)


def own_lock() -> Any:
    """
    Return a re-entrant lock that this process alone has, for what a child makes anew once.
    """
    # dict.setdefault is one step under the GIL, so all threads of the child get one lock.
    return _locks.setdefault(os.getpid(), threading.RLock())


def current() -> int:
    """
    Return this process's generation, 1 to 255, giving a freshly forked child a new one.

    Never blocks on a lock that a parent may have held: each process makes its own.
    """
    global _value
    if page[0]:
        return int(page[0])
    with own_lock():
        if not page[0]:
            _value = _value % 255 + 1
            page[0] = _value
    return int(page[0])
