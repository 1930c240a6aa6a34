"""
The life of a server under test: start, load, trouble, end; and what came of what it accepted.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.acceptance.kill import Collector, environment
from tests.lifecycle.servers import Server

__all__ = [
    "GUARD_S",
    "Ledger",
    "Life",
    "Load",
    "Outcome",
    "free_port",
    "living",
    "running",
    "until",
]

HERE = Path(__file__).parent
GUARD_S = 40.0
_facts = itertools.count()


def free_port() -> int:
    """Return a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until(holds: Callable[[], object], what: str, guard: float = GUARD_S) -> None:
    """Wait until something holds; fail when it does not within a generous time."""
    end = time.monotonic() + guard
    while not holds():
        assert time.monotonic() < end, f"in {guard} s not seen: {what}"
        time.sleep(0.02)


@attrs.frozen
class Outcome:
    """What became of what was accepted; counts of events, times in seconds."""

    accepted: int
    refused: int
    """Of calls that were answered with `Dropped`."""

    by_itself: int
    """Accepted ones at the collector when the server had ended."""

    lost: int
    """Accepted, and not at the collector when the next start was done."""

    twice: int
    """Facts that the collector counts more than once, under whatever id."""

    unasked: int
    """At the collector although their verb had not returned: killed in between."""

    resent: int
    """Came to the collector again under the same id, and were not counted."""

    seconds: float
    """How long the end took."""


