"""
One event as a mapping sees it: the envelope decoded once, the data as it was written.

Lenient on purpose: a spool may hold events of a newer version, and a mapping passes on what it
does not know rather than lose it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from cxsdk.errors import DecodeError

__all__ = ["Fact", "Who", "envelope", "flat", "number", "read", "title", "who"]

_TYPE = re.compile(r"(?:.*\.)?([a-z0-9_]+)\.([a-z0-9_]+)\.v[0-9]+\Z")


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event's CloudEvents attributes, and its data as JSON values.
    """

    id: str
    source: str = ""
    type: str = ""
    specversion: str = "1.0"
    subject: str | None = None
    time: str | None = None
    dataschema: str | None = None
    recordedtime: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    sampledrate: int | None = None
    data: dict[str, Any] = {}

    @property
    def family(self) -> str:
        """
        Return the family, such as ``interaction``; empty for a type of another form.
        """
        return _parts(self.type)[0]

    @property
    def action(self) -> str:
        """
        Return the action, such as ``completed``; the whole type where it has another form.
        """
        return _parts(self.type)[1]


class Who(NamedTuple):
    """
    Whom an event is about, in the words that most destinations share.
    """

    user: str | None
    """The customer's id; of an event that has only ids of named spaces, the first of them."""

    anonymous: str | None
    account: str | None


@functools.lru_cache(maxsize=512)
def _parts(kind: str) -> tuple[str, str]:
    found = _TYPE.match(kind)
    return (found[1], found[2]) if found else ("", kind)


_decoder = msgspec.json.Decoder(Fact)


def read(payload: bytes) -> Fact:
    """
    Read one spooled event.

    Raises:
        DecodeError: it is no JSON, or an attribute of the envelope is not what it should be.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"event: {type(error).__name__}") from None


def who(customer: Mapping[str, Any] | None) -> Who:
    """
    Return the ids of a customer block; all are None where there is no customer.
    """
    said = customer or {}
    user = said.get("id")
    if user is None and said.get("ids"):
        first = said["ids"][0]
        user = f"{first['ns']}:{first['id']}"
    return Who(user, said.get("anonymous_id"), said.get("account_id"))


def title(fact: Fact) -> str:
    """
    Return family and action in words: ``commitment at_risk`` is ``commitment at risk``.
    """
    return f"{fact.family} {fact.action}".strip().replace("_", " ")


def envelope(fact: Fact) -> dict[str, Any]:
    """
    Return what the envelope says beside id, time and trace, as ``cloudevent_…`` properties.
    """
    said = {
        "cloudevent_source": fact.source or None,
        "cloudevent_type": fact.type or None,
        "cloudevent_subject": fact.subject,
        "cloudevent_dataschema": fact.dataschema,
        "cloudevent_recordedtime": fact.recordedtime,
        "cloudevent_correlationid": fact.correlationid,
        "cloudevent_causationid": fact.causationid,
        "cloudevent_sampledrate": fact.sampledrate,
    }
    return {name: value for name, value in said.items() if value is not None}


def flat(data: Mapping[str, Any], *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """
    Return *data* with nested objects joined by ``_`` (``where_channel``); lists and ``ext`` stay
    what they are, and *without* names top fields that are left out.
    """
    out: dict[str, Any] = {}
    for name, value in data.items():
        if name in without:
            continue
        if name == "ext" or not isinstance(value, Mapping):
            out[name] = value
        else:
            for inner, item in flat(value).items():
                out[f"{name}_{inner}"] = item
    return out


def number(amount: Any) -> float | None:
    """
    Return a decimal amount as the float that analytics want; None if it is none.
    """
    try:
        return float(amount)
    except (TypeError, ValueError, OverflowError):
        return None
