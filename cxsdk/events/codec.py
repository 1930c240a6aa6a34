"""
Events to bytes and back: CloudEvents 1.0 JSON, each event encoded once.

Strict reading refuses what the standard does not know and is what producers and a collector's
strict mode use; lenient reading takes a newer event, dropping fields and mapping enum values that
this version does not know.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cxsdk.errors import DecodeError, EncodeError, InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._block import dump, load, plan
from cxsdk.events.envelope import Event, read_type
from cxsdk.events.families import FAMILIES, Data
from cxsdk.events.kinds import Kind, describe

__all__ = [
    "decode",
    "encode",
    "encode_wire",
    "encoder",
    "from_wire",
    "kind_of",
    "read_json",
    "schema_urn",
    "subject_of",
    "to_wire",
]


def _exact(value: Any) -> Any:
    """
    Return a subclass of text or a number (a safe string, another library's float) as what it is.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=_exact)
_ENVELOPE = plan(Event).names
_EXTENSION = re.compile(r"[a-z0-9]{1,20}\Z")
_SUBJECTS = {
    "interaction": ("interaction", "interaction_id"),
    "problem": ("problem", "problem_id"),
    "commitment": ("commitment", "commitment_id"),
    "feedback": ("feedback", "feedback_id"),
    "reaction": ("reaction", "reaction_id"),
    "identity": ("identity", "identity_id"),
    "prompt": ("offer", "offer_id"),
}


def kind_of(attribute: str) -> Kind:
    """
    Return what checks the envelope's *attribute*, by its name on the wire.
    """
    return next(row[2] for row in plan(Event).fields if row[1] == attribute)


def schema_urn(family: str) -> str:
    """
    Return the immutable name of the schema that this version writes for *family*.
    """
    return f"urn:cxsdk:schema:{family}:{v.SCHEMA_VERSION[family]}"


def subject_of(family: str, data: dict[str, Any], event_id: str) -> str:
    """
    Return ``<entity>/<id>`` of the thing an event is about; never a person.
    """
    entity, field = _SUBJECTS.get(family, (family, ""))
    return f"{entity}/{data.get(field) or event_id}"


def to_wire(event: Event) -> dict[str, Any]:
    """
    Return the JSON object of *event*, fields in wire order, absent ones left out.
    """
    return dump(event)


def encode(event: Event) -> bytes:
    """
    Return *event* as UTF-8 JSON.

    Raises:
        EncodeError: ``ext`` holds something that JSON cannot carry.
    """
    return encode_wire(to_wire(event))


def encode_wire(wire: Any) -> bytes:
    """
    Return a JSON-ready value as bytes; the one encoder of the library.

    Raises:
        EncodeError: it holds something that JSON cannot carry.
    """
    try:
        return encoder.encode(wire)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise EncodeError(f"event: {type(error).__name__} while writing JSON") from error


def read_json(payload: bytes | str) -> Any:
    """
    Parse JSON.

    Raises:
        DecodeError: it is no JSON.
    """
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not JSON: {error}") from None


def decode(payload: bytes | str, *, strict: bool = False) -> Event:
    """
    Read one event.

    Raises:
        DecodeError: it is no JSON object.
        InvalidEventError: a field is missing, unknown (if *strict*) or wrong.
    """
    wire = read_json(payload)
    if not isinstance(wire, dict):
        raise DecodeError(f"expected a JSON object, got {describe(wire)}")
    return from_wire(wire, strict=strict)


def from_wire(wire: Any, *, strict: bool = False) -> Event:
    """
    Read the JSON object of one event.

    Raises:
        InvalidEventError: a field is missing, unknown (if *strict*) or wrong.
    """
    if not isinstance(wire, dict):
        raise InvalidEventError("event", "a JSON object", describe(wire))
    family = read_type(wire.get("type")).family
    data: Data = load(FAMILIES[family], wire.get("data"), family, strict=strict)
    if strict:
        for name in wire.keys() - _ENVELOPE:
            # CloudEvents lets hops add extension attributes; anything else is a mistake.
            if not isinstance(name, str) or not _EXTENSION.match(name):
                raise InvalidEventError("event", "CloudEvents attributes only", describe(name))
    known = {name: wire[name] for name in _ENVELOPE if name in wire}
    return _with_data(known, data, strict=strict)


def _with_data(envelope: dict[str, Any], data: Data, *, strict: bool) -> Event:
    arguments = {}
    for attribute, name, kind, required in plan(Event).fields:
        if name == "data":
            continue
        item = envelope.get(name)
        if item is None:
            if required:
                raise InvalidEventError(f"event.{name}", "a value", "nothing")
            continue
        arguments[attribute] = kind.load(item, f"event.{name}", strict=strict)
    return Event(data=data, **arguments)
