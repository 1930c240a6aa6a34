"""
A connect on a thread of its own, for drivers that have no time limit or a coarse one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Attempt"]


class _Closing(Protocol):
    def close(self) -> Any:
        """
        Close it.
        """


C = TypeVar("C", bound=_Closing)


class Attempt(Generic[C]):
    """
    A connect on its way, on a thread of its own.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._is_given_up = False
        self.made: C | None = None
        self.error: Exception | None = None
        threading.Thread(target=self._run, name="cxsdk-connect", daemon=True).start()

    def _run(self) -> None:
        try:
            made = self._make()
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self.error = error
        else:
            with self._lock:
                self.made = None if self._is_given_up else made
            if self.made is None:
                made.close()
        self._done.set()

    def wait(self, deadline: float) -> bool:
        """
        Say whether it is over by *deadline*, one way or the other.
        """
        return self._done.wait(max(0.0, deadline - time.monotonic()))

    def give_up(self) -> None:
        """
        Have what comes of it closed.
        """
        with self._lock:
            self._is_given_up = True
            made, self.made = self.made, None
        if made is not None:
            made.close()
