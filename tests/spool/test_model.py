"""
Any sequence of calls, crashes included, against a model that is a dictionary.
"""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cxsdk._clock import SystemClock
from cxsdk.config import SpoolOptions
from cxsdk.spool import adoption, open_spool

LANES = st.sampled_from(["vital", "bulk"])
TAGS = st.sampled_from([b"alice---", b"bob-----", bytes(8)])
SINKS = ("one", "two")


@pytest.fixture(autouse=True)
def _many_adoptions(monkeypatch):
    # Else what the third crash left waits until the first two are drained.
    monkeypatch.setattr(adoption, "_AT_ONCE", 99)


class Model(RuleBasedStateMachine):
    """A record is waiting, in flight, or done, for each sink."""

    mode = "mmap"

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.number = 0
        self.tags = {}
        self.waiting = {sink: {} for sink in SINKS}
        self.flying = {sink: {} for sink in SINKS}
        # Delivered out of order: may come again after a crash, with the same id.
        self.maybe = {sink: {} for sink in SINKS}
        self.start()

    def start(self):
        self.clock = SystemClock()
        self.spool = open_spool(
            SpoolOptions(
                mode=self.mode,
                directory=self.root / "r",
                min_free_bytes=0,
                segment_bytes=300,
                max_segment_bytes=300,
                seal_after=1e-9,
            ),
            service="shop",
            environment="test",
            fingerprints=dict.fromkeys(SINKS, "x"),
            clock=self.clock,
        )

    def teardown(self):
        self.spool.close()
        shutil.rmtree(self.root, ignore_errors=True)

    @rule(lane=LANES, tag=TAGS, size=st.integers(0, 400), consent=st.booleans())
    def append(self, lane, tag, size, consent):
        payload = b"%d:%s" % (self.number, b"x" * size)
        self.number += 1
        kind = (3 if lane == "vital" else 0) | (0x80 if consent else 0)
        assert self.spool.append(lane, payload, kind, tag) is True
        self.tags[payload] = (tag, consent)
        for sink in SINKS:
            self.waiting[sink][payload] = lane

    @rule(sink=st.sampled_from(SINKS), lane=LANES, count=st.integers(1, 5), backlog=st.booleans())
    def lease(self, sink, lane, count, backlog):
        records = self.spool.lease(sink, lane, count, 10_000, backlog=backlog)
        wanted = [each for each, where in self.waiting[sink].items() if where == lane]
        for record in records:
            assert record.lane == lane
            if record.payload in self.maybe[sink]:
                del self.maybe[sink][record.payload]
            else:
                del self.waiting[sink][record.payload]
            self.flying[sink][record.payload] = record
        assert len(records) >= min(count, len(wanted)) or not wanted

    @precondition(lambda self: any(self.flying.values()))
    @rule(data=st.data(), how=st.sampled_from(["ack", "release", "bury", "drop"]))
    def settle(self, data, how):
        sink = data.draw(st.sampled_from([each for each in SINKS if self.flying[each]]))
        payload = data.draw(st.sampled_from(sorted(self.flying[sink])))
        record = self.flying[sink].pop(payload)
        if how == "ack":
            self.spool.ack(sink, [record])
        elif how == "release":
            self.spool.release(sink, [record])
            if payload in self.tags:
                self.waiting[sink][payload] = record.lane
            return
        elif how == "bury":
            self.spool.bury(sink, record, "invalid", "no", 1)
        else:
            self.spool.drop(sink, [record], "too_large")
        if payload in self.tags:
            self.maybe[sink][payload] = record.lane

    @rule(tag=TAGS, only_consent=st.booleans())
    def erase(self, tag, only_consent):
        self.spool.erase(tag, only_consent=only_consent)
        gone = [
            payload
            for payload, (whose, consent) in self.tags.items()
            if whose == tag != bytes(8) and (consent or not only_consent)
        ]
        for payload in gone:
            del self.tags[payload]
            for sink in SINKS:
                self.waiting[sink].pop(payload, None)
                self.maybe[sink].pop(payload, None)

    @rule()
    def maintain(self):
        self.spool.maintain()

    @rule(clean=st.booleans())
    def restart(self, clean):
        if clean:
            self.spool.close()
        else:
            self.spool.abandon()
        self.start()
        self.spool.maintain()
        for sink in SINKS:
            for payload, record in self.flying[sink].items():
                if payload in self.tags:
                    self.waiting[sink][payload] = record.lane
            self.flying[sink] = {}
            found = self.physical(sink)
            assert not [each for each, count in found.items() if count > 1]
            # A record delivered out of order comes again or does not; nothing else is unsure.
            assert set(self.waiting[sink]) <= set(found)
            assert set(found) <= set(self.waiting[sink]) | set(self.maybe[sink])
            for payload in set(found) - set(self.waiting[sink]):
                self.waiting[sink][payload] = self.maybe[sink][payload]
            self.maybe[sink] = {}

    def physical(self, sink):
        found = Counter()
        for segment in self.spool._all_segments():
            reading = segment.readings[sink]
            for frame in segment.frames(segment.start):
                if frame.payload and reading.is_pending(frame.offset):
                    found[frame.payload] += 1
        return found

    @invariant()
    def the_books_are_right(self):
        for sink in SINKS:
            counts = self.spool.counts(sink)
            assert counts.balance() == 0
            assert counts.spooled == len(self.waiting[sink])
            assert counts.in_flight == len(self.flying[sink])
            assert self.spool.pending(sink) == counts.spooled + counts.in_flight


class WrittenModel(Model):
    mode = "write"


LIMITS = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestMapped = Model.TestCase
TestMapped.settings = LIMITS
TestWritten = WrittenModel.TestCase
TestWritten.settings = LIMITS
assert sys.version_info >= (3, 11)
