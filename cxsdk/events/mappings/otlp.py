"""
Events as OpenTelemetry log records, in the form of OTLP/JSON.

OTLP/JSON is proto3's JSON with ids in hexadecimal, enums as numbers and 64-bit integers as text
(OTLP specification, "JSON Protobuf Encoding"). `cxsdk.events.mappings.otlp_wire` writes the same
objects as binary Protobuf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from cxsdk._clock import to_ns
from cxsdk.events.mappings._fact import Fact

__all__ = ["any_value", "event_name", "log_record", "resource", "severity"]

_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
_LARGEST_TIME = 2**64 - 1
_INT64 = 2**63

INFO, WARN, ERROR = 9, 13, 17
_SEVERITY_TEXT = {INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}

# Named by OpenTelemetry, or common to all families; everything else is cxsdk.<family>.<field>.
_NAMES = {
    "customer.id": "enduser.pseudo.id",
    "customer.account_id": "cxsdk.account.id",
    "session_id": "session.id",
    "service.function": "code.function.name",
    "error.type": "error.type",
    "error.code": "cxsdk.error.code",
}
_COMMON = frozenset({"customer", "consent", "refs", "time_precision", "ext", "sdk"})
_IN_RESOURCE = frozenset({"service.name", "service.version", "service.environment"})
_WHO_IS_WHO = frozenset({"previous", "traits"})


def log_record(fact: Fact, *, identities: bool = False) -> dict[str, Any]:
    """
    Return the log record of *fact*. No body: what an event says belongs into attributes
    (OpenTelemetry, "Semantic conventions for events").

    Args:
        fact: the event.

        identities: say in ``identity`` events who is who: ``previous``, ``traits`` and the other
            ids of the customer. Logs are read by many; by default these stay behind.
    """
    level = severity(fact)
    out: dict[str, Any] = {}
    moment = _nanoseconds(fact.time)
    if moment is not None:
        out["timeUnixNano"] = str(moment)
    observed = _nanoseconds(fact.recordedtime or fact.time)
    if observed is not None:
        out["observedTimeUnixNano"] = str(observed)
    out["severityNumber"] = level
    out["severityText"] = _SEVERITY_TEXT[level]
    out["eventName"] = event_name(fact)
    out["attributes"] = _pairs(dict(_attributes(fact, identities=identities)))
    trace = _TRACE.match(fact.traceparent or "")
    if trace:
        out["traceId"], out["spanId"], out["flags"] = trace[1], trace[2], int(trace[3], 16)
    return out


def resource(fact: Fact) -> dict[str, Any]:
    """
    Return the resource that *fact* comes from: the service as it names itself.
    """
    service = fact.data.get("service") or {}
    sdk = fact.data.get("sdk") or {}
    name = service.get("name") or fact.source.removeprefix("urn:service:") or "unknown_service"
    said = {
        "service.name": name,
        "service.version": service.get("version"),
        "service.instance.id": sdk.get("instance"),
        "deployment.environment.name": service.get("environment"),
        # Its name until semantic conventions 1.27; dashboards of many still group by it.
        "deployment.environment": service.get("environment"),
    }
    return {"attributes": _pairs({key: value for key, value in said.items() if value})}


def event_name(fact: Fact) -> str:
    """
    Return ``cxsdk.<family>.<action>``, of low cardinality and without a version.
    """
    return ".".join(part for part in ("cxsdk", fact.family, fact.action) if part)


def severity(fact: Fact) -> int:
    """
    Return 9 (INFO), 13 (WARN: something went wrong for a customer, or was lost) or 17 (ERROR: a
    problem that blocks).
    """
    kind = f"{fact.family}.{fact.action}"
    if kind == "problem.encountered":
        return ERROR if fact.data.get("severity") == "blocking" else WARN
    if kind in {"commitment.broken", "loss.recorded"}:
        return WARN
    if fact.family == "interaction" and fact.data.get("outcome") in {"failure", "abandoned"}:
        return WARN
    return INFO


def any_value(value: Any) -> dict[str, Any]:
    """
    Return a JSON value as an OTLP ``AnyValue``; null is the empty one.
    """
    if isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _pairs(value)}}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {}


def _scalar(value: bool | float | str) -> dict[str, Any]:  # noqa: FBT001 - a JSON value
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return {"intValue": str(value)}
    return {"doubleValue": float(value)}


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": any_value(value)} for name, value in values.items()]


def _attributes(fact: Fact, *, identities: bool) -> Iterator[tuple[str, Any]]:
    envelope = {
        "cloudevents.event_id": fact.id,
        "cloudevents.event_source": fact.source or None,
        "cloudevents.event_spec_version": fact.specversion,
        "cloudevents.event_type": fact.type or None,
        "cloudevents.event_subject": fact.subject,
        "cxsdk.data.schema": fact.dataschema,
        "cxsdk.correlation_id": fact.correlationid,
        "cxsdk.causation_id": fact.causationid,
        "cxsdk.sampled_rate": fact.sampledrate,
    }
    yield from ((name, value) for name, value in envelope.items() if value is not None)
    if fact.time and _nanoseconds(fact.time) is None:
        yield "cxsdk.time", fact.time
    anonymous = (fact.data.get("customer") or {}).get("anonymous_id")
    if anonymous and "id" not in fact.data["customer"]:
        yield "enduser.pseudo.id", anonymous
    hidden = frozenset() if identities or fact.family != "identity" else _WHO_IS_WHO
    for path, value in _leaves(fact.data, ""):
        top = path.partition(".")[0]
        if path in _IN_RESOURCE or top in hidden or (hidden and path == "customer.ids"):
            continue
        yield _name(fact.family, path, top), value


def _name(family: str, path: str, top: str) -> str:
    if path in _NAMES:
        return _NAMES[path]
    if top == "where":
        return f"cxsdk.{path.partition('.')[2]}"
    if top in _COMMON or not family:
        return f"cxsdk.{path}"
    return f"cxsdk.{family}.{path}"


def _leaves(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """
    Walk nested objects down to values; ``ext`` and ``traits`` are values, for their names are not
    ours.
    """
    for name, value in data.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and path not in {"ext", "traits"}:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _nanoseconds(text: str | None) -> int | None:
    """
    Return nanoseconds since 1970; None for what a ``fixed64`` cannot say (before 1970, after
    2554) and for what is no time.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        value = to_ns(moment)
    except (ValueError, TypeError, OverflowError):
        return None
    return value if 0 <= value <= _LARGEST_TIME else None
