"""
Events to bytes and back.
"""

from __future__ import annotations

import json

import pytest

from cxsdk.errors import CXError, DecodeError, EncodeError, InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events.codec import (
    decode,
    encode,
    encode_wire,
    from_wire,
    read_json,
    schema_urn,
    subject_of,
    to_wire,
)

ORDER = [
    "specversion", "source", "type", "dataschema", "datacontenttype", "id", "subject", "time",
    "recordedtime", "partitionkey", "correlationid", "causationid", "traceparent", "tracestate",
    "sampledrate", "data",
]  # fmt: skip
DATA_ORDER = [
    "service", "where", "direction", "performed_by", "on_behalf_of", "goal", "interaction_id",
    "customer", "session_id", "consent", "started_at", "duration_ms", "outcome", "goal_met",
    "reason", "error", "wait_ms", "effort", "memory", "expectations", "value", "refs",
    "time_precision", "ext", "sdk",
]  # fmt: skip


def test_the_fields_of_an_interaction_stand_in_wire_order(golden):
    """The fast path writes the same order without the models."""
    wire = golden("interaction.completed.full")
    assert (list(wire), list(wire["data"])) == (ORDER, DATA_ORDER)


def test_the_order_of_fields_on_arrival_does_not_matter(golden):
    """An event of another producer gets this order when written."""
    wire = golden("interaction.completed.full")
    turned = dict(reversed(wire.items())) | {"data": dict(reversed(wire["data"].items()))}
    assert list(wire) == list(to_wire(from_wire(turned)))
    assert encode_wire(wire) == encode(from_wire(turned))


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff", "[" * 100_000, b"{}x"]
)
def test_what_is_no_json_object_is_a_decode_error(payload):
    """Bytes that are no event raise DecodeError."""
    with pytest.raises(DecodeError):
        decode(payload)


@pytest.mark.parametrize("wire", [None, [], "x", 1, {}, {"type": 1}, {"type": "a.b"}, {1: 2}])
def test_a_json_value_that_is_no_event_is_invalid(wire):
    """from_wire refuses any other value as InvalidEventError."""
    with pytest.raises(InvalidEventError):
        from_wire(wire)


def test_a_null_field_is_an_absent_one(golden):
    """Some producers write null; this one never does."""
    wire = golden("interaction.completed.minimal")
    payload = encode_wire(wire)
    wire["correlationid"] = None
    wire["data"]["goal"] = None
    assert payload == encode(from_wire(wire, strict=True))


def test_an_attribute_that_no_hop_may_add_is_refused_strictly(golden):
    """Only names of CloudEvents extensions may stand beside the known ones."""
    wire = golden("interaction.completed.minimal")
    wire["Not_An_Extension"] = 1
    with pytest.raises(InvalidEventError, match="CloudEvents attributes only"):
        from_wire(wire, strict=True)
    assert from_wire(wire).family == "interaction"


@pytest.mark.parametrize("value", [object(), "\ud800", {1j: 1}])
def test_what_json_cannot_carry_is_an_encode_error(value):
    """The encoder maps every failure of the layer below."""
    with pytest.raises(EncodeError):
        encode_wire({"ext": value})


def test_an_event_with_such_an_ext_is_an_encode_error(golden):
    """The model does not look into every value of ext; the encoder does."""
    wire = golden("interaction.completed.minimal")
    wire["data"]["ext"] = {"com.acme": {"n": "\ud800"}}
    with pytest.raises(EncodeError):
        encode(from_wire(wire, strict=True))


def test_a_self_referencing_ext_is_refused(golden):
    """A circle is a depth without end."""
    wire = golden("interaction.completed.minimal")
    circle: dict = {}
    circle["again"] = circle
    wire["data"]["ext"] = {"com.acme": circle}
    with pytest.raises(InvalidEventError, match="16 levels"):
        from_wire(wire, strict=True)


def test_a_json_error_says_nothing_of_the_text():
    """DecodeError gives the place of the mistake, not the text."""
    with pytest.raises(DecodeError) as caught:
        read_json('{"text": "Anna Muster" oops}')
    assert "Anna" not in str(caught.value)


@pytest.mark.parametrize("family", v.ACTIONS)
def test_a_schema_has_an_immutable_name(family):
    """The dataschema is a URN, nothing is fetched."""
    assert schema_urn(family) == f"urn:cxsdk:schema:{family}:{v.SCHEMA_VERSION[family]}"


@pytest.mark.parametrize(
    ("family", "data", "subject"),
    [
        ("interaction", {"interaction_id": "I-1"}, "interaction/I-1"),
        ("prompt", {"prompt_id": "nps", "offer_id": "O-1"}, "offer/O-1"),
        ("prompt", {"prompt_id": "nps"}, "offer/E-1"),
        ("loss", {}, "loss/E-1"),
        ("feedback", {"feedback_id": "F-1", "customer": {"id": "k"}}, "feedback/F-1"),
    ],
)
def test_the_subject_is_the_thing_and_never_a_person(family, data, subject):
    """``<entity>/<id>``, or the event's id where the thing has none."""
    assert subject == subject_of(family, data, "E-1")


def test_every_error_of_the_room_is_one_of_ours():
    """A caller may catch CXError and nothing else."""
    assert all(issubclass(cls, CXError) for cls in (DecodeError, EncodeError, InvalidEventError))


def test_text_payloads_are_read_like_bytes(golden):
    """A str of JSON is as good as bytes."""
    text = json.dumps(golden("feedback.given.rtl"), ensure_ascii=False)
    assert decode(text) == decode(text.encode())
