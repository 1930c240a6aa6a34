"""
What happens when fifty callers want the same customer at once: facts, not times.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import cxsdk as cx
from tests.benchmarks.caches import RECORD, TASKS, THREADS, AGet, Get, versions

__all__ = ["CALLERS", "SCENARIOS", "Fact", "own", "table", "tasks", "threads"]

CALLERS = 50
SCENARIOS = ("ok", "raises", "absent")
_LOADING_S = 0.05
_HEAD_START_S = 0.02


class Down(Exception):
    """
    What the loader raises.
    """


class Fact(NamedTuple):
    """
    What came of one stampede.
    """

    calls: int
    """Of the loader, while all asked at once."""

    right: int
    """Callers who were told what is so."""

    later: int | None = None
    """Calls more when all ask again, one after the other."""


class Loader:
    """
    Takes its time, counts, and does what its scenario says.
    """

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.calls = 0
        self._lock = threading.Lock()

    def _answer(self) -> Any:
        if self.scenario == "raises":
            raise Down
        return None if self.scenario == "absent" else dict(RECORD)

    def load(self, customer: str) -> Any:
        with self._lock:
            self.calls += 1
        time.sleep(_LOADING_S)
        return self._answer()

    async def aload(self, customer: str) -> Any:
        with self._lock:
            self.calls += 1
        await asyncio.sleep(_LOADING_S)
        return self._answer()

    def is_right(self, came: Any) -> bool:
        if self.scenario == "raises":
            return isinstance(came, Down)
        return came is None if self.scenario == "absent" else came == RECORD


def threads(make: Callable[[Get], Get], scenario: str) -> Fact:
    """
    Have fifty threads ask at once.
    """
    loader = Loader(scenario)
    get = make(loader.load)
    barrier = threading.Barrier(CALLERS)
    came: list[Any] = []

    def ask() -> None:
        barrier.wait()
        came.append(_asked(get))

    callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    calls = loader.calls
    for _ in range(CALLERS):
        _asked(get)
    return Fact(calls, sum(map(loader.is_right, came)), loader.calls - calls)


def _asked(get: Get) -> Any:
    try:
        return get("u1")
    except Exception as error:
        return error


def tasks(make: Callable[[AGet], AGet], scenario: str) -> Fact:
    """
    Have fifty tasks ask at once; in ``cancelled`` the first of them is, while it loads.
    """
    return asyncio.run(_tasks(make, scenario))


async def _tasks(make: Callable[[AGet], AGet], scenario: str) -> Fact:
    loader = Loader("ok" if scenario == "cancelled" else scenario)
    get = make(loader.aload)

    async def ask() -> Any:
        return await get("u1")

    if scenario != "cancelled":
        came = await asyncio.gather(*(ask() for _ in range(CALLERS)), return_exceptions=True)
        calls = loader.calls
        for _ in range(CALLERS):
            await asyncio.gather(ask(), return_exceptions=True)
        return Fact(calls, sum(map(loader.is_right, came)), loader.calls - calls)
    first = asyncio.create_task(ask())
    await asyncio.sleep(_HEAD_START_S / 2)
    others = [asyncio.create_task(ask()) for _ in range(CALLERS - 1)]
    await asyncio.sleep(_HEAD_START_S / 2)
    first.cancel()
    came = await asyncio.gather(*others, return_exceptions=True)
    return Fact(loader.calls, sum(map(loader.is_right, came)))


@contextmanager
def _ours(loader: Any) -> Iterator[cx.Client]:
    """
    Give a client whose provider is *loader*, sync or async.
    """

    class Provider:
        name = "records"
        sections = frozenset({"record"})

    class Sync(Provider):
        def fetch(self, request: Any) -> Any:
            return {one.id: {"record": loader(one.id)} for one in request.subjects}

    class Async(Provider):
        async def fetch(self, request: Any) -> Any:
            return {one.id: {"record": await loader(one.id)} for one in request.subjects}

    provider = Async() if asyncio.iscoroutinefunction(loader) else Sync()
    options = cx.ContextOptions(providers=(provider,), timeout=30.0)
    client = cx.Client("bench", collector="memory:", context=options)
    try:
        yield client
    finally:
        client.close(0)


def _said(context: Any) -> Any:
    section = context["record"]
    if not section.known:
        raise Down(section.reason.value)
    return None if section.value is None else _plain(section.value)


def _plain(value: Any) -> Any:
    return (
        {name: _plain(each) for name, each in value.items()} if hasattr(value, "items") else value
    )


def own(scenario: str, *, is_async: bool) -> Fact:
    """
    Have fifty ask cxsdk at once.
    """
    with ExitStack() as stack:

        def make(load: Any) -> Any:
            client = stack.enter_context(_ours(load))
            if not is_async:
                return lambda who: _said(client.context(who, sections=("record",)))

            async def get(who: str) -> Any:
                return _said(await client.acontext(who, sections=("record",)))

            return get

        return tasks(make, scenario) if is_async else threads(make, scenario)


def table() -> list[str]:
    """
    Return the table's lines: calls of the loader / callers who got the right answer / calls more
    when fifty ask again.
    """
    head = ["", *SCENARIOS, "first caller cancelled"]
    lines = [head, ["---"] * len(head)]
    installed = versions()
    ours = [_cell(own(each, is_async=False)) for each in SCENARIOS]
    lines.append(["cxsdk, threads", *ours, "–"])
    for label, (package, make) in THREADS.items():
        if package in installed:
            cells = [_cell(threads(make, each)) for each in SCENARIOS]
            lines.append([f"{label}, threads", *cells, "–"])
    every = (*SCENARIOS, "cancelled")
    lines.append(["cxsdk, tasks", *(_cell(own(each, is_async=True)) for each in every)])
    for label, (package, amake) in TASKS.items():
        if package in installed:
            lines.append([f"{label}, tasks", *(_cell(tasks(amake, each)) for each in every)])
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(fact: Fact) -> str:
    of = CALLERS if fact.later is not None else CALLERS - 1
    more = "" if fact.later is None else f", {fact.later} later"
    return f"{fact.calls} calls, {fact.right}/{of} right{more}"
