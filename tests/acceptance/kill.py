"""
The kill loop: ``python -m tests.acceptance.kill --kills 1000`` for longer runs than the test's.

Processes that emit 2,000 events a second from four threads are killed with SIGKILL at random
moments, a third of them while the collector is dead or answers 503. Each of them finds what those
before it left. In the end everything whose verb had returned must be in the collector, once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs

from cxsdk.testing import faults
from tests.acceptance.host import Board

HERE = Path(__file__).parent
THREADS, RATE = 4, 2000
_LIFE_S = (0.1, 0.5)


@attrs.define
class Report:
    """
    What a run came to. Counts of events unless said otherwise.
    """

    seed: int
    library: str
    kills: int = 0
    in_outage: int = 0
    """Kills while the collector was away."""

    accepted: int = 0
    """Whose verb returned `Accepted` before the kill."""

    stored: int = 0
    """Different ids in the collector's database."""

    lost: int = 0
    """Accepted and not stored."""

    twice: int = 0
    """Stored more than once."""

    wrong: int = 0
    """Stored under an id, but not what was emitted under it."""

    duplicates: int = 0
    """Came to the collector again and were not stored again."""

    refused: int = 0
    """Refused by the collector as invalid."""

    extras: int = 0
    """Stored although the process died before its verb had returned."""

    seconds: float = 0.0
    heir: dict[str, Any] = attrs.Factory(dict)
    """The ledger of the last process: all zero."""

    def __str__(self) -> str:
        figures = {**attrs.asdict(self), "seconds": round(self.seconds, 1)}
        return "kill report: " + json.dumps(figures)


class Collector:
    """
    The real collector in a process of its own; it can die, and 503 can take its place.
    """

    def __init__(self, folder: Path) -> None:
        self.database = folder / "collector.db"
        self.notes = folder / "notes"
        self._stand_in = faults.FaultCollector(faults.status(503))
        self._process: subprocess.Popen[str] | None = None
        with self._stand_in:
            self.port = self._stand_in.port
        self.url = f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Start it and wait until it answers; what stood in for it goes."""
        self._stand_in.stop()
        if self._process is None:
            program = [sys.executable, str(HERE / "counting.py"), str(self.port)]
            self._process = subprocess.Popen(
                [*program, str(self.database), str(self.notes)], stdout=subprocess.PIPE, text=True
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline().strip() == self.url

    def down(self, *, answers_503: bool) -> None:
        """Kill it, in the middle of whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        if answers_503:
            self._stand_in.start()

    def close(self) -> None:
        """Let go of everything."""
        self.down(answers_503=False)
        self._stand_in.stop()

    def stored(self) -> tuple[Counter[str], dict[str, Any]]:
        """Return how often each id is stored, and the number that each event carries."""
        if not self.database.exists():
            return Counter(), {}
        with sqlite3.connect(self.database) as db:
            rows = db.execute("SELECT id, body FROM events").fetchall()
        db.close()
        bodies = {name: json.loads(body)["data"]["ext"]["app"]["n"] for name, body in rows}
        return Counter(name for name, _ in rows), bodies

    def noted(self) -> tuple[int, int]:
        """Return how many duplicates came, and how many were refused."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        figures = [tuple(map(int, line.split())) for line in lines]
        return sum(each[1] for each in figures), sum(each[2] for each in figures)


def spawn(**given: Any) -> subprocess.Popen[str]:
    """Start a host; wait for nothing."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "host.py"), json.dumps(given)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def environment(**more: str) -> dict[str, str]:
    """Return an environment without what would change how the library behaves."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("CXSDK_", "PYTEST_"))}
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    return {**clean, "PYTHONPATH": path, **more}


def run(folder: Path, kills: int, *, seed: int = 0, library: str = "cxsdk") -> Report:
    """
    Kill *kills* processes, let a last one deliver, and compare.
    """
    report = Report(seed, library)
    began = time.monotonic()
    rand = random.Random(seed)
    collector = Collector(folder)
    given: dict[str, Any] = {
        "do": "paced",
        "library": library,
        "root": str(folder / "root"),
        "collector": collector.url,
        "threads": THREADS,
        "rate": RATE,
    }
    boards = [folder / f"board-{number}" for number in range(kills)]
    is_ours = library == "cxsdk"
    try:
        for number, board in enumerate(boards):
            Board(board, THREADS)
            outage = number % 6 in {4, 5}
            one_life({**given, "board": str(board)}, collector if is_ours else None, outage, rand)
            report.kills += 1
            report.in_outage += outage
        if is_ours:
            collector.up()
            report.heir = last_life(given)
    finally:
        collector.close()
    compare(report, [Board(board, THREADS).names() for board in boards], collector, folder)
    report.seconds = time.monotonic() - began
    return report


def one_life(
    given: dict[str, Any], collector: Collector | None, outage: bool, rand: random.Random
) -> None:
    """
    Start a host, change the collector's state while it emits, kill it at a random moment.
    """
    host = spawn(**given)
    try:
        assert host.stdout is not None
        if collector is not None and not outage:
            collector.up()
        assert json.loads(host.stdout.readline()) == {"up": True}
        moment = rand.uniform(*_LIFE_S)
        change = threading.Timer(
            rand.uniform(0, moment),
            lambda: collector.down(answers_503=rand.random() < 0.5),  # type: ignore[union-attr]
        )
        if collector is not None and outage:
            change.start()
        time.sleep(moment)
        host.send_signal(signal.SIGKILL)
        change.cancel()
    finally:
        host.kill()
        host.communicate()
        if change.is_alive():
            change.join()


def last_life(given: dict[str, Any]) -> dict[str, Any]:
    """
    Let a process that emits nothing deliver everything; return its ledger.
    """
    heir = spawn(**{**given, "do": "deliver", "patience": 120})
    out, _ = heir.communicate(timeout=180)
    assert heir.returncode == 0, out
    return json.loads(out.splitlines()[-1])["ledger"]  # type: ignore[no-any-return]


def compare(
    report: Report, boards: list[list[list[str]]], collector: Collector, folder: Path
) -> None:
    """
    Fill in what was accepted, stored and lost.
    """
    accepted = {name: n for board in boards for row in board for n, name in enumerate(row)}
    report.accepted = len(accepted)
    if report.library == "cxsdk":
        stored, numbers = collector.stored()
        report.duplicates, report.refused = collector.noted()
    else:
        lines = [path.read_text().split("\n") for path in folder.glob("root.*.txt")]
        # The torn end of a buffer runs into the next process's first line, and is lost with it.
        stored = Counter(name for each in lines for name in each if len(name) == 36)
        numbers = accepted
    report.stored = len(stored)
    report.lost = len(accepted.keys() - stored.keys())
    report.twice = sum(count > 1 for count in stored.values())
    report.wrong = sum(numbers.get(name, n) != n for name, n in accepted.items())
    report.extras = len(stored.keys() - accepted.keys())


def main() -> None:
    """
    Run from the command line; exit with 1 if anything was lost.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--library", choices=["cxsdk", "buffered"], default="cxsdk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cxsdk-kill-") as folder:
        report = run(Path(folder), options.kills, seed=options.seed, library=options.library)
    print(report)
    sys.exit(1 if report.lost or report.twice or report.wrong else 0)


if __name__ == "__main__":
    main()
