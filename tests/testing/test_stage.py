"""
What stands in for parts of clients is there for the test, in whatever order, and gone after it.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

import cxsdk as cx
from cxsdk import _clock, _default, _exit, _standin
from cxsdk.prompts import Prompt, Question, Trigger
from cxsdk.sinks.memory import MemorySink
from cxsdk.testing import Asking, Captured, FakeClock, Knowing
from cxsdk.testing._stage import Stage
from cxsdk.testing.faults import FaultCollector

EFFORT = Prompt(
    key="effort",
    trigger=Trigger(event="checkout.pay", outcome="success"),
    questions=[Question(id="easy", kind="ces")],
)
FIXTURES = ("cx_events", "cx_clock", "cx_prompts", "cx_context", "application")


@pytest.mark.parametrize("order", list(itertools.permutations(FIXTURES)), ids=" ".join)
def test_the_fixtures_work_in_any_order(
    order: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """Also with an application that makes its client before, between or after them."""
    made: dict[str, Any] = {
        name: cx.init("shop", collector="memory:")
        if name == "application"
        else request.getfixturevalue(name)
        for name in order
    }
    events: Captured = made["cx_events"]
    clock: FakeClock = made["cx_clock"]
    asking: Asking = made["cx_prompts"]
    knowing: Knowing = made["cx_context"]
    asking.use(EFFORT)
    knowing.knows("u-17", orders=[{"id": "A-1"}])

    with cx.scope(customer="u-17"):
        with cx.interaction("checkout.pay"):
            clock.advance(2)
        assert cx.prompts.offer("effort")
    assert made["application"] is cx.client()
    assert clock.now == events.assert_one("interaction", duration_ms=2000).time
    assert asking.answer("effort", {"easy": 6})
    assert "A-1" == cx.context("u-17")["orders"][0]["id"]
    with pytest.raises(cx.InvalidEventError):
        cx.feedback(csat=9, customer="u-17")


def test_a_client_of_before_is_put_back_as_it_was() -> None:
    """Its parts, its threads, its counts and its drain at exit are those of before."""
    with FaultCollector() as collector:
        client = cx.init("shop", collector=collector.url, delivery=cx.DeliveryOptions(linger=0.02))
        client.record("home.view", customer="u1")
        before = dict(vars(client))
        with Stage() as stage:
            stage.hold(FakeClock())
            assert client._parts is not before["_parts"]
            assert client.settings.strict
        assert before == vars(client)
        assert id(client) in _exit._drains
        client.record("home.view", customer="u1")
        assert 0 == client.flush(10).pending
        assert 2 == len(collector.ids)
        client.close(1)


def test_what_is_decorated_follows(request: pytest.FixtureRequest) -> None:
    """A function that ran before, by the module and by a client, is in the test and out of it."""
    client = cx.init("shop", collector=MemorySink())
    sink = client._sinks["default"]

    @cx.interaction("by.module", customer=cx.arg("who"))
    def first(who: str) -> None:
        pass

    @client.interaction("by.client", customer=cx.arg("who"))
    def second(who: str) -> None:
        with client.interaction("within", customer=who):
            pass

    def run() -> None:
        first("u1")
        second("u1")

    run()
    events: Captured = request.getfixturevalue("cx_events")
    run()
    assert ["by.module", "within", "by.client"] == events.touchpoints()
    assert 0 == cx.flush(10).pending
    request.getfixturevalue("cx_clock").set(datetime(2026, 3, 1, tzinfo=UTC))
    run()
    assert [(2026, 3, 1)] * 3 == [event.time.timetuple()[:3] for event in events[3:]]
    assert sink is not client._sinks["default"]


def test_nothing_is_left_of_a_stage() -> None:
    """Hooks, clocks and the client for the time being are gone."""
    with Stage() as stage:
        stage.hold(FakeClock())
        stage.put(lambda settings: settings, lambda engine: None)
        assert cx.client() is not None
    assert ([], [], [], None) == (
        _clock.held,
        _standin.settings,
        _standin.engines,
        _default.client(),
    )


def test_a_client_made_meanwhile_and_left_open_is_what_it_said() -> None:
    """Outside of the test it has its own clock, prompts and strictness, and takes events."""
    with Stage() as stage:
        asking, clock = Asking(), FakeClock(epoch_ns=0)
        stage.hold(clock)
        stage.put(asking._settle, asking._show)
        asking.use(EFFORT)
        client = cx.init("shop", collector="memory:")
        assert ["effort"] == list(client.prompts.prompts)
    assert client is cx.client()
    assert "invalid" == client.feedback(csat=9, customer="u1").reason  # type: ignore[union-attr]
    assert client.record("home.view", customer="u1")
    assert {} == client.prompts.prompts
    assert client._clock is _clock.in_force()


def test_a_sink_of_the_hosts_is_not_closed_by_a_stage() -> None:
    """It is lent to the client that stands in, and goes on afterwards."""
    sink = MemorySink()
    client = cx.init("shop", collector={"mine": sink, "other": "null:"})
    with Stage():
        client.record("home.view", customer="u1")
        assert 0 == cx.flush(10).pending
        assert 1 == len(sink.events)
    client.record("home.view", customer="u1")
    assert 0 == cx.flush(10).pending
    assert 2 == len(sink.events)


def test_a_client_that_the_test_closed_stays_closed() -> None:
    """An application that ends within the test is over after it."""
    client = cx.init("shop", collector="memory:")
    with Stage():
        client.close(1)
    assert "closed" == client.health().reason
    with Stage():
        made = cx.init("shop", collector=MemorySink())
        made.close(1)
    assert "closed" == made.health().reason


def test_a_mistake_in_what_stands_in_leaves_the_client() -> None:
    """What cannot be made raises, and the client of before is as it was."""
    client = cx.init("shop", collector="memory:")
    before = dict(vars(client))

    def refuse(_: Any) -> Any:
        raise cx.ConfigurationError("no")

    _standin.settings.append(refuse)
    try:
        with pytest.raises(cx.ConfigurationError), Stage():
            pass
    finally:
        _standin.settings.remove(refuse)
    assert before == vars(client)
    assert [] == _standin.settings
