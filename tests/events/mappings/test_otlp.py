"""
Events as log records, read back with OpenTelemetry's own messages in both encodings.
"""

import base64
import json
import struct

import pytest
from google.protobuf import json_format
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from cxsdk.events.mappings import otlp, otlp_wire
from cxsdk.events.mappings._fact import read
from tests.sinks.servers import attributes, check_numbers, plain

WHEN_NS = 1795338845120000000  # 2026-11-22T09:14:05.12Z
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc.", max_size=4), inner),
    max_leaves=20,
)


def from_json(record):
    """Read a record by the rules of OTLP/JSON, strictly."""
    said = json.loads(json.dumps(record))
    check_numbers(said)
    for name in ("traceId", "spanId"):
        if name in said:
            said[name] = base64.b64encode(bytes.fromhex(said[name])).decode()
    return json_format.ParseDict(said, LogRecord())


def test_both_encodings_say_the_same(golden):
    """Every event of the corpus, decoded from JSON and from Protobuf, field by field."""
    record = otlp.log_record(read(golden), identities=True)
    assert LogRecord.FromString(otlp_wire.log_record(record)) == from_json(record)


def test_the_encoding_is_the_official_one(golden):
    """Our bytes are those that the official messages write."""
    record = otlp.log_record(read(golden))
    official = from_json(record).SerializeToString(deterministic=True)
    assert len(otlp_wire.log_record(record)) == len(official)
    assert LogRecord.FromString(official) == LogRecord.FromString(otlp_wire.log_record(record))


def test_the_fields_of_a_record(fact):
    """Name, times, severity, trace, ids and facts stand where OpenTelemetry looks for them."""
    data = {
        "interaction_id": "I-1",
        "customer": {"id": "k7", "account_id": "A-1"},
        "where": {"channel": "web", "medium": "web_page", "touchpoint": "checkout.pay"},
        "direction": "inbound",
        "performed_by": {"kind": "partner", "partner_role": "carrier"},
        "session_id": "s-9",
        "error": {"type": "CardDeclined", "code": "51"},
        "service": {"name": "shop", "function": "app.pay"},
        "outcome": "failure",
        "duration_ms": 12,
        "value": {"amount": "19.90", "currency": "EUR"},
    }
    trace = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01"
    made = fact("interaction", "completed", data, traceparent=trace, correlationid="case-1",
                recordedtime="2026-11-22T09:14:06Z", partitionkey="k7")  # fmt: skip
    record = LogRecord.FromString(otlp_wire.log_record(otlp.log_record(made)))
    assert record.event_name == "cxsdk.interaction.completed"
    assert record.time_unix_nano == WHEN_NS
    assert record.observed_time_unix_nano == WHEN_NS + 880_000_000
    assert (record.severity_number, record.severity_text) == (13, "WARN")
    assert record.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert record.span_id.hex() == "b9c7c989f97918e1"
    assert record.flags == 1
    assert not record.HasField("body")
    assert attributes(record) == {
        "cloudevents.event_id": made.id,
        "cloudevents.event_source": "urn:service:shop",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "dev.cxsdk.interaction.completed.v1",
        "cloudevents.event_subject": "interaction/I-1",
        "cxsdk.data.schema": "urn:cxsdk:schema:interaction:1-0-0",
        "cxsdk.correlation_id": "case-1",
        "cxsdk.interaction.interaction_id": "I-1",
        "enduser.pseudo.id": "k7",
        "cxsdk.account.id": "A-1",
        "cxsdk.channel": "web",
        "cxsdk.medium": "web_page",
        "cxsdk.touchpoint": "checkout.pay",
        "cxsdk.interaction.direction": "inbound",
        "cxsdk.interaction.performed_by.kind": "partner",
        "cxsdk.interaction.performed_by.partner_role": "carrier",
        "session.id": "s-9",
        "error.type": "CardDeclined",
        "cxsdk.error.code": "51",
        "code.function.name": "app.pay",
        "cxsdk.interaction.outcome": "failure",
        "cxsdk.interaction.duration_ms": 12,
        "cxsdk.interaction.value.amount": "19.90",
        "cxsdk.interaction.value.currency": "EUR",
    }


