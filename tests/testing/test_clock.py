"""
The clock that stands still: by itself, and in force for clients of a test.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

import cxsdk as cx
from cxsdk._clock import in_force, utc_now
from cxsdk.testing import Captured, FakeClock, Knowing
from cxsdk.testing.faults import FaultCollector, ok, status

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_it_begins_now_and_stands_still(cx_clock: FakeClock) -> None:
    """The fixture's clock has the second in which the test began."""
    first = cx_clock.now
    assert timedelta(0) <= datetime.now(UTC) - first < timedelta(minutes=5)
    assert 0 == first.microsecond
    assert (first, cx_clock) == (utc_now(), in_force())


def test_it_moves_by_seconds_and_by_timedeltas() -> None:
    """Both clocks go on by the same; backwards goes none."""
    clock = FakeClock()
    before = clock.now, clock.monotonic()
    clock.advance(1.5)
    clock.advance(timedelta(days=2))
    passed = timedelta(days=2, seconds=1.5)
    assert (before[0] + passed, before[1] + passed.total_seconds()) == (
        clock.now,
        clock.monotonic(),
    )
    with pytest.raises(ValueError, match="0 or more"):
        clock.advance(timedelta(seconds=-1))


def test_it_is_set_to_a_moment() -> None:
    """Later: the time between passes; earlier: the wall clock only."""
    clock = FakeClock()
    clock.set(NOON)
    at_noon = clock.monotonic()
    clock.set((NOON + timedelta(hours=1, microseconds=1)).astimezone(timezone(timedelta(hours=5))))
    assert NOON + timedelta(hours=1, microseconds=1) == clock.now
    assert pytest.approx(3600, abs=0.001) == clock.monotonic() - at_noon
    clock.set(NOON)
    assert NOON == clock.now
    assert pytest.approx(3600, abs=0.001) == clock.monotonic() - at_noon
    with pytest.raises(ValueError, match="aware"):
        clock.set(datetime(2026, 3, 1))


def test_events_have_its_time(cx_events: Captured, cx_clock: FakeClock) -> None:
    """Also what a client says that the application makes in the test; durations follow."""
    cx_clock.set(NOON)
    cx.record("home.view", customer="u1")
    cx.init("shop", collector="memory:")
    with cx.interaction("checkout.pay", customer="u1"):
        cx_clock.advance(2.5)

    assert [NOON, NOON + timedelta(seconds=2.5)] == [event.time for event in cx_events]
    cx_events.assert_one("interaction", touchpoint="checkout.pay", duration_ms=2500)


def test_a_client_that_was_there_before_follows(request: pytest.FixtureRequest) -> None:
    """It is the same object, so that whoever holds it is in the test's time as well."""
    client = cx.init("shop", collector="memory:")
    clock: FakeClock = request.getfixturevalue("cx_clock")
    events: Captured = request.getfixturevalue("cx_events")
    clock.set(NOON)
    client.record("home.view", customer="u1")

    assert client is cx.client()
    assert NOON == events.one("interaction").time


def test_a_clock_of_the_clients_own_stays(cx_events: Captured, cx_clock: FakeClock) -> None:
    """What the application says wins."""
    own = FakeClock(epoch_ns=0)
    cx.init("shop", clock=own)
    cx.record("home.view", customer="u1")

    assert 1970 == cx_events.one("interaction").time.year


def test_ages_of_what_is_known_follow(cx_context: Knowing, cx_clock: FakeClock) -> None:
    """A section grows old, and is asked for again after its ttl."""
    cx_context.knows("u-17", profile={"name": "Anna"})
    assert 0.0 == cx.context("u-17").profile.age
    cx_clock.advance(60)
    first = cx.context("u-17").profile
    assert ("cached", 60.0) == (first.reason, first.age)
    cx_clock.advance(timedelta(days=2))
    later = cx.context("u-17").profile
    assert ("resolved", 0.0) == (later.reason, later.age)


def test_promises_fall_due_by_it(cx_context: Knowing, cx_clock: FakeClock) -> None:
    """Overdue is what the clock says, not the machine."""
    due = {"kind": "delivery", "duty": "deliver_by", "due_at": "2026-03-01T13:00:00Z"}
    warranty = {"kind": "warranty", "duty": "in_force_until", "due_at": "2026-03-20T00:00:00Z"}
    cx_context.knows("u-17", commitments=[due, warranty])
    cx_clock.set(NOON)
    promised = cx.context("u-17").commitments
    assert () == promised.overdue()
    assert ["warranty"] == [one.kind for one in promised.expiring_within(30)]
    cx_clock.advance(timedelta(hours=2))
    assert ["delivery"] == [one.kind for one in promised.overdue()]


def test_threads_wait_by_the_machine(cx_clock: FakeClock) -> None:
    """Delivery, retries and the end of a client do not hang while the clock stands still."""
    with FaultCollector() as collector:
        collector.script(status(503), ok())
        client = cx.init(
            "shop",
            collector=collector.url,
            delivery=cx.DeliveryOptions(linger=0.02, retry_base=0.01),
        )
        sent = cx.record("home.view", customer="u1")
        assert collector.wait_for(1, timeout=10)
        assert [sent.id] == collector.ids  # type: ignore[union-attr]
        began = time.monotonic()
        client.close(1.0)
        assert time.monotonic() - began < 30


def test_a_thread_that_waits_on_it_wakes() -> None:
    """A client that is given the clock has all of its waits by it."""
    clock, woken = FakeClock(), threading.Event()

    def wait() -> None:
        clock.wait(threading.Event(), 60)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    clock.advance(60)
    while not woken.wait(0.01):
        clock.advance(60)
    thread.join(5)
    assert not thread.is_alive()
