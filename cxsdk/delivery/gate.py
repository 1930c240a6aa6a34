"""
Whether a destination may be asked now: pauses, the breaker, the retry budget, and holds.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict

import attrs

from cxsdk.config import DeliveryOptions
from cxsdk.delivery.breaker import Breaker
from cxsdk.delivery.policy import Backoff, RetryBudget
from cxsdk.typing import Hold, Retry

__all__ = ["Gate", "Holding"]


@attrs.define(frozen=True)
class Holding:
    """
    Why nothing goes, and when one batch is tried again.
    """

    reason: str
    until: float
    """Monotonic seconds of the next probe."""

    interval: float
    """Seconds between probes now; doubles up to what the sink said."""

    contract: bool = False
    """True: the destination refuses so much that the fault is not the events'."""


class Gate:
    """
    One destination's pauses. Moments are monotonic seconds, given by the caller.

    Written by the thread that sends; others read single attributes.

    Args:
        options: how long to wait.

        rng: source of chance.
    """

    def __init__(self, options: DeliveryOptions, rng: random.Random) -> None:
        self.breaker = Breaker()
        self.budget = RetryBudget()
        self.backoff = Backoff(options, rng)
        self.holding: Holding | None = None
        self.failures = 0
        self.decided: defaultdict[str, int] = defaultdict(int)
        """Decision → how often it was taken, for ``stats()``."""
        self._since: float | None = None
        self._throttles = 0
        self._paused_until = -math.inf
        self._asked_until = -math.inf
        self._pace = options.max_events_per_second
        self._paced_until = -math.inf

    def opens_at(self) -> float:
        """
        Return the moment before which nothing is sent.
        """
        if self.holding is not None:
            return max(self.holding.until, self._asked_until)
        return max(self._paused_until, self._paced_until)

    def sent(self, events: int, now: float) -> None:
        """
        Heed that *events* events went out: the next ones wait as long as the pace demands.
        """
        if self._pace is not None:
            self._paced_until = max(now, self._paced_until) + events / self._pace

    def wait(self, now: float) -> float:
        """
        Return the seconds until something may be sent, 0 for now.
        """
        left = self.opens_at() - now
        if left <= 0:
            self.breaker.try_now()
            return 0.0
        return left

    @property
    def probing(self) -> bool:
        """
        True: what goes next shall be as small as possible.
        """
        return self.holding is not None or self.breaker.state != "closed"

    def failed(self, retry: Retry, now: float) -> float:
        """
        Heed a transient failure; return the seconds to wait.
        """
        affordable = self.budget.spend(uncertain=retry.uncertain)
        self.decided["budget_empty"] += not affordable
        self.decided["throttled"] += retry.throttled
        self.holding = None
        if retry.throttled:
            self._throttles += 1
            wait = self.backoff.wait(self._throttles, 0.0, affordable=affordable)
        else:
            self.failures += 1
            self._since = now if self._since is None else self._since
            self.decided["breaker_opened"] += self.breaker.fail()
            wait = self.backoff.wait(self.failures, now - self._since, affordable=affordable)
        if retry.after is not None and not math.isnan(retry.after):
            asked = self.backoff.asked(retry.after)
            self._asked_until = now + asked
            wait = max(wait, asked)
        self._paused_until = now + wait
        return wait

    def alive(self, now: float) -> bool:
        """
        Heed an answer that is no failure; say whether an outage ended by it.
        """
        ended = self.breaker.succeed()
        self.budget.succeed()
        self.holding = None
        self.failures = self._throttles = 0
        self._since = None
        self._paused_until = now + self.breaker.gap
        return ended

    def hold(self, result: Hold, now: float, *, contract: bool = False) -> bool:
        """
        Stop until *result*'s probe; say whether this is new.
        """
        before = self.holding
        first = max(1.0, result.probe_after)
        interval = first
        if before is not None and before.contract == contract:
            interval = min(max(first, result.backoff_to), max(first, before.interval * 2))
        self.holding = Holding(result.reason, now + interval, interval, contract)
        return before is None or before.reason != result.reason

    def hurry(self, now: float, *, final: bool) -> bool:
        """
        Give up the pause for one attempt, if that is decent; say whether it was.

        A destination that asked for time gets it, and a hold keeps its schedule. An open breaker
        is only passed by the *final* attempt of a process: who flushes after each request
        must not wait for a dead collector each time.
        """
        if self.holding is not None or now < self._asked_until:
            return False
        if self.breaker.state != "closed" and not final:
            return False
        self._paused_until = min(self._paused_until, now)
        return True