def test_nothing_of_an_event_is_left_out(golden):
    """Every value of the data is in the record or in its resource."""
    made = read(golden)
    said = json.dumps([otlp.log_record(made, identities=True), otlp.resource(made)])

    def values(item):
        if isinstance(item, dict):
            return [leaf for each in item.values() for leaf in values(each)]
        if isinstance(item, list):
            return [leaf for each in item for leaf in values(each)]
        return [] if item is None else [item]

    missing = [
        leaf
        for leaf in values(made.data)
        if json.dumps(leaf) not in said and json.dumps(str(leaf)) not in said
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("family", "action", "data", "expected"),
    [
        ("interaction", "completed", {"outcome": "success"}, 9),
        ("interaction", "completed", {"outcome": "failure"}, 13),
        ("interaction", "completed", {"outcome": "abandoned"}, 13),
        ("problem", "encountered", {"severity": "minor"}, 13),
        ("problem", "encountered", {"severity": "blocking"}, 17),
        ("problem", "resolved", {"severity": "blocking"}, 9),
        ("commitment", "broken", {}, 13),
        ("commitment", "kept", {}, 9),
        ("feedback", "given", {}, 9),
        ("loss", "recorded", {}, 13),
    ],
)
def test_severity(fact, family, action, data, expected):
    """INFO, WARN where something went wrong, ERROR where a problem blocks."""
    assert otlp.severity(fact(family, action, data)) == expected


def test_who_is_who_stays_behind_unless_asked_for(fact):
    """Logs are read by many: the other id, traits and ids of a customer are not in them."""
    made = fact(
        "identity",
        "linked",
        {
            "identity_id": "L-1",
            "op": "linked",
            "customer": {"id": "k7", "ids": [{"ns": "crm", "id": "secret-1"}]},
            "previous": {"anonymous_id": "secret-2"},
            "traits": {"plan": "secret-3"},
        },
    )
    assert "secret" not in json.dumps(otlp.log_record(made))
    whole = json.dumps(otlp.log_record(made, identities=True))
    assert [name in whole for name in ("secret-1", "secret-2", "secret-3")] == [True] * 3


@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59.999999Z", "1000-01-01T00:00:00Z", "soon", None]
)
def test_a_time_that_otlp_cannot_say(time):
    """It is unknown there, and stands in an attribute as it was written."""
    payload = {"id": "a", "type": "dev.cxsdk.interaction.completed.v1", "time": time}
    made = read(json.dumps(payload).encode())
    record = LogRecord.FromString(otlp_wire.log_record(otlp.log_record(made)))
    assert record.time_unix_nano == 0
    assert attributes(record).get("cxsdk.time") == time


def test_the_resource_is_the_service(fact):
    """Service, environment and instance, under the names of the conventions."""
    made = fact("feedback", "given", {
        "service": {"name": "shop", "version": "1.2", "environment": "prod"},
        "sdk": {"instance": "i-1", "lane": "vital", "seq": 1}})  # fmt: skip
    found = {p["key"]: p["value"]["stringValue"] for p in otlp.resource(made)["attributes"]}
    assert found == {
        "service.name": "shop",
        "service.version": "1.2",
        "service.instance.id": "i-1",
        "deployment.environment.name": "prod",
        "deployment.environment": "prod",
    }


def test_a_service_without_a_name_is_its_source():
    """``service.name`` is demanded of every resource."""
    for payload, name in (
        (b'{"id":"a","source":"urn:service:till"}', "till"),
        (b'{"id":"a"}', "unknown_service"),
    ):
        (first, *_) = otlp.resource(read(payload))["attributes"]
        assert first == {"key": "service.name", "value": {"stringValue": name}}


@given(JSON)
def test_any_json_value_survives_both_encodings(value):
    """Whatever ``ext`` holds: null, empty, negative, huge, nested."""
    said = otlp.any_value(value)
    from_wire = AnyValue.FromString(otlp_wire._any_value(said))
    assert from_wire == json_format.ParseDict(said, AnyValue())
    assert plain(from_wire) == expected(value)


def expected(value):
    """Whole numbers beyond 64 bits are floats in OTLP."""
    if isinstance(value, dict):
        return {name: expected(item) for name, item in value.items()}
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


# ---- answers ------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_partial_success_is_read(rejected, words):
    """The number and the words of the official message."""
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = rejected
    answer.partial_success.error_message = words
    assert otlp_wire.read_answer(answer.SerializeToString()) == (rejected, words)


def test_a_full_success_has_none():
    """Empty, or with fields of a future version."""
    assert otlp_wire.read_answer(b"") is None
    assert otlp_wire.read_answer(b"\x10\x07" + b"\x19" + struct.pack("<d", 1.5)) is None


def test_the_words_of_an_error_are_read():
    """OTLP answers errors with a ``google.rpc.Status``."""
    status = status_pb2.Status(code=3, message="no such tenant")
    assert otlp_wire.read_status(status.SerializeToString()) == "no such tenant"


@given(st.binary(max_size=40))
def test_garbage_is_a_value_error_at_most(body):
    """Nothing else comes out of bytes that are no message."""
    for read_it in (otlp_wire.read_answer, otlp_wire.read_status):
        try:
            read_it(body)
        except ValueError:
            continue
