"""
A circuit breaker: a provider that fails too often is left alone for some seconds.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

from cxsdk._clock import Clock

__all__ = ["Breaker"]

_WINDOW = 20
_SHARE = 0.5
_IN_A_ROW = 5
_FIRST_REST_S = 1.0
_LONGEST_REST_S = 30.0
_LONGEST_LIMIT_S = 300.0

Verdict = Literal["go", "open", "limited"]


class Breaker:
    """
    Opens after five failures in a row, or after ten among the last twenty; then lets one probe
    through after a rest that doubles from 1 s to 30 s. Thread-safe; its lock is never held during
    a call.

    Only what a provider did wrong is to be reported as a failure: its errors, and our time limit
    on it. That a caller went away says nothing about it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        self._in_a_row = 0
        self._rest_s = _FIRST_REST_S
        self._open_until: float | None = None
        self._limited_until = 0.0
        self._probe_until: float | None = None

    def ask(self, patience: float) -> Verdict:
        """
        Say whether a call may be made; one that may must report what came of it.

        Args:
            patience: seconds after which a probe that reported nothing counts as gone.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now < self._limited_until:
                return "limited"
            if self._open_until is None:
                return "go"
            probing = self._probe_until is not None and now < self._probe_until
            if now < self._open_until or probing:
                return "open"
            self._probe_until = now + patience
            return "go"

    def succeeded(self) -> None:
        """
        Report that a call was answered.
        """
        with self._lock:
            self._outcomes.append(True)
            self._in_a_row = 0
            if self._open_until is not None:
                self._close()

    def failed(self) -> None:
        """
        Report that a call was not answered, or not in time.
        """
        with self._lock:
            self._outcomes.append(False)
            self._in_a_row += 1
            if self._open_until is not None:
                if self._probe_until is not None:
                    self._rest_s = min(self._rest_s * 2, _LONGEST_REST_S)
                    self._open()
                return
            lost = self._outcomes.count(False)
            is_often = len(self._outcomes) == _WINDOW and lost >= _WINDOW * _SHARE
            if self._in_a_row >= _IN_A_ROW or is_often:
                self._open()

    def limited(self, seconds: float) -> None:
        """
        Leave the provider alone for *seconds*, as it asked to be; capped at five minutes.
        """
        with self._lock:
            until = self._clock.monotonic() + min(max(0.0, seconds), _LONGEST_LIMIT_S)
            self._limited_until = max(self._limited_until, until)
            self._probe_until = None

    def _open(self) -> None:
        self._open_until = self._clock.monotonic() + self._rest_s
        self._probe_until = None

    def _close(self) -> None:
        self._open_until = self._probe_until = None
        self._rest_s = _FIRST_REST_S
        self._outcomes.clear()

    @property
    def state(self) -> str:
        """
        Return ``closed``, ``open``, ``half_open`` or ``limited``.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now < self._limited_until:
                return "limited"
            if self._open_until is None:
                return "closed"
            return "open" if now < self._open_until else "half_open"
