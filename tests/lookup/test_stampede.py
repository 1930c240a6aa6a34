"""
One call of a provider for everybody who asks, whatever becomes of it, and whoever goes away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cxsdk.knowing import Reason
from tests.lookup.conftest import Told


def _outcomes() -> dict[str, tuple[Callable[[Any], Any], Reason]]:
    def found(request: Any) -> Any:
        return {one.id: {"profile": {"name": "Ada"}} for one in request.subjects}

    def fails(_: Any) -> Any:
        raise RuntimeError("down")

    def nothing(_: Any) -> Any:
        return {}

    return {
        "found": (found, Reason.RESOLVED),
        "error": (fails, Reason.ERROR),
        "absent": (nothing, Reason.NOT_FOUND),
    }


@pytest.mark.parametrize("outcome", ["found", "error", "absent"])
def test_fifty_threads_and_fifty_tasks_over_five_loops_cause_one_call(
    make: Any, kind: type[Told], outcome: str
) -> None:
    """
    Fifty threads and fifty tasks of five loops that ask at once get one provider call's answer.
    """
    answer, reason = _outcomes()[outcome]
    provider = kind("crm", answer, sections=("profile",))
    provider.open.clear()
    client = make(provider)
    seen: list[Reason] = []
    begun = threading.Barrier(50 + 5 + 1)

    def thread() -> None:
        begun.wait(30)
        seen.append(client.context("u1", sections=("profile",), timeout=30).profile.reason)

    async def tasks() -> None:
        asked = [client.acontext("u1", sections=("profile",), timeout=30) for _ in range(10)]
        seen.extend([ctx.profile.reason for ctx in await asyncio.gather(*asked)])

    def loop() -> None:
        begun.wait(30)
        asyncio.run(tasks())

    threads = [threading.Thread(target=thread) for _ in range(50)]
    threads += [threading.Thread(target=loop) for _ in range(5)]
    for each in threads:
        each.start()
    begun.wait(30)
    provider.wait_entered()
    engine = client.knower.engine
    assert engine is not None
    # Everybody who comes while the call is under way joins it: the answer waits until all have.
    flight = next(iter(engine.loads._flights.values()))
    while len(flight.waiters) < 100:
        threading.Event().wait(0.005)
    provider.open.set()
    for each in threads:
        each.join(30)
    assert seen == [reason] * 100
    assert provider.calls == 1


def test_cancelling_the_first_caller_harms_no_other(make: Any, kind: type[Told]) -> None:
    """
    The caller who set a load off is cancelled; who joined it gets the answer, of the one call.
    """
    provider = kind("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider)

    async def story() -> Any:
        first = asyncio.create_task(client.acontext("u1", sections=("profile",), timeout=30))
        await asyncio.to_thread(provider.wait_entered)
        second = asyncio.create_task(client.acontext("u1", sections=("profile",), timeout=30))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        provider.open.set()
        return await second

    ctx = asyncio.run(story())
    assert (ctx.profile.reason, ctx.profile.name, provider.calls) == (Reason.RESOLVED, "Ada", 1)


def test_cancelling_a_joined_caller_harms_no_other(make: Any, kind: type[Told]) -> None:
    """
    Who joined a load is cancelled; who set it off gets the answer.
    """
    provider = kind("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider)

    async def story() -> Any:
        first = asyncio.create_task(client.acontext("u1", sections=("profile",), timeout=30))
        await asyncio.to_thread(provider.wait_entered)
        second = asyncio.create_task(client.acontext("u1", sections=("profile",), timeout=30))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        provider.open.set()
        return await first

    assert (asyncio.run(story()).profile.name, provider.calls) == ("Ada", 1)


def test_a_cancelled_caller_is_no_failure_of_the_provider(make: Any, kind: type[Told]) -> None:
    """
    Clients that go away do not open the breaker.
    """
    provider = kind("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider)

    async def story() -> None:
        for n in range(10):
            asked = asyncio.create_task(client.acontext(f"u{n}", sections=("profile",), timeout=30))
            await asyncio.sleep(0)
            asked.cancel()
        provider.open.set()

    asyncio.run(story())
    assert client.context("u99", sections=("profile",), timeout=30).profile.name == "Ada"
    assert client.knower.engine.sources[0].breaker.state == "closed"  # type: ignore[union-attr]


def test_a_section_on_its_way_is_joined_and_only_the_other_one_is_fetched(make: Any) -> None:
    """
    A second caller who wants more joins the flights that there are and fetches the rest.
    """
    provider = Told("crm", {"profile": {"name": "Ada"}, "orders": [1]})
    provider.open.clear()
    client = make(provider)
    first = threading.Thread(
        target=client.context, args=("u1",), kwargs={"sections": ("profile",), "timeout": 30}
    )
    first.start()
    provider.wait_entered()
    assert client.prefetch("u1", sections=("profile", "orders"))
    provider.wait_entered()
    provider.open.set()
    first.join(30)
    assert [request.sections for request in provider.requests] == [{"profile"}, {"orders"}]
