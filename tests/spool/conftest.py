"""
Spools at a temporary place, under a clock that tests turn.
"""

from __future__ import annotations

import time
from collections import Counter

import attrs
import pytest

from cxsdk.config import SpoolOptions
from cxsdk.spool import open_spool


class Dial:
    """A clock that moves when told to."""

    def __init__(self):
        self.wall = time.time_ns()  # other processes in these tests have the real clock
        self.mono = 1000.0

    def time_ns(self):
        return self.wall

    def monotonic(self):
        return self.mono

    def wait(self, signal, timeout):
        return signal.is_set()

    def turn(self, seconds):
        self.mono += seconds
        self.wall += int(seconds * 1e9)


class Bench:
    """Makes spools and remembers what they said."""

    def __init__(self, root):
        self.root = root
        self.clock = Dial()
        self.notes = Counter()
        self.sheds = []
        self.rings = 0
        self.made = []

    def ring(self):
        self.rings += 1

    def note(self, name, count):
        self.notes[name] += count

    def open(self, mode="mmap", sinks=("default",), service="shop", environment="test", **options):
        fingerprints = sinks if isinstance(sinks, dict) else dict.fromkeys(sinks, "here")
        on_shed = options.pop("on_shed", self.sheds.append)
        settings = {"min_free_bytes": 0, "directory": self.root, **options}
        spool = open_spool(
            SpoolOptions(mode=mode, **settings),
            service=service,
            environment=environment,
            fingerprints=fingerprints,
            clock=self.clock,
            on_shed=on_shed,
            note=self.note,
            on_pressure=self.ring,
        )
        self.made.append(spool)
        return spool

    def crash(self, spool):
        """Let a spool's files be as if its process had been killed now."""
        spool.abandon()
        self.made.remove(spool)

    @staticmethod
    def drain(spool, sink="default", lanes=("vital", "bulk")):
        found = []
        for lane in lanes:
            while records := spool.lease(sink, lane, 100, 1 << 20):
                found.extend(record.payload for record in records)
                spool.ack(sink, records)
        return found

    @staticmethod
    def recount(spool, sink="default"):
        """Count a sink's records by reading the segments, not the figures."""
        spooled = in_flight = 0
        for segment in spool._all_segments():
            reading = segment.readings.get(sink)
            if reading is None:
                continue
            for frame in segment.frames(segment.start):
                if frame.kind < 0 or not frame.payload:
                    continue
                if reading.is_leased(frame.offset):
                    in_flight += 1
                elif reading.is_pending(frame.offset):
                    spooled += 1
        return spooled, in_flight


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "root")
    yield made
    for spool in made.made:
        spool.close()


@pytest.fixture(params=["mmap", "write"])
def mode(request):
    return request.param


@pytest.fixture
def evolve():
    return attrs.evolve
