"""
The thread that keeps house: the spool's chores, and a look whether anything came in.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.delivery.bell import Bell
from cxsdk.delivery.line import Line
from cxsdk.typing import Spool

__all__ = ["Keeper"]

_TICK_S = 1.0
_SHORTEST_TICK_S = 0.05
_IDLE_CHORES_S = 30.0
_STAYS_BUSY_S = 5.0
_ADOPTS_S = 1.0
_ADOPTING_TICK_S = 0.1


class Keeper:
    """
    Wakes at most once a second while idle; senders sleep until it, or pressure, rings them.

    `step` belongs to one thread; `bell` to any.

    Args:
        spool: whose `maintain` is called about once a second, every 30 s while idle.

        lines: the destinations to be told of what came in.

        clock: all time.

        linger: seconds an event may wait for company; shorter ones make the ticks shorter while
            events come in.

        publish: gets the figures of all lines with the chores, for whoever looks from outside.
    """

    def __init__(
        self,
        spool: Spool,
        lines: Sequence[Line],
        *,
        clock: Clock,
        linger: float,
        publish: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._publish = publish
        self.bell = Bell()
        self._spool = spool
        self._lines = lines
        self._clock = clock
        self._busy_tick = min(_TICK_S, max(_SHORTEST_TICK_S, linger))
        self._looked = clock.monotonic()
        self._kept = -math.inf
        self._busy_until = -math.inf
        self._accepted = -1
        self._adopted = 0
        self._adopts_until = -math.inf

    def run(self, stopped: Callable[[], bool]) -> None:
        """
        Keep house until *stopped* says so.
        """
        while not stopped():
            try:
                wait = self.step()
            except Exception as error:  # noqa: BLE001 - the house must be kept
                kind = type(error).__name__
                voice.say(logging.ERROR, f"keeper:{kind}", "the keeper stumbled: %s", kind)
                wait = _TICK_S
            self._clock.wait(self.bell, wait)

    def step(self) -> float:
        """
        Look once; return the seconds until the next look. May block on the spool's disk.
        """
        now = self._clock.monotonic()
        pressed = self.bell.is_set()
        self.bell.clear()
        pending = sum([line.notice(self._looked) for line in self._lines])
        self._looked = now
        if pending or pressed or self._came_in():
            self._busy_until = now + _STAYS_BUSY_S
        busy = now < self._busy_until
        tick = self._busy_tick if busy else _TICK_S
        # Half a tick early is on time: a tick's own length must not make it every second one.
        due = now - self._kept >= (_TICK_S if busy else _IDLE_CHORES_S) - tick / 2
        adopts = now < self._adopts_until
        if pressed or due or adopts:
            self._kept = now
            self._spool.maintain()
            if self._publish is not None:
                self._publish({line.name: line.stats() for line in self._lines})
            self._look_at_adopted(now)
        return min(tick, _ADOPTING_TICK_S) if now < self._adopts_until else tick

    def _look_at_adopted(self, now: float) -> None:
        """
        Go on soon while directories are adopted: a few at a time are, and children that live for
        one task leave more of them than one look a second would take over.
        """
        adopted = sum([self._spool.counts(line.name).adopted for line in self._lines])
        if adopted > self._adopted:
            self._adopted = adopted
            self._adopts_until = now + _ADOPTS_S

    def _came_in(self) -> bool:
        if not self._lines:
            return False
        counts = self._spool.counts(self._lines[0].name)
        accepted = counts.accepted + counts.adopted
        changed = accepted != self._accepted
        self._accepted = accepted
        return changed
