"""
Any sequence of calls and mishaps against a model that is a dictionary.

The same hundred or so stories each time, in seconds. For new ones, and more of them::

    CXSDK_MODEL_EXAMPLES=5000 python -m pytest tests/spool/test_model.py
"""

import errno
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cxsdk.config import SpoolOptions
from cxsdk.errors import SpoolFullError
from cxsdk.spool import _disk, adoption, open_spool
from cxsdk.spool._record import HEADER_BYTES
from cxsdk.spool.survey import frames_of
from tests.spool.conftest import Dial

LANES = st.sampled_from(["vital", "bulk"])
TAGS = st.sampled_from([b"alice---", b"bob-----", bytes(8)])
SINKS = ("one", "two")
HOUR = 3600 * 10**9


class SmallDisk:
    """A disk that is full when told to: nothing is made and no file grows, the rest works."""

    def __init__(self, monkeypatch):
        self.full = False
        for name in ("create", "fallocate", "mkdir"):
            monkeypatch.setattr(_disk, name, self._refusing(getattr(_disk, name)))
        self.pwrite = _disk.pwrite
        monkeypatch.setattr(_disk, "pwrite", self._short)

    def _refusing(self, real):
        def call(*args):
            if self.full:
                raise OSError(errno.ENOSPC, "full")
            return real(*args)

        return call

    def _short(self, fd, data, offset):
        room = max(0, os.fstat(fd).st_size - offset) if self.full else len(data)
        return self.pwrite(fd, data[:room], offset)


@pytest.fixture(autouse=True)
def disk(monkeypatch):
    # Else what the third crash left waits until the first two are drained.
    monkeypatch.setattr(adoption, "_AT_ONCE", 99)
    Model.disk = SmallDisk(monkeypatch)


