"""
Celery's prefork pool on a Redis of its own: children that are recycled, killed, and ended.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess

import pytest

from tests.lifecycle.conftest import missing
from tests.lifecycle.life import Life, free_port, until
from tests.lifecycle.servers import _BIN


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A Redis of our own."""
    if not importlib.util.find_spec("celery"):
        missing("celery")
    program = shutil.which("redis-server") or missing("redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)

    def answers():
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            return False
        return True

    try:
        until(answers, "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def worker(ledger, broker):
    """Start Celery workers; send them tasks."""
    lives = []

    class Worker(Life):
        def __init__(self, *more, **env):
            self.queue = f"{ledger.service}"
            env = {"LIFECYCLE_BROKER": broker, **env}
            options = ["-A", "jobs", "worker", "--pool=prefork", "-c", "2", "-Q", self.queue]
            options += ["--without-gossip", "--without-mingle", "--without-heartbeat", *more]
            super().__init__([str(_BIN / "celery"), *options], ledger, **env)
            lives.append(self)

        def send(self, *facts, seconds=0.0):
            from celery import Celery

            with Celery("sender", broker=broker) as sender:
                for fact in facts:
                    sender.send_task("jobs.visit", (fact, seconds), queue=self.queue)

        def wait_for(self, *facts):
            def noted():
                return {fact for fact, _ in ledger.noted()[0].values()}

            until(lambda: set(facts) <= noted(), f"{facts}: {self.words()}")

    yield Worker
    for life in lives:
        life.kill()


@pytest.mark.parametrize("recipe", ["", "1"], ids=["no recipe", "recipe"])
def test_children_that_live_for_one_task(ledger, worker, inherit, record, recipe):
    """Each child ends after its task, skipping atexit; with the recipe it delivers first."""
    facts = [f"f{number}" for number in range(8)]
    life = worker("--max-tasks-per-child=1", CXSDK_LINGER="120", LIFECYCLE_RECIPE=recipe)
    life.send(*facts)
    life.wait_for(*facts)
    seconds = life.end(signal.SIGTERM)
    assert len(ledger.pids()) >= len(facts)
    by_itself = ledger.arrived()
    if recipe:
        assert by_itself == len(ledger.noted()[0])
    inherit()
    name = f"Celery prefork{', recipe' if recipe else ''}"
    outcome = record(name, "recycled children", ledger.outcome(by_itself, seconds))
    assert (outcome.lost, outcome.twice, outcome.unasked, outcome.refused) == (0, 0, 0, 0)


def test_children_that_are_killed(ledger, worker, inherit, record):
    """A child dies in its task, the pool goes on, then everything dies: nothing is lost."""
    life = worker("--max-tasks-per-child=5")
    life.send("a0", "a1", "a2", seconds=0.1)
    life.wait_for("a0", "a1", "a2")
    life.send("dies", seconds=30.0)
    life.wait_for("dies")
    victim = next(pid for fact, pid in ledger.noted()[0].values() if fact == "dies")
    os.kill(victim, signal.SIGKILL)
    facts = [f"b{number}" for number in range(12)]
    life.send(*facts)
    life.wait_for(*facts)
    life.kill()
    by_itself = ledger.arrived()
    inherit()
    outcome = record("Celery prefork", "kill", ledger.outcome(by_itself))
    assert (outcome.lost, outcome.twice, outcome.refused) == (0, 0, 0)
