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
from collections.abc import Callable, Iterable, Iterator
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


Figures = Iterator[tuple[float, dict[str, str]]]
"""Values with their attributes, as one instrument shows them."""


def _events(stats: dict[str, Any]) -> Figures:
    yield stats["offered"], {"state": "offered"}
    yield stats["accepted"], {"state": "accepted"}
    for reason, count in stats["refused"].items():
        yield count, {"state": "refused", "reason": reason}
    for name, sink in stats["sinks"].items():
        yield sink["delivered"], {"state": "delivered", "sink": name}
        yield sink["dead_lettered"], {"state": "dead_lettered", "sink": name}
        for reason, count in sink["dropped"].items():
            yield count, {"state": "dropped", "sink": name, "reason": reason}


def _waiting(stats: dict[str, Any]) -> Figures:
    for name, sink in stats["sinks"].items():
        yield sink["spooled"] + sink["in_flight"], {"sink": name}


def _decisions(stats: dict[str, Any]) -> Figures:
    for name, sink in stats["sinks"].items():
        delivery = sink["delivery"]
        counts = {what: delivery.get(what, 0) for what in ("attempts", "retries")}
        for what, count in {**counts, **delivery.get("decisions", {})}.items():
            yield count, {"sink": name, "decision": what}


def _lag(stats: dict[str, Any]) -> Figures:
    for name, sink in stats["sinks"].items():
        yield sink["delivery"].get("lag", 0.0), {"sink": name}


def _stopped(stats: dict[str, Any]) -> Figures:
    for name, sink in stats["sinks"].items():
        delivery = sink["delivery"]
        is_stopped = delivery.get("holding") or delivery.get("breaker", "closed") != "closed"
        yield int(bool(is_stopped)), {"sink": name}


def _lookups(stats: dict[str, Any]) -> Figures:
    for of, counts in stats.get("context", {}).get("counts", {}).items():
        for what, count in counts.items():
            yield count, {"of": of, "what": what}


def register_metrics(read: Callable[[], dict[str, Any]]) -> None:
    """
    Show *read*'s figures as OpenTelemetry counters and gauges.

    ``opentelemetry.metrics`` is imported here and not before: it costs 20 ms that a process
    without a meter need not pay. *read* returns what ``Client.stats()`` returns.
    """
    from opentelemetry import metrics
    from opentelemetry.metrics import CallbackOptions, Observation

    meter = metrics.get_meter("cxsdk")

    def shown(figures: Callable[[dict[str, Any]], Figures]) -> Any:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, attributes) for value, attributes in figures(read())]

        return [callback]

    counter, gauge = meter.create_observable_counter, meter.create_observable_gauge
    counter("cxsdk.events", shown(_events), unit="{event}", description="events by what became")
    gauge("cxsdk.waiting", shown(_waiting), unit="{event}", description="accepted, not delivered")
    counter("cxsdk.delivery.decisions", shown(_decisions), description="what delivery decided")
    gauge("cxsdk.delivery.lag", shown(_lag), unit="s", description="since when something waits")
    gauge("cxsdk.delivery.stopped", shown(_stopped), description="1: on hold, or no answer")
    counter("cxsdk.context", shown(_lookups), description="what lookups and their providers did")
