"""
Hosts that are no servers: event loops that come and go, gevent, functions that are frozen.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import time

import pytest

from tests.lifecycle.conftest import missing
from tests.lifecycle.life import running, until

LOOPS = """
import asyncio, sys
import app


async def serve(number):
    async def one(each):
        await asyncio.sleep(0)
        app.visit(f"l{number}-{each}")

    await asyncio.gather(*[one(each) for each in range(10)])
    if number % 3 == 1:
        await app.cx.aflush(5)
    if number % 3 == 2:
        # The loop ends under a flush that somebody still waits for.
        waiting = asyncio.ensure_future(app.cx.aflush(5))
        await asyncio.sleep(0)
        waiting.cancel()


RUN
"""

STDLIB = "for number in range(9):\n    asyncio.run(serve(number), debug=number % 2 == 0)"
UVLOOP = "import uvloop\nfor number in range(9):\n    uvloop.run(serve(number))"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_event_loops_open_and_close_around_the_client(ledger, loop):
    """The client belongs to no loop: all events arrive, in silence."""
    if not importlib.util.find_spec(loop):
        missing(loop)
    program = LOOPS.replace("RUN", STDLIB if loop == "asyncio" else UVLOOP)
    with running(program, ledger) as life:
        life.over()
        assert (life.process.returncode, life.words()) == (0, "")
    assert len(ledger.noted()[0]) == 9 * 10 * 2
    assert ledger.missing() == {}
    assert ledger.outcome().twice == 0


PATCHES = {
    "before import": "import gevent.monkey; gevent.monkey.patch_all()\nimport app, gevent",
    "after import": "import app\nimport gevent.monkey; gevent.monkey.patch_all()\nimport gevent",
    "after the first event": """\
import app
app.visit("first")
import gevent.monkey
gevent.monkey.patch_all()
import gevent""",
}

GREENLETS = """
PATCH
import time


def work(number):
    for each in range(5):
        app.visit(f"g{number}-{each}")
        time.sleep(0)


gevent.joinall([gevent.spawn(work, number) for number in range(40)], raise_error=True)
report = app.cx.flush(10)
assert report.pending == 0, report
work("last")
"""


@pytest.mark.parametrize("patch", list(PATCHES))
def test_gevent(ledger, patch):
    """Greenlets emit, flush and exit, whenever threading was patched."""
    if not importlib.util.find_spec("gevent"):
        missing("gevent")
    with running(GREENLETS.replace("PATCH", PATCHES[patch]), ledger) as life:
        life.over()
        assert life.process.returncode == 0, life.words()
        # Threads that are older than the patch are not in gevent's book, and it says so.
        assert patch == "after the first event" or life.words() == ""
    assert len(ledger.noted()[0]) >= 41 * 5 * 2
    assert ledger.missing() == {}
    assert ledger.outcome().twice == 0


FUNCTION = """
import sys
import app

for line in sys.stdin:
    app.visit(line.strip())
    FLUSH
    print("done", flush=True)
"""


class Function:
    """A host that thaws for each call, and is frozen as soon as it has answered."""

    def __init__(self, life):
        self.life = life
        self.process = life.process
        self.answers = 0

    def call(self, fact):
        """Thaw it, call it, freeze it at once."""
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{fact}\n".encode())
        self.process.stdin.flush()
        self.answers += 1
        until(lambda: self.life.words().count("done") >= self.answers, self.life.words())
        os.kill(self.process.pid, signal.SIGSTOP)


@pytest.mark.parametrize("flush", ["app.cx.flush(5)", ""], ids=["flush", "no flush"])
def test_a_function_that_is_frozen_after_its_answer(ledger, collector, inherit, record, flush):
    """With flush each answer's events are at the collector; without, the next process brings them."""
    with running(FUNCTION.replace("FLUSH", flush or "pass"), ledger, CXSDK_LINGER="120") as life:
        function = Function(life)
        for number in range(3):
            function.call(f"f{number}")
            assert ledger.arrived() == ((number + 1) * 2 if flush else 0)
        # While it is frozen its connection dies, and the collector is another process.
        collector.down(answers_503=False)
        collector.up()
        function.call("f3")
        by_itself = ledger.arrived()
        assert by_itself == (8 if flush else 0)
        life.kill()  # frozen: no hook runs
    inherit()
    outcome = record("function host", "flush" if flush else "no flush", ledger.outcome(by_itself))
    assert (outcome.accepted, outcome.lost, outcome.twice, outcome.unasked) == (8, 0, 0, 0)


def test_a_process_that_was_frozen_for_a_while_goes_on(ledger, collector):
    """Thawed, its threads deliver what waited, over a connection that died meanwhile."""
    with running(FUNCTION.replace("FLUSH", "pass"), ledger) as life:
        function = Function(life)
        for number in range(3):
            function.call(f"f{number}")
            collector.down(answers_503=False)
            time.sleep(0.2)  # stands still
            collector.up()
        os.kill(life.process.pid, signal.SIGCONT)
        until(lambda: not ledger.missing(), f"delivery: {ledger.missing()}")
    assert ledger.outcome().twice == 0
