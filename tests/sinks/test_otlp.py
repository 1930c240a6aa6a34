"""
The OTLP sink against servers that answer with OpenTelemetry's own messages.
"""

import logging

import pytest
from google.rpc import status_pb2

from cxsdk.errors import ConfigurationError
from cxsdk.sinks.otlp import OtlpSink
from cxsdk.testing import faults
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Delivered, Partial, Refused, Retry
from tests.sinks.servers import attributes, decode_otlp, otlp_answer, read_otlp, records_of, well
from tests.sinks.test_mapped import AGES, batch_of, client_to, emit, event

ENCODINGS = ["json", "protobuf"]
TYPES = {"json": "application/json", "protobuf": "application/x-protobuf"}


@pytest.fixture
def server():
    with FaultCollector(well("otlp"), read=read_otlp) as running:
        yield running


@pytest.fixture(params=ENCODINGS)
def encoding(request):
    return request.param


@pytest.fixture
def sink(server, encoding):
    made = OtlpSink(server.url, encoding=encoding)
    yield made
    made.close()


def partial(encoding, rejected, words="too old", **more):
    """Take all, and say that *rejected* records were not."""
    body = otlp_answer(TYPES[encoding], rejected, words, **more)

    def answer(exchange):
        exchange.accept()
        exchange.reply(200, body, {"Content-Type": TYPES[encoding]})

    return answer


def test_both_encodings_are_one_request(server):
    """The same batch in JSON and Protobuf decodes to equal messages."""
    payloads = [
        event("a"),
        event("b").replace(b"urn:service:shop", b"urn:service:till"),
        event("c"),
    ]
    decoded = []
    for encoding in ENCODINGS:
        sink = OtlpSink(server.url, encoding=encoding)
        assert sink.send(batch_of(*payloads)) == Delivered()
        sink.close()
        request = server.requests[-1]
        decoded.append(decode_otlp(request.body, request.headers))
        assert request.headers["accept"] == TYPES[encoding]
    assert decoded[0] == decoded[1]
    services = [attributes(r.resource)["service.name"] for r in decoded[0].resource_logs]
    assert services == ["shop", "till"]
    scope = decoded[0].resource_logs[0].scope_logs[0].scope
    assert (scope.name, bool(scope.version)) == ("cxsdk", True)
    ids = [attributes(record)["cloudevents.event_id"] for record in records_of(decoded[0])]
    assert ids == ["a", "c", "b"]


def test_a_retry_is_the_same_bytes(sink, server):
    """So that a collector that stores by content has it once."""
    server.script(faults.status(503))
    batch = batch_of(event("a", 2000))
    assert isinstance(sink.send(batch), Retry)
    assert sink.send(batch) == Delivered()
    first, second = server.requests
    assert first.wire_bytes == second.wire_bytes


def test_a_partial_success_is_not_sent_again(sink, server, encoding):
    """OTLP: the client MUST NOT retry. So many are counted as lost, with the server's words."""
    server.always = partial(encoding, 2)
    result = sink.send(batch_of(*(event(str(n)) for n in range(5))))
    assert result == Partial(unnamed=2, words="too old")


def test_a_partial_success_that_took_nothing_names_all(sink, server, encoding):
    """Then it is known which: every one."""
    server.always = partial(encoding, 2)
    result = sink.send(batch_of(event("a"), event("b")))
    assert result == Partial(refused={0: "too old", 1: "too old"})


def test_a_partial_success_may_be_searched_through(server, encoding):
    """``find``: for those who store by id and would rather know which."""
    server.always = partial(encoding, 1)
    sink = OtlpSink(server.url, encoding=encoding, on_partial="find")
    assert sink.send(batch_of(event("a"), event("b"))) == Refused("partial_success", "too old")
    sink.close()


def test_a_warning_is_passed_on(sink, server, encoding, caplog):
    """Nothing rejected and a message: delivered, and said once."""
    server.always = partial(encoding, 0, "deprecated attribute", warn=True)
    with caplog.at_level(logging.WARNING, "cxsdk"):
        assert sink.send(batch_of(event("a"))) == Delivered()
    assert "deprecated attribute" in caplog.text


def test_the_ledger_counts_what_was_rejected_without_a_name(server, encoding, tmp_path, caplog):
    """Delivered and dropped add up, no request is repeated, and it is said aloud."""
    server.script(partial(encoding, 3, "attribute too long"))
    sink = OtlpSink(server.url, encoding=encoding)
    with client_to(sink, tmp_path, linger=30.0) as client:
        emit(client, 20)
        client.flush(AGES)
        figures = client.stats()["sinks"]["default"]
        noted = client.stats()["noted"]
    assert (figures["delivered"], figures["dropped"]) == (17, {"rejected_unnamed": 3})
    assert noted["rejected_unnamed"] == 3
    assert len(server.ids) == 20
    assert server.duplicates == 0
    assert "attribute too long" in caplog.text


def test_the_words_of_an_error_are_the_status(server):
    """A Protobuf answer to a bad request is read, not shown as bytes."""
    body = status_pb2.Status(message="no such tenant").SerializeToString()
    server.always = faults.status(400, body=body, headers={"Content-Type": TYPES["protobuf"]})
    sink = OtlpSink(server.url, encoding="protobuf")
    assert sink.send(batch_of(event("a"))) == Refused("http 400", "no such tenant")
    sink.close()


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05ab", b"plain words"])
def test_an_unreadable_yes_is_a_yes(server, body):
    """The status decides."""
    server.always = faults.status(200, body=body, headers={"Content-Type": TYPES["protobuf"]})
    sink = OtlpSink(server.url, encoding="protobuf")
    assert sink.send(batch_of(event("a"))) == Delivered()
    sink.close()


@pytest.mark.parametrize("wrong", [{"encoding": "xml"}, {"on_partial": "guess"}])
def test_wrong_arguments(wrong):
    """Said where they are given."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        OtlpSink("http://h", **wrong)


def test_a_key_is_a_bearer_token(server):
    """And headers are for those who want it elsewhere."""
    sink = OtlpSink(server.url, api_key="tok", headers={"X-Tenant": "shop"})
    assert sink.send(batch_of(event("a"))) == Delivered()
    sent = server.requests[0].headers
    assert (sent["authorization"], sent["x-tenant"]) == ("Bearer tok", "shop")
    sink.close()
