"""
``python -m tests.benchmarks.memories``: what a shared memory costs, and how soon others hear.

Each memory has some thousand subjects of twenty things. Redis and a PostgreSQL database are the
run's own; what is not there is left out. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from cxsdk.lookup.shared import open_memory
from cxsdk.remembering import SharedMemory, Told

_KEEP_S = 1800.0
_PAYLOAD = bytes(range(256)) * 3


def told(subject: str, name: str) -> Told:
    """
    Return an event of the usual size.
    """
    return Told(subject, name, "interactions", time.time(), _KEEP_S, _PAYLOAD)


@contextmanager
def places() -> Iterator[dict[str, str]]:
    """
    Give the URL of each memory that there is, empty.
    """
    from tests.prompts.cap_servers import PostgresDatabase, RedisServer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        found = {"memory": "memory:", "SQLite": f"sqlite://{path}/memory.db"}
        closers: list[Callable[[], None]] = []
        try:
            database = PostgresDatabase()
            closers.append(database.close)
            found["PostgreSQL"] = database.url
        except BaseException as error:  # noqa: BLE001 - a skip is none of Exception
            print(f"PostgreSQL is left out: {error}")
        try:
            server = RedisServer(path)
            closers.append(server.close)
            found["Redis"] = server.url
        except BaseException as error:  # noqa: BLE001
            print(f"Redis is left out: {error}")
        try:
            yield found
        finally:
            for close in closers:
                close()


def timed(call: Callable[[int], object], count: int) -> list[float]:
    """
    Return how many µs each call took, sorted.
    """
    taken = []
    for number in range(count):
        begin = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - begin) * 1e6)
    return sorted(taken)


def listen(url: str, end: Connection) -> None:
    """
    Send when each subject was heard, in seconds of the machine's clock, and when it could be read.
    """
    memory = open_memory(url, timeout=5.0)
    is_there = threading.Event()

    def hear(subject: str | None) -> None:
        when = time.clock_gettime(time.CLOCK_MONOTONIC)
        if subject is None:
            is_there.set()
        elif memory.read([subject])[subject].told:
            end.send((when, time.clock_gettime(time.CLOCK_MONOTONIC)))

    memory.subscribe(hear)
    is_there.wait(10)
    end.send("ready")
    end.recv()
    memory.close()


def heard(url: str, count: int) -> tuple[list[float], list[float]]:
    """
    Return µs from the call of put in one process until another one hears, and has read.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=listen, args=(url, theirs))
    child.start()
    assert mine.recv() == "ready"
    memory = open_memory(url, timeout=5.0)
    news, reads = [], []
    for number in range(count):
        begin = time.clock_gettime(time.CLOCK_MONOTONIC)
        memory.put([told(f"h-{number}", "e-1")])
        when, read = mine.recv()
        news.append((when - begin) * 1e6)
        reads.append((read - begin) * 1e6)
    mine.send("end")
    child.join()
    memory.close()
    return sorted(news), sorted(reads)


def fill(memory: SharedMemory, subjects: int) -> None:
    """
    Tell twenty things of each subject.
    """
    for number in range(0, subjects, 10):
        some = range(number, number + 10)
        memory.put([told(f"s-{each}", f"e-{name}") for each in some for name in range(20)])


def cells(taken: list[float]) -> list[str]:
    """
    Return the middle and the slowest hundredth.
    """
    return [f"{taken[len(taken) // 2]:,.0f}", f"{taken[len(taken) * 99 // 100]:,.0f}"]


def measure(name: str, url: str, subjects: int, calls: int) -> list[str]:
    """
    Return the cells of one row.
    """
    memory = open_memory(url, timeout=5.0)
    fill(memory, subjects)
    one = timed(lambda n: memory.put([told(f"s-{n % subjects}", f"n-{n}")]), calls)
    many = timed(
        lambda n: memory.put([told(f"s-{(n * 50 + e) % subjects}", f"m-{n}") for e in range(50)]),
        max(100, calls // 20),
    )
    read = timed(lambda n: memory.read([f"s-{n % subjects}"]), calls)
    reads = timed(
        lambda n: memory.read([f"s-{(n * 50 + e) % subjects}" for e in range(50)]),
        max(100, calls // 20),
    )
    memory.close()
    row = [name, *cells(one), *cells(many), *cells(read), *cells(reads)]
    if name not in {"Redis", "PostgreSQL"}:
        return [*row, "–", "–", "–", "–"]
    news, found = heard(url, calls)
    return [*row, *cells(news), *cells(found)]


def main() -> None:
    """
    Run all, print the table.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.memories")
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=2000, help="of each kind, timed")
    parser.add_argument("--only", help="memories, by comma")
    given = parser.parse_args()
    head = ["µs"]
    for what in ("put 1", "put 50", "read 1", "read 50", "put to heard", "put to read there"):
        head += [f"{what} p50", "p99"]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    with places() as found:
        for name, url in found.items():
            if not given.only or name in given.only.split(","):
                row = measure(name, url, given.subjects, given.calls)
                print("| " + " | ".join(row) + " |", flush=True)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    print(f"\n{when}, Python {platform.python_version()}, {os.cpu_count()} cores, {load}")


if __name__ == "__main__":
    main()
