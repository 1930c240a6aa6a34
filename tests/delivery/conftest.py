"""
A memory spool, a scripted sink and a clock that tests turn: delivery without threads.
"""

import json
import random

import pytest

from cxsdk._clock import SystemClock
from cxsdk.config import DeliveryOptions, SpoolOptions
from cxsdk.delivery import Delivery
from cxsdk.spool import open_spool
from cxsdk.testing.clock import FakeClock
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Delivered

NOBODY = bytes(8)


def payload(name, pad=0):
    event = {"specversion": "1.0", "id": name, "source": "urn:t", "type": "t", "pad": "x" * pad}
    return json.dumps(event).encode()


def ids(batch):
    return [json.loads(record.payload)["id"] for record in batch.records]


class ScriptedSink:
    """Does what *answer* says; remembers every batch."""

    fingerprint = "scripted:"

    def __init__(self, answer=None):
        self.answer = answer or (lambda batch: Delivered())
        self.batches = []
        self.closed = 0

    def send(self, batch):
        self.batches.append(batch)
        return self.answer(batch)

    def close(self):
        self.closed += 1

    @property
    def sent(self):
        return [name for batch in self.batches for name in ids(batch)]


class Rig:
    """One delivery over a memory spool. `drive` takes turns on the fake clock."""

    def __init__(self, *sinks, clock=None, seed=7, **options):
        self.clock = clock or FakeClock()
        self.sinks = {f"s{n}" if n else "default": sink for n, sink in enumerate(sinks)}
        self.notes = {}
        self.names = []
        self.spool = open_spool(
            SpoolOptions(mode="memory", memory_bytes=1 << 28, memory_events=1_000_000),
            service="shop",
            environment="test",
            fingerprints=dict.fromkeys(self.sinks, "x"),
            clock=self.clock,
            on_pressure=self.wake,
        )
        self.delivery = Delivery(
            self.spool,
            self.sinks,
            DeliveryOptions(**options),
            clock=self.clock,
            note=self.note,
            rng=random.Random(seed),
        )

    @property
    def sink(self):
        return self.sinks["default"]

    @property
    def line(self):
        return self.delivery._lines[0]

    def wake(self):
        self.delivery.wake()

    def note(self, what, count):
        self.notes[what] = self.notes.get(what, 0) + count

    def emit(self, count=1, lane="bulk", pad=0, tag=NOBODY, prefix=None):
        made = [f"{prefix or lane[0]}{len(self.names) + n}" for n in range(count)]
        for name in made:
            self.spool.append(lane, payload(name, pad), 3 if lane == "vital" else 0, tag)
        self.names += made
        return made

    def drive(self, seconds=0.0, turns=10_000):
        """Take turns until *seconds* of fake time are over; 0: while there is something now."""
        end = self.clock.monotonic() + seconds
        self.line.press()
        for _ in range(turns):
            wait = self.line.turn()
            if wait == 0:
                continue
            left = end - self.clock.monotonic()
            if left <= 0:
                return
            self.clock.advance(left if wait is None else min(wait, left))
        raise AssertionError(f"still busy after {turns} turns")

    def live(self, seconds, per_second=1, lane="bulk"):
        """Let the keeper tick and events come in every second for *seconds*."""
        for _ in range(int(seconds)):
            self.emit(per_second, lane)
            self.delivery._keeper.step()
            end = self.clock.monotonic() + 1.0
            while (left := end - self.clock.monotonic()) > 1e-9:
                wait = self.line.turn()
                if wait != 0:
                    self.clock.advance(left if wait is None else min(wait, left))

    @property
    def counts(self):
        counts = self.spool.counts("default")
        assert counts.balance() == 0
        return counts

    def dead(self):
        return self.counts.dead_lettered


@pytest.fixture
def rig():
    made = []

    def make(answer=None, **options):
        made.append(Rig(ScriptedSink(answer), **options))
        return made[-1]

    yield make
    for each in made:
        each.delivery.close(0)
        each.spool.close()


@pytest.fixture
def many():
    """A rig over several sinks of the test's own, on the real clock."""
    made = []

    def make(*sinks, clock=None, **options):
        made.append(Rig(*sinks, clock=clock or SystemClock(), **options))
        return made[-1]

    yield make
    for each in made:
        each.delivery.close(0)
        each.spool.close()


@pytest.fixture
def collector():
    with FaultCollector() as running:
        yield running


@pytest.fixture
def batch_ids():
    return ids


@pytest.fixture
def scripted():
    return ScriptedSink
