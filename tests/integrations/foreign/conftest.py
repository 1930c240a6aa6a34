"""
Published applications in environments of their own, as processes, beside a collector.

``CXSDK_FOREIGN_DIR`` keeps the environments for the next run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from cxsdk.collector import Collector

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
_OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|Max retries"
)


def _run(*command):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=280, check=False
    )
    if done.returncode and _OFFLINE.search(done.stderr):
        why = "PyPI cannot be reached"
        if os.environ.get("CXSDK_REQUIRE_SERVICES"):
            pytest.fail(f"{why}: {done.stderr[-2000:]}")
        pytest.skip(why)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """
    Return a function that makes a virtual environment with an application and this checkout.
    """

    def make(name, extras):
        kept = os.environ.get("CXSDK_FOREIGN_DIR")
        folder = Path(kept, name) if kept else tmp_path_factory.mktemp(name) / "venv"
        wanted = "".join(
            (HERE / name / f"{f}.txt").read_text() for f in ("requirements", "constraints")
        )
        stamp, python = folder / "made-of.txt", folder / "bin" / "python"
        install = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
        pinned = ("-c", HERE / name / "constraints.txt")
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", folder)
            _run(*install, *pinned, "-r", HERE / name / "requirements.txt")
            _run(*install, *pinned, f"{ROOT}[{extras}]")
            stamp.write_text(wanted)
        elif kept:
            _run(*install, "--no-deps", "--force-reinstall", ROOT)
        return python

    return make


@pytest.fixture
def collector():
    with Collector() as made:
        yield made


@pytest.fixture
def run(tmp_path):
    """
    Return a function that starts a server in its folder on a free port and returns its address.
    """
    running = []

    def start(folder, command, environ):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = (tmp_path / f"{folder.name}-{port}.log").open("w+")
        own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = subprocess.Popen(
            [str(word).format(port=port) for word in command],
            cwd=folder,
            env=own | {"PYTHONDONTWRITEBYTECODE": "1", "CXSDK_LINGER": "0.1"} | environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        running.append((process, log))
        _wait(port, process, log)
        return f"http://127.0.0.1:{port}"

    yield start
    for process, log in running:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        finally:
            process.kill()
            log.close()


def _wait(port, process, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    log.seek(0)
    raise AssertionError(f"the application did not start: {log.read()[-4000:]}")


@pytest.fixture
def journey(collector):
    """
    Return a function that waits until a customer's journey has so many events, and returns them.
    """

    def read(customer, count):
        address = f"{collector.url}/customers/{customer}/journey.json"
        end = time.monotonic() + 20
        events = []
        while len(events) < count and time.monotonic() < end:
            found = httpx.get(address, params={"limit": 1000})
            events = found.json().get("events", []) if found.status_code == 200 else []
            time.sleep(0.05)
        return events

    return read


@pytest.fixture
def stored(collector):
    """
    Return a function that returns all events that the collector has, in their order.
    """

    def read():
        import json

        with collector.store.reading() as db:
            rows = db.execute("SELECT body FROM events ORDER BY time, n").fetchall()
        return [json.loads(row[0]) for row in rows]

    return read
