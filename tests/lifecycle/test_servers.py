"""
Every server of the matrix, for real: what its workers accepted arrives, and is counted once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.lifecycle.conftest import missing
from tests.lifecycle.life import Load, living, until
from tests.lifecycle.servers import SERVERS, WORKERS

KILLS = int(os.environ.get("LIFECYCLE_KILLS", "1"))
"""Workers that are killed one by one, before all are."""


@pytest.fixture(params=SERVERS, ids=lambda server: server.name)
def server(request):
    """One server of the table."""
    if not request.param.is_here:
        missing(request.param.package)
    return request.param


def test_a_graceful_end_under_load(server, ledger, record):
    """At the server's own stop signal its workers deliver, as claimed; else the next start does."""
    # Nothing leaves before the end but by a drain.
    with living(server, ledger, CXSDK_LINGER="120") as life:
        life.wait_until_up()
        if server.loads:
            until(lambda: life.words().count(server.loads) >= WORKERS, "all workers loaded")
        with Load(life) as load:
            load.more(40)
            seconds = life.end(server.stop)
        assert "Traceback" not in life.words(), life.words()
    by_itself = ledger.arrived()
    accepted = len(ledger.noted()[0])
    least = {"all": accepted, "idle": 0, "any": 0, "none": 0}[server.arrives]
    assert least <= by_itself <= (0 if server.arrives == "none" else accepted)
    next_start(server, ledger)
    outcome = record(server.name, "graceful end", ledger.outcome(by_itself, seconds))
    assert (outcome.lost, outcome.twice, outcome.refused) == (0, 0, 0)
    # A thread that still serves when the process is over has emitted and not returned.
    assert outcome.unasked == 0 or server.arrives in {"idle", "any"}


@pytest.mark.parametrize(
    "idle", [each for each in SERVERS if each.arrives == "idle"], ids=lambda server: server.name
)
def test_a_graceful_end_at_rest(idle, ledger):
    """Where a worker in the middle of a request ends without its hooks, one at rest delivers all."""
    if not idle.is_here:
        missing(idle.package)
    with living(idle, ledger, CXSDK_LINGER="120") as life:
        life.wait_until_up()
        if idle.loads:
            until(lambda: life.words().count(idle.loads) >= WORKERS, "all workers loaded")
        with Load(life) as load:
            load.more(40)
        time.sleep(1)  # an answer is out a little before its worker is at rest
        life.end(idle.stop)
    assert not ledger.missing()
    assert ledger.arrived() >= 80


def test_kills_reloads_and_timeouts_under_load(server, ledger, record):
    """Workers are killed, reloaded and given up, then all are killed: nothing is lost or doubled."""
    with living(server, ledger) as life:
        life.wait_until_up()
        with Load(life) as load:
            load.more()
            if server.revives:
                for _ in range(KILLS):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(load.pids[-1], signal.SIGKILL)  # whoever answered last
                    load.more()  # beside those that live
                known = set(ledger.pids())
                for pid in known:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                load.by_another(known)
                load.more()
            if server.reload:
                known = set(ledger.pids())
                life.process.send_signal(server.reload)
                load.by_another(known)
                load.more()
            if server.stuck:
                load.stuck(server.stuck)
                load.more()
            life.kill()
    if server.revives:
        assert len(ledger.pids()) > WORKERS
    by_itself = ledger.arrived()
    next_start(server, ledger)
    outcome = record(server.name, "kill, reload, timeout", ledger.outcome(by_itself))
    assert (outcome.lost, outcome.twice, outcome.refused) == (0, 0, 0)


def next_start(server, ledger):
    """Start the server once more, without a request, until all is delivered."""
    if not ledger.missing():
        return
    with living(server, ledger) as life:
        until(lambda: not ledger.missing(), f"delivery: {ledger.missing()}\n{life.words()}")


def test_the_matrix_can_fail(ledger):
    """Negative control: with the spool in memory, what is killed is lost, and this is seen."""
    server = SERVERS[0]
    if not server.is_here:
        missing(server.package)
    with living(server, ledger, CXSDK_SPOOL_MODE="memory", CXSDK_LINGER="120") as life:
        life.wait_until_up()
        with Load(life) as load:
            load.more()
            life.kill()
    outcome = ledger.outcome()
    assert outcome.accepted == outcome.lost > 0
