"""
Someone who waits for delivery to come to an end, or to a point where waiting is of no use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from cxsdk._clock import Clock
from cxsdk.delivery.line import Line
from cxsdk.typing import DeliveryReport, Spool

__all__ = ["Waiter"]


class Waiter:
    """
    One `flush` or `close`: what was pending when it began, and whether that is settled.

    `look` may be called from any thread; *done* is called by whichever sees the end first,
    perhaps more than once.

    Args:
        spool: where events are.

        lines: the destinations.

        clock: all time.

        timeout: seconds after which it is over anyway.

        final: True for `close`.

        done: called when there is nothing more to wait for; must not block.
    """

    def __init__(
        self,
        spool: Spool,
        lines: Sequence[Line],
        *,
        clock: Clock,
        timeout: float,
        final: bool,
        done: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._lines = lines
        self._clock = clock
        self._done = done
        self._began = clock.monotonic()
        self.deadline = self._began + max(0.0, timeout)
        self._settled = {line.name: self._count(line) for line in lines}
        self._adopted = {line.name: spool.counts(line.name).adopted for line in lines}
        self._wanted = {line.name: spool.pending(line.name) for line in lines}
        self._tickets: Mapping[str, int] = {
            line.name: line.call(final=final) for line in lines if self._wanted[line.name]
        }
        self._stuck = ""

    def left(self) -> float:
        """
        Return the seconds until the deadline, 0 when it has passed.
        """
        return max(0.0, self.deadline - self._clock.monotonic())

    def look(self) -> bool:
        """
        Say whether waiting is over, and tell who waits.
        """
        over = all(self._is_over(line) for line in self._lines)
        if over:
            self._done()
        return over

    def _is_over(self, line: Line) -> bool:
        wanted = self._wanted[line.name]
        if not wanted or self._spool.pending(line.name) <= 0:
            return True
        # What was adopted meanwhile may go first, and is not what was waited for.
        adopted = self._spool.counts(line.name).adopted - self._adopted[line.name]
        if sum(self._count(line)) - sum(self._settled[line.name]) >= wanted + adopted:
            return True
        # What it cannot even try before the deadline is not worth waiting for.
        return line.heeded >= self._tickets[line.name] and line.next_at > self.deadline

    def report(self) -> DeliveryReport:
        """
        Return what happened since the beginning.
        """
        pending = delivered = dropped = 0
        for line in self._lines:
            pending += self._spool.pending(line.name)
            before, after = self._settled[line.name], self._count(line)
            delivered += after[0] - before[0]
            dropped += after[1] - before[1]
        return DeliveryReport(
            delivered=delivered,
            pending=pending,
            spooled=pending if self._spool.durable else 0,
            dropped=dropped,
            seconds=self._clock.monotonic() - self._began,
            reason=self._reason() if pending else "",
        )

    def _count(self, line: Line) -> tuple[int, int]:
        counts = self._spool.counts(line.name)
        return counts.delivered, counts.dead_lettered + sum(counts.dropped.values())

    def _reason(self) -> str:
        behind = [line for line in self._lines if self._spool.pending(line.name)]
        if any(line.gate.holding for line in behind):
            return "holding"
        if any(line.next_at == math.inf and line.last_error for line in behind):
            return "refused"
        if any(line.gate.failures or line.gate.opens_at() > self.deadline for line in behind):
            return "retrying"
        return "timeout"
