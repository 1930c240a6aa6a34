"""
The ledger: how many events were offered, accepted and refused, and what became of them.

The identity, for tests and dashboards, on one snapshot::

    offered  = accepted + refused{reason}
    per sink:  accepted + adopted = delivered + in_flight + spooled + dead_lettered + dropped{reason}

``accepted`` and the per-sink figures live in the spool, counted under its locks; this room
counts what never got that far and shows everything to OpenTelemetry.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import attrs

__all__ = ["Ledger", "SinkCounts", "Tally"]


class Tally:
    """
    A counter that any thread adds to without a lock (about 35 ns).
    """

    __slots__ = ("_lock", "_reads", "add")

    def __init__(self, start: int = 0) -> None:
        # itertools.count is one step in C, so no addition is lost between threads.
        self.add: Callable[[], int] = itertools.count(start).__next__
        self._reads = 0
        self._lock = threading.RLock()

    def value(self) -> int:
        """
        Return the count; reading advances the iterator, so reads are subtracted.
        """
        with self._lock:
            value = self.add() - self._reads
            self._reads += 1
        return value


@attrs.define
class SinkCounts:
    """
    What became of the events of one sink since the process began. All are counts of events.
    """

    accepted: int = 0
    adopted: int = 0
    delivered: int = 0
    in_flight: int = 0
    spooled: int = 0
    dead_lettered: int = 0
    dropped: dict[str, int] = attrs.Factory(dict)

    def balance(self) -> int:
        """
        Return what is unaccounted for; 0 when the ledger holds.
        """
        known = self.delivered + self.in_flight + self.spooled + self.dead_lettered
        return self.accepted + self.adopted - known - sum(self.dropped.values())


class Ledger:
    """
    Counts of one client, thread-safe. A forked child begins a new one.
    """

    def __init__(self) -> None:
        self.offered = Tally()
        self._lock = threading.RLock()
        # Adding to a defaultdict runs no Python code, so a signal handler that emits cannot
        # come between the read and the write; the lock is re-entrant for the same reason.
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._noted: defaultdict[str, int] = defaultdict(int)

    def refuse(self, reason: str) -> None:
        """
        Count one event that was offered and not accepted.
        """
        with self._lock:
            self._refused[reason] += 1

    def note(self, what: str, count: int = 1) -> None:
        """
        Count something worth a look that is no event: a retry, an inline segment, an error.
        """
        with self._lock:
            self._noted[what] += count

    def refused(self) -> dict[str, int]:
        """
        Return refusals by reason.
        """
        with self._lock:
            return dict(self._refused)

    def noted(self) -> dict[str, int]:
        """
        Return the other counts by name.
        """
        with self._lock:
            return dict(self._noted)


def register_metrics(read: Callable[[], dict[str, Any]]) -> None:
    """
    Show *read*'s figures as OpenTelemetry counters and gauges.

    ``opentelemetry.metrics`` is imported here and not before: it costs 20 ms that a process
    without a meter need not pay. *read* returns what ``Client.stats()`` returns.
    """
    from opentelemetry import metrics
    from opentelemetry.metrics import CallbackOptions, Observation

    meter = metrics.get_meter("cxsdk")

    def events(_: CallbackOptions) -> Iterable[Observation]:
        stats = read()
        yield Observation(stats["offered"], {"state": "offered"})
        yield Observation(stats["accepted"], {"state": "accepted"})
        for reason, count in stats["refused"].items():
            yield Observation(count, {"state": "refused", "reason": reason})
        for name, sink in stats["sinks"].items():
            yield Observation(sink["delivered"], {"state": "delivered", "sink": name})
            yield Observation(sink["dead_lettered"], {"state": "dead_lettered", "sink": name})
            for reason, count in sink["dropped"].items():
                yield Observation(count, {"state": "dropped", "sink": name, "reason": reason})

    def waiting(_: CallbackOptions) -> Iterable[Observation]:
        for name, sink in read()["sinks"].items():
            yield Observation(sink["spooled"] + sink["in_flight"], {"sink": name})

    meter.create_observable_counter("cxsdk.events", callbacks=[events], unit="{event}")
    meter.create_observable_gauge("cxsdk.waiting", callbacks=[waiting], unit="{event}")
