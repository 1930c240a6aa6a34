"""
Loads under way while something happens: an event, an invalidation, an erasure, an exception.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cxsdk._clock import SystemClock
from cxsdk.knowing import Reason, SectionPlan
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.flow import Flow
from cxsdk.lookup.sources import Source
from tests.lookup.conftest import Told


def _until(is_so: Any) -> None:
    while not is_so():
        threading.Event().wait(0.001)


class _Asking:
    """
    A lookup on a thread of its own.
    """

    def __init__(self, client: Any, customer: str, section: str) -> None:
        self._ask = lambda: client.context(customer, sections=(section,), timeout=30)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._found = self._ask()

    def found(self) -> Any:
        self._thread.join(30)
        return self._found


@pytest.mark.parametrize("answer", [[], None], ids=["empty", "nothing"])
def test_what_happens_while_a_provider_looks_is_not_lost(
    make: Any, kind: type[Told], answer: Any
) -> None:
    """
    An answer without an as_of is as old as its question: an event since then stays on top of it.
    """
    provider = kind("crm", {"interactions": answer})
    client = make(provider)
    provider.open.clear()
    asking = _Asking(client, "u1", "interactions")
    provider.wait_entered()
    with client.interaction("shop.view", customer="u1"):
        pass
    provider.open.set()
    found = asking.found().interactions
    assert [one.touchpoint for one in found.value] == ["shop.view"]


def test_nothing_that_was_found_before_an_event_is_asked_for_again(make: Any) -> None:
    """
    "There is nothing" of a question older than an event does not hold after it.
    """
    provider = Told("shop", {"orders": None})
    client = make(provider)
    provider.open.clear()
    asking = _Asking(client, "u1", "orders")
    provider.wait_entered()
    with client.interaction("shop.buy", customer="u1"):
        pass
    provider.open.set()
    asking.found()
    provider.answers = {"orders": ["A-1"]}
    assert client.context("u1", sections=("orders",), timeout=30)["orders"].value == ("A-1",)


def _given_up(client: Any, provider: Told) -> None:
    """
    Leave a call behind that our time limit is over for.
    """
    provider.open.clear()
    client.context("u1", sections=("profile",), timeout=0.02)
    provider.wait_entered()
    engine = client.knower.engine
    while engine.loads._jobs:
        engine.loads.reap()


@pytest.mark.parametrize("end", ["invalidate", "forget"])
def test_a_late_answer_does_not_bring_back_what_was_dropped(make: Any, end: str) -> None:
    """
    What was asked before an invalidation or an erasure is not kept, however late it comes.
    """
    provider = Told("crm", {"profile": {"name": "Old"}})
    client = make(provider, provider_timeout=0.02, plans={"profile": SectionPlan(error_ttl=0)})
    _given_up(client, provider)
    client.invalidate("u1") if end == "invalidate" else client.forget("u1", suppress=False)
    provider.open.set()
    _until(lambda: not client.knower.engine.loads._overdue)
    provider.answers = {"profile": {"name": "New"}}
    assert client.peek("u1", sections=("profile",)).profile.value is None


def test_a_late_answer_does_not_replace_a_newer_one(make: Any) -> None:
    """
    The answer of an earlier question that comes after the answer of a later one is not kept.
    """
    held, entered = threading.Event(), threading.Semaphore(0)
    answers = iter(["Old", "New"])

    def answer(request: Any) -> Any:
        name = next(answers)
        entered.release()
        if name == "Old":
            held.wait(30)
        return {one.id: {"profile": {"name": name}} for one in request.subjects}

    provider = Told("crm", answer, sections=("profile",))
    client = make(provider, provider_timeout=0.02, plans={"profile": SectionPlan(error_ttl=0)})
    client.context("u1", sections=("profile",), timeout=0.02)
    assert entered.acquire(timeout=30)
    loads = client.knower.engine.loads
    while loads._jobs:
        loads.reap()
    assert client.context("u1", sections=("profile",), timeout=30).profile.name == "New"
    held.set()
    _until(lambda: not loads._overdue)
    assert client.peek("u1", sections=("profile",)).profile.name == "New"


def test_an_invalidation_while_an_answer_is_being_kept_holds(make: Any, monkeypatch: Any) -> None:
    """
    Dropped between the look at the flight and the keeping of its answer: it is not kept.
    """
    provider = Told("crm", {"profile": {"name": "Ada"}})
    client = make(provider)
    client.peek("u1")
    people = client.knower.engine.people
    hold = people.hold

    def holding(person: Any) -> Any:
        client.invalidate("u1")
        return hold(person)

    monkeypatch.setattr(people, "hold", holding)
    client.context("u1", sections=("profile",), timeout=30)
    monkeypatch.undo()
    assert client.peek("u1", sections=("profile",)).profile.value is None


class _TimeIsUp(BaseException):
    """
    As a worker of the host's raises it, from a signal.
    """


def test_a_load_that_an_exception_of_the_hosts_cut_off_is_begun_anew(
    make: Any, monkeypatch: Any
) -> None:
    """
    The exception passes, and whoever asks next gets an answer at once.
    """
    client = make(Told("crm", {"orders": 1}))

    def cut(*_: Any) -> Any:
        raise _TimeIsUp

    client.context("u0", sections=("orders",), timeout=30)
    monkeypatch.setattr(Source, "send", cut)
    with pytest.raises(_TimeIsUp):
        client.context("u1", sections=("orders",), timeout=30)
    monkeypatch.undo()
    engine = client.knower.engine
    assert len(engine.loads) == 0
    assert client.context("u1", sections=("orders",), timeout=30)["orders"].value == 1


def test_a_thousand_customers_cost_a_thousand_steps_not_a_million() -> None:
    """
    Who waits for which flight is found by name: a batch holds its deadline.
    """
    looks = 0

    class Ask:
        is_due, allowed, look = False, True, SimpleNamespace(purpose="support")

        def __init__(self, name: str) -> None:
            self._person = SimpleNamespace(key=("id", name))
            self.flights: dict[str, Any] = {}
            self.missing = [plan]

        @property
        def person(self) -> Any:
            nonlocal looks
            looks += 1
            return self._person

    def start(wanted: Iterator[Any], *_: Any) -> list[Any]:
        return [SimpleNamespace(person=person, plan=one) for person, (one,) in wanted]

    plan = Plan("orders", SectionPlan(), ())
    flow = Flow(*[None] * 5, 1.0, SystemClock(), lambda *_: None)  # type: ignore[arg-type]
    asks: list[Any] = [Ask(f"u{n}") for n in range(1000)]
    flights, _ = next(flow.steps(SimpleNamespace(start=start), asks, 1.0))  # type: ignore[arg-type]
    assert [ask.flights["orders"] for ask in asks] == flights
    assert looks <= 10_000


def test_a_section_laid_over_while_an_event_comes_is_laid_over_again(
    make: Any, monkeypatch: Any
) -> None:
    """
    An event that comes while the journal is read is in the next lookup.
    """
    client = make(Told("crm", {"interactions": []}))
    with client.interaction("shop.view", customer="u1"):
        pass
    client.context("u1", sections=("interactions",), timeout=30)
    holding = client.knower.engine.holding
    lay = holding._overlaid

    def laying(*said: Any) -> Any:
        value = lay(*said)
        with client.interaction("shop.buy", customer="u1"):
            pass
        return value

    with client.interaction("shop.look", customer="u1"):
        pass
    monkeypatch.setattr(holding, "_overlaid", laying)
    client.context("u1", sections=("interactions",), timeout=30)
    monkeypatch.undo()
    found = client.context("u1", sections=("interactions",), timeout=30).interactions
    assert {one.touchpoint for one in found.value} == {"shop.look", "shop.buy"}
    assert found.reason in {Reason.CACHED, Reason.RESOLVED}
