"""
Back-off, retry budget, breaker and batch sizes: pure policy.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxsdk.config import DeliveryOptions
from cxsdk.delivery.breaker import Breaker
from cxsdk.delivery.gate import Gate
from cxsdk.delivery.policy import Backoff, RetryBudget
from cxsdk.delivery.sizer import Sizer
from cxsdk.typing import Hold, Retry

OPTIONS = DeliveryOptions()


@given(st.integers(1, 100_000), st.floats(0, 1e7), st.integers(0, 2**32))
def test_waits_stay_under_the_ceiling(failures, outage, seed):
    """U(0, min(cap, base · 2ⁿ)): never above it, never under the floor, at any count."""
    wait = Backoff(OPTIONS, random.Random(seed)).wait(failures, outage)
    cap = 300.0 if outage >= 600 else 60.0
    assert 0.05 <= wait <= max(0.05, min(cap, 0.5 * 2 ** min(failures, 64)))


def test_the_ceiling_doubles_up_to_the_cap():
    """0.5, 1, 2, … 60 seconds, and 300 in a long outage."""
    backoff = Backoff(OPTIONS, random.Random(1))
    assert [backoff.ceiling(n, 60.0) for n in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [backoff.cap(age) for age in (0, 599.9, 600, 1e9)] == [60, 60, 300, 300]


def test_waits_are_spread_over_the_whole_range():
    """Full jitter: over many draws the mean is about half the ceiling."""
    backoff = Backoff(OPTIONS, random.Random(3))
    waits = [backoff.wait(20, 0.0) for _ in range(2000)]
    assert 27 < sum(waits) / len(waits) < 33
    assert min(waits) < 3
    assert max(waits) > 57


def test_without_budget_waits_are_long():
    """An empty budget waits at least half the cap, as if the outage were old."""
    backoff = Backoff(OPTIONS, random.Random(3))
    assert all(30 <= backoff.wait(1, 0.0, affordable=False) <= 60 for _ in range(200))


@given(st.floats(-1e9, 1e308), st.integers(0, 2**32))
def test_what_was_asked_is_a_minimum(after, seed):
    """At least what was asked, at most a tenth more, never more than the clamp."""
    wait = Backoff(OPTIONS, random.Random(seed)).asked(after)
    wanted = min(max(0.0, after), 900.0)
    assert wanted <= wait <= min(900.0, wanted * 1.1)


def test_the_budget_runs_out_and_comes_back():
    """500 tokens: a hundred retries or fifty after timeouts; each success gives one back."""
    budget = RetryBudget()
    assert [budget.spend() for _ in range(101)] == [True] * 100 + [False]
    for _ in range(9):
        budget.succeed()
    assert not budget.spend(uncertain=True)
    assert budget.spend()
    budget = RetryBudget()
    assert sum(budget.spend(uncertain=True) for _ in range(60)) == 50
    for _ in range(1000):
        budget.succeed()
    assert budget.tokens == 500


def test_the_breaker_opens_after_five_straight():
    """Four failures are bad luck, five are an outage."""
    breaker = Breaker()
    assert [breaker.fail() for _ in range(5)] == [False] * 4 + [True]
    assert breaker.state == "open"


def test_the_breaker_opens_when_half_fail():
    """Ten of the last twenty, never five straight."""
    breaker = Breaker()
    opened = False
    for n in range(20):
        if n % 2:
            opened = breaker.fail()
        else:
            breaker.succeed()
    assert opened
    assert breaker.state == "open"


def test_half_open_closes_with_a_ramp():
    """A good probe closes it; batches are then 100 ms apart, half that after each ten."""
    breaker = Breaker()
    for _ in range(5):
        breaker.fail()
    breaker.try_now()
    assert breaker.state == "half_open"
    assert not breaker.fail()
    assert breaker.state == "open"
    breaker.try_now()
    assert breaker.succeed()
    gaps = []
    for _ in range(60):
        gaps.append(breaker.gap)
        breaker.succeed()
    assert gaps[0] == 0.1
    assert gaps[10] == 0.05
    assert gaps[-1] == 0.0
    assert gaps == sorted(gaps, reverse=True)


def test_throttling_is_no_failure():
    """429 slows down and never opens the breaker, however often it comes."""
    gate = Gate(OPTIONS, random.Random(1))
    for n in range(100):
        assert gate.failed(Retry("429", throttled=True), 1000.0 * n) > 0
    assert gate.breaker.state == "closed"


def test_a_decent_hurry():
    """A flush cuts a back-off short, but not a Retry-After, a hold or an open breaker."""
    gate = Gate(OPTIONS, random.Random(1))
    gate.failed(Retry("503"), 0.0)
    assert gate.hurry(0.0, final=False)
    assert gate.wait(0.0) == 0
    gate.failed(Retry("503", after=30.0), 0.0)
    assert not gate.hurry(1.0, final=True)
    for _ in range(5):
        gate.failed(Retry("503"), 100.0)
    assert not gate.hurry(100.0, final=False)
    assert gate.hurry(100.0, final=True)
    gate.hold(Hold("401"), 100.0)
    assert not gate.hurry(100.0, final=True)


@given(st.integers(1, 600), st.lists(st.integers(1, 600), min_size=1, max_size=300))
def test_batch_sizes_converge(limit, wanted):
    """Whatever the limit, the sizer never goes above its maxima and soon fits under the limit."""
    sizer = Sizer(500, 10**9)
    failures = 0
    for want in wanted:
        events = min(want, sizer.events)
        if events > limit:
            failures += 1
            sizer.too_large(events, events * 100)
        else:
            sizer.went_well(events, events * 100)
        assert 1 <= sizer.events <= 500
    assert failures <= 10 + len(wanted) // 50


def test_growth_is_a_tenth_per_fifty():
    """After a 413 the limit grows slowly: additive increase, multiplicative decrease."""
    sizer = Sizer(500, 10**9)
    for _ in range(5):
        sizer.went_well(sizer.events, 1)
    assert sizer.events == 500
    sizer = Sizer(50, 10**6)
    sizer.too_large(50, 5000)
    assert (sizer.events, sizer.bytes) == (25, 2500)
    for _ in range(50):
        sizer.went_well(25, 2500)
    assert sizer.events == 27


def test_a_lowered_limit_is_learned_again():
    """What once worked and no longer does is forgotten."""
    sizer = Sizer(500, 10**6)
    sizer.went_well(400, 40_000)
    sizer.too_large(100, 10_000)
    assert not sizer.fits(60, 100)
    assert sizer.fits(50, 5_000)


@pytest.mark.parametrize("events", [0, 1])
def test_a_single_says_nothing_about_batches(events):
    """One event that is too large leaves the limits alone."""
    sizer = Sizer(500, 10**6)
    sizer.too_large(events, 999_999)
    assert sizer.bytes == 10**6


def test_a_limit_never_falls_below_what_works():
    """A 413 above a size known to work goes back to that size, not to a half."""
    sizer = Sizer(500, 10**6)
    sizer.went_well(300, 30_000)
    sizer.too_large(400, 40_000)
    assert sizer.fits(300, 30_000)
    assert not sizer.fits(301, 30_000)
