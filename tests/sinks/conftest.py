"""
Batches, and collectors that misbehave.
"""

import subprocess
import sys

import pytest

from cxsdk.sinks.http import HttpSink
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Batch, Record


def make_record(number, pad=0):
    payload = b'{"specversion":"1.0","id":"e%d","source":"urn:t","type":"t","p":"%s"}'
    return Record(payload=payload % (number, b"x" * pad), lane="bulk", kind=0)


@pytest.fixture
def make_batch():
    def make(size=3, pad=0):
        return Batch(records=tuple(make_record(n, pad) for n in range(size)), key="key-1")

    return make


@pytest.fixture
def collector():
    with FaultCollector() as running:
        yield running


@pytest.fixture
def make_sink():
    made = []

    def make(url, **options):
        sink = HttpSink(url, **options)
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def run_python():
    """Run a program in a process of its own; return what it prints."""

    def run(program, *arguments):
        command = [sys.executable, "-X", "faulthandler", "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
