"""
A circuit breaker: after enough failures, one small batch at a time asks whether it is over.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

__all__ = ["Breaker", "State"]

State = Literal["closed", "open", "half_open"]

_STRAIGHT = 5
_WINDOW = 20
_RAMP_FIRST_GAP_S = 0.1
_RAMP_STEP = 10
_RAMP_DONE_S = 0.005


class Breaker:
    """
    Opens after 5 transient failures running, or when half of the last 20 attempts failed.

    How long it stays open is the back-off's business: whoever waited calls `try_now`. After it
    closes, batches are first 100 ms apart, and half of that after each 10 that went well.
    Throttling is no failure and is not told to it. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self.state: State = "closed"
        self.straight = 0
        self._recent: deque[bool] = deque(maxlen=_WINDOW)
        self._gap = 0.0
        self._good = 0

    def try_now(self) -> None:
        """
        The wait is over: let one smallest batch through.
        """
        if self.state == "open":
            self.state = "half_open"

    def fail(self) -> bool:
        """
        Count a transient failure; say whether the breaker opened by it.
        """
        self.straight += 1
        self._recent.append(False)
        was_closed = self.state == "closed"
        if not was_closed or self.straight >= _STRAIGHT or self._half_failed():
            self.state = "open"
            self._gap = 0.0
            return was_closed
        return False

    def succeed(self) -> bool:
        """
        Count a success; say whether the breaker closed by it.
        """
        self.straight = 0
        self._recent.append(True)
        if self.state != "closed":
            self.state = "closed"
            self._recent.clear()
            self._gap = _RAMP_FIRST_GAP_S
            self._good = 0
            return True
        if self._gap:
            self._good += 1
            if self._good >= _RAMP_STEP:
                self._good = 0
                self._gap = self._gap / 2 if self._gap / 2 > _RAMP_DONE_S else 0.0
        return False

    @property
    def gap(self) -> float:
        """
        Seconds to leave between batches; 0 once the ramp is climbed.
        """
        return self._gap

    def _half_failed(self) -> bool:
        failed = self._recent.count(False)
        return len(self._recent) == _WINDOW and failed * 2 >= _WINDOW
