"""
OTLP/JSON log objects as binary Protobuf, and OTLP's two answers back.

Written by hand, because it is this small: eight messages and five kinds of field
(opentelemetry-proto 1.x, ``logs/v1`` and ``common/v1``; Protocol Buffers encoding). Tests decode
every form with the official messages.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["log_record", "read_answer", "read_status", "request"]

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_UINT64 = 2**64
_SMALL = [bytes([value]) for value in range(0x80)]
"""Varints of one byte; every tag of these messages is one."""


# ---- writing ------------------------------------------------------------------------------


def request(groups: Iterable[tuple[Mapping[str, Any], Mapping[str, Any], list[bytes]]]) -> bytes:
    """
    Return an ``ExportLogsServiceRequest``.

    Args:
        groups: (resource, scope, log records as bytes) for each resource.
    """
    out = []
    for resource, scope, records in groups:
        logs = b"".join([_field(2, record) for record in records])
        scope_logs = _field(1, _scope(scope)) + logs
        out.append(_field(1, _field(1, _attributes(1, resource)) + _field(2, scope_logs)))
    return b"".join(out)


def log_record(record: Mapping[str, Any]) -> bytes:
    """
    Return one ``LogRecord`` from its OTLP/JSON object.
    """
    out = [
        _fixed64(1, int(record.get("timeUnixNano", 0))),
        _number(2, record.get("severityNumber", 0)),
        _text(3, record.get("severityText", "")),
        _attributes(6, record),
        _fixed32(8, record.get("flags", 0)),
        _bytes(9, bytes.fromhex(record.get("traceId", ""))),
        _bytes(10, bytes.fromhex(record.get("spanId", ""))),
        _fixed64(11, int(record.get("observedTimeUnixNano", 0))),
        _text(12, record.get("eventName", "")),
    ]
    return b"".join(out)


def _scope(scope: Mapping[str, Any]) -> bytes:
    return _text(1, scope.get("name", "")) + _text(2, scope.get("version", ""))


def _attributes(number: int, owner: Mapping[str, Any]) -> bytes:
    return _pairs(number, owner.get("attributes", ()))


def _pairs(number: int, pairs: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(
        [_field(number, _key(pair["key"]) + _field(2, _any_value(pair["value"]))) for pair in pairs]
    )


def _any_value(value: Mapping[str, Any]) -> bytes:
    """
    Write one arm of a oneof; unlike other fields it is written even if it is the default.
    """
    return b"".join([_ARMS[name](item) for name, item in value.items()])


# Names of attributes are few, and half of what a record says.
@functools.lru_cache(maxsize=1024)
def _key(name: str) -> bytes:
    return _text(1, name)


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return _SMALL[value]
    value %= _UINT64  # negative numbers travel as their two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, kind: int) -> bytes:
    return _SMALL[number << 3 | kind]


def _field(number: int, content: bytes) -> bytes:
    return b"%b%b%b" % (_SMALL[number << 3 | _LENGTH], _varint(len(content)), content)


def _bytes(number: int, content: bytes) -> bytes:
    return _field(number, content) if content else b""


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + _varint(value) if value else b""


def _fixed64(number: int, value: int) -> bytes:
    return _tag(number, _FIXED64) + struct.pack("<Q", value) if value else b""


def _fixed32(number: int, value: int) -> bytes:
    return _tag(number, _FIXED32) + struct.pack("<I", value) if value else b""


_ARMS: dict[str, Callable[[Any], bytes]] = {
    "stringValue": lambda item: _field(1, item.encode()),
    "boolValue": lambda item: _tag(2, _VARINT) + _varint(item),
    "intValue": lambda item: _tag(3, _VARINT) + _varint(int(item)),
    "doubleValue": lambda item: _tag(4, _FIXED64) + struct.pack("<d", item),
    "arrayValue": lambda item: _field(
        5, b"".join([_field(1, _any_value(each)) for each in item["values"]])
    ),
    "kvlistValue": lambda item: _field(6, _pairs(1, item["values"])),
}
"""How each arm of an ``AnyValue`` is written."""


# ---- reading ------------------------------------------------------------------------------


def read_answer(body: bytes) -> tuple[int, str] | None:
    """
    Return (rejected log records, message) of an ``ExportLogsServiceResponse``; None where
    ``partial_success`` is not set.

    Raises:
        ValueError: it is no such message.
    """
    found = _fields(body)
    if (1, _LENGTH) not in found:
        return None
    said = _fields(found[1, _LENGTH])
    rejected, _ = _read_varint(said.get((1, _VARINT), b"\0"), 0)
    return rejected, said.get((2, _LENGTH), b"").decode("utf-8", "replace")


def read_status(body: bytes) -> str:
    """
    Return the message of a ``google.rpc.Status``, which OTLP answers errors with.

    Raises:
        ValueError: it is no such message.
    """
    return _fields(body).get((2, _LENGTH), b"").decode("utf-8", "replace")


def _fields(body: bytes) -> dict[tuple[int, int], bytes]:
    """
    Return the last content of each (field, wire type), as the bytes that say it.
    """
    found: dict[tuple[int, int], bytes] = {}
    at = 0
    while at < len(body):
        tag, at = _read_varint(body, at)
        kind = tag & 7
        if kind == _VARINT:
            size = _read_varint(body, at)[1] - at
        elif kind == _LENGTH:
            size, at = _read_varint(body, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(body):
            raise ValueError("cut short")
        found[tag >> 3, kind] = body[at : at + size]
        at += size
    return found


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            raise ValueError("cut short")
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without an end")
