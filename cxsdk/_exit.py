"""
Ends of a process: one hook for all clients together, bounded, and never the only safety net.

What is accepted as durable survives without any of this; a drain only makes it arrive sooner.
``atexit`` does not run under a plain SIGTERM, in ``multiprocessing`` children and in some worker
pools: for these there are `drain_on_sigterm` and, by itself, ``multiprocessing.util.Finalize``.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["drain_all", "drain_on_sigterm", "forget", "register"]

Drain = Callable[[float, bool], object]
"""Gets the seconds it may take, and whether the process ends for certain; does not raise."""

_drains: dict[int, tuple[Drain, float]] = {}
_hooked_pid = 0
_finalizer: Any = None


def register(owner: object, drain: Drain, budget: float) -> None:
    """
    Call *drain* at the end of this process; once per *owner*.
    """
    _drains[id(owner)] = (drain, budget)
    _hook()


def forget(owner: object) -> None:
    """
    Do not drain *owner* any more.
    """
    _drains.pop(id(owner), None)


def _hook() -> None:
    global _hooked_pid
    if not _hooked_pid:
        atexit.register(drain_all)  # a forked child inherits it
    is_new, _hooked_pid = _hooked_pid != os.getpid(), os.getpid()
    _hook_child(is_new=is_new)


def _hook_child(*, is_new: bool) -> None:
    """
    Have a ``multiprocessing`` child drain: it ends by os._exit, which runs its own finalizers and
    no ``atexit``.
    """
    global _finalizer
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None:
        return
    # What is registered while a spawned child imports the main module is cleared before its work
    # begins: so look again at the first event.
    if is_new or _finalizer is None or not _finalizer.still_active():
        _finalizer = util.Finalize(None, drain_all, exitpriority=10)


def drain_all(*, final: bool = True) -> None:
    """
    Drain every client within the largest of their budgets, all together.

    Args:
        final: the process ends now; False: it may go on, so clients stay open.
    """
    drains = list(_drains.items())
    if final:
        _drains.clear()
    if not drains:
        return
    end = time.monotonic() + max(budget for _, (_, budget) in drains)
    for _, (drain, _budget) in drains:
        drain(max(0.0, end - time.monotonic()), final)


def drain_on_sigterm() -> None:
    """
    Drain at SIGTERM, then do what SIGTERM did before. Opt-in; call it from the main thread.

    For plain ``python app.py`` under a process supervisor. Servers that handle SIGTERM
    themselves (gunicorn, uvicorn) run `lifespan` or ``atexit`` and do not need it.

    Raises:
        ValueError: called from another thread than the main one.
    """
    before: Any = signal.getsignal(signal.SIGTERM)

    def drain_and_chain(number: int, frame: FrameType | None) -> None:
        budget = max((budget for _, budget in _drains.values()), default=0.0)
        # In a thread: the interrupted code may hold a lock that a drain needs, so the wait for
        # it must be bounded.
        # A handler of the host's may let it finish its requests first: those still count.
        final = not callable(before)
        worker = threading.Thread(
            target=drain_all, kwargs={"final": final}, name="cxsdk-sigterm", daemon=True
        )
        worker.start()
        worker.join(budget + 0.5)
        if callable(before):
            before(number, frame)
        elif before != signal.SIG_IGN:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, drain_and_chain)
