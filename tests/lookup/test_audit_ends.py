"""
Beginnings, ends and forks: a provider that is slow to start, hangs at the end, or was forked.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytest

from cxsdk.knowing import LookupRequest, Reason, SectionPlan
from tests.lookup.conftest import Told, ToldAsync

_ORDERS = ("orders",)


def _until(is_so: Any) -> None:
    while not is_so():
        time.sleep(0.001)


class _Begins(ToldAsync):
    """
    Starts when it is let, and notes what it was asked in which order.
    """

    may_start: threading.Event
    order: list[str]

    def __init__(self) -> None:
        super().__init__("crm", {"orders": 1})
        self.may_start, self.order = threading.Event(), []

    async def start(self) -> None:
        self.order.append("begin")
        while not self.may_start.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.001)
        self.order.append("ready")

    async def fetch(self, request: LookupRequest) -> Any:
        self.order.append("fetch")
        return await super().fetch(request)


def test_nobody_is_asked_before_the_start_is_over(make: Any) -> None:
    """
    Whoever comes while an async provider starts waits for that one start.
    """
    provider = _Begins()
    client = make(provider)
    many = [f"u{n}" for n in range(5)]
    found: list[Any] = []
    asking = threading.Thread(
        target=lambda: found.append(client.contexts(many, sections=_ORDERS, timeout=30))
    )
    asking.start()
    _until(lambda: provider.order)
    provider.may_start.set()
    asking.join(30)
    assert provider.order == ["begin", "ready", *["fetch"] * 5]
    assert [ctx["orders"].value for ctx in found[0].values()] == [1] * 5


def test_a_start_longer_than_the_providers_time_is_not_begun_again(make: Any) -> None:
    """
    Callers give up waiting for it, it goes on, and then the provider answers.
    """
    provider = _Begins()
    plans = {"orders": SectionPlan(error_ttl=0)}
    client = make(provider, provider_timeout=0.02, plans=plans)
    for _ in range(3):
        late = client.context("u1", sections=_ORDERS, timeout=0.03)["orders"]
        assert late.reason is Reason.TIMEOUT
    provider.may_start.set()
    _until(lambda: provider.order[-1] != "begin")
    found = client.context("u1", sections=_ORDERS, timeout=30)["orders"]
    assert (found.value, provider.order) == (1, ["begin", "ready", "fetch"])


def test_a_task_of_a_provider_that_exits_ends_no_other(make: Any) -> None:
    """
    SystemExit in a task that one provider began leaves the loop to all the others.
    """

    class Exits(ToldAsync):
        async def fetch(self, request: LookupRequest) -> Any:
            async def leave() -> None:
                raise SystemExit(1)

            self.task = asyncio.create_task(leave())
            await asyncio.wait([self.task])
            return await super().fetch(request)

    client = make(Exits("one", {"orders": 1}), ToldAsync("other", {"profile": {"name": "Ada"}}))
    ctx = client.context("u1", sections=("orders", "profile"), timeout=30)
    assert (ctx["orders"].value, ctx.profile.name) == (1, "Ada")
    assert client.context("u2", sections=("profile",), timeout=30).profile.name == "Ada"


# ---- ends ----------------------------------------------------------------------------------


def test_a_close_that_hangs_holds_nobody_up(make: Any) -> None:
    """
    The client is closed although a provider's own close never comes back; others are closed.
    """
    never, closed = threading.Event(), threading.Event()
    hangs = Told("hangs", {"orders": 1}, close=lambda: never.wait(60))
    other = Told("other", {"profile": {}}, close=closed.set)
    client = make(hangs, other)
    client.context("u1", timeout=30)
    ending = threading.Thread(target=lambda: client.close(0))
    ending.start()
    ending.join(30)
    is_over = not ending.is_alive()
    never.set()
    assert is_over
    assert closed.is_set()


def test_closing_ends_the_waiting_for_what_nobody_will_answer(make: Any) -> None:
    """
    A call that waits for a queued load is told at once that the client was closed.
    """
    provider = Told("crm", {"orders": 1})
    provider.open.clear()
    client = make(provider, workers=1, provider_timeout=60.0)
    found: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda who=who: found.append(client.context(who, sections=_ORDERS, timeout=60))
        )
        for who in ("u1", "u2")
    ]
    for thread in threads:
        thread.start()
    engine = client.knower.engine
    provider.wait_entered()
    _until(lambda: len([f for f in engine.loads._flights.values() if f.waiters]) == 2)
    client.close(0)
    for thread in threads:
        thread.join(30)
    assert [ctx["orders"].known for ctx in found] == [False, False]
    provider.open.set()


def test_tasks_that_need_a_moment_to_end_get_it(make: Any, caplog: Any) -> None:
    """
    Closing leaves no task destroyed while it cleans up, and none that a provider began.
    """
    ended: list[str] = []

    class Cleans(ToldAsync):
        async def _beside(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                ended.append("beside")

        async def fetch(self, request: LookupRequest) -> Any:
            self.task = asyncio.create_task(self._beside())
            self.entered.release()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                ended.append("fetch")

    provider = Cleans("crm", {"orders": 1})
    client = make(provider, provider_timeout=60.0)
    client.prefetch("u1", sections=_ORDERS)
    provider.wait_entered()
    client.close(0)
    assert sorted(ended) == ["beside", "fetch"]
    assert "destroyed" not in caplog.text


def test_what_waits_to_be_applied_does_not_bring_back_who_was_forgotten(make: Any) -> None:
    """
    Events that a provider was too slow to take are not applied after it forgot the customer.
    """
    go, applied, done = threading.Event(), [], threading.Event()

    def apply(subject: Any, _: Any) -> None:
        applied.append(subject.id)
        go.wait(30)
        if subject.id == "last":
            done.set()

    crm = Told("crm", {"orders": 1}, takes="wire", apply=apply, forget=lambda _: "done")
    client = make(crm)
    client.peek("u1")
    for who in ("u1", "u1", "last"):
        with client.interaction("shop.view", customer=who):
            pass
    _until(lambda: applied)
    assert client.forget("u1").places["crm"] == "done"
    go.set()
    assert done.wait(30)
    assert [who for who in applied if who == "u1"] == ["u1"]


# ---- forks ---------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_waits_for_no_lock_of_the_parents(make: Any, kind: type[Told]) -> None:
    """
    Forked while other threads hold the locks of breaker, links and people, the child answers.
    """
    client = make(kind("crm", {"orders": 1}))
    client.link(keep="a", absorb="b")
    client.context("u1", sections=_ORDERS, timeout=30)
    engine = client.knower.engine
    locks = [engine.sources[0].breaker._lock, engine.knowledge.links._lock, engine.people._lock]
    locks += [engine.loads._lock, engine.loop._lock]
    held, go = threading.Barrier(2), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.wait(30)
        go.wait(30)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if not child:
        threading.Timer(20, os._exit, (3,)).start()
        try:
            value = client.context("b", sections=_ORDERS, timeout=10)["orders"].value
            os._exit(0 if value == 1 else 2)
        except BaseException:
            os._exit(4)
    go.set()
    thread.join(30)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
