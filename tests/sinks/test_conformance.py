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
from cxsdk.testing import faults
from cxsdk.testing.conformance.sink import SinkConformance
from cxsdk.testing.faults import FaultCollector

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
