"""
The only place that swallows: no error of ours reaches a running handler.

Each kind of trouble is said once per reason and place, then once an hour with a count.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["Voice", "caller", "is_ours", "logger", "voice"]

logger = logging.getLogger("cxsdk")
logger.addHandler(logging.NullHandler())

_ROOT = os.path.dirname(__file__)  # noqa: PTH120 - pathlib brings 4 ms of imports
_STDLIB = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120
_LIBRARIES = frozenset(
    ("attr", "attrs", "httpcore", "httpx", "msgspec", "opentelemetry", "platformdirs", "tenacity")
)
_REPEAT_S = 3600.0
_MAX_REASONS = 512
_OTHER = "other"
"""Under this all reasons are heard that come after so many."""


def caller() -> str:
    """
    Return ``file:line`` of the nearest frame outside cxsdk, for a message the user can act on.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_ROOT):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def is_ours(error: BaseException) -> bool:
    """
    Say whether *error* is ours to swallow.

    What is no ``Exception`` passes (``KeyboardInterrupt``, a worker's ``SystemExit``), and so
    does an exception whose innermost frame is the host's: a signal handler that raised in the
    middle of our code meant its own handler above us. What the ``__str__`` or another special
    method of an argument raised is ours all the same: we called it, the host did not.
    """
    if not isinstance(error, Exception):
        return False
    trace: TracebackType | None = error.__traceback__
    if trace is None:
        return True
    host = ""  # the host's function that our innermost frame was in, if any
    while trace is not None:
        code = trace.tb_frame.f_code
        if _is_inner(code.co_filename):
            host = ""
        elif not host:
            host = code.co_name
        trace = trace.tb_next
    return not host or (host.startswith("__") and host.endswith("__"))


def _is_inner(filename: str) -> bool:
    if filename.startswith((_ROOT + os.sep, "<frozen", "<attrs generated")):
        return True
    # A library that we call is inside us; the host is not, and it may be installed beside it: a
    # worker's time limit is raised in site-packages too.
    _, installed, rest = filename.rpartition("-packages" + os.sep)
    if installed:
        return rest.partition(os.sep)[0] in _LIBRARIES
    return filename.startswith(_STDLIB)


class Voice:
    """
    Log lines limited to one per reason, then one an hour that says how often it came.

    Thread-safe; never raises; makes no call while holding its lock.

    Args:
        monotonic: a clock in seconds, for tests.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._seen: dict[str, tuple[float, int]] = {}

    def say(
        self,
        level: int,
        reason: str,
        message: str,
        *args: Any,
        among: Callable[[str], bool] | None = None,
    ) -> bool:
        """
        Log *message* unless *reason* was heard in the last hour; say whether it was logged.

        *among* decides for all processes of a host which of them may say *reason* now; what it
        holds back is not counted here.
        """
        now = self._monotonic()
        with self._lock:
            if reason not in self._seen and len(self._seen) >= _MAX_REASONS:
                reason = _OTHER
            last, held_back = self._seen.get(reason, (-math.inf, 0))
            if now - last < _REPEAT_S:
                self._seen[reason] = (last, held_back + 1)
                return False
            self._seen[reason] = (now, 0)
        if among is not None and not among(reason):
            return False
        if held_back:
            message += f" ({held_back} more in the last hour)"
        try:
            logger.log(level, message, *args)
        except Exception:  # noqa: BLE001, S110 - a host's broken log handler is not our business
            pass
        return True

    def renew(self) -> None:
        """
        Replace the lock in a forked child; what was said stays said.
        """
        self._lock = threading.RLock()


voice = Voice()
