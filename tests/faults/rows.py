"""
The faults, one function each: what the sink does, how the process lives and ends, and who is next.

A row gets a `Trial` of one library and plays it; what must have arrived in the end is what the
calls that returned had been given.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from tests.faults.sink import FaultySink, well
from tests.faults.worker import Board

__all__ = ["ROWS", "Outcome", "Trial", "play"]

ROOT = Path(__file__).parents[2]
_LIFE_S = 75.0
"""Longest life of one process; a host that is held longer at its exit counts as this."""

_PATIENCE_S = 45.0
"""How long a next process may take to deliver what an earlier one left."""


@attrs.define
class Outcome:
    """
    What became of one library in one row. Counts of events.
    """

    accepted: int = 0
    """Calls that returned."""
    delivered: int = 0
    """Different events at the sink."""
    counted: int = 0
    """Not delivered and said so: refused, shed, damaged or a dead letter, by the library's own
    figures. Only cxsdk has any."""
    duplicates: int = 0
    """Arrivals of events that were there already."""
    blocked_ms: float = 0.0
    """Longest single call."""
    exit_s: float | None = None
    """From the last call to the end of the process; None: it was killed."""
    remark: str = ""

    @property
    def lost(self) -> int:
        """Accepted, not delivered, and nobody said so."""
        return self.accepted - self.delivered - self.counted


class Trial:
    """
    One library in one row: a sink, a folder, processes one after the other.
    """

    def __init__(self, subject: str, sink: FaultySink, folder: Path) -> None:
        self.subject = subject
        self.sink = sink
        self.spool = folder / "spool"
        self._folder = folder
        self.board = Board(folder / "board")
        self.outcome = Outcome()
        self.stats: dict[str, Any] = {}

    @property
    def arrived(self) -> int:
        """Different events at the sink now."""
        return len(self.sink.times)

    @contextlib.contextmanager
    def life(self, count: int, *flags: str, end: str = "exit", rate: float = 0) -> Iterator[Any]:
        """
        Start a process that emits *count* events; give it up after the longest life.
        """
        command = [
            sys.executable, "-m", "tests.faults.worker", "--subject", self.subject,
            "--url", self.sink.url, "--dir", str(self.spool), "--board", str(self._folder / "board"),
            "--count", str(count), "--end", end, "--rate", str(rate), *flags,
        ]  # fmt: skip
        environ = {k: v for k, v in os.environ.items() if not k.startswith("CXSDK_")}
        environ["PYTHONPATH"] = str(ROOT)
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        # A library that holds its host for so long is not waited for any longer.
        watchdog = threading.Timer(_LIFE_S, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def emitted(self, process: Any) -> None:
        """Wait until the last call returned."""
        word, _, raised = process.stdout.readline().partition(" ")
        if word != "emitted":
            assert process.wait() == -signal.SIGKILL, "the worker failed before it had emitted"
            self.outcome.remark = f"its calls held the host for more than {_LIFE_S:.0f} s"
        elif int(raised):
            self.outcome.remark = f"{int(raised):,} calls raised into the host"
        self.outcome.accepted, self.outcome.blocked_ms = self.board.read()

    def ends(self, process: Any) -> None:
        """Let the process end by itself; note how long that takes, and what it says."""
        began = time.monotonic()
        process.stdin.close()
        process.stdin = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            said, _ = process.communicate(timeout=_LIFE_S)
            with contextlib.suppress(ValueError, IndexError):
                self.stats = json.loads(said.splitlines()[-1])
        self.outcome.exit_s = time.monotonic() - began

    def next_life(self) -> None:
        """
        Start the service again with nothing to emit, until all has arrived or patience ends.

        Only cxsdk keeps anything from one process to the next; the others get their chance too.
        """
        before = self.outcome.accepted
        with self.life(0, end="wait") as process:
            self.emitted(process)
            self.outcome.accepted = before
            patience = _PATIENCE_S if self.subject == "cxsdk" else 3.0
            self.sink.wait_for(before - self.outcome.counted, patience)
            kept = self.outcome.exit_s
            self.ends(process)
            self.outcome.exit_s = kept


Row = Callable[[Trial], None]


def killed(trial: Trial) -> None:
    """Kill -9 after 10,000 accepted, 200 ms a request, then a restart"""
    trial.sink.delay = 0.2
    with trial.life(10_000, end="wait") as process:
        trial.emitted(process)
        process.kill()
        process.wait()
    trial.next_life()


def away(trial: Trial) -> None:
    """Nothing listens for the process's whole life, then a restart"""
    trial.sink.close()
    with trial.life(1000) as process:
        trial.emitted(process)
        trial.ends(process)
    trial.sink.open()
    trial.next_life()


def unavailable(trial: Trial) -> None:
    """503 for 25 s"""
    trial.sink.reply = lambda _: (503, {})
    _outage(trial, 25.0)


def throttled(trial: Trial) -> None:
    """429 with Retry-After: 5, for 8 s"""
    trial.sink.reply = lambda _: (429, {"Retry-After": "5"})
    _outage(trial, 8.0)


def _outage(trial: Trial, seconds: float) -> None:
    with trial.life(1000, end="wait") as process:
        trial.emitted(process)
        time.sleep(seconds)
        trial.sink.reply = well
        trial.sink.wait_for(trial.outcome.accepted, _PATIENCE_S)
        trial.ends(process)


def too_large(trial: Trial) -> None:
    """413 above 10 events a request"""
    trial.sink.reply = lambda marks: (413 if len(marks) > 10 else 200, {})
    with trial.life(200, end="wait") as process:
        trial.emitted(process)
        trial.sink.wait_for(trial.outcome.accepted, 20.0)
        trial.ends(process)