class Ledger:
    """
    Both sides of the comparison: the notes of the application, and the collector's database.
    """

    def __init__(self, folder: Path, collector: Collector, service: str) -> None:
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.collector = collector
        self.service = service
        self.root = folder / "spool"
        self._resent = collector.noted()[0]

    def environment(self, **more: str) -> dict[str, str]:
        """Return what the application finds in its environment."""
        given = {
            "CXSDK_SERVICE": self.service,
            "CXSDK_COLLECTOR": self.collector.url,
            "CXSDK_SPOOL_DIR": str(self.root),
            "CXSDK_SPOOL_MODE": "mmap",
            "CXSDK_SPOOL_MIN_FREE_BYTES": "0",
            "CXSDK_DRAIN_SECONDS": "5",
            "LIFECYCLE_NOTES": str(self.notes),
            "PYTHONFAULTHANDLER": "1",
        }
        return environment(**{**given, "PYTHONPATH": f"{HERE}:{HERE.parent.parent}", **more})

    def noted(self) -> tuple[dict[str, tuple[str, int]], int]:
        """Return accepted id → (fact, pid), and how many were refused."""
        accepted: dict[str, tuple[str, int]] = {}
        refused = 0
        for path in self.notes.iterdir():
            # A kill may tear the last line: an id that is not whole was not promised.
            for line in path.read_text().split("\n")[:-1]:
                name, fact = line.split()
                if name.startswith("-"):
                    refused += 1
                    continue
                assert name not in accepted, f"the id {name} repeats"
                accepted[name] = (fact, int(path.stem))
        return accepted, refused

    def pids(self) -> list[int]:
        """Return the processes that accepted something, the latest to do so last."""
        found = sorted(self.notes.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [int(path.stem) for path in found]

    def stored(self) -> dict[str, tuple[str, str]]:
        """Return what the collector has of this service: id → (family, fact)."""
        if not self.collector.database.exists():
            return {}
        with contextlib.closing(sqlite3.connect(self.collector.database)) as db:
            rows = db.execute(
                "SELECT id, body FROM events WHERE source = ?", (f"urn:service:{self.service}",)
            ).fetchall()
        found: dict[str, tuple[str, str]] = {}
        for name, body in rows:
            assert name not in found, f"the collector has {name} twice"
            event = json.loads(body)
            found[name] = (event["type"], event["data"]["ext"]["app"]["n"])
        return found

    def missing(self) -> dict[str, tuple[str, int]]:
        """Return what was accepted and is not at the collector: id → (fact, pid)."""
        stored = self.stored()
        return {name: why for name, why in self.noted()[0].items() if name not in stored}

    def outcome(self, by_itself: int = 0, seconds: float = 0.0) -> Outcome:
        """Compare."""
        accepted, refused = self.noted()
        stored = self.stored()
        counted = collections.Counter(stored.values())
        assert {stored[name][1] for name in accepted if name in stored} <= {
            fact for fact, _ in accepted.values()
        }
        return Outcome(
            accepted=len(accepted),
            refused=refused,
            by_itself=by_itself,
            lost=len(accepted.keys() - stored.keys()),
            twice=sum(count > 1 for count in counted.values()),
            unasked=len(stored.keys() - accepted.keys()),
            resent=self.collector.noted()[0] - self._resent,
            seconds=seconds,
        )

    def arrived(self) -> int:
        """Return how many of the accepted are at the collector."""
        return len(self.noted()[0]) - len(self.missing())


class Life:
    """
    One start of a server or a script, in a session of its own.
    """

    def __init__(self, command: list[str], ledger: Ledger, port: int = 0, **env: str) -> None:
        self.ledger = ledger
        self.port = port
        self.errors = ledger.notes.parent / f"errors-{time.monotonic_ns()}.txt"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                env=ledger.environment(**env),
                cwd=HERE,
                start_new_session=True,
            )

    def words(self) -> str:
        """Return what it wrote to its standard outputs."""
        return self.errors.read_text(errors="replace")

    def ask(self, path: str, fact: str, timeout: float = 5.0) -> int:
        """
        Send one request; return the pid that answered it, 0 when nobody did.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", f"{path}?n={fact}")
            answer = connection.getresponse()
            body = answer.read()
            return int(body) if answer.status == 200 else 0
        except (OSError, http.client.HTTPException, ValueError):
            return 0
        finally:
            connection.close()

    def wait_until_up(self) -> None:
        """Wait until it answers."""

        def answers() -> bool:
            assert self.process.poll() is None, self.words()
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0),
            ):
                return True
            return False

        until(answers, "an open port")
        until(lambda: self.ask("/visit", f"f{next(_facts)}"), "an answer")

    def end(self, number: signal.Signals) -> float:
        """Send it a signal; return how long its end took, all of its processes included."""
        self.process.send_signal(number)
        return self.over()

    def over(self) -> float:
        """Wait for its end and that of what it forked; return the seconds."""
        began = time.monotonic()
        try:
            self.process.wait(GUARD_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler tells where it hangs
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
            raise AssertionError(f"it does not end:\n{self.words()}") from None
        until(lambda: not self._is_anybody_there(), "the end of its children")
        return time.monotonic() - began

    def _is_anybody_there(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End it and all that it forked, at once. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        until(lambda: not self._is_anybody_there(), "the end of its children")


class Load:
    """
    Requests from a few threads until told to stop; a fact is asked for only once.
    """

    THREADS = 3
    PAUSE_S = 0.01

    def __init__(self, life: Life) -> None:
        self.life = life
        self.pids: list[int] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(self.THREADS)]

    def _work(self) -> None:
        while not self._stop.wait(self.PAUSE_S):
            pid = self.life.ask("/visit", f"f{next(_facts)}")
            if pid:
                self.pids.append(pid)

    def more(self, count: int = 20) -> None:
        """Wait until so many more requests were answered."""
        goal = len(self.pids) + count
        until(lambda: len(self.pids) >= goal, f"{count} more answers: {self.life.words()}")

    def by_another(self, known: set[int]) -> None:
        """Wait until a process answers that is not among *known*."""
        until(lambda: set(self.pids) - known, f"a new worker: {self.life.words()}")

    def stuck(self, path: str) -> None:
        """Send a request that its worker does not survive; wait until it is gone."""
        fact = f"f{next(_facts)}"
        asking = threading.Thread(target=self.life.ask, args=(path, fact, GUARD_S))
        asking.start()

        def pid() -> int:
            accepted = self.life.ledger.noted()[0]
            return next((of for what, of in accepted.values() if what == fact), 0)

        until(pid, "the request that hangs")
        until(lambda: not _lives(pid()), f"the end of the stuck worker: {self.life.words()}")
        asking.join(GUARD_S)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(GUARD_S)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextlib.contextmanager
def running(
    program: str, ledger: Ledger, python: str = sys.executable, **env: str
) -> Iterator[Life]:
    """Run a Python program for a block; nothing of it survives the block."""
    path = ledger.notes.parent / f"program-{time.monotonic_ns()}.py"
    path.write_text(textwrap.dedent(program))
    life = Life([python, str(path)], ledger, **env)
    try:
        yield life
    finally:
        life.kill()


@contextlib.contextmanager
def living(server: Server, ledger: Ledger, **env: str) -> Iterator[Life]:
    """Run a server for a block; nothing of it survives the block."""
    port = free_port()
    life = Life(server.command(port), ledger, port, **server.env, **env)
    try:
        yield life
    finally:
        life.kill()
