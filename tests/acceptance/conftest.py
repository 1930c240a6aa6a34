"""
Hosts in processes of their own, and the collectors they send to.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from cxsdk.testing.faults import FaultCollector
from tests.acceptance.kill import environment

GUARD_S = 60.0


class Host:
    """A program that uses the library, in a process of its own; see ``host.py``."""

    def __init__(self, folder, program, given, env):
        path = folder / f"program-{time.monotonic_ns()}.py"
        path.write_text("from host import *\n" + textwrap.dedent(program))
        self.process = subprocess.Popen(
            [sys.executable, str(path), json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(PYTHONFAULTHANDLER="1", **env),
            cwd=folder,
            start_new_session=True,
        )

    def line(self):
        """Return what it says next."""
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=GUARD_S)[1]
        return json.loads(line)

    def kill(self):
        """End it and all that it forked; they would hold its output open."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, guard=GUARD_S):
        """Wait for its end; return what it said last, its return code, words and seconds."""
        began = time.monotonic()
        try:
            out, err = self.process.communicate(timeout=guard)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler tells where it hangs
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            self.kill()
            out, err = self.process.communicate()
            pytest.fail(f"the host hangs: {out}\n{err}")
        last = json.loads(out.splitlines()[-1]) if out.strip() else {}
        return Ended(last, self.process.returncode, out, err, time.monotonic() - began)


class Ended:
    """What a host left when it ended."""

    def __init__(self, said, code, out, err, seconds):
        self.said, self.code, self.out, self.err, self.seconds = said, code, out, err, seconds


@pytest.fixture
def collector():
    """A collector that does as it is told."""
    with FaultCollector() as collector:
        yield collector


@pytest.fixture
def root(tmp_path):
    """The root of the spools."""
    return tmp_path / "root"


@pytest.fixture
def start(tmp_path, root):
    """Start a host with a program; its arguments are ours plus those given."""
    running = []

    def start(program, collector=None, env=None, **given):
        url = getattr(collector, "url", collector)
        given = {"root": str(root), "collector": url, **given}
        running.append(Host(tmp_path, program, given, env or {}))
        return running[-1]

    yield start
    for host in running:
        host.kill()
        with contextlib.suppress(ValueError):  # it was read to its end
            host.process.communicate()


@pytest.fixture
def run(start):
    """Run a host to its end."""

    def run(program, collector=None, *, within=GUARD_S, **given):
        ended = start(program, collector, **given).end(within)
        assert ended.code == 0, ended.err
        return ended

    return run


@pytest.fixture
def deliver(run, root):
    """Run a process that emits nothing, until nothing is left of earlier ones."""

    def deliver(collector, **given):
        ended = run("import host; host.deliver()", collector, **given)
        assert list(root.glob("*/*/*/*.seg")) == []
        return ended.said["ledger"]

    return deliver


@pytest.fixture
def free_port():
    """A port where nobody listens."""
    with FaultCollector() as collector:
        return collector.port
