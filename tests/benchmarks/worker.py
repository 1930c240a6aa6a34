"""
One measurement of one subject in a process of its own; prints one JSON object as its last line.

``python -m tests.benchmarks.worker --subject cxsdk --measure capture --url http://… --events 20000``
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.subjects import SUBJECTS, Emit, Facts, Finish, facts

_WARM = 200
_BURST = 100
_PACE_S = 1 / 500
_ALL_S = 120.0


def _spread(costs: list[int]) -> dict[str, float]:
    costs.sort()
    return {
        "p50_us": costs[len(costs) // 2] / 1e3,
        "p99_us": costs[len(costs) * 99 // 100] / 1e3,
        "over_1ms": sum(cost > 1_000_000 for cost in costs) / len(costs),
        "mean_us": sum(costs) / len(costs) / 1e3,
    }


def _timed(emit: Emit, rows: list[Facts]) -> list[int]:
    clock, costs = time.perf_counter_ns, []
    for row in rows:
        before = clock()
        emit(row)
        costs.append(clock() - before)
    return costs


def _counted(url: str, subject: str) -> dict[str, Any]:
    with urllib.request.urlopen(url + "/counts", timeout=10) as reply:
        found = json.load(reply).get(subject, {"events": 0, "last": 0.0})
    assert isinstance(found, dict)
    return found


def _finish(args: argparse.Namespace, finish: Finish, expected: int) -> dict[str, Any]:
    finish()
    end = time.monotonic() + (_ALL_S if args.events > 2000 else 15.0)
    while True:
        counted = _counted(args.url, args.subject)
        if counted["events"] >= expected or time.monotonic() > end:
            return counted
        time.sleep(0.02)


def capture(args: argparse.Namespace, emit: Emit, finish: Finish) -> dict[str, Any]:
    """
    Cost of a call in bursts of a hundred, between which the sender comes to rest.
    """
    costs: list[int] = []
    rows = facts(args.events)
    for at in range(0, len(rows), _BURST):
        costs += _timed(emit, rows[at : at + _BURST])
        time.sleep(0.03)
    return _spread(costs)


def strangers(args: argparse.Namespace, emit: Emit, finish: Finish) -> dict[str, Any]:
    """
    Cost of a call that is the first of its session, as `capture` measures it.
    """
    costs: list[int] = []
    rows = facts(args.events, per_session=1.0, seed=11)
    for at in range(0, len(rows), _BURST):
        costs += _timed(emit, rows[at : at + _BURST])
        time.sleep(0.03)
    return _spread(costs)


def loop(args: argparse.Namespace, emit: Emit, finish: Finish) -> dict[str, Any]:
    """
    Cost of a call in one tight loop, the sender at work beside it.
    """
    return _spread(_timed(emit, facts(args.events)))


def paced(args: argparse.Namespace, emit: Emit, finish: Finish) -> dict[str, Any]:
    """
    Cost of a call at 500 a second beside one thread that does nothing but compute.
    """
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            for step in range(10_000):
                number = (number * 31 + step) % 1_000_003

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    costs, rows = [], facts(args.events)
    due = time.monotonic()
    for row in rows:
        due += _PACE_S
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        costs += _timed(emit, [row])
    stop.set()
    thread.join()
    return _spread(costs)


def throughput(args: argparse.Namespace, emit: Emit, finish: Finish) -> dict[str, Any]:
    """
    Events a second and CPU time an event until the sink has counted all; peak memory.
    """
    rows = facts(args.events)
    begin, cpu = time.monotonic(), time.process_time()
    for row in rows:
        emit(row)
    counted = _finish(args, finish, args.events + _WARM)
    used = time.process_time() - cpu
    arrived = max(1, counted["events"] - _WARM)
    return {
        "events_per_s": arrived / max(1e-9, counted["last"] - begin),
        "cpu_us": used / arrived * 1e6,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def backlog(args: argparse.Namespace, emit: Emit, finish: Finish) -> dict[str, Any]:
    """
    Cost of a call at 10³ … *events* spooled, the collector away.
    """
    found: dict[str, Any] = {}
    rows, done, mark = facts(10_000), _WARM, 1000
    while mark <= args.events:
        while done < mark - 1000:
            step = min(len(rows), mark - 1000 - done)
            for row in rows[:step]:
                emit(row)
            done += step
        costs = _timed(emit, rows[: mark - done])
        done = mark
        found[str(mark)] = {**_spread(costs), "rss_mb": _resident_mb()}
        mark *= 10
    import cxsdk

    stats = cxsdk.stats()
    sink = stats["sinks"]["default"]
    # Without this a spool that shed or fell back to memory would look flat too.
    kept = sink["spooled"] + sink["in_flight"]
    return {"at": found, "emitted": done, "counted": kept, "level": stats["spool"]["level"]}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


MEASURES: dict[str, Callable[[argparse.Namespace, Emit, Finish], dict[str, Any]]] = {
    "capture": capture,
    "strangers": strangers,
    "loop": loop,
    "paced": paced,
    "throughput": throughput,
    "compressed": throughput,
    "backlog": backlog,
}


def _started(args: argparse.Namespace, directory: Path) -> tuple[Emit, Finish]:
    subject = SUBJECTS[args.subject]
    if args.measure == "backlog":
        started = subject.start("http://127.0.0.1:9", directory, max_bytes=2**32, min_free_bytes=0)
    elif args.measure == "compressed":
        started = subject.start(args.url, directory, compress=True)
    else:
        started = subject.start(args.url, directory)
    emit, finish = started
    return emit, finish


def main() -> None:
    """
    Measure once and print the result.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--subject", choices=SUBJECTS, required=True)
    parser.add_argument("--measure", choices=MEASURES, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--events", type=int, default=20_000)
    args = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="cxsdk-bench-"))
    begin = time.process_time()
    emit, finish = _started(args, directory)
    for row in facts(_WARM, seed=3):
        emit(row)
    # Delivered, not only taken: connections, modules that are imported late and code paths are
    # warm on both sides, and what they cost once is told once.
    if args.measure != "backlog":
        _finish(args, finish, _WARM)
    started = (time.process_time() - begin) * 1e3
    result = {**MEASURES[args.measure](args, emit, finish), "start_ms": started}
    if args.measure != "backlog":
        emitted = args.events + _WARM
        result |= {"emitted": emitted, "counted": _finish(args, finish, emitted)["events"]}
    print(json.dumps(result), flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    # What a peer still does at exit is no part of the measurement.
    os._exit(0)


if __name__ == "__main__":
    main()
