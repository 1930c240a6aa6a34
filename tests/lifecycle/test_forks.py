"""
A hundred forks while another thread is inside an emit, on every supported Python.
"""

from __future__ import annotations

import sys
import textwrap

import pytest

from tests.lifecycle.life import running
from tests.lifecycle.test_exits import python

__all__ = ["python"]

FORKS = 100
"""On the Python at hand; fewer on the others, which each cost a quarter of a minute else."""

STORM = """
import os, signal, sys, threading, time, warnings
import app

sys.setswitchinterval(1e-5)  # so that threads stand in the middle of things when main forks

warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons: fork beside threads
app.visit("first")
app.cx.flush(5)  # now all is imported, so that children are quick
stop = threading.Event()


def work(name, number=0):
    while not stop.is_set():
        app.visit(f"{name}-{number}")
        number += 1
        if number % 5 == 0:
            time.sleep(0.005)


threads = [threading.Thread(target=work, args=(f"parent{n}",)) for n in range(2)]
for thread in threads:
    thread.start()
for wave in range(0, FORKS, 10):
    children = []
    for number in range(wave, min(wave + 10, FORKS)):
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)  # a child that waits for a lock dies of it
            for each in range(3):
                app.visit(f"child{number}-{each}")
            if number % 2:
                os._exit(0)
            sys.exit(0)
        children.append(pid)
    for pid in children:
        status = os.waitpid(pid, 0)[1]
        assert status == 0, (pid, status)
stop.set()
for thread in threads:
    thread.join()
"""


def test_a_storm_of_forks_beside_threads_inside_emit(python, ledger, inherit):
    """No child waits for a lock, no id repeats, each fact is counted once."""
    forks = FORKS if python == sys.executable else FORKS // 3
    with running(STORM.replace("FORKS", str(forks)), ledger, python) as life:
        life.over()
        assert (life.process.returncode, life.words()) == (0, "")
    inherit()
    facts = {fact for fact, _ in ledger.noted()[0].values()}
    assert {f"child{n}-{each}" for n in range(forks) for each in range(3)} <= facts
    outcome = ledger.outcome()
    assert (outcome.lost, outcome.twice, outcome.unasked, outcome.refused) == (0, 0, 0, 0)
    assert len(ledger.pids()) == forks + 1


POOLS = {
    # how children are made and ended: (program, whether they deliver by themselves)
    "Pool, recycled": (
        """
        with context.Pool(2, maxtasksperchild=1) as pool:
            pool.map(app.visit, facts, chunksize=1)
            pool.close()
            pool.join()
        """,
        True,
    ),
    "Pool, terminated": (
        """
        with context.Pool(2) as pool:
            pool.map(app.visit, facts, chunksize=1)
        """,
        False,
    ),
    "ProcessPoolExecutor": (
        """
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(app.visit, facts))
        """,
        True,
    ),
    "Process": (
        """
        children = [context.Process(target=app.visit, args=(fact,)) for fact in facts[:4]]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        """,
        True,
    ),
    "Process, killed": (
        """
        children = [context.Process(target=linger, args=(fact,)) for fact in facts[:2]]
        for child in children:
            child.start()
        while len(os.listdir(os.environ["LIFECYCLE_NOTES"])) < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        for child in children:
            child.kill()
            child.join()
        """,
        False,
    ),
}

POOL_HEAD = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
import app


def linger(fact):
    app.visit(fact)
    time.sleep(60)


facts = [f"f{n}" for n in range(6)]
if __name__ == "__main__":
    context = multiprocessing.get_context("METHOD")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("pool", list(POOLS))
def test_multiprocessing(ledger, inherit, record, pool, method):
    """Children of each kind deliver at their end, or leave it to the next start."""
    body, by_themselves = POOLS[pool]
    body = textwrap.indent(textwrap.dedent(body), "    ")
    # Nothing leaves before the end but by a drain.
    program = POOL_HEAD.replace("METHOD", method) + body
    with running(program, ledger, CXSDK_LINGER="120") as life:
        life.over()
        assert (life.process.returncode, life.words()) == (0, "")
    accepted = len(ledger.noted()[0])
    by_itself = ledger.arrived()
    assert accepted >= 4
    if by_themselves:
        assert by_itself == accepted
    inherit()
    outcome = record(f"multiprocessing {pool}", "its end", ledger.outcome(by_itself))
    assert (outcome.lost, outcome.twice, outcome.unasked, outcome.refused) == (0, 0, 0, 0)
