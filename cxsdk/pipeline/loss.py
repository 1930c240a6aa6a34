"""
What was given up, gathered into ``loss`` records, so that no total is silently short.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from cxsdk._clock import rfc3339_ns, to_ns
from cxsdk.typing import Shed

__all__ = ["Losses"]

_MOST_GROUPS = 256


class _Where(msgspec.Struct):
    touchpoint: str | None = None


class _Data(msgspec.Struct):
    where: _Where | None = None
    family: str = "interaction"
    touchpoint: str | None = None
    count: int = 1
    sink: str | None = None


class _Glance(msgspec.Struct):
    """
    The little of an event that its loss is counted by.
    """

    type: str
    time: datetime
    data: _Data

    @property
    def family(self) -> str:
        return self.type.split(".")[-3]

    @property
    def time_ns(self) -> int:
        return to_ns(self.time)


_decoder = msgspec.json.Decoder(_Glance)


def _glance(payload: bytes) -> _Glance | None:
    try:
        found = _decoder.decode(payload)
    except msgspec.DecodeError:
        return None
    # Type prefix, family, action, version: events of the standard have no fewer parts.
    return found if found.type.count(".") >= 3 and found.time.tzinfo else None


class Losses:
    """
    Count losses by (reason, family, touchpoint, sink) until they can be written. Thread-safe.
    """

    def __init__(self, clock_ns: Callable[[], int], on_due: Callable[[], None]) -> None:
        self._clock_ns = clock_ns
        self._on_due = on_due
        self._lock = threading.RLock()
        self._groups: dict[tuple[str, str, str, str | None], list[Any]] = {}
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
        sink: str | None = None,
    ) -> None:
        """
        Add *count* events that happened at *time_ns*, or from then to *until_ns*.

        *sink* is the only one that lost them; None: all did.
        """
        key = (reason, family, touchpoint or "unknown", sink)
        with self._lock:
            if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
                key = (reason, family, "x_overflow", sink)
            group = self._groups.setdefault(key, [0, time_ns, time_ns])
            group[0] += count
            group[1] = min(group[1], time_ns)
            group[2] = max(group[2], time_ns if until_ns is None else until_ns)
            self.due = True
        self._on_due()

    def add_shed(self, shed: Shed) -> None:
        """
        Add what the spool gave up; an unreadable event counts under family ``interaction``.

        Runs in the host's thread where memory is full, so it only glances at the events.
        """
        now = self._clock_ns()
        for payload in shed.payloads:
            glance = _glance(payload)
            for sink in shed.sinks or (None,):
                if glance is None:
                    self.add(shed.reason, "interaction", None, now, sink=sink)
                elif glance.family == "loss":
                    self._add_again(shed.reason, glance, sink)
                else:
                    where = glance.data.where
                    touchpoint = where.touchpoint if where else None
                    self.add(shed.reason, glance.family, touchpoint, glance.time_ns, sink=sink)

    def _add_again(self, reason: str, glance: _Glance, sink: str | None) -> None:
        """
        Count again what a lost loss record counted; for a sink that it did not concern, nothing.
        """
        lost = glance.data
        if lost.sink is None or sink is None or sink == lost.sink:
            about = (lost.family, lost.touchpoint, glance.time_ns, lost.count)
            self.add(reason, *about, sink=sink or lost.sink)

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
                **({} if sink is None else {"sink": sink}),
            }
            for (reason, family, touchpoint, sink), (count, first, last) in groups.items()
        ]

    def give_back(self, data: dict[str, Any]) -> None:
        """
        Keep a loss record that could not be written for the next try.
        """
        first, last = (to_ns(datetime.fromisoformat(data[name])) for name in ("from", "to"))
        self.add(
            data["reason"],
            data["family"],
            data["touchpoint"],
            first,
            data["count"],
            until_ns=last,
            sink=data.get("sink"),
        )
