"""
``python -m tests.benchmarks.stores``: what a decision costs in each cap store.

Each store has the history of some thousand customers. Redis and a PostgreSQL database are the
run's own; what is not there is left out. Prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import cxsdk as cx
from cxsdk.asking import Cap, CapStore, Quota, Request
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import Prompt, Question, Sampling
from cxsdk.prompts.stores.memory import MemoryCapStore
from cxsdk.prompts.stores.postgres import PostgresCapStore
from cxsdk.prompts.stores.redis import RedisCapStore
from cxsdk.prompts.stores.sqlite import SqliteCapStore

DAY = 86_400.0
PROCESSES = 4
Open = Callable[[Callable[[], float]], CapStore]
_names = itertools.count()
_databases: list[object] = []


def request(customer: str) -> Request:
    """
    Return what an engine asks by default: four clocks, a quota, one offer per interaction.
    """
    name = f"{os.getpid()}-{next(_names)}"
    caps = (
        Cap("any", customer, "cap_global", within=7 * DAY),
        Cap("group:transactional", customer, "cap_group"),
        Cap("prompt:p", customer, "cap_prompt", within=30 * DAY, after_dismissal=30 * DAY),
        Cap("session", f"s-{name}", "cap_session", within=DAY),
    )
    quotas = (Quota("p:all", 1_000_000),)
    return Request(name, "p", customer, caps, 600.0, bytes(600), quotas, f"p:{name}")


@contextmanager
def places() -> Iterator[dict[str, Open]]:
    """
    Give ways to open each store that there is, empty.
    """
    from tests.prompts.cap_servers import PostgresDatabase, RedisServer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        found: dict[str, Open] = {
            "memory": MemoryCapStore,
            "SQLite": lambda clock: SqliteCapStore(
                path / "caps.db", timeout=5.0, time_s=lambda: time.time() + clock()
            ),
        }
        closers = []
        try:
            database = PostgresDatabase()
            closers.append(database.close)
            found["PostgreSQL"] = lambda clock: PostgresCapStore(
                database.url, timeout=5.0, shift_s=clock
            )
        except BaseException as error:  # noqa: BLE001 - a skip is none of Exception
            print(f"PostgreSQL is left out: {error}")
        try:
            server = RedisServer(path)
            closers.append(server.close)
            found["Redis"] = lambda clock: RedisCapStore(server.url, timeout=5.0, shift_s=clock)
        except BaseException as error:  # noqa: BLE001
            print(f"Redis is left out: {error}")
        found["memory"] = lambda clock: MemoryCapStore(time_s=lambda: time.time() + clock())
        try:
            found |= in_django(path, None if "PostgreSQL" not in found else closers)
            yield found
        finally:
            for close in closers:
                close()


def in_django(folder: Path, closers: list[Callable[[], object]] | None) -> dict[str, Open]:
    """
    Return ways to open a store in each of Django's databases, over connections that stay and over
    one for each call.
    """
    from django.core.management import call_command
    from django.db import connections

    from cxsdk.integrations.django.caps import DjangoCapStore
    from tests.one_django import configured, database
    from tests.prompts.cap_servers import PostgresDatabase

    configured()
    found: dict[str, Open] = {}
    for kind, age in itertools.product(("SQLite", "PostgreSQL"), (60, 0)):
        if kind == "SQLite":
            name = folder / f"django-{age}.db"
            with closing(sqlite3.connect(name)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            added = database(f"sqlite-{age}", "sqlite3", name, CONN_MAX_AGE=age)
        elif closers is None:
            continue
        else:
            server = PostgresDatabase()
            closers.append(server.close)
            prepared = {"server_side_binding": True, "prepare_threshold": 5} if age else {}
            told = {"CONN_MAX_AGE": age, "OPTIONS": prepared}
            added = database(f"postgresql-{age}", "postgresql", server.name, **told)
        added.__enter__()  # for as long as the process
        _databases.append(added)
        alias = f"{kind.lower()}-{age}"
        call_command("migrate", "cxsdk", database=alias, verbosity=0)
        connections[alias].close()
        found[f"Django, {kind}" + ("" if age else ", CONN_MAX_AGE=0")] = partial(
            lambda alias, clock: DjangoCapStore(alias, timeout=5.0, shift_s=clock), alias
        )
    return found


def timed(store: CapStore, customers: list[str], *, granted: bool) -> list[float]:
    """
    Return how many µs each decision took, sorted.
    """
    taken = []
    for customer in customers:
        asked = request(customer)
        begin = time.perf_counter()
        result = store.reserve(asked)
        taken.append((time.perf_counter() - begin) * 1e6)
        assert bool(result) == granted, result
        if granted:
            store.advance(asked.offer_id, "dismissed")
    return sorted(taken)


def rate(open_store: Open, decisions: int) -> float | None:
    """
    Return decisions a second of several processes at once, each for customers of its own.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES + 1)

    def work(number: int) -> None:
        store = open_store(float)
        while True:
            try:
                store.history("nobody")
                break
            except StoreUnavailableError:
                continue
        barrier.wait()
        for each in range(decisions):
            store.reserve(request(f"n-{number}-{each}"))
        barrier.wait()
        store.close()

    children = [context.Process(target=work, args=(number,)) for number in range(PROCESSES)]
    for child in children:
        child.start()
    barrier.wait()
    begin = time.perf_counter()
    barrier.wait()
    took = time.perf_counter() - begin
    for child in children:
        child.join()
    return PROCESSES * decisions / took


