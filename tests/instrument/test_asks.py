"""
An interaction says what the customer is asked, and hears whether they were asked before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.errors import InvalidEventError
from cxsdk.events import codec
from cxsdk.lookup.asks import Asks
from cxsdk.lookup.overlay import Overlay
from cxsdk.lookup.recall import Recall, note_context
from cxsdk.pipeline.capture import diversions
from cxsdk.testing import Captured, capture
from cxsdk.testing.clock import FakeClock
from tests.lookup.fake_memory import FakeMemory

DAY = 86_400.0


def _recall(clock: Any, shared: Any = None) -> Recall:
    asks = Asks()
    return Recall(Overlay(clock, shared=shared, asks=asks), asks)


class Shop:
    """
    A client with a memory, and the events of it.
    """

    def __init__(self, clock: FakeClock, events: Captured, recall: Recall | None) -> None:
        self.clock = clock
        self.events = events
        self.recall = recall
        self.client = cx.Client("shop", clock=clock)
        self.inner: Any = self.client.capture()
        self.inner.memory = recall

    def contact(
        self, *asked: str, customer: str | None = "u1", **facts: Any
    ) -> tuple[str, list[bool | None], Any]:
        """
        Have a contact in which is *asked*; return its id, the answers and its event.
        """
        refs = facts.pop("refs", {})
        touchpoint = facts.pop("touchpoint", "support.call")
        with self.client.interaction(touchpoint, customer=customer) as i:
            answers = [i.asks(question) for question in asked]
            i.refs = refs
            for name, value in facts.items():
                setattr(i, name, value)
            self.clock.advance(1)
        return i.interaction_id, answers, self.events[-1].data


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shop(clock: FakeClock) -> Iterator[Shop]:
    with capture() as events:
        yield Shop(clock, events, _recall(clock))


def test_a_question_that_was_asked_before_is_counted_and_leads_there(shop: Shop) -> None:
    """The first contact asked it; the second one repeats it and says of which one."""
    first, answers, data = shop.contact("order_number", "birthday")
    assert [False, False] == answers
    assert {"cxsdk": {"asked": ["order_number", "birthday"]}} == data.ext
    assert 0 == data.effort.questions_repeated
    assert data.memory is None

    _, answers, data = shop.contact("order_number", "reason")
    assert [True, False] == answers
    assert 1 == data.effort.questions_repeated
    assert (first, first) == (data.memory.repeat_of, data.memory.previous_interaction_id)
    assert data.memory.context_used is None


def test_a_question_is_no_repeat_after_thirty_days_or_of_another_customer(shop: Shop) -> None:
    """Nobody expects to be remembered for ever, nor for somebody else."""
    shop.contact("order_number")
    assert [False] == shop.contact("order_number", customer="u2")[1]
    shop.clock.advance(30 * DAY)
    assert [False] == shop.contact("order_number")[1]


def test_the_same_question_again_in_one_contact_says_the_same(shop: Shop) -> None:
    """A form that is shown again is one question."""
    _, answers, data = shop.contact("order_number", "order_number")
    assert [False, False] == answers
    assert (["order_number"], 0) == (data.ext["cxsdk"]["asked"], data.effort.questions_repeated)


def test_twenty_questions_are_kept(shop: Shop) -> None:
    """An event stays small, however much a customer is asked."""
    _, answers, data = shop.contact(*(f"q{number}" for number in range(30)))
    assert [False] * 30 == answers
    assert [f"q{number}" for number in range(20)] == data.ext["cxsdk"]["asked"]


def test_what_cannot_be_known_is_absent(clock: FakeClock) -> None:
    """No memory, no customer: what was asked is on the event, and nothing is counted."""
    with capture() as events:
        for recall, customer in ((None, "u1"), (_recall(clock), None)):
            shop = Shop(clock, events, recall)
            with cx.scope(account="acme"):
                _, answers, data = shop.contact("order_number", customer=customer)
            assert [None] == answers
            assert ["order_number"] == data.ext["cxsdk"]["asked"]
            assert (None, None) == (data.effort, data.memory)
    assert cx.current().asks("order_number") is None


def test_a_customer_who_is_named_later_is_looked_up_at_the_end(shop: Shop) -> None:
    """The caller says who they are after the first question."""
    first, _, _ = shop.contact("order_number")
    with cx.scope(account="acme"), shop.client.interaction("support.call") as i:
        assert i.asks("order_number") is None
        i.customer = "u1"
    data = shop.events[-1].data
    assert (1, first) == (data.effort.questions_repeated, data.memory.repeat_of)


def test_what_the_handler_counted_stands(shop: Shop) -> None:
    """Who counts by hand knows more than we do."""
    shop.contact("order_number")
    with shop.client.interaction("support.call", customer="u1") as i:
        assert i.asks("order_number")
        i.effort(questions_repeated=4, transfers=1)
    effort = shop.events[-1].data.effort
    assert (4, 1) == (effort.questions_repeated, effort.transfers)


def test_a_question_is_a_token(shop: Shop) -> None:
    """A sentence is no question that could be compared; refused like any other wrong word."""
    with shop.client.interaction("support.call", customer="u1") as i:
        with pytest.raises(InvalidEventError, match=r"interaction\.asks"):
            i.asks("What is your order number?")
        shop.inner.strict = False
        assert i.asks("What is your order number?") is None
    assert shop.events[-1].data.ext is None or "cxsdk" not in shop.events[-1].data.ext


def test_of_who_refused_nothing_is_kept_or_remembered(shop: Shop) -> None:
    """A denial takes the questions away from the event and from the memory."""
    with cx.scope(consent="denied"):
        _, _, data = shop.contact("order_number", refs={"order": "A-1"}, outcome="failure")
    assert not data.ext
    assert not data.refs
    assert [False] == shop.contact("order_number", refs={"order": "A-1"})[1]
    memory = shop.events[-1].data.memory
    assert memory is None or memory.repeat_of is None


def test_what_was_not_kept_is_not_remembered(clock: FakeClock) -> None:
    """An event that a processor drops leaves no trace."""
    client = cx.Client("shop", clock=clock, processors=[lambda _: None])
    recall = _recall(clock)
    inner: Any = client.capture()
    inner.memory = recall
    with capture(), client.interaction("support.call", customer="u1") as i:
        i.asks("order_number")
    assert 0 == len(recall.asks)


@pytest.mark.parametrize("namespace", ["app", "cxsdk"])
def test_questions_stand_beside_the_attributes_of_the_team(
    clock: FakeClock, namespace: str
) -> None:
    """Both are on the event, also where a team took our name for its own; processors see it."""
    seen: list[Any] = []
    client = cx.Client(
        "shop",
        clock=clock,
        capture=cx.CaptureOptions(namespace=namespace),
        processors=[lambda event: seen.append(event.data.ext) or event],
    )
    with capture() as events, client.interaction("support.call", customer="u1") as i:
        i.attributes["plan"] = "gold"
        i.asks("order_number")
    both = {"plan": "gold"}, {"asked": ["order_number"]}
    expected = (
        {"cxsdk": {**both[0], **both[1]}}
        if namespace == "cxsdk"
        else {"app": both[0], "cxsdk": both[1]}
    )
    assert [expected] == seen
    assert expected == events.one("interaction").data.ext


def test_both_ways_of_encoding_say_the_same(shop: Shop) -> None:
    """The text put together by hand is the one that the models give."""
    shop.contact("order_number", refs={"order": "A-1"}, goal_met="no")
    payloads: list[bytes] = []
    diversions.append(payloads.append)
    try:
        with shop.client.interaction("support.call", customer="u1") as i:
            i.asks("order_number")
            i.refs["order"] = "A-1"
            i.effort(steps=2)
            note_context(i, available=True, used=True)
    finally:
        diversions.remove(payloads.append)
    assert payloads == [codec.encode(codec.decode(payload)) for payload in payloads]
    assert b'"effort":{"steps":2,"questions_repeated":1}' in payloads[0]


# ---- repeated contacts ------------------------------------------------------------------------


def test_a_contact_about_what_was_not_settled_is_a_repeat(shop: Shop) -> None:
    """The same thing at the same touchpoint within seven days, after one that was in vain."""
    first, _, data = shop.contact(refs={"order": "A-1"}, goal_met="no")
    assert data.memory is None
    _, _, other = shop.contact(refs={"order": "B-2"})
    assert other.memory.repeat_of is None
    second, _, data = shop.contact(refs={"order": "A-1"}, outcome="partial")
    assert first == data.memory.repeat_of
    shop.clock.advance(6 * DAY)
    third, _, data = shop.contact(refs={"order": "A-1"}, goal_met="yes")
    assert (second, None) == (data.memory.repeat_of, data.memory.previous_interaction_id)
    _, _, data = shop.contact(refs={"order": "A-1"})
    assert (None, third) == (data.memory.repeat_of, data.memory.previous_interaction_id)


def test_a_contact_elsewhere_or_a_week_later_is_no_repeat(shop: Shop) -> None:
    """Another touchpoint is another attempt; what is older is another story."""
    shop.contact(refs={"order": "A-1"}, outcome="failure")
    _, _, data = shop.contact(touchpoint="store.visit", refs={"order": "A-1"})
    assert data.memory.repeat_of is None
    shop.clock.advance(7 * DAY)
    _, _, data = shop.contact(refs={"order": "A-1"})
    assert data.memory is None


def test_a_plain_contact_is_not_compared(shop: Shop) -> None:
    """Without refs and questions nothing is looked up: the short way stays short."""
    shop.contact()
    assert shop.contact()[2].memory is None


def test_a_memory_that_fails_costs_the_comparison_only(shop: Shop) -> None:
    """The event is kept, the error counted."""

    class Broken(Recall):
        def asked(self, *_: Any) -> str | None:
            answer: str = json.loads("{")
            return answer

        repeats = ended = asked  # type: ignore[assignment]

    overlay = Overlay(shop.clock)
    shop.inner.memory = Broken(overlay, Asks())
    _, answers, data = shop.contact("order_number", refs={"order": "A-1"})
    assert [None] == answers
    assert (None, None) == (data.effort, data.memory)
    assert 4 == shop.client.stats()["noted"]["memory_error"]


# ---- other processes, and context -------------------------------------------------------------


def test_a_question_of_another_process_is_known_as_soon_as_it_was_read(clock: FakeClock) -> None:
    """Unknown at first, never "no"; by the next contact the memory has been read."""
    shared = FakeMemory()
    with capture() as events:
        web, desk = (Shop(clock, events, _recall(clock, shared)) for _ in range(2))
        assert web.recall is not None
        assert desk.recall is not None
        first, answers, data = web.contact("order_number")
        assert ([None], None) == (answers, data.effort)
        web.recall.overlay.settle(5)

        shared.is_down = True
        assert [None] == desk.contact("order_number", customer="u1")[1]
        assert desk.events[-1].data.effort is None
        shared.is_down = False
        desk.recall.overlay.settle(5)
        with desk.client.interaction("support.call", customer="u1") as i:
            assert i.asks("order_number")
        assert [False] == desk.contact("birthday")[1]
    assert {"asked", "interactions"} == {
        one.shelf for told in shared.told.values() for one in told.values()
    }
    assert first
    web.recall.close()
    desk.recall.close()


def test_context_that_was_looked_at_is_noted_on_the_open_interaction(shop: Shop) -> None:
    """What was once available or used stays so; a closed interaction and none are left alone."""
    with shop.client.interaction("support.call", customer="u1") as i:
        note_context(cx.current(), available=True, used=False)
        note_context(cx.current(), available=False, used=True)
    memory = shop.events[-1].data.memory
    assert (True, True) == (memory.context_available, memory.context_used)
    note_context(i, available=True, used=True)
    note_context(cx.current(), available=True, used=True)
    note_context(None, available=True, used=True)

    with shop.client.interaction("support.call", customer="u1") as i:
        note_context(i, available=False, used=False)
        i.refs["order"] = "A-1"
    memory = shop.events[-1].data.memory
    assert (False, False) == (memory.context_available, memory.context_used)
    assert memory.previous_interaction_id is not None