def burst(trial: Trial) -> None:
    """A burst of 50,000"""
    with trial.life(50_000) as process:
        trial.emitted(process)
        trial.ends(process)
    trial.next_life()


def forked(trial: Trial) -> None:
    """Two forked children of 50 events, one ends by exit, one by os._exit"""
    with trial.life(1, end="fork") as process:
        trial.emitted(process)
        trial.ends(process)
    trial.next_life()


def terminated(trial: Trial) -> None:
    """SIGTERM under load of 2,000 events a second, then a restart"""
    with trial.life(100_000, rate=2000) as process:
        while trial.board.read()[0] < 3000:
            time.sleep(0.01)
        began = time.monotonic()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LIFE_S)
        trial.outcome.exit_s = time.monotonic() - began
    trial.outcome.accepted, trial.outcome.blocked_ms = trial.board.read()
    trial.next_life()


def full_disk(trial: Trial) -> None:
    """Disk of 1 MiB full while the collector is away: 30,000 events"""
    trial.sink.close()
    with _small_disk(trial.spool), trial.life(30_000, "--small-disk", end="wait") as process:
        trial.emitted(process)
        trial.sink.open()
        trial.sink.wait_for(trial.outcome.accepted, 25.0)
        trial.ends(process)
    sink = trial.stats["sinks"]["default"]
    trial.outcome.counted = sum(trial.stats["refused"].values()) + sum(sink["dropped"].values())
    reasons = {**trial.stats["refused"], **sink["dropped"]}
    trial.outcome.remark = ", ".join(f"{count} {reason}" for reason, count in reasons.items())


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def torn_tail(trial: Trial) -> None:
    """Killed in the middle of an append: half a record at the end"""
    _damaged(trial, _tear)


def flipped_bit(trial: Trial) -> None:
    """One bit flipped in the middle of what waits"""
    _damaged(trial, _flip)
    # That record is gone; what counts is that it alone is, and that somebody says so.
    dropped = trial.stats.get("sinks", {}).get("default", {}).get("dropped", {})
    trial.outcome.counted = dropped.get("corrupt", 0)
    trial.outcome.remark = f"{trial.outcome.counted} corrupt"


def _damaged(trial: Trial, damage: Callable[[Path], None]) -> None:
    trial.sink.close()
    with trial.life(1000, end="wait") as process:
        trial.emitted(process)
        process.kill()
        process.wait()
    middle = b"ev-000500"
    damage(next(path for path in trial.spool.rglob("*.bulk.*") if middle in path.read_bytes()))
    trial.sink.open()
    if damage is _flip:
        trial.outcome.counted = 1
    trial.next_life()


def _tear(path: Path) -> None:
    data = bytearray(path.read_bytes())
    end = len(bytes(data).rstrip(b"\x00"))
    record = b"\xff\x01\xc5\xfe" + b"\x07" * 40  # a commit word and the first bytes after it
    data[end : end + len(record)] = record
    path.write_bytes(data)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"ev-000500")] ^= 1
    path.write_bytes(data)


def poison(trial: Trial) -> None:
    """One event that the collector refuses (400) among 100"""
    trial.sink.reply = lambda marks: (400 if "ev-000050" in marks else 200, {})
    with trial.life(100, end="wait") as process:
        trial.emitted(process)
        trial.sink.wait_for(99, 20.0)
        trial.ends(process)
    dead = trial.stats.get("sinks", {}).get("default", {}).get("dead_lettered", 0)
    trial.outcome.counted = dead
    trial.outcome.remark = f"{dead} dead letter" if dead else ""


def clock_back(trial: Trial) -> None:
    """The wall clock is set back an hour in the middle"""
    with trial.life(1000, "--clock-back", end="wait", rate=500) as process:
        trial.emitted(process)
        trial.sink.wait_for(trial.outcome.accepted, 20.0)
        trial.ends(process)


def dead_dns(trial: Trial) -> None:
    """Name lookups hang for 30 s and fail, then a restart"""
    with trial.life(1000, "--dead-dns") as process:
        trial.emitted(process)
        trial.ends(process)
    trial.next_life()


def black_hole(trial: Trial) -> None:
    """Connections are taken and never answered, then a restart"""
    trial.sink.reply = lambda _: None
    with trial.life(1000) as process:
        trial.emitted(process)
        trial.ends(process)
    trial.sink.close()
    trial.sink.reply = well
    trial.sink.open()
    trial.next_life()


def an_hour(trial: Trial) -> None:
    """An hour's outage on a virtual clock, 10 events a second"""
    from tests.faults.hour import live_an_hour

    live_an_hour(trial)


ROWS: dict[str, Row] = {
    row.__name__: row
    for row in (
        killed, away, unavailable, throttled, too_large, burst, forked, terminated, full_disk,
        torn_tail, flipped_bit, poison, an_hour, clock_back, dead_dns, black_hole,
    )
}  # fmt: skip

ONLY_DURABLE = frozenset({"full_disk", "torn_tail", "flipped_bit", "an_hour"})
"""Rows about what only cxsdk has: something on a disk, and a clock that can be given."""


def play(name: str, subject: str) -> Outcome:
    """
    Play one row with one library.
    """
    with tempfile.TemporaryDirectory(prefix="cxsdk-fault-") as folder, FaultySink() as sink:
        trial = Trial(subject, sink, Path(folder))
        ROWS[name](trial)
        outcome = trial.outcome
        outcome.delivered = trial.arrived
        outcome.duplicates = sum(sink.times.values()) - len(sink.times)
        return outcome