class Model(RuleBasedStateMachine):
    """A record is waiting, in flight, or done, for each sink."""

    mode = "mmap"
    disk = None

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.disk.full = False
        self.number = 0
        self.clock = Dial()
        self.tags = {}
        self.waiting = {sink: {} for sink in SINKS}
        self.flying = {sink: {} for sink in SINKS}
        # Settled, but the cursor may not know: may come again after a crash, with the same id.
        self.maybe = {sink: {} for sink in SINKS}
        # Hit by damage: a second flip of the same bit repairs a record that was given up.
        self.scarred = set()
        self.volatile = set()
        self.stones = False
        self.spool = self.open()

    def open(self):
        return open_spool(
            SpoolOptions(
                mode=self.mode,
                directory=self.root / "r",
                min_free_bytes=0,
                segment_bytes=600,
                max_segment_bytes=600,
                max_age=1e12,
                memory_events=1_000_000,
                retry_disk_after=5.0,
            ),
            service="shop",
            environment="test",
            fingerprints=dict.fromkeys(SINKS, "x"),
            clock=self.clock,
        )

    def teardown(self):
        self.disk.full = False
        self.spool.close()
        shutil.rmtree(self.root, ignore_errors=True)

    # ---- calls

    def new(self, spool, lane, tag, size, consent):
        payload = b"%d:%s" % (self.number, b"x" * size)
        self.number += 1
        kind = (3 if lane == "vital" else 0) | (0x80 if consent else 0)
        if not spool.append(lane, payload, kind, tag):
            assert self.disk.full or not spool.durable
            self.volatile.add(payload)
        self.tags[payload] = (tag, consent)
        for sink in SINKS:
            self.waiting[sink][payload] = lane

    @rule(lane=LANES, tag=TAGS, size=st.integers(0, 400), consent=st.booleans())
    def emit(self, lane, tag, size, consent):
        self.new(self.spool, lane, tag, size, consent)

    @rule(sink=st.sampled_from(SINKS), lane=LANES, count=st.integers(1, 5), backlog=st.booleans())
    def lease(self, sink, lane, count, backlog):
        wanted = [each for each, where in self.waiting[sink].items() if where == lane]
        records = self.spool.lease(sink, lane, count, 10_000, backlog=backlog)
        for record in records:
            assert record.lane == lane
            del self.waiting[sink][record.payload]
            self.flying[sink][record.payload] = record
        assert len(records) == min(count, len(wanted))

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
        self.stones = self.stones or tag != bytes(8)
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
        # Whoever is told of an erasure begins new segments; a moment later they are later ones.
        self.clock.turn(1)

    @rule()
    def maintain(self):
        self.clock.turn(1)
        self.spool.maintain()

    @rule()
    def roll(self):
        self.clock.turn(301)
        self.spool.maintain()

    # ---- mishaps

    @rule(hours=st.sampled_from([-24, -1, 1, 24]))
    def clock_jump(self, hours):
        if not self.stones:
            # Stones are told from later segments by the wall clock: see test_erasure.
            self.clock.wall += hours * HOUR

    @rule(lane=LANES, tag=TAGS)
    def fill_disk(self, lane, tag):
        self.disk.full = True
        for _ in range(3):  # enough for the segment in use and its spare
            self.new(self.spool, lane, tag, 400, consent=False)

    @rule()
    def free_disk(self):
        # What one sink has in flight while memory moves to disk may move twice, and then a crash
        # makes two of it, of the same id. The model has one of each.
        for sink in SINKS:
            for payload in self.volatile & set(self.flying[sink]):
                record = self.flying[sink].pop(payload)
                self.spool.ack(sink, [record])
                if payload in self.tags:
                    self.maybe[sink][payload] = record.lane
        self.disk.full = False
        self.clock.turn(6)
        self.spool.maintain()

    @rule()
    def fork(self):
        child = os.fork()
        if not child:
            os._exit(self._in_the_child())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def _in_the_child(self):
        try:
            self.spool.abandon()
            empty = all(self.spool.pending(sink) == 0 for sink in SINKS)
            self.spool.close()
            self.spool.append("bulk", b"child", 0, bytes(8))
        except SpoolFullError:
            return 0 if empty else 1
        except BaseException:
            return 2
        return 3

    @precondition(lambda self: not self.disk.full)
    @rule(lane=LANES, tag=TAGS, count=st.integers(1, 4))
    def adopt(self, lane, tag, count):
        neighbour = self.open()
        for _ in range(count):
            self.new(neighbour, lane, tag, 50, consent=False)
        neighbour.abandon()  # as if it had been killed
        self.clock.turn(60)
        self.spool.maintain()

    @rule(clean=st.booleans())
    def restart(self, clean):
        self.end(clean=clean)
        self.begin(set())

    @rule(data=st.data(), cut=st.booleans())
    def damage(self, data, cut):
        """Killed, and then a bit of a segment flips, or its end is gone."""
        self.end(clean=False)
        files = sorted(each for each in self.root.rglob("*") if each.suffix in {".seg", ".open"})
        hit = set()
        if files:
            file = data.draw(st.sampled_from(files), label="file")
            content = bytearray(file.read_bytes())
            frames = frames_of(bytes(content))
            most = max([frame.end for frame in frames], default=64) - 1
            at = data.draw(st.integers(0, max(0, min(most, len(content) - 1))), label="place")
            if cut:
                del content[at:]
                hit = {frame.payload for frame in frames if frame.end > at}
            elif content:
                content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
                hit = {frame.payload for frame in frames if frame.offset <= at < frame.end}
                if at < HEADER_BYTES and self.stones:
                    # Nobody knows any more when it was begun: stones may take it all.
                    hit = {frame.payload for frame in frames}
            file.write_bytes(content)
        self.begin(hit)

    def end(self, *, clean):
        if clean:
            self.spool.close()
        else:
            self.spool.abandon()

    def begin(self, hit):
        """Open again; what is there must be what the model says, but for the records *hit*."""
        self.spool = self.open()
        self.spool.maintain()
        self.scarred |= hit
        for sink in SINKS:
            for payload, record in self.flying[sink].items():
                if payload in self.tags:
                    self.waiting[sink][payload] = record.lane
            self.flying[sink] = {}
            found = self.physical(sink)
            assert not [each for each, count in found.items() if count > 1]
            # A settled record comes again or does not, one that only memory had, or that was hit,
            # is there or is not; nothing else is unsure.
            unsure = self.volatile | hit
            assert set(self.waiting[sink]) - unsure <= set(found)
            assert set(found) <= set(self.waiting[sink]) | set(self.maybe[sink])
            lanes = {**self.maybe[sink], **self.waiting[sink]}
            self.waiting[sink] = {payload: lanes[payload] for payload in found}
            self.maybe[sink] = {
                payload: lane
                for payload, lane in lanes.items()
                if payload in self.scarred and payload not in found
            }
        self.volatile = set()

    def physical(self, sink):
        found = Counter()
        for segment in self.spool._all_segments():
            reading = segment.readings[sink]
            for frame in segment.frames(segment.start):
                if frame.kind >= 0 and frame.payload and reading.is_pending(frame.offset):
                    found[frame.payload] += 1
        return found

    # ---- the ledger

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


EXAMPLES = int(os.environ.get("CXSDK_MODEL_EXAMPLES", "0"))
LIMITS = settings(
    max_examples=EXAMPLES or 60,
    stateful_step_count=50 if EXAMPLES else 30,
    deadline=None,
    database=None,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
)
pytestmark = pytest.mark.timeout(0 if EXAMPLES else 300)
TestMapped = Model.TestCase
TestMapped.settings = LIMITS
TestWritten = WrittenModel.TestCase
TestWritten.settings = LIMITS
