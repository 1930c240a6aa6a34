"""
``python -m tests.benchmarks.lookups``: what a lookup costs, beside caching libraries.

Ways take turns within each repeat, in alternating order; what is printed are medians over repeats.
What needs a memory of its own to be measured runs in a fresh process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import cxsdk as cx
from cxsdk.lookup.shared.memory import InProcessMemory
from tests.benchmarks import stampede
from tests.benchmarks.caches import RECORD, TASKS, THREADS, versions

ROOT = Path(__file__).parents[2]
EIGHT = ("identity", "profile", "orders", "interactions", "problems", "feedback", "plan", "health")
_AIMS = {"context, one section": 3.0, "context, eight sections of three providers": 20.0}
_AIMS |= {"peek": 1.0}
_ONE = ("profile",)
_HUNDRED = [f"h-{number}" for number in range(100)]

Way: TypeAlias = Callable[[int], float]
"""Does it so many times; returns µs each."""

AWay: TypeAlias = Callable[[int], Awaitable[float]]


class Source:
    """
    A provider that has its answers at hand.
    """

    def __init__(self, name: str, answers: Mapping[str, Any], most: int = 1) -> None:
        self.name = name
        self.sections = frozenset(answers)
        self.max_batch = most
        self._answers = answers

    def answer(self, request: Any) -> Any:
        """
        Return the same of everybody.
        """
        held = self._answers
        return {one.id: {name: held[name] for name in request.sections} for one in request.subjects}

    def fetch(self, request: Any) -> Any:
        return self.answer(request)


class ASource(Source):
    """
    The same on an event loop.
    """

    async def fetch(self, request: Any) -> Any:
        return self.answer(request)


def _crm(kind: type[Source] = Source, most: int = 1) -> Source:
    identity = {"ids": {"crm": "1"}}
    return kind("crm", {"identity": identity, "profile": RECORD, "orders": [{"id": "A-1"}]}, most)


def _three() -> tuple[Source, ...]:
    told = [{"id": "i-1", "at": "2026-01-01T00:00:00Z"}]
    desk = Source("desk", {"interactions": told, "problems": [], "feedback": []})
    return _crm(), desk, Source("billing", {"plan": "gold", "health": {"score": 7}})


def _agreed() -> Source:
    return Source("consents", {"consent": {"purposes": {"marketing": {"state": "granted"}}}})


# ---- ways ----------------------------------------------------------------------------------------


def _each(call: Callable[[], Any]) -> Way:
    """
    Ask again and again; CPU of the thread, which others on the machine do not take away.
    """

    def way(count: int) -> float:
        turns = itertools.repeat(None, count)
        begin = time.thread_time()
        for _ in turns:
            call()
        return (time.thread_time() - begin) / count * 1e6

    return way


def _aeach(call: Callable[[], Awaitable[Any]]) -> AWay:
    async def way(count: int) -> float:
        turns = itertools.repeat(None, count)
        begin = time.thread_time()
        for _ in turns:
            await call()
        return (time.thread_time() - begin) / count * 1e6

    return way


def _new(call: Callable[[str], Any]) -> Way:
    """
    Ask about somebody else each time; the median, since a wait now and then is long.
    """
    names = map("n-{}".format, itertools.count())

    def way(count: int) -> float:
        taken = []
        for name in itertools.islice(names, count):
            begin = time.perf_counter()
            call(name)
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) * 1e6

    return way


def _anew(call: Callable[[str], Awaitable[Any]]) -> AWay:
    names = map("n-{}".format, itertools.count())

    async def way(count: int) -> float:
        taken = []
        for name in itertools.islice(names, count):
            begin = time.perf_counter()
            await call(name)
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) * 1e6

    return way


def _after_event(client: cx.Client, sections: tuple[str, ...]) -> Way:
    def way(count: int) -> float:
        taken = []
        for _ in range(max(1, count // 20)):
            with client.interaction("checkout.pay", customer="u1"):
                pass
            begin = time.perf_counter()
            client.context("u1", sections=sections)
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) * 1e6

    return way


class Clients(contextlib.ExitStack):
    """
    The clients of a run.
    """

    def make(self, *providers: Any, **options: Any) -> cx.Client:
        """
        Return one that knows u1; closed at the end.
        """
        said = cx.ContextOptions(providers=providers, timeout=30.0, **options)
        client = cx.Client("bench", collector="null:", spool=_off(), context=said)
        self.callback(client.close, 0)
        client.context("u1")
        client.context("u1", purpose="marketing")
        return client


def _off() -> cx.SpoolOptions:
    return cx.SpoolOptions(mode="memory")


def hot_ways(clients: Clients) -> dict[str, Way]:
    """
    Return what is asked of threads: cxsdk first, then its peers.
    """
    options = cx.ContextOptions(providers=_three(), timeout=30.0)
    cx.init(service="bench", collector="null:", spool=_off(), context=options)
    clients.callback(cx.close, 0)
    cx.context("u1", sections=EIGHT)
    cx.contexts(_HUNDRED, sections=_ONE)
    gated = clients.make(*_three(), _agreed())
    seen, sharing = clients.make(*_three()), clients.make(*_three(), memory=InProcessMemory())
    with seen.interaction("checkout.pay", customer="u1"):
        pass
    hundred = _each(lambda: cx.contexts(_HUNDRED, sections=_ONE))
    ways = {
        "context, one section": _each(lambda: cx.context("u1", sections=_ONE)),
        "context, eight sections of three providers": _each(
            lambda: cx.context("u1", sections=EIGHT)
        ),
        "context, a provider of consent, purpose exempt": _each(
            lambda: gated.context("u1", sections=_ONE)
        ),
        "context, consent needed and granted": _each(
            lambda: gated.context("u1", sections=_ONE, purpose="marketing")
        ),
        "context, the customer has a journal": _each(
            lambda: seen.context("u1", sections=("interactions",))
        ),
        "context, the first after an event": _after_event(
            clients.make(*_three()), ("interactions",)
        ),
        "context, a shared memory": _each(lambda: sharing.context("u1", sections=_ONE)),
        "context, inside an interaction": _inside(_each(lambda: cx.context("h-1", sections=_ONE))),
        "peek": _each(lambda: cx.peek("u1", sections=_ONE)),
        "contexts of 100, each": lambda count: hundred(max(1, count // 100)) / 100,
    }
    installed = versions()
    for label, (package, make) in THREADS.items():
        if package in installed:
            get = make(lambda _: dict(RECORD))
            ways[label] = _each(lambda get=get: get("u1"))  # type: ignore[misc]
    return ways


def _inside(way: Way) -> Way:
    def inside(count: int) -> float:
        with cx.interaction("desk.call", customer="h-1"):
            return way(count)

    return inside


def cold_ways(clients: Clients) -> dict[str, Way]:
    """
    Return the same for customers that nobody asked about before.
    """
    client = clients.make(_crm())
    ways = {
        "context, sync provider": _new(lambda who: client.context(who, sections=_ONE)),
    }
    other = clients.make(_crm(ASource))
    ways["context, async provider"] = _new(lambda who: other.context(who, sections=_ONE))
    batch = clients.make(_crm(most=100))
    numbers = itertools.count()

    def hundred(count: int) -> float:
        return (
            _each(
                lambda: batch.contexts([f"b-{next(numbers)}" for _ in range(100)], sections=_ONE)
            )(max(1, count // 100))
            / 100
        )

    ways["contexts of 100, each, one batch"] = hundred
    installed = versions()
    for label, (package, make) in THREADS.items():
        if package in installed:
            ways[label] = _new(make(lambda _: dict(RECORD)))
    return ways


async def _record(customer: str) -> Any:
    return dict(RECORD)


def async_ways(clients: Clients) -> tuple[dict[str, AWay], dict[str, AWay]]:
    """
    Return the same of tasks: hot, cold.
    """
    client, other = clients.make(_crm(ASource)), clients.make(_crm())
    hot = {"acontext, one section": _aeach(lambda: client.acontext("u1", sections=_ONE))}
    cold = {
        "acontext, async provider": _anew(lambda who: client.acontext(who, sections=_ONE)),
        "acontext, sync provider": _anew(lambda who: other.acontext(who, sections=_ONE)),
    }
    installed = versions()
    for label, (package, make) in TASKS.items():
        if package in installed:
            get = make(_record)
            hot[label] = _aeach(lambda get=get: get("u1"))  # type: ignore[misc]
            cold[label] = _anew(get)
    return hot, cold


# ---- running -------------------------------------------------------------------------------------


def _in_turn(ways: Mapping[str, Any], turn: int) -> Iterator[tuple[str, Any]]:
    return iter(list(ways.items())[:: 1 if turn % 2 == 0 else -1])


def times(repeats: int, calls: int) -> dict[str, dict[str, float]]:
    """
    Return group → way → µs, the medians of *repeats*.
    """
    taken: dict[str, dict[str, list[float]]] = {}

    async def atimes(ways: Mapping[str, AWay], group: str, turn: int, count: int) -> None:
        for name, way in _in_turn(ways, turn):
            taken.setdefault(group, {}).setdefault(name, []).append(await way(count))

    with Clients() as clients:
        hot, cold = hot_ways(clients), cold_ways(clients)
        ahot, acold = async_ways(clients)
        with asyncio.Runner() as runner:
            for turn in range(repeats + 1):
                for group, ways, count in (("hot", hot, calls), ("cold", cold, calls // 10)):
                    for name, way in _in_turn(ways, turn):
                        taken.setdefault(group, {}).setdefault(name, []).append(way(count))
                runner.run(atimes(ahot, "hot, tasks", turn, calls))
                runner.run(atimes(acold, "cold, tasks", turn, calls // 10))
                if turn == 0:
                    taken.clear()  # the first one warms up
    order = {"hot": hot, "hot, tasks": ahot, "cold": cold, "cold, tasks": acold}
    return {
        group: {name: statistics.median(taken[group][name]) for name in ways}
        for group, ways in order.items()
    }


def time_table(found: dict[str, dict[str, float]]) -> list[str]:
    """
    Return the table's lines, with what each costs beside the fastest library of its group.
    """
    head = ["", "µs", "÷ fastest library", "÷ slowest library", "aim"]
    lines = [head, ["---"] * len(head)]
    peers = {*THREADS, *TASKS}
    for group, ways in found.items():
        theirs = [ways[name] for name in ways if name in peers]
        for name, cost in ways.items():
            ratios = [f"{cost / each:.2f}" for each in (min(theirs), max(theirs))] if theirs else []
            if name in peers:
                ratios = ["", ""]
            aim = _AIMS.get(name) if group == "hot" else None
            said = (
                "" if aim is None else f"≤ {aim:.0f} µs: {'met' if cost <= aim else '**missed**'}"
            )
            lines.append([f"{group}: {name}", f"{cost:.2f}", *(ratios or ["–", "–"]), said])
    return ["| " + " | ".join(line) + " |" for line in lines]


# ---- memory and emit, each in a process of its own -----------------------------------------------


def _mb(field: str = "VmRSS") -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def passing(customers: int) -> dict[str, Any]:
    """
    Look up so many customers, a thousand at a time, with room for 10,000.
    """
    with Clients() as clients:
        client = clients.make(_crm(most=1000), max_customers=10_000)
        began, before = time.monotonic(), _mb()
        for first in range(0, customers, 1000):
            some = [f"p-{number}" for number in range(first, min(customers, first + 1000))]
            found = client.contexts(some, sections=_ONE)
            assert all(one.profile.known for one in found.values())
        return {
            "customers": customers,
            "held": client.stats()["context"]["customers"],
            "before": before,
            "after": _mb(),
            "peak": _mb("VmHWM"),
            "seconds": time.monotonic() - began,
        }


def overlaid(customers: int, *, is_used: bool = True) -> dict[str, Any]:
    """
    Emit an event of each of so many customers; with context in use, or without.
    """
    options: dict[str, Any] = {"context": cx.ContextOptions(providers=(_crm(),))} if is_used else {}
    client = cx.Client("bench", collector="null:", spool=_off(), **options)
    try:
        began, before = time.monotonic(), _mb()
        for number in range(customers):
            with client.interaction("checkout.pay", customer=f"p-{number}"):
                pass
        seconds = time.monotonic() - began
        overlay = client.stats()["context"].get("overlay", {}) if is_used else {}
        return {
            "customers": customers,
            "held": overlay.get("customers", 0),
            "bytes": overlay.get("bytes", 0),
            "before": before,
            "after": _mb(),
            "peak": _mb("VmHWM"),
            "seconds": seconds,
        }
    finally:
        client.close(0)


def holding(customers: int, *, sections: tuple[str, ...] = _ONE) -> dict[str, Any]:
    """
    Hold so many customers with *sections*; return bytes of each.
    """
    with Clients() as clients:
        sources = tuple(Source(one.name, one._answers, 1000) for one in _three())
        client = clients.make(*sources, max_customers=customers + 10)
        client.contexts([f"w-{number}" for number in range(10)], sections=sections)
        before = _mb()
        for first in range(0, customers, 1000):
            some = [f"p-{number}" for number in range(first, first + 1000)]
            client.contexts(some, sections=sections)
        loaded = _mb()
        for number in range(customers):
            client.context(f"p-{number}", sections=sections)
        held = client.stats()["context"]["customers"]
        each = [(mark - before) * 2**20 / customers for mark in (loaded, _mb())]
        return {"held": held, "bytes": each[0], "bytes, asked again": each[1]}


def emitting(repeats: int, calls: int) -> dict[str, Any]:
    """
    Return µs of an emit without context and with it, in turn.
    """
    with contextlib.ExitStack() as stack:
        clients = {}
        for name, said in {
            "without context": {},
            "with context": {"context": cx.ContextOptions(providers=(_crm(),))},
            "with a shared memory": {
                "context": cx.ContextOptions(providers=(_crm(),), memory=InProcessMemory())
            },
        }.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cxsdk-bench-")))
            spool = cx.SpoolOptions(directory=folder, min_free_bytes=0)
            client = cx.Client("bench", collector="null:", spool=spool, **said)  # type: ignore[arg-type]
            clients[name] = client
            stack.callback(client.close, 5)
        kinds = {
            f"{kind}{name}": (client, kind)
            for kind in ("", "about a thing, ")
            for name, client in clients.items()
        }
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for turn in range(repeats + 1):
            for name, (client, kind) in _in_turn(kinds, turn):
                taken[name].append(_emits(client, calls, with_ref=bool(kind)))
        return {name: statistics.median(costs[1:]) for name, costs in taken.items()}


def _emits(client: cx.Client, calls: int, *, with_ref: bool) -> float:
    costs = []
    for number in range(calls):
        begin = time.perf_counter()
        with client.interaction("checkout.pay", customer=f"e-{number % 500}") as i:
            if with_ref:
                i.refs["order"] = "A-1"
        costs.append(time.perf_counter() - begin)
    client.flush(30)
    return statistics.median(costs) * 1e6


_FRESH: dict[str, Callable[[int], dict[str, Any]]] = {
    "passing": passing,
    "overlaid": overlaid,
    "silent": lambda customers: overlaid(customers, is_used=False),
    "one": holding,
    "eight": lambda customers: holding(customers, sections=EIGHT),
    "emitting": lambda repeats: emitting(repeats, 2000),
}


def fresh(name: str, number: int) -> dict[str, Any]:
    """
    Measure in a fresh process; return what it found.
    """
    command = [sys.executable, "-m", "tests.benchmarks.lookups", "--one", name, str(number)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=900
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_table(customers: int, held: int) -> list[str]:
    """
    Return the lines on a million customers, and on what one of them takes.
    """
    head = ["", "customers", "held", "RSS before (MB)", "after", "peak", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    labels = {"passing": "looked up, room for 10,000", "overlaid": "an event of each"}
    labels["silent"] = "the same, context not in use"
    for name, label in labels.items():
        one = fresh(name, customers)
        sizes = " | ".join(f"{one[mark]:.0f}" for mark in ("before", "after", "peak"))
        row = f"| {label} | {one['customers']:,} | {one['held']:,} | {sizes}"
        lines.append(f"{row} | {one['seconds']:.0f} |")
    lines.append("")
    for name, label in {"one": "one section", "eight": "eight sections"}.items():
        one = fresh(name, held)
        lines.append(
            f"a held customer, {label}: {one['bytes']:,.0f} bytes, asked again"
            f" {one['bytes, asked again']:,.0f}"
        )
    return lines


def main() -> None:
    """
    Run all, print the tables.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.lookups", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--calls", type=int, default=5000, help="of each way and repeat")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--only", help="times, emit, stampede, memory, by comma")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_FRESH[given.one[0]](int(given.one[1]))))
        return
    chosen = (given.only or "times,emit,stampede,memory").split(",")
    if "times" in chosen:
        print("\n".join(time_table(times(given.repeats, given.calls))), flush=True)
    if "emit" in chosen:
        costs = fresh("emitting", given.repeats)
        print("\n| an emit | µs |\n| --- | --- |")
        print("\n".join(f"| {name} | {cost:.1f} |" for name, cost in costs.items()), flush=True)
    if "stampede" in chosen:
        print("\n" + "\n".join(stampede.table()), flush=True)
    if "memory" in chosen:
        print("\n" + "\n".join(memory_table(given.customers, 50_000)), flush=True)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    print(f"\n{when}, Python {platform.python_version()}, {os.cpu_count()} cores, {load}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))


if __name__ == "__main__":
    main()
