"""
One life of one library: emit marked events, note on a board how many calls returned, end somehow.

``python -m tests.faults.worker --subject cxsdk --url http://… --dir D --board B --count 1000 --end exit``
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import subjects

QUEUES = {"otel": 2048, "sentry": 100, "snowplow": 10_000, "posthog": 10_000}
"""The libraries' own queue sizes; the benchmark enlarges them."""

_NEEDS_FLUSH = frozenset({"snowplow", "mixpanel"})
"""They flush at no exit by themselves, so their documentation has the host do it."""

Emit = Callable[[int], object]


class Board:
    """
    What a killed process leaves: how many calls had returned, and the longest of them.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def note(self, count: int, longest_ns: int) -> None:
        """Say so; a copy into the map survives the process."""
        self._map[:16] = struct.pack("<QQ", count, longest_ns)

    def read(self) -> tuple[int, float]:
        """Return calls and milliseconds."""
        count, longest = struct.unpack("<QQ", self._map[:16])
        return count, longest / 1e6


def _start(args: argparse.Namespace) -> tuple[Emit, Callable[[], object]]:
    if args.subject == "control":
        return _control(args)
    directory = Path(args.dir)
    if args.subject == "cxsdk":
        more: dict[str, Any] = {"min_free_bytes": 0} if args.small_disk else {}
        emit, finish = subjects.cxsdk(args.url, directory, **more)
    else:
        subjects._QUEUE = QUEUES.get(args.subject, 0)
        emit, finish = subjects.SUBJECTS[args.subject].start(args.url, directory)
    if args.subject == "sentry":
        from sentry_sdk._log_batcher import LogBatcher

        LogBatcher.MAX_BEFORE_DROP = 1000

    def emit_one(number: int) -> None:
        emit((f"c-{number % 50}", f"s-{number % 50}", f"ev-{number:06d}", "cart", "t", 1.5, 2))

    return emit_one, finish if args.subject in _NEEDS_FLUSH else lambda: None


def _control(args: argparse.Namespace) -> tuple[Emit, Callable[[], object]]:
    """
    What many teams write by hand: a list, one POST at exit. It must lose in most rows.
    """
    import atexit
    import urllib.request

    kept: list[str] = []

    def send() -> None:
        body = json.dumps(kept).encode()
        urllib.request.urlopen(urllib.request.Request(args.url, body), timeout=10).read()

    def send_quietly() -> None:
        try:
            send()
        except OSError:
            pass

    atexit.register(send_quietly)
    return lambda number: kept.append(f"ev-{number:06d}"), lambda: None


def _emit_all(args: argparse.Namespace, emit: Emit, board: Board) -> int:
    """
    Emit; return how many calls raised into the host, which are not accepted.
    """
    raised = 0
    done, longest = board.read()[0], 0
    clock = time.perf_counter_ns
    begin = time.monotonic()
    for step in range(args.count):
        if args.rate:
            wait = begin + step / args.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        if args.clock_back and step == args.count // 2:
            _set_clock_back()
        number = args.first + step
        before = clock()
        try:
            emit(number)
            done += 1
        except Exception:  # a finding, not a failure of ours
            raised += 1
        longest = max(longest, clock() - before)
        board.note(done, longest)
    return raised


_shift = [0]


def _watch_clock() -> None:
    """
    Put a wall clock under all libraries that can be set back.
    """
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() - _shift[0]
    time.time_ns = lambda: real_ns() - _shift[0] * 1_000_000_000


def _set_clock_back() -> None:
    _shift[0] = 3600


def _kill_names() -> None:
    """
    Let every name lookup hang for half a minute and fail.
    """
    import socket

    def lookup(*_: Any, **__: Any) -> Any:
        time.sleep(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    socket.getaddrinfo = lookup


def _fork_children(args: argparse.Namespace, emit: Emit, board: Board) -> None:
    for number, end in enumerate((sys.exit, os._exit)):
        pid = os.fork()
        if pid == 0:
            for step in range(50):
                emit(args.first + args.count + 50 * number + step)
            end(0)
        os.waitpid(pid, 0)
        count, longest = board.read()
        board.note(count + 50, int(longest * 1e6))


def main() -> None:
    """
    Live once.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--subject", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--board", required=True, type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--end", choices=("exit", "wait", "fork", "crash"), default="exit")
    parser.add_argument("--clock-back", action="store_true")
    parser.add_argument("--dead-dns", action="store_true")
    parser.add_argument("--small-disk", action="store_true")
    args = parser.parse_args()
    if args.clock_back:
        _watch_clock()
    if args.dead_dns:
        _kill_names()
    board = Board(args.board)
    emit, finish = _start(args)
    if args.end == "fork":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(100)
    raised = _emit_all(args, emit, board)
    if args.end == "fork":
        _fork_children(args, emit, board)
    print("emitted", raised, flush=True)
    if args.end == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if args.end == "wait":
        sys.stdin.read()
    if args.subject == "cxsdk" and args.end == "wait":
        import cxsdk

        cxsdk.flush(10)  # what is being found out by halving is settled before it is counted
        print(json.dumps(cxsdk.stats(), default=str), flush=True)
    waiter = threading.Thread(target=finish, daemon=True)
    waiter.start()
    waiter.join()


if __name__ == "__main__":
    main()
