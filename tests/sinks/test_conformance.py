"""
The built-in sinks keep the Protocol's guarantees.
"""

import io
import json

import pytest

from cxsdk.sinks.console import ConsoleSink
from cxsdk.sinks.file import FileSink
from cxsdk.sinks.http import HttpSink
from cxsdk.sinks.memory import MemorySink
from cxsdk.sinks.null import NullSink
from cxsdk.sinks.otlp import OtlpSink
from cxsdk.sinks.posthog import PosthogSink
from cxsdk.sinks.segment import SegmentSink
from cxsdk.testing import faults
from cxsdk.testing.conformance.sink import SinkConformance
from cxsdk.testing.faults import FaultCollector
from tests.sinks.servers import KEY as WRITE_KEY
from tests.sinks.servers import SIDES, well
from tests.sinks.test_mapped import read_id

KEY = "s3cret-api-key"


class TestHttp(SinkConformance):
    secrets = (KEY, "hdr-s3cret")
    max_seconds = 5.0

    @pytest.fixture(autouse=True)
    def collectors(self):
        mutes = [
            faults.hang(0.05),
            faults.reset(),
            faults.html_login(),
            faults.redirect("http://h/"),
            faults.status(400, body=KEY.encode()),
        ]
        with FaultCollector() as self.collector, FaultCollector(faults.hang()) as self.hanging:
            self.mutes = [FaultCollector(answer) for answer in mutes]
            for each in self.mutes:
                each.start()
            yield
            for each in self.mutes:
                each.stop()

    def http(self, collector):
        return HttpSink(
            collector.url + "/in?k=" + KEY, api_key=KEY, headers={"X-T": "hdr-s3cret"}, timeout=0.5
        )

    def make_sink(self):
        return self.http(self.collector)

    def make_mute_sinks(self):
        return [self.http(each) for each in self.mutes]

    def make_hanging_sink(self):
        return self.http(self.hanging)

    def received(self):
        return [
            json.dumps(e, separators=(",", ":")).encode()
            for e in self.collector.requests[-1].events
        ]


class Mapped(SinkConformance):
    """A sink with words of its own: events are recognised by the id that they have there."""

    secrets = (WRITE_KEY, "hdr-s3cret")
    max_seconds = 5.0
    side = ""

    @pytest.fixture(autouse=True)
    def servers(self):
        mutes = [
            faults.hang(0.05),
            faults.reset(),
            faults.html_login(),
            faults.redirect("http://h/"),
            faults.status(400, body=WRITE_KEY.encode()),
        ]
        read = SIDES[self.side][0]
        self.mutes = [FaultCollector(answer, read=read) for answer in mutes]
        self.server = FaultCollector(well(self.side), read=read)
        self.hanging = FaultCollector(faults.hang(), read=read)
        for each in (*self.mutes, self.server, self.hanging):
            each.start()
        yield
        for each in (*self.mutes, self.server, self.hanging):
            each.stop()

    def sink_to(self, server):
        raise NotImplementedError

    def make_sink(self):
        return self.sink_to(self.server)

    def make_mute_sinks(self):
        return [self.sink_to(each) for each in self.mutes]

    def make_hanging_sink(self):
        return self.sink_to(self.hanging)

    def received(self):
        return [event["id"].encode() for event in self.server.requests[-1].events]

    def expected(self, batch):
        return [read_id(self.side, record.payload).encode() for record in batch.records]


SECRET = {"headers": {"X-T": "hdr-s3cret"}, "api_key": WRITE_KEY, "timeout": 0.5}


class TestOtlp(Mapped):
    side = "otlp"

    def sink_to(self, server):
        return OtlpSink(server.url, **SECRET)


class TestOtlpProtobuf(Mapped):
    side = "otlp"

    def sink_to(self, server):
        return OtlpSink(server.url, encoding="protobuf", **SECRET)


class TestSegment(Mapped):
    side = "segment"

    def sink_to(self, server):
        return SegmentSink(server.url, **SECRET)


class TestPosthog(Mapped):
    side = "posthog"

    def sink_to(self, server):
        return PosthogSink(server.url, **SECRET)


class TestFile(SinkConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.path = tmp_path / "events.ndjson"

    def make_sink(self):
        return FileSink(self.path)

    def received(self):
        return self.path.read_bytes().splitlines()


class TestMemory(SinkConformance):
    def make_sink(self):
        self.sink = MemorySink()
        return self.sink

    def received(self):
        return [record.payload for batch in self.sink.batches for record in batch.records]


class TestConsole(SinkConformance):
    def make_sink(self):
        return ConsoleSink(io.StringIO())


class TestNull(SinkConformance):
    def make_sink(self):
        return NullSink()
