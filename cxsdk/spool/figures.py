"""
The accounts: what became of the records of each sink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from cxsdk._clock import Clock
from cxsdk._ledger import SinkCounts
from cxsdk.config import SpoolOptions
from cxsdk.spool.dead import DeadLetters
from cxsdk.spool.intake import Intake
from cxsdk.spool.segment import Segment

__all__ = ["Figures"]


@attrs.define
class _Account:
    """
    What became of one sink's records; the rest follows from the segments.
    """

    adopted: int = 0
    delivered: int = 0
    dead_lettered: int = 0
    dropped: Counter[str] = attrs.Factory(Counter)


class Figures(Intake):
    """
    Read the books: one consistent snapshot under the book's and the append lock.
    """

    def __init__(
        self,
        options: SpoolOptions,
        clock: Clock,
        sinks: tuple[str, ...],
        note: Callable[[str, int], None],
        on_pressure: Callable[[], None],
    ) -> None:
        super().__init__(options, clock, sinks, note, on_pressure)
        self._accounts = {sink: _Account() for sink in sinks}
        self._adopted: list[Segment] = []
        self._dead = DeadLetters(options, clock)

    def _all_segments(self) -> list[Segment]:
        return [*self._vital.segments, *self._bulk.segments, *self._adopted]

    def pending(self, sink: str) -> int:
        """
        Return how many records *sink* has still to get, leased ones included.
        """
        with self._book, self._lock:
            segments = self._all_segments()
            return sum(each.readings[sink].pending for each in segments if sink in each.readings)

    def counts(self, sink: str) -> SinkCounts:
        """
        Return the sink's figures, one consistent snapshot.
        """
        if self._aside:
            self._drain_aside()
        account = self._accounts.get(sink)
        if account is None:
            return SinkCounts()
        with self._book, self._lock:
            readings = [e.readings[sink] for e in self._all_segments() if sink in e.readings]
            in_flight = sum(each.in_flight for each in readings)
            return SinkCounts(
                accepted=sum(track.accepted() for track in self._tracks) - self._moved,
                adopted=account.adopted,
                delivered=account.delivered,
                in_flight=in_flight,
                spooled=sum(each.pending for each in readings) - in_flight,
                dead_lettered=account.dead_lettered,
                dropped=dict(account.dropped),
            )

    def stats(self) -> dict[str, Any]:
        """
        Return what there is to know, as plain values.
        """
        with self._book, self._lock:
            segments = self._all_segments()
            return {
                "accepted": sum(track.accepted() for track in self._tracks) - self._moved,
                "segments": len(segments),
                "bytes": sum(each.filled for each in segments),
                "memory_bytes": self._budget.used,
                "adopted_segments": len(self._adopted),
                "dead_letters": self._dead.stats(),
            }
