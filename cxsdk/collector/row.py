"""
One event as the store holds it: judged, and with the columns that queries filter by.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec

from cxsdk._clock import to_ns
from cxsdk.collector.limits import Limits
from cxsdk.collector.sieve import look
from cxsdk.errors import CXError, InvalidEventError
from cxsdk.events.codec import from_wire, read_json

__all__ = ["Closing", "Key", "Link", "Refusal", "Row", "judge"]

Key = tuple[str, str]
"""An identifier of a customer: its space (``id``, ``anonymous``, ``account``, a team's own), it."""


_MOST_SEQ = 1 << 53
_LANES = ("bulk", "vital")


@attrs.define(frozen=True)
class Link:
    """
    Two identifiers said to be, or no longer to be, one customer.
    """

    one: Key
    other: Key
    op: str


@attrs.define
class Row:
    """
    One event to store.
    """

    source: str
    id: str
    type: str
    family: str
    action: str
    time: int
    """When it happened, microseconds since 1970 (UTC)."""

    recorded: int | None
    """When it was told, where that is not when it happened."""

    entity: str
    """Id of the thing that the event is about, such as the commitment."""

    touchpoint: str | None
    channel: str | None
    stage: str | None
    outcome: str | None
    goal_met: str | None
    instance: str | None
    lane: str | None
    seq: int | None
    weight: int
    """How many events this one stands for (``sampledrate``)."""

    keys: tuple[Key, ...]
    links: tuple[Link, ...]
    body: str


@attrs.define(frozen=True)
class Refusal:
    """
    An event that was not stored, and why; never its content.

    *code* is one of ``invalid``, ``too_large``, ``too_deep``, ``not_json``, ``conflict``. With
    *instance*, *lane* and *seq*, where it says them, its number is no gap: it did arrive.
    """

    id: str | None
    type: str | None
    code: str
    reason: str
    instance: str | None = None
    lane: str | None = None
    seq: int | None = None


@attrs.define(frozen=True)
class Closing:
    """
    What a process that ends says of itself: the last number it gave in each lane.
    """

    instance: str
    lanes: tuple[tuple[str, int], ...]

    @classmethod
    def read(cls, header: str) -> Closing | None:
        """
        Read ``<instance>; bulk=<n>; vital=<n>``; None where it says nothing that makes sense.
        """
        instance, *said = (part.strip() for part in header[:500].split(";"))
        lanes = []
        for lane, _, number in (one.partition("=") for one in said):
            if lane in _LANES and number.isascii() and number.isdigit():
                seq = int(number[:20])
                if 0 < seq < _MOST_SEQ:
                    lanes.append((lane, seq))
        return cls(instance[:200], tuple(lanes)) if instance and lanes else None


def judge(text: bytes, limits: Limits, *, strict: bool) -> Row | Refusal:
    """
    Read one event; say what is wrong with it by naming the field.

    Lenient judging takes a newer event as it is; *strict* refuses what the standard does not know.
    """
    if len(text) > limits.event_bytes:
        reason = f"event: expected at most {limits.event_bytes} bytes"
        return _refusal(_named(text), "too_large", reason)
    # As many brackets as levels at most: nearly every event is cleared without a walk.
    flat = text.count(b"{") + text.count(b"[") <= limits.depth
    event = None if strict or not flat else look(text)
    if event is None:
        found = _judge_slowly(text, limits.depth, strict=strict)
        if isinstance(found, Refusal):
            return found
        event = found
    if _names_twice(text):
        reason = "event: expected each name once in an object"
        return Refusal(event.id, event.type, "invalid", reason)
    return _row(event, text.decode())


def _names_twice(text: bytes) -> bool:
    """
    Say whether an object has one name twice: readers differ on which of the two counts.
    """
    # What comes out as it went in, as from our own encoder, has no such thing.
    if msgspec.json.encode(msgspec.json.decode(text)) == text:
        return False
    found = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = dict(members)
        found = found or len(made) < len(members)
        return made

    json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return found


def _judge_slowly(text: bytes, depth: int, *, strict: bool) -> Any:
    try:
        wire = read_json(text)
    except CXError:
        return Refusal(None, None, "not_json", "event: expected JSON")
    if not isinstance(wire, dict):
        return Refusal(None, None, "invalid", "event: expected a JSON object")
    if _is_deeper(wire, depth):
        return _refusal(wire, "too_deep", f"event: expected at most {depth} levels")
    try:
        return from_wire(wire, strict=strict)
    except InvalidEventError as error:
        return _refusal(wire, "invalid", str(error)[:500])


class _Name(msgspec.Struct):
    id: Any = None
    type: Any = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Teller(msgspec.Struct):
    sdk: Any = None


_names = msgspec.json.Decoder(_Name)
_tellers = msgspec.json.Decoder(_Teller)


def _named(text: bytes) -> dict[str, Any]:
    """
    Return id, type and sender of an event without building the rest of it.
    """
    try:
        found = _names.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    named = {"id": found.id, "type": found.type}
    try:
        return {**named, "data": {"sdk": _tellers.decode(found.data).sdk}}
    except (msgspec.DecodeError, RecursionError):
        return named


def _refusal(wire: dict[str, Any], code: str, reason: str) -> Refusal:
    data = wire.get("data")
    sdk = data.get("sdk") if isinstance(data, dict) else None
    place = _place(sdk) if isinstance(sdk, dict) else (None, None, None)
    return Refusal(_short(wire.get("id")), _short(wire.get("type")), code, reason, *place)


def _place(sdk: dict[str, Any]) -> tuple[str | None, str | None, int | None]:
    instance, lane, seq = sdk.get("instance"), sdk.get("lane"), sdk.get("seq")
    if not isinstance(instance, str) or lane not in _LANES or type(seq) is not int:
        return None, None, None
    return (instance[:200], lane, seq) if 0 <= seq < _MOST_SEQ else (None, None, None)


def _short(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _is_deeper(value: Any, depth: int) -> bool:
    layer = [value]
    for _ in range(depth):
        layer = [
            inner
            for item in layer
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return False
    return True


def _row(event: Any, body: str) -> Row:
    data = event.data
    _, family, action, _ = event.type.rsplit(".", 3)
    where = getattr(data, "where", None)
    about = getattr(data, "about", None)
    sdk = data.sdk
    customer = getattr(data, "customer", None)
    return Row(
        source=event.source,
        id=event.id,
        type=event.type,
        family=family,
        action=action,
        time=to_ns(event.time) // 1000,
        recorded=to_ns(event.recordedtime) // 1000 if event.recordedtime else None,
        entity=_entity(family, data, event.id),
        touchpoint=(where and where.touchpoint)
        or (about and about.touchpoint)
        or getattr(data, "touchpoint", None),
        channel=(where.channel or "unknown") if where else None,
        stage=where.stage if where else None,
        outcome=getattr(data, "outcome", None),
        goal_met=getattr(data, "goal_met", None),
        instance=sdk.instance if sdk else None,
        lane=sdk.lane if sdk else None,
        seq=sdk.seq if sdk else None,
        weight=event.sampledrate or 1,
        # A statement about two identifiers stands in the journeys of both.
        keys=tuple(dict.fromkeys(_keys(customer) + _keys(getattr(data, "previous", None)))),
        links=_links(data) if family == "identity" else (),
        body=body,
    )


def _entity(family: str, data: Any, event_id: str) -> str:
    if family == "prompt":
        return data.offer_id or event_id
    if family == "loss":
        return event_id
    name: str = getattr(data, f"{family}_id")
    return name


def _keys(customer: Any) -> tuple[Key, ...]:
    if customer is None:
        return ()
    found: list[Key] = []
    if customer.id:
        found.append(("id", customer.id))
    if customer.anonymous_id:
        found.append(("anonymous", customer.anonymous_id))
    if customer.account_id:
        found.append(("account", customer.account_id))
    found += [(one.ns, one.id) for one in customer.ids or () if one.state != "ambiguous"]
    return tuple(dict.fromkeys(found))


def _links(identity: Any) -> tuple[Link, ...]:
    """
    Return who an identity event says is one; an account is shared by many and links nobody.
    """
    if identity.op not in {"identified", "linked", "unlinked"}:
        return ()
    own = [key for key in _keys(identity.customer) if key[0] != "account"]
    old = [key for key in _keys(identity.previous) if key[0] != "account"]
    if identity.op == "unlinked":
        return tuple(Link(one, other, "unlinked") for one in own for other in old if one != other)
    every = list(dict.fromkeys(own + old))
    # `identified` may tie an anonymous visit to a customer, never two known customers.
    return tuple(
        Link(one, other, identity.op)
        for index, one in enumerate(every)
        for other in every[index + 1 :]
        if identity.op == "linked"
        or "anonymous" in (one[0], other[0])
        or (one in own and other in own)
    )
