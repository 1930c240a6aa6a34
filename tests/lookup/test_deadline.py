"""
A lookup is back within its time with what there is; what comes later is there the next time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from cxsdk.errors import ProviderError
from cxsdk.knowing import ErrorCode, Failed, LookupRequest, Reason, SectionPlan
from cxsdk.testing.clock import FakeClock
from tests.lookup.conftest import Told, ToldAsync


def test_what_is_late_is_said_and_is_there_the_next_time(make: Any, kind: type[Told]) -> None:
    """
    A provider slower than the call times out for it, and its answer is cached for the next.
    """
    provider = kind("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider, provider_timeout=30.0)
    late = client.context("u1", sections=("profile",), timeout=0.02).profile
    assert (late.reason, late.error_code) == (Reason.TIMEOUT, ErrorCode.DEADLINE_EXCEEDED)
    provider.open.set()
    there = client.context("u1", sections=("profile",), timeout=30).profile
    assert (there.name, provider.calls) == ("Ada", 1)
    assert client.context("u1", sections=("profile",)).profile.reason is Reason.CACHED


def test_what_came_in_time_is_given_beside_what_did_not(make: Any) -> None:
    """
    One hanging provider costs its own sections only.
    """
    slow, quick = Told("slow", {"orders": [1]}), Told("quick", {"profile": {"name": "Ada"}})
    slow.open.clear()
    client = make(slow, quick)
    ctx = client.context("u1", sections=("orders", "profile"), timeout=0.2)
    assert ctx.reasons == {"orders": Reason.TIMEOUT, "profile": Reason.RESOLVED}
    assert ctx.partial


def test_our_time_limit_on_a_provider_counts_as_its_failure(make: Any) -> None:
    """
    Five calls beyond provider_timeout open the breaker; a caller's own deadline does not.
    """
    provider = ToldAsync("crm", {"profile": {}})
    provider.open.clear()
    client = make(provider, provider_timeout=0.02)
    reasons = [
        client.context(f"u{n}", sections=("profile",), timeout=0.02).profile.reason
        for n in range(7)
    ]
    assert reasons == [Reason.TIMEOUT] * 5 + [Reason.CIRCUIT_OPEN] * 2
    assert provider.calls == 5


def test_a_thread_that_hangs_is_given_up_and_what_it_says_later_is_kept(make: Any) -> None:
    """
    A sync provider cannot be stopped; the caller is told, and the late answer is cached.
    """
    provider = Told("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider, provider_timeout=0.02, plans={"profile": SectionPlan(error_ttl=0)})
    late = client.context("u1", sections=("profile",), timeout=0.02)
    client.context("u2", sections=("profile",), timeout=0.02)  # who comes next ends what is over
    assert late.profile.reason is Reason.TIMEOUT
    provider.open.set()
    while client.peek("u1", sections=("profile",)).profile.reason is not Reason.CACHED:
        time.sleep(0.001)
    assert client.peek("u1").profile.name == "Ada"


def test_a_hanging_provider_fills_its_own_bulkhead_only(make: Any) -> None:
    """
    With all its workers and its queue taken a provider refuses at once; another one answers.
    """
    stuck, well = Told("stuck", {"orders": [1]}), Told("well", {"profile": {"name": "Ada"}})
    stuck.open.clear()
    client = make(stuck, well, workers=1, provider_timeout=30.0)
    for n in range(101):
        assert client.context(f"u{n}", sections=("orders",), timeout=0.001).partial
    over = client.context("over", sections=("orders", "profile"), timeout=30)
    assert over["orders"].error_code is ErrorCode.BULKHEAD_FULL
    assert over.profile.name == "Ada"


def test_a_sync_provider_does_not_stall_the_callers_loop(make: Any) -> None:
    """
    While a sync provider thinks, other tasks of the caller's loop run.
    """
    provider = Told("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider)
    turns = 0

    async def story() -> Any:
        nonlocal turns
        asked = asyncio.create_task(client.acontext("u1", sections=("profile",), timeout=30))
        await asyncio.to_thread(provider.wait_entered)
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        provider.open.set()
        return await asked

    assert asyncio.run(story()).profile.name == "Ada"
    assert turns == 100


def test_the_sync_call_on_a_running_loop_warns_and_names_the_other(make: Any, caplog: Any) -> None:
    """
    context() on an event loop says once, with file and line, to await acontext().
    """
    client = make(Told("crm", {"profile": {}}))

    async def story() -> None:
        client.context("u1", sections=("profile",), timeout=30)

    asyncio.run(story())
    assert "await acontext()" in caplog.text
    assert __file__ in caplog.text


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1", True])
def test_a_timeout_that_is_none_is_said_and_the_default_holds(make: Any, timeout: Any) -> None:
    """
    A wrong timeout does not make a call that waits for ever.
    """
    client = make(Told("crm", {"profile": {"name": "Ada"}}), timeout=30.0)
    assert client.context("u1", sections=("profile",), timeout=timeout).profile.name == "Ada"


# ---- stale, and errors --------------------------------------------------------------------------


def test_a_stale_answer_is_given_at_once_and_fetched_again_once(make: Any) -> None:
    """
    Stale-while-revalidate: the old value without waiting, one refresh, then the new value.
    """
    clock = FakeClock()
    provider = Told("crm", {"profile": {"name": "old"}})
    client = make(provider, clock=clock, plans={"profile": SectionPlan(ttl=10, stale_for=100)})
    client.context("u1", sections=("profile",), timeout=30)
    clock.advance(20)
    provider.answers = {"profile": {"name": "new"}}
    provider.open.clear()
    seen = [client.context("u1", sections=("profile",)).profile for _ in range(10)]
    assert {(one.name, one.reason, one.stale) for one in seen} == {("old", Reason.STALE, True)}
    provider.wait_entered()
    provider.open.set()
    while client.peek("u1", sections=("profile",)).profile.name != "new":
        time.sleep(0.001)
    assert provider.calls == 2


def test_a_stale_answer_is_given_where_none_can_be_had(make: Any) -> None:
    """
    Stale-if-error: a hundred reads of a stale section while the provider fails cause one call.
    """
    clock = FakeClock()
    provider = Told("crm", {"profile": {"name": "old"}})
    client = make(provider, clock=clock, plans={"profile": SectionPlan(ttl=10, stale_for=100)})
    client.context("u1", sections=("profile",), timeout=30)
    clock.advance(20)

    def fails(_: LookupRequest) -> Any:
        raise ConnectionRefusedError

    provider.answers = fails
    client.context("u1", sections=("profile",), refresh=True, timeout=30)
    seen = [client.context("u1", sections=("profile",)).profile for _ in range(100)]
    assert {(one.name, one.reason, one.error_code) for one in seen} == {
        ("old", Reason.STALE, ErrorCode.CONNECTION)
    }
    assert provider.calls == 2


def test_what_is_too_old_is_not_given(make: Any) -> None:
    """
    After ttl and stale_for an error is an error.
    """
    clock = FakeClock()
    provider = Told("crm", {"profile": {"name": "old"}})
    client = make(provider, clock=clock, plans={"profile": SectionPlan(ttl=10, stale_for=20)})
    client.context("u1", sections=("profile",), timeout=30)
    clock.advance(60)

    def fails(_: LookupRequest) -> Any:
        raise ProviderError(ErrorCode.UPSTREAM_5XX)

    provider.answers = fails
    one = client.context("u1", sections=("profile",), timeout=30).profile
    assert (one.value, one.reason, one.error_code) == (None, Reason.ERROR, ErrorCode.UPSTREAM_5XX)


def test_an_error_is_remembered_for_a_moment_and_never_as_nothing(make: Any) -> None:
    """
    After a failure the provider is left alone for error_ttl; what is said is the error.
    """
    clock = FakeClock()

    def fails(_: LookupRequest) -> Any:
        raise ProviderError(ErrorCode.AUTH, "401")

    provider = Told("crm", fails, sections=("profile",))
    client = make(provider, clock=clock, plans={"profile": SectionPlan(error_ttl=2)})
    seen = [client.context("u1", sections=("profile",), timeout=30).profile for _ in range(5)]
    assert {one.reason for one in seen} == {Reason.ERROR}
    assert provider.calls == 1
    assert [one.any() for one in seen] == [None] * 5
    clock.advance(3)
    client.context("u1", sections=("profile",), timeout=30)
    assert provider.calls == 2


def test_that_there_is_nothing_is_remembered_for_its_own_time(make: Any) -> None:
    """
    Negative caching: "nothing" holds for negative_ttl, and is asked again after it.
    """
    clock = FakeClock()
    provider = Told("crm", lambda _: {}, sections=("profile",))
    client = make(provider, clock=clock, plans={"profile": SectionPlan(negative_ttl=5)})
    seen = [client.context("u1", sections=("profile",), timeout=30).profile for _ in range(5)]
    assert [(one.reason, one.any()) for one in seen] == [(Reason.NOT_FOUND, False)] * 5
    assert provider.calls == 1
    clock.advance(6)
    client.context("u1", sections=("profile",), timeout=30)
    assert provider.calls == 2


def test_a_default_stands_in_for_what_nobody_could_say(make: Any) -> None:
    """
    The plan's default is given for an outage, as such, and not for "nothing".
    """
    answers: Any = {"u1": {"plan": Failed(ErrorCode.UPSTREAM_5XX)}}
    provider = Told("crm", lambda _: answers, sections=("plan",))
    client = make(provider, plans={"plan": SectionPlan(default="free")})
    down = client.context("u1", sections=("plan",), timeout=30)["plan"]
    assert (down.value, down.reason, down.known) == ("free", Reason.DEFAULT, True)
    assert client.context("u2", sections=("plan",), timeout=30)["plan"].reason is Reason.NOT_FOUND


# ---- breaker ---------------------------------------------------------------------------------


def test_an_open_breaker_lets_one_probe_through(make: Any) -> None:
    """
    After its rest one call goes out, all others are refused until it is back; then all is well.
    """
    clock = FakeClock()

    def fails(_: LookupRequest) -> Any:
        raise ConnectionRefusedError

    provider = Told("crm", fails, sections=("profile",))
    client = make(provider, clock=clock, provider_timeout=30.0)
    for n in range(5):
        client.context(f"a{n}", sections=("profile",), timeout=30)
    refused = client.context("b", sections=("profile",), timeout=30).profile
    assert (refused.reason, provider.calls) == (Reason.CIRCUIT_OPEN, 5)
    clock.advance(2)
    provider.answers = {"profile": {"name": "Ada"}}
    provider.open.clear()
    probe = threading.Thread(
        target=client.context, args=("c",), kwargs={"sections": ("profile",), "timeout": 30}
    )
    while provider.entered.acquire(blocking=False):
        pass
    probe.start()
    provider.wait_entered()
    during = [
        client.context(f"d{n}", sections=("profile",), timeout=30).profile.reason for n in range(20)
    ]
    assert during == [Reason.CIRCUIT_OPEN] * 20
    provider.open.set()
    probe.join(30)
    assert client.context("e", sections=("profile",), timeout=30).profile.name == "Ada"
    assert provider.calls == 7


def test_a_provider_that_asks_to_be_left_alone_is(make: Any) -> None:
    """
    Retry-After is honoured for every customer, as a reason of its own and not as a failure.
    """
    clock = FakeClock()

    def limits(_: LookupRequest) -> Any:
        raise ProviderError(ErrorCode.RATE_LIMITED, retry_after=7)

    provider = Told("crm", limits, sections=("profile",))
    client = make(provider, clock=clock)
    seen = [client.context(f"u{n}", sections=("profile",), timeout=30) for n in range(3)]
    assert [ctx.profile.reason for ctx in seen] == [Reason.RATE_LIMITED] * 3
    assert provider.calls == 1
    clock.advance(8)
    client.context("u9", sections=("profile",), timeout=30)
    assert provider.calls == 2


@pytest.mark.parametrize(
    "code", [ErrorCode.UPSTREAM_4XX, ErrorCode.INVALID_SUBJECT, ErrorCode.BULKHEAD_FULL]
)
def test_what_is_not_the_providers_fault_opens_no_breaker(make: Any, code: ErrorCode) -> None:
    """
    A wrong customer id says nothing about the provider's health.
    """

    def refuses(_: LookupRequest) -> Any:
        raise ProviderError(code)

    provider = Told("crm", refuses, sections=("profile",))
    client = make(provider)
    for n in range(20):
        client.context(f"u{n}", sections=("profile",), timeout=30)
    assert provider.calls == 20


# ---- what should not happen ------------------------------------------------------------------


def test_a_flight_that_was_cut_off_is_replaced(make: Any) -> None:
    """
    An exception thrown into the start of a load does not leave its section unanswered for good.
    """
    provider = Told("crm", {"plan": "x"})
    client = make(provider, provider_timeout=0.01, timeout=0.01)
    engine = client.lookups()
    send, engine.loads._send = engine.loads._send, None
    with pytest.raises(TypeError):
        engine.loads.start(
            [(engine.whom.person("u1", None, None)[0], [engine.plans["plan"]])], "support", 0.01
        )
    engine.loads._send = send
    end = time.monotonic() + 20
    while client.context("u1", sections=("plan",), timeout=0.05)["plan"].value != "x":
        assert time.monotonic() < end


def test_an_answer_that_breaks_when_it_is_looked_at_is_an_error(make: Any) -> None:
    """
    A mapping of a team's own that raises ends the call and the worker goes on.
    """

    class Odd(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError("u1 is broken")

    provider = Told("crm", lambda _: Odd(), sections=("plan",))
    client = make(provider, workers=1)
    for who in ("u1", "u2"):
        one = client.context(who, sections=("plan",), timeout=30)["plan"]
        assert (one.reason, one.error_code) == (Reason.ERROR, ErrorCode.PARSE_ERROR)
        assert who not in one.error_message
