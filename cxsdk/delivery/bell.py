"""
A wake-up call that may be given from anywhere, a signal handler included.
"""

from __future__ import annotations

import contextlib
import threading

__all__ = ["Bell"]


class Bell(threading.Event):
    """
    A `threading.Event` whose `set` never waits for a lock; for one waiting thread.

    The stdlib's own holds a lock inside `set`: a signal handler that interrupts it and emits an
    event, which wakes us, would wait for itself.
    """

    def __init__(self) -> None:
        super().__init__()
        # Made by the thread that waits first: gevent may patch `threading` between here and
        # there, and a greenlet that waits at a real lock stops every greenlet.
        self._gate: threading.Lock | None = None
        self._rung = False

    def is_set(self) -> bool:
        """
        Say whether the bell was rung since the last `clear`.
        """
        return self._rung

    def set(self) -> None:
        """
        Ring. Never blocks.
        """
        self._rung = True
        if self._gate is not None:
            with contextlib.suppress(RuntimeError):  # rung already
                self._gate.release()

    def clear(self) -> None:
        """
        Forget that it was rung. Only the waiting thread calls this.
        """
        self._rung = False
        if self._gate is not None:
            self._gate.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        """
        Block until the bell is rung or *timeout* seconds are over; say whether it was rung.
        """
        if self._gate is None:
            gate = threading.Lock()
            gate.acquire()
            self._gate = gate
        # Only now: who rang before there was a gate has said so here.
        if self._rung:
            return True
        bounded = -1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)
        if self._gate.acquire(timeout=bounded):
            self._rung = True
        return self._rung
