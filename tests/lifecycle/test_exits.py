"""
Every end of a script, on every Python that is supported: no word on stderr, nothing lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import textwrap

import pytest

from tests.lifecycle.conftest import missing
from tests.lifecycle.life import running
from tests.lifecycle.pythons import VERSIONS, interpreter

EXITS = int(os.environ.get("LIFECYCLE_EXITS", "2"))
AT_ONCE = 8
"""Processes per end and Python; 100 for a long run."""

EVERYTHING, NOTHING = "all", "none"

ENDS = {
    # end: (what the program does after its events, how it ends, what arrives by itself)
    "return": ("", 0, EVERYTHING),
    "sys.exit": ("sys.exit(3)", 3, EVERYTHING),
    "unhandled exception": ("raise KeyError('the host is broken')", 1, EVERYTHING),
    "SIGINT": ("signal.raise_signal(signal.SIGINT)", 1, EVERYTHING),
    "SIGTERM": ("os.kill(os.getpid(), 15); time.sleep(20)", -15, NOTHING),
    "SIGTERM, drained": (
        "app.cx.drain_on_sigterm(); os.kill(os.getpid(), 15); time.sleep(20)",
        -15,
        EVERYTHING,
    ),
    "os._exit": ("os._exit(4)", 4, NOTHING),
    "kill -9": ("os.kill(os.getpid(), 9)", -9, NOTHING),
    "close, then return": ("app.cx.close()", 0, EVERYTHING),
}

LATE = {
    "a host's atexit that runs after ours": "atexit.register(app.visit, 'late1')\napp.visit('early')",
    "the very first event, in atexit": "atexit.register(app.visit, 'late2')",
    "a finalizer at teardown": """
        class Late:
            def __init__(self):
                self.visit = app.visit

            def __del__(self):
                self.visit("late3")

        keep = Late()
        app.visit("early")
        """,
    "a daemon thread that never stops": """
        def work(number=0):
            while True:
                app.visit(f"d{number}")
                number += 1
                time.sleep(0.0005)

        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
        """,
    "a thread that outlives main": """
        def work():
            threading.main_thread().join()
            for number in range(20):
                app.visit(f"t{number}")

        threading.Thread(target=work).start()
        """,
    "SIGTERM, drained, beside a busy thread": """
        app.cx.drain_on_sigterm()

        def work(number=0):
            while True:
                app.visit(f"s{number}")
                number += 1
                time.sleep(0.0005)

        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
        os.kill(os.getpid(), 15)
        time.sleep(20)
        """,
}

HEAD = "import atexit, os, signal, sys, threading, time\nimport app\n"


@pytest.fixture(scope="session", params=VERSIONS)
def python(request):
    """An interpreter that can import the library."""
    found = interpreter(request.param, request.config.cache.mkdir("pythons"))
    if found is None:
        missing(f"Python {request.param}")
    return found


def run(program, ledger, python, **env):
    """Run so many processes of a program, some side by side; return what each left."""
    left = []
    for first in range(0, EXITS, AT_ONCE):
        with contextlib.ExitStack() as stack:
            lives = [
                stack.enter_context(running(program.format(n=n), ledger, python, **env))
                for n in range(first, min(first + AT_ONCE, EXITS))
            ]
            for life in lives:
                life.over()
            left += [(life.process.returncode, life.words()) for life in lives]
    return left


@pytest.mark.parametrize("end", list(ENDS))
def test_every_end(python, ledger, inherit, record, end):
    """A script's end says nothing on stderr; what it accepted arrives, by itself or later."""
    last, code, arrives = ENDS[end]
    # Nothing leaves before the end but by a drain.
    visits = "for number in range(10):\n    app.visit(f'{n}-{{number}}')\n"
    for was, words in run(f"{HEAD}{visits}{last}\n", ledger, python, CXSDK_LINGER="120"):
        # Python forgets that it was interrupted when an exit hook executes source, as imports do.
        assert was == code or (end, was) == ("SIGINT", -signal.SIGINT), words
        assert ("Traceback" in words) == (end in {"unhandled exception", "SIGINT"}), words
        assert "cxsdk" not in words, words
    accepted = len(ledger.noted()[0])
    by_itself = ledger.arrived()
    assert accepted == 20 * EXITS
    assert by_itself == (accepted if arrives == EVERYTHING else 0)
    inherit()
    outcome = record(f"script, {end}", "its end", ledger.outcome(by_itself))
    assert (outcome.lost, outcome.twice, outcome.unasked, outcome.refused) == (0, 0, 0, 0)


@pytest.mark.parametrize("late", list(LATE))
def test_events_while_the_interpreter_goes_down(python, ledger, inherit, late):
    """What is emitted during an exit is accepted, and delivered by the next start at the latest."""
    program = HEAD + textwrap.dedent(LATE[late]).replace("{", "{{").replace("}", "}}")
    for code, words in run(program, ledger, python):
        assert code == (-signal.SIGTERM if "SIGTERM" in late else 0), words
        assert words == ""
    inherit()
    outcome = ledger.outcome()
    assert outcome.accepted > 0
    assert outcome.lost == 0
    # After all exit hooks nothing can be opened any more, and the verb says so.
    assert outcome.refused == (2 * EXITS if "finalizer" in late else 0)
