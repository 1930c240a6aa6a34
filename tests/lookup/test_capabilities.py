"""
What providers may do beside answering: start, subscribe, apply, status, conditional answers, close.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import cxsdk as cx
from cxsdk.errors import ProviderError
from cxsdk.knowing import UNCHANGED, ErrorCode, Found, LookupRequest, Reason, SectionPlan, Subject
from cxsdk.testing.clock import FakeClock
from tests.lookup.conftest import Told, ToldAsync


def test_a_provider_is_started_once_however_many_ask(make: Any, kind: type[Told]) -> None:
    """
    ``start`` runs once per process before the first fetch, sync and async.
    """
    begun: list[str] = []

    class Starts(kind):  # type: ignore[misc, valid-type]
        def start(self) -> Any:
            begun.append("start")
            return asyncio.sleep(0) if kind is ToldAsync else None

    client = make(Starts("crm", {"plan": "x"}))
    threads = [
        threading.Thread(target=client.context, args=(f"u{n}",), kwargs={"timeout": 30})
        for n in range(10)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert begun == ["start"]


def test_a_start_that_fails_is_tried_again(make: Any, kind: type[Told]) -> None:
    """
    The first lookup says that the provider is not ready, a later one finds it started.
    """
    tries: list[int] = []

    class Starts(kind):  # type: ignore[misc, valid-type]
        def start(self) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise ProviderError(ErrorCode.PROVIDER_NOT_READY)

    client = make(Starts("crm", {"plan": "x"}), plans={"plan": SectionPlan(error_ttl=0)})
    first = client.context("u1", sections=("plan",), timeout=30)["plan"]
    assert first.error_code is ErrorCode.PROVIDER_NOT_READY
    assert client.context("u1", sections=("plan",), timeout=30)["plan"].value == "x"


def test_news_of_a_provider_end_what_is_held(make: Any) -> None:
    """
    ``subscribe``: a changed subject is fetched again, others stay; None is everybody.
    """

    class Tells(Told):
        changed: Callable[[str | None], None]

        def subscribe(self, changed: Callable[[str | None], None]) -> None:
            self.changed = changed

    provider = Tells("crm", {"plan": "x"})
    client = make(provider, client={"privacy": cx.PrivacyOptions(key=b"k" * 32)})
    for who in ("u1", "u2"):
        client.context(who, sections=("plan",), timeout=30)
    provider.changed("u1")
    reasons = [client.peek(who, sections=("plan",))["plan"].reason for who in ("u1", "u2")]
    assert reasons == [Reason.NOT_REQUESTED, Reason.CACHED]
    provider.changed(None)
    assert client.peek("u2", sections=("plan",))["plan"].reason is Reason.NOT_REQUESTED


def test_events_are_applied_by_providers_that_want_them(make: Any) -> None:
    """
    ``apply``: each kept event in order, with the subject in wire form, also async.
    """
    heard: list[tuple[Subject, str]] = []
    over = threading.Event()

    class Applies(ToldAsync):
        takes = "wire"

        async def apply(self, subject: Subject, event: Any) -> None:
            heard.append((subject, event.type.split(".")[2]))
            if len(heard) == 2:
                over.set()

    client = make(Applies("store", {"plan": "x"}))
    client.record("shop.buy", customer="u1")
    client.feedback(csat=5, customer="u1", about=cx.About(touchpoint="shop.buy"))
    assert over.wait(20)
    assert heard == [(Subject("u1"), "interaction"), (Subject("u1"), "feedback")]


def test_a_provider_that_cannot_apply_costs_no_event(make: Any) -> None:
    """
    What ``apply`` raises is counted; the event is kept.
    """

    class Fails(Told):
        takes = "wire"

        def apply(self, *_: Any) -> None:
            self.entered.release()
            raise RuntimeError

    provider = Fails("store", {"plan": "x"})
    client = make(provider)
    assert client.record("shop.buy", customer="u1")
    provider.wait_entered()
    while "store" not in client.stats()["context"]["counts"]:
        threading.Event().wait(0.005)
    assert client.stats()["context"]["counts"]["store"] == {"unapplied": 1}


def test_what_is_unchanged_is_fresh_again_without_being_sent(make: Any) -> None:
    """
    The provider gets the version that it gave, and says UNCHANGED: the value is fresh again.
    """
    clock = FakeClock()

    def answer(request: LookupRequest) -> Any:
        (one,) = request.subjects
        known = request.versions.get((one.id, "plan"))
        return {one.id: {"plan": UNCHANGED if known == "v1" else Found("gold", version="v1")}}

    provider = Told("crm", answer, sections=("plan",))
    client = make(provider, clock=clock, plans={"plan": SectionPlan(ttl=10, stale_for=100)})
    client.context("u1", sections=("plan",), timeout=30)
    clock.advance(20)
    again = client.context("u1", sections=("plan",), timeout=30, refresh=True)["plan"]
    assert (again.value, again.reason) == ("gold", Reason.RESOLVED)
    assert client.context("u1", sections=("plan",))["plan"].reason is Reason.CACHED
    assert [dict(request.versions) for request in provider.requests] == [{}, {("u1", "plan"): "v1"}]


def test_invalidate_has_sections_fetched_again(make: Any) -> None:
    """
    What a handler knows to be over is over, section by section, also while it is on its way.
    """
    provider = Told("crm", {"plan": "x", "orders": [1]})
    client = make(provider)
    client.context("u1", sections=("plan", "orders"), timeout=30)
    client.invalidate("u1", ("plan",))
    reasons = client.peek("u1", sections=("plan", "orders")).reasons
    assert reasons == {"plan": Reason.NOT_REQUESTED, "orders": Reason.CACHED}
    provider.open.clear()
    client.prefetch("u1", sections=("plan",))
    provider.wait_entered()
    provider.wait_entered()
    client.invalidate("u1")
    provider.open.set()
    client.context("u2", sections=("plan",), timeout=30)
    assert client.peek("u1", sections=("plan",))["plan"].reason is Reason.NOT_REQUESTED


def test_prefetch_has_it_there_before_it_is_asked_for(make: Any, kind: type[Told]) -> None:
    """
    A queued call looks the customer up; the desk finds it in memory.
    """
    provider = kind("crm", {"plan": "x"})
    client = make(provider)
    assert client.prefetch("u1", sections=("plan",))
    provider.wait_entered()
    while client.peek("u1", sections=("plan",))["plan"].reason is not Reason.CACHED:
        threading.Event().wait(0.002)
    assert client.context("u1", sections=("plan",))["plan"].value == "x"
    assert provider.calls == 1


def test_an_awaitable_of_a_plain_function_is_awaited(make: Any) -> None:
    """
    A fetch that is no coroutine function but returns one works all the same.
    """

    class Returns(Told):
        def fetch(self, request: LookupRequest) -> Any:
            async def later() -> Any:
                await asyncio.sleep(0)
                return self.answer(request)

            return later()

    assert make(Returns("crm", {"plan": "x"})).context("u1", timeout=30)["plan"].value == "x"


def test_closing_says_goodbye_to_providers_of_both_colours(make: Any) -> None:
    """
    ``close`` is called once, awaited where it is async, and what fails there is said.
    """
    closed: list[str] = []

    class Sync(Told):
        def close(self) -> None:
            closed.append("sync")

    class Async(ToldAsync):
        async def close(self) -> None:
            await asyncio.sleep(0)
            closed.append("async")

    class Fails(Told):
        def close(self) -> None:
            raise RuntimeError

    client = make(Sync("a", {"x": 1}), Async("b", {"y": 1}), Fails("c", {"z": 1}))
    client.context("u1", timeout=30)
    client.close(0)
    client.close(0)
    assert sorted(closed) == ["async", "sync"]
    assert set(client.context("u1").reasons.values()) == {Reason.DISABLED}


def test_stats_say_how_each_provider_is(make: Any) -> None:
    """
    A provider's own word, else its breaker; loads and failures by provider.
    """

    class Says(Told):
        def status(self) -> str:
            return "replica, 3 s behind"

    def fails(_: LookupRequest) -> Any:
        raise ConnectionError

    client = make(Says("a", {"x": 1}), Told("b", fails, sections=("y",)))
    client.context("u1", timeout=30)
    stats = client.stats()["context"]
    assert stats["providers"] == {"a": "replica, 3 s behind", "b": "closed"}
    assert stats["counts"] == {"a": {"loads": 1}, "b": {"loads": 1, "failed": 1}}


def test_what_is_withheld_is_counted(make: Any) -> None:
    """
    Denied sections are visible as counts: by reason and section, and by purpose for consent.
    """
    client = make(
        Told("crm", {"plan": "x", "health": 1}),
        plans={"health": SectionPlan(purposes=("contract",))},
    )
    for _ in range(3):
        client.context("u1", sections=("plan", "health"), timeout=30)
    client.context("u1", sections=("plan",), purpose="marketing")
    client.context("u1", sections=("plan",), assurance="claimed")
    counts = client.stats()["context"]["counts"]
    assert counts["health"] == {"purpose_denied": 3}
    assert counts["marketing"] == {"consent_denied": 1}
    assert counts["plan"] == {"assurance_too_low": 1}