def measure(name: str, open_store: Open, customers: int, decisions: int) -> list[str]:
    """
    Return the cells of one row.
    """
    shift = -40 * DAY
    store = open_store(lambda: shift)
    if isinstance(store, PostgresCapStore):
        store.create_tables()
    for number in range(customers):
        asked = request(f"c-{number}")
        assert store.reserve(asked)
        store.advance(asked.offer_id, "shown")
    shift = -39 * DAY
    store.sweep(customers)
    shift = 0.0
    some = [f"c-{number}" for number in range(decisions)]
    granted = timed(store, some, granted=True)
    denied = timed(store, some, granted=False)
    alone = len(granted) / (sum(granted) / 1e6)
    together = None if name == "memory" else rate(open_store, decisions // 2)
    store.close()
    cells = [name]
    for found in (granted, denied):
        cells += [f"{found[len(found) // 2]:.0f}", f"{found[len(found) * 99 // 100]:.0f}"]
    return [*cells, f"{alone:,.0f}", "–" if together is None else f"{together:,.0f}"]


def engine(calls: int) -> str:
    """
    Return what the engine's own part of a decision costs: whole calls of `offer` that sampling
    refuses before a store is asked, for a customer whose interaction just ended.
    """
    sampling = Sampling(rate=0.0)
    prompt = Prompt(key="p", questions=[Question(id="q")], sampling=sampling)
    options = cx.PromptOptions(prompts=[prompt], store="memory:", keys=b"a key of the benchmark")
    client = cx.Client("bench", collector="null:", prompts=options)
    offer, taken = client.prompts.offer, []
    with client.scope(customer="c-1"):
        with client.interaction("checkout.pay"):
            pass
        for _ in range(calls):
            begin = time.perf_counter()
            result = offer("p")
            taken.append((time.perf_counter() - begin) * 1e6)
    assert not result
    client.close()
    taken.sort()
    return f"{taken[calls // 2]:.0f}, p99 {taken[calls * 99 // 100]:.0f}"


def main() -> None:
    """
    Run all, print the table.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stores", description=__doc__)
    parser.add_argument("--customers", type=int, default=3000, help="with a history")
    parser.add_argument("--decisions", type=int, default=1500, help="of each kind, timed")
    parser.add_argument("--only", help="what the names of stores begin with, by semicolon")
    given = parser.parse_args()
    head = ["store", "granted p50 (µs)", "p99", "denied p50 (µs)", "p99", "granted/s, 1 process"]
    head.append(f"granted/s, {PROCESSES} processes")
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    with places() as found:
        for name, open_store in found.items():
            if not given.only or name.startswith(tuple(given.only.split(";"))):
                row = measure(name, open_store, given.customers, given.decisions)
                print("| " + " | ".join(row) + " |", flush=True)
    print(f"\nthe engine without a store: p50 {engine(5000)} µs")
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    print(f"\n{when}, Python {platform.python_version()}, {os.cpu_count()} cores, {load}")


if __name__ == "__main__":
    main()
