"""
A notice on a spool directory's door: how delivery is doing, for whoever looks from outside.

``cxsdk doctor`` and ``cxsdk spool`` run in other processes than the service whose events wait.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cxsdk._clock import Clock, rfc3339_ns
from cxsdk.spool import _disk

__all__ = ["Notice", "read"]

_NAME = "status.json"
_MOST_BYTES = 64 * 1024
_EVERY_S = 30.0
_AT_LEAST_S = 2.0
_TELLING = ("breaker", "holding", "last_error", "decisions")


class Notice:
    """
    Writes the figures of the sinks when they tell something new, at most every two seconds.

    For one thread, the keeper's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: Any = None
        self._at = -_EVERY_S

    def put(self, folder: Path, sinks: dict[str, Any]) -> None:
        """
        Write, if there is anything new.

        Raises:
            OSError: the disk refused.
        """
        now = self._clock.monotonic()
        telling = {name: [each.get(key) for key in _TELLING] for name, each in sinks.items()}
        is_new = telling != self._said and now - self._at >= _AT_LEAST_S
        if not is_new and now - self._at < _EVERY_S:
            return
        self._at = now
        ns = self._clock.time_ns()
        body = json.dumps({"at": rfc3339_ns(ns), "sinks": sinks}, default=str).encode()
        fresh = folder / "status.new"
        _disk.unlink(fresh)
        fd = _disk.create(fresh)
        try:
            if _disk.pwrite(fd, body, 0) != len(body):
                raise OSError("short write")
        finally:
            _disk.close(fd)
        _disk.rename(fresh, folder / _NAME)
        self._said = telling


def read(folder: Path) -> dict[str, Any] | None:
    """
    Return ``{at, sinks: {name: figures}}``, or None where there is no notice that can be read.
    """
    try:
        fd = _disk.open_read(folder / _NAME)
        try:
            found = json.loads(_disk.pread(fd, _MOST_BYTES, 0))
        finally:
            _disk.close(fd)
    except (OSError, ValueError):
        return None
    is_notice = isinstance(found, dict) and isinstance(found.get("sinks"), dict)
    return found if is_notice else None
