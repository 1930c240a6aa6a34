"""
The Segment sink against a server with Segment's documented limits and answers.
"""

import base64
import json

import pytest

from cxsdk.sinks.segment import SegmentSink
from cxsdk.testing import faults
from cxsdk.testing.clock import FakeClock
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Delivered, Hold, Partial, Refused, Retry, Split
from tests.sinks.servers import KEY, read_segment, well
from tests.sinks.test_mapped import AGES, batch_of, client_to, emit, event


@pytest.fixture
def server():
    with FaultCollector(well("segment"), read=read_segment) as running:
        yield running


@pytest.fixture
def sink(server):
    made = SegmentSink(server.url, api_key=KEY)
    yield made
    made.close()


def test_sent_at_is_fresh_and_the_messages_are_not(server):
    """A retry carries the time of the retry, around the same messages."""
    clock = FakeClock()
    sink = SegmentSink(server.url, api_key=KEY, clock=clock)
    server.script(faults.status(503))
    batch = batch_of(event("a"))
    assert isinstance(sink.send(batch), Retry)
    clock.advance(60)
    assert sink.send(batch) == Delivered()
    first, second = (json.loads(request.body) for request in server.requests)
    assert first["batch"] == second["batch"]
    assert first["sentAt"] < second["sentAt"]
    sink.close()


def test_an_event_too_large_is_refused_alone(sink, server):
    """32 KB a message: refused by its place, the others go."""
    result = sink.send(batch_of(event("a"), event("b", 33_000), event("c")))
    assert isinstance(result, Partial)
    assert list(result.refused) == [1]
    assert result.refused[1].startswith("too_large: ")
    assert server.ids == ["a", "c"]


def test_a_batch_too_large_is_split_before_it_is_sent(sink, server):
    """500 KB a request, and more than 2,500 messages would be taken and thrown away."""
    assert isinstance(sink.send(batch_of(*(event(str(n), 30_000) for n in range(17)))), Split)
    assert isinstance(sink.send(batch_of(*(event(str(n)) for n in range(2501)))), Split)
    assert server.requests == []
    assert sink.send(batch_of(*(event(str(n), 30_000) for n in range(16)))) == Delivered()


def test_too_large_ones_become_dead_letters_and_never_a_hold(server, tmp_path, monkeypatch):
    """Also many of them: each is its own fault, not a broken contract."""
    monkeypatch.setattr(SegmentSink, "max_event_bytes", 850)
    sink = SegmentSink(server.url, api_key=KEY)
    with client_to(sink, tmp_path, linger=30.0) as client:
        for n in range(20):
            client.record("parcel.handover", customer=f"u-{n}" + "x" * (150 if n % 2 else 0))
        report = client.flush(AGES)
        figures = client.stats()["sinks"]["default"]
    assert (report.delivered, report.pending) == (10, 0)
    assert figures["dead_lettered"] == 10


def test_a_batch_beyond_the_limit_arrives_in_parts(server, tmp_path, monkeypatch):
    """Split is halved, and the size that works is remembered."""
    monkeypatch.setattr(SegmentSink, "max_batch_bytes", 12_000)
    sink = SegmentSink(server.url, api_key=KEY)
    with client_to(sink, tmp_path, linger=30.0) as client:
        ids = emit(client, 120)
        assert client.flush(AGES).pending == 0
    assert sorted(server.ids) == sorted(ids)
    assert max(len(request.body) for request in server.requests) <= 12_000


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (faults.status(200, body=b'{"success": true}'), Delivered),
        (faults.status(200, body=b"OK", headers={"Content-Type": "text/plain"}), Delivered),
        (faults.status(200, body=b'{"success": false, "message": "x"}'), Refused),
        (faults.status(400, body=b"Exceed payload limit"), Refused),
        (faults.status(401, body=b'{"error":"Invalid write key"}'), Hold),
        (faults.status(429, headers={"Retry-After": "3"}), Retry),
    ],
)
def test_answers_of_segment_and_of_rudderstack(sink, server, answer, expected):
    """As their API documents them."""
    server.always = answer
    assert isinstance(sink.send(batch_of(event("a"))), expected)


def test_the_key_is_hidden_in_every_form(sink, server):
    """Also where a server echoes the Authorization header."""
    basic = base64.b64encode(f"{KEY}:".encode())
    server.always = faults.status(400, body=b"key " + basic + b" or " + KEY.encode())
    result = sink.send(batch_of(event("a")))
    assert result == Refused("http 400", "key *** or ***")


def test_a_new_key_is_fetched_once(server):
    """The refresh hook gives another write key."""
    sink = SegmentSink(server.url, api_key="old-key", refresh=lambda: KEY)
    server.script(faults.status(401))
    assert sink.send(batch_of(event("a"))) == Delivered()
    assert len(server.requests) == 2
    sink.close()
