"""
When to try again, and how much trying is fair. Pure: time and chance come in as arguments.
"""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

from cxsdk.config import DeliveryOptions

if TYPE_CHECKING:
    import tenacity

__all__ = ["Backoff", "RetryBudget"]

_FLOOR_S = 0.05
_SPREAD = 0.1
_MAX_EXPONENT = 64


@functools.lru_cache(maxsize=1)
def _retrying() -> tenacity.Retrying:
    # tenacity is imported at the first failure, not with cxsdk.
    import tenacity

    return tenacity.Retrying()


class Backoff:
    """
    Full jitter: U(0, min(cap, base · 2ⁿ)), never under 50 ms.

    The ceiling is tenacity's `wait_exponential`, the draw is ours, so that tests can seed it.
    See "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        options: base, caps and the age at which an outage is a long one.

        rng: source of chance.
    """

    def __init__(self, options: DeliveryOptions, rng: random.Random) -> None:
        self._options = options
        self._rng = rng

    def wait(self, failures: int, outage: float, *, affordable: bool = True) -> float:
        """
        Return the seconds to wait after the *failures*-th failure running (1 for the first).

        Args:
            failures: at least 1.

            outage: seconds since the first of them.

            affordable: False when the retry budget is spent: the wait is then drawn from the
                upper half of the cap, as if the outage were an old one.
        """
        cap = self.cap(outage)
        if not affordable:
            return self._rng.uniform(cap / 2, cap)
        return max(_FLOOR_S, self._rng.uniform(0.0, self.ceiling(failures, cap)))

    def cap(self, outage: float) -> float:
        """
        Return the longest wait, in seconds, after *outage* seconds without a success.
        """
        long = outage >= self._options.outage_after
        return self._options.outage_cap if long else self._options.retry_cap

    def ceiling(self, failures: int, cap: float) -> float:
        """
        Return min(cap, base · 2ⁿ) for the *failures*-th failure.
        """
        import tenacity

        wait = tenacity.wait_exponential(multiplier=self._options.retry_base, max=cap)
        state = tenacity.RetryCallState(_retrying(), None, (), {})
        state.attempt_number = min(max(1, failures), _MAX_EXPONENT)
        return float(wait(state))

    def asked(self, after: float) -> float:
        """
        Return the seconds to wait when a destination asked for *after*: at least that, at most
        10 % more, so that not everyone comes back at the same moment; clamped.
        """
        cap = self._options.retry_after_cap
        wanted = min(max(0.0, after), cap)
        return min(cap, wanted * (1.0 + self._rng.uniform(0.0, _SPREAD)))


class RetryBudget:
    """
    A token bucket that keeps retries a small share of requests (as botocore's standard mode).

    Starts full at *capacity*; a retry takes 5, one after a timeout 10, a success gives 1 back.
    Used by one thread at a time.
    """

    RETRY = 5
    UNCERTAIN = 10
    SUCCESS = 1

    def __init__(self, capacity: int = 500) -> None:
        self.capacity = capacity
        self.tokens = capacity

    def spend(self, *, uncertain: bool = False) -> bool:
        """
        Pay for one retry; say whether there was enough. What is missing is not borrowed.
        """
        cost = self.UNCERTAIN if uncertain else self.RETRY
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def succeed(self) -> None:
        """
        Give one token back.
        """
        self.tokens = min(self.capacity, self.tokens + self.SUCCESS)
