"""
The CloudEvents 1.0 envelope around one fact.
"""

# No `from __future__ import annotations` here: the annotations are read at class creation.

import re
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._block import block, dump
from cxsdk.events.blocks import TOKEN, Id, Uri
from cxsdk.events.families import FAMILIES
from cxsdk.events.kinds import Json, Text, Whole, describe

__all__ = ["Event", "EventType", "read_type"]

_TYPE = re.compile(r"([a-z0-9_.]+)\.([a-z]+)\.([a-z_]+)\.v([1-9][0-9]{0,3})\Z")
_TYPE_WORDS = "<prefix>.<family>.<action>.v<MODEL>"
_SCHEMA = re.compile(r"urn:cxsdk:schema:([a-z]+):([1-9][0-9]*)-[0-9]+-[0-9]+\Z")
_SAMPLED = {"interaction", "problem"}
_PERSONS = "account|contact|customer|member|patient|person|user"


class EventType(NamedTuple):
    """
    The parts of an event's ``type``.
    """

    prefix: str
    family: str
    action: str
    model: str


def read_type(text: object) -> EventType:
    """
    Read an event's ``type``; its family, action and MODEL are ones of this version.

    Raises:
        InvalidEventError: it is not of the form, or the family, action or MODEL is unknown.
    """
    found = _TYPE.match(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidEventError("event.type", _TYPE_WORDS, describe(text))
    parts = EventType(*found.groups())
    if parts.family not in FAMILIES:
        raise InvalidEventError(
            "event.type", f"a family out of {', '.join(FAMILIES)}", repr(parts.family)
        )
    if parts.action not in v.ACTIONS[parts.family]:
        raise InvalidEventError(
            "event.type",
            f"an action of {parts.family} as its suffix: {', '.join(v.ACTIONS[parts.family])}",
            repr(parts.action),
        )
    model = v.SCHEMA_VERSION[parts.family].partition("-")[0]
    if parts.model != model:
        raise InvalidEventError("event.type", f"MODEL v{model}", f"v{parts.model}")
    return parts


class _Fact(Json):
    """
    One of the eight families.
    """

    __slots__ = ()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is of a family.
        """
        if type(value) not in FAMILIES.values():
            raise InvalidEventError(path, self.words(), describe(value))

    def dump(self, value: Any) -> Any:
        """
        Return the JSON object.
        """
        return dump(value)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of any object; each family has its own.
        """
        return {"type": "object"}

    def words(self) -> str:
        """
        Say what is expected.
        """
        return "one of the families"


@block
class Event:
    """
    A CloudEvents 1.0 envelope around one fact. Its id is the key under which it counts once.
    """

    specversion: Annotated[str, Text(3, r"1\.0", "1.0")] = "1.0"
    source: Uri
    type: Annotated[str, Text(120, TOKEN.replace("{0,4}", "{0,6}"), _TYPE_WORDS)]
    dataschema: Annotated[
        str,
        Text(
            100,
            r"urn:cxsdk:schema:[a-z]+:[1-9][0-9]*-[0-9]+-[0-9]+",
            "urn:cxsdk:schema:<family>:<MODEL>-<REVISION>-<ADDITION>",
        ),
    ]
    datacontenttype: Annotated[str, Text(16, "application/json", "application/json")] = (
        "application/json"
    )
    id: Id
    subject: Annotated[
        str,
        Text(
            260,
            rf"(?!(?:{_PERSONS})/)[a-z][a-z0-9_]*/.+",
            "<entity>/<id> of a thing such as interaction/I-1, never of a person",
        ),
    ]
    time: datetime
    recordedtime: datetime | None = None
    partitionkey: Id | None = None
    correlationid: Id | None = None
    causationid: Id | None = None
    traceparent: (
        Annotated[
            str, Text(55, r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", "W3C traceparent")
        ]
        | None
    ) = None
    tracestate: Annotated[str, Text(512)] | None = None
    sampledrate: Annotated[int, Whole(1, 2**31 - 1)] | None = None
    data: Annotated[Any, _Fact()]

    _rules = (
        "`type` names the family of `data`, its action, and the MODEL",
        "`dataschema` names the same family and MODEL",
        "`sampledrate` only for interaction and problem",
    )

    def __attrs_post_init__(self) -> None:
        parts = read_type(self.type)
        family, action = parts.family, parts.action
        if FAMILIES[family] is not type(self.data):
            actual = type(self.data).__name__.lower()
            raise InvalidEventError("event.type", f"family {actual} as in the data", repr(family))
        field = v.ACTION_FIELDS.get(family)
        if field and getattr(self.data, field) != action:
            raise InvalidEventError(
                "event.type",
                f"the action {getattr(self.data, field)!r} of the data as its suffix",
                repr(action),
            )
        named = _SCHEMA.match(self.dataschema)
        if named is None or named.groups() != (family, parts.model):
            raise InvalidEventError(
                "event.dataschema", f"a schema of {family}, MODEL {parts.model}", self.dataschema
            )
        if self.sampledrate is not None and family not in _SAMPLED:
            raise InvalidEventError(
                "event.sampledrate", f"nothing: {family} is never sampled", str(self.sampledrate)
            )

    @property
    def family(self) -> str:
        """
        Return the family, such as ``interaction``.
        """
        return self.type.rsplit(".", 3)[-3]

    @property
    def action(self) -> str:
        """
        Return the action, such as ``completed``.
        """
        return self.type.rsplit(".", 2)[-2]
