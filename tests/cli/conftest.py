"""
The command as a process, files of events, spools that dead processes left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cxsdk.collector import Collector
from cxsdk.events.codec import encode
from cxsdk.testing import capture

LEAVE = """
import os, sys
import cxsdk as cx
root, service, environment, url, count, linger = sys.argv[1:]
cx.init(service, collector=url, environment=environment,
        spool=cx.SpoolOptions(directory=root, min_free_bytes=0),
        delivery=cx.DeliveryOptions(linger=float(linger)))
for number in range(int(count)):
    cx.record("cart.add", customer=f"secret-{number}")
print("done", flush=True)
if service == "lives":
    sys.stdin.read()
os._exit(0)
"""


def environ(**more):
    """
    Return this environment without what concerns cxsdk, and with *more*.
    """
    return {n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")} | more


@pytest.fixture
def cxsdk(tmp_path):
    """
    Run ``python -m cxsdk …`` and return what came of it.
    """

    def run(*args, stdin=None, timeout=60, **variables):
        return subprocess.run(
            [sys.executable, "-m", "cxsdk", *map(str, args)],
            input=stdin,
            capture_output=True,
            text=not isinstance(stdin, bytes),
            timeout=timeout,
            env=environ(**{"XDG_STATE_HOME": str(tmp_path / "state"), **variables}),
            cwd=tmp_path,
            check=False,
        )

    return run


@pytest.fixture
def running(tmp_path):
    """
    Start ``python -m cxsdk …`` and leave it running; it is ended with the test.
    """
    started = []

    def start(*args, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "cxsdk", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(**{"XDG_STATE_HOME": str(tmp_path / "state"), **variables}),
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.fixture
def collector():
    with Collector() as made:
        yield made


@pytest.fixture
def stored(collector):
    """
    Return the ids that the collector has.
    """

    def ids():
        with collector.store.reading() as db:
            return {row[0] for row in db.execute("SELECT id FROM events")}

    return ids


@pytest.fixture
def events():
    """
    Make events as lines of NDJSON: id → bytes.
    """

    def make(count):
        with capture() as captured:
            from cxsdk import feedback, record

            for number in range(count):
                record("cart.add", customer=f"c-{number % 7}")
                feedback(csat=1 + number % 5, text="gern 👍", customer=f"c-{number % 7}")
            return {event.id: encode(event) for event in captured}

    return make


@pytest.fixture
def leave(tmp_path):
    """
    Let a process emit and die (or, named ``lives``, live on until the test ends).
    """
    living = []

    def left(
        count, *, service="shop", environment="production", url="http://127.0.0.1:9", linger=3600
    ):
        root = tmp_path / "spool"
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                LEAVE,
                str(root),
                service,
                environment,
                url,
                str(count),
                str(linger),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ(),
        )
        assert process.stdout.readline() == b"done\n"
        living.append(process)
        if service != "lives":
            process.communicate(timeout=30)
        return root

    yield left
    for process in living:
        if process.poll() is None:
            process.communicate(timeout=30)
