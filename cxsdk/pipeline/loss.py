"""
What was given up, gathered into ``loss`` records, so that no total is silently short.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cxsdk._clock import rfc3339_ns, to_ns
from cxsdk.typing import Shed

__all__ = ["Losses"]

_MOST_GROUPS = 256


class Losses:
    """
    Count losses by (reason, family, touchpoint) until they can be written. Thread-safe.
    """

    def __init__(self, clock_ns: Callable[[], int], on_due: Callable[[], None]) -> None:
        self._clock_ns = clock_ns
        self._on_due = on_due
        self._lock = threading.RLock()
        self._groups: dict[tuple[str, str, str], list[Any]] = {}
        self.due = False

    def add(
        self,
        reason: str,
        family: str,
        touchpoint: str | None,
        time_ns: int,
        count: int = 1,
        *,
        until_ns: int | None = None,
    ) -> None:
        """
        Add *count* events that happened at *time_ns*, or from then to *until_ns*.
        """
        key = (reason, family, touchpoint or "unknown")
        with self._lock:
            if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
                key = (reason, family, "x_overflow")
            group = self._groups.setdefault(key, [0, time_ns, time_ns])
            group[0] += count
            group[1] = min(group[1], time_ns)
            group[2] = max(group[2], time_ns if until_ns is None else until_ns)
            self.due = True
        self._on_due()

    def add_shed(self, shed: Shed) -> None:
        """
        Add what the spool gave up; an unreadable event counts under family ``interaction``.
        """
        from cxsdk.errors import CXError
        from cxsdk.events.codec import decode

        for payload in shed.payloads:
            family, touchpoint, time_ns = "interaction", None, self._clock_ns()
            if payload:
                try:
                    event = decode(payload)
                except CXError:
                    pass
                else:
                    family, time_ns = event.family, to_ns(event.time)
                    where = getattr(event.data, "where", None)
                    touchpoint = where.touchpoint if where else None
                    if family == "loss":
                        # A lost loss record still counts what it counted.
                        self.add(
                            shed.reason,
                            event.data.family,
                            event.data.touchpoint,
                            time_ns,
                            event.data.count,
                        )
                        continue
            self.add(shed.reason, family, touchpoint, time_ns)

    def take(self) -> list[dict[str, Any]]:
        """
        Return the gathered losses as ``data`` of loss records, and begin anew.
        """
        with self._lock:
            groups, self._groups = self._groups, {}
            self.due = False
        return [
            {
                "reason": reason,
                "family": family,
                "touchpoint": touchpoint,
                "count": count,
                "from": rfc3339_ns(first),
                "to": rfc3339_ns(last),
            }
            for (reason, family, touchpoint), (count, first, last) in groups.items()
        ]

    def give_back(self, data: dict[str, Any]) -> None:
        """
        Keep a loss record that could not be written for the next try.
        """
        first, last = (to_ns(datetime.fromisoformat(data[name])) for name in ("from", "to"))
        self.add(
            data["reason"], data["family"], data["touchpoint"], first, data["count"], until_ns=last
        )
