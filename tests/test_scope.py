"""
Scopes: what is ambient belongs to one request, whatever threads, tasks and contexts do with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.scope import current_scope
from cxsdk.testing import Captured, capture


def test_a_kept_scope_serves_many_threads_at_once() -> None:
    """Each thread has its own last interaction, and none keeps the scope after its end."""
    shared = cx.scope(channel="web")
    both_in, both_done = threading.Barrier(2), threading.Barrier(2)
    left: list[Any] = []

    def serve(customer: str) -> None:
        with shared:
            both_in.wait()
            with cx.interaction("a", customer=customer):
                pass
            both_done.wait()
            cx.feedback(csat=4, customer=customer)
        left.append(current_scope.get())

    with capture() as events:
        threads = [threading.Thread(target=serve, args=(name,)) for name in ("u1", "u2")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [None, None] == left
    done = {e.data.customer.id: e.data.interaction_id for e in events.of("interaction")}
    about = {e.data.customer.id: e.data.about.interaction_ids for e in events.of("feedback")}
    assert {name: (interaction,) for name, interaction in done.items()} == about


def test_a_kept_scope_serves_many_tasks_at_once() -> None:
    """The same for tasks that begin and end in any order."""
    shared = cx.scope(channel="web")

    async def serve(customer: str, mine: asyncio.Event, other: asyncio.Event) -> object:
        async with shared:
            mine.set()
            await other.wait()
            cx.record("a", customer=customer)
        return current_scope.get()

    async def main() -> list[object]:
        first, second = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(serve("u1", first, second), serve("u2", second, first))

    with capture() as events:
        left = asyncio.run(main())

    assert [None, None] == left
    assert ["web", "web"] == [event.data.where.channel for event in events]


def test_a_scope_may_be_entered_inside_of_itself(cx_events: Captured) -> None:
    """Every exit undoes its own entry."""
    shop = cx.scope(customer="u1", channel="web")
    with shop:
        with shop, cx.scope(channel="store"):
            cx.record("a")
        cx.record("b")
    with cx.scope(customer="u2"):
        cx.record("c")

    assert [("u1", "store"), ("u1", "web"), ("u2", "unknown")] == [
        (event.data.customer.id, event.data.where.channel) for event in cx_events
    ]
    assert current_scope.get() is None


def test_a_scope_left_in_another_context_disturbs_nothing() -> None:
    """The context it was entered in ends with its own copy; the one it is left in stays."""
    one, other = cx.scope(customer="u1"), cx.scope(customer="u2")
    contextvars.copy_context().run(one.__enter__)
    with other as entered:
        one.__exit__(None, None, None)
        assert current_scope.get() is entered
    assert current_scope.get() is None


def test_a_thread_begins_without_a_scope(cx_events: Captured) -> None:
    """What is ambient in one thread is not in another."""
    reasons: list[Any] = []

    def work() -> None:
        with capture(strict=False):
            reasons.append(cx.record("a").reason)  # type: ignore[union-attr]

    with cx.scope(customer="u1"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert ["no_customer"] == reasons


@pytest.mark.parametrize("state", ["denyed", "Denied", True, ["denied"]])
def test_a_slip_in_the_consent_is_refused(state: Any) -> None:
    """What is no state of consent must not count as unknown, which would capture."""
    client = cx.Client("shop")
    with capture(strict=False) as events, client.scope(customer="u1", consent=state):
        with client.interaction("a") as i:
            i.attributes["plan"] = "gold"
        recorded = client.record("a")

    assert [] == events
    for result in (i.result, recorded):
        assert ("invalid", "consent.state") == (result.reason, result.detail.partition(":")[0])  # type: ignore[union-attr]


@pytest.mark.parametrize(("state", "stamped"), [("pending", "pending"), ("x_asked", "unknown")])
def test_states_that_are_neither_yes_nor_no_count_as_unknown(
    cx_events: Captured, state: str, stamped: str
) -> None:
    """Known customers are captured, anonymous ones not."""
    with cx.scope(customer="u1", consent=state):
        assert cx.record("a")
    with cx.scope(session="s1", consent=state):
        assert "consent" == cx.record("a").reason  # type: ignore[union-attr]

    assert stamped == cx_events.one("interaction").data.consent.state


WRONG = {
    "correlation": [5, "", "x" * 500, "\ud800", ["a"]],
    "channel": [["web"], "tv"],
    "tz": [5, "not a zone"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_a_wrong_value_is_refused_by_its_name_when_an_event_needs_it(name: str, value: Any) -> None:
    """No invalid event is spooled, by handlers as little as by verbs."""
    client = cx.Client("shop", collector="memory:")
    with client.scope(customer="u1", **{name: value}):
        with client.interaction("a") as i:
            pass
        recorded = client.record("a")

    for result in (i.result, recorded):
        assert "invalid" == result.reason  # type: ignore[union-attr]
        assert name in result.detail.partition(":")[0]  # type: ignore[union-attr]
    assert 0 == client.stats()["accepted"]
    client.close(0)
