"""
How a class of the standard is made from its annotations: attrs, validators, wire form, schema.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar, dataclass_transform

import attrs

from cxsdk.errors import InvalidEventError
from cxsdk.events.kinds import Day, Flag, Instant, Kind, Listing, Number, Whole, describe
from cxsdk.events.vocabulary import PERCEPTION_FIELDS

__all__ = ["Block", "Plan", "block", "dump", "load", "plan", "schema"]

T = TypeVar("T")

_FIRST = ("service", "where", "direction", "performed_by", "on_behalf_of", "goal")
_LAST = ("ext", "sdk")


@attrs.define(frozen=True)
class Plan:
    """
    The fields of one class in wire order.
    """

    label: str
    fields: tuple[tuple[str, str, Kind, bool], ...]
    """(attribute, name on the wire, kind, required)"""

    names: frozenset[str]


_plans: dict[type, Plan] = {}


@attrs.define(frozen=True)
class Block:
    """
    A nested class of the standard as a kind of value.
    """

    cls: type[Any]

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, self.cls):
            raise InvalidEventError(path, f"a {self.cls.__name__}", describe(value))

    def dump(self, value: Any) -> Any:
        return dump(value)

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        return load(self.cls, value, path, strict=strict)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return schema(self.cls, strict=strict)


_BUILT_IN: dict[Any, Kind] = {
    bool: Flag(),
    int: Whole(),
    float: Number(),
    datetime: Instant(),
    date: Day(),
}


def _kind_of(annotation: Any) -> tuple[Kind, bool]:
    """
    Return the kind of an annotation, and whether ``None`` (absent) is allowed.
    """
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        arms = [arm for arm in typing.get_args(annotation) if arm is not type(None)]
        return _kind_of(arms[0])[0], True
    metadata = getattr(annotation, "__metadata__", None)
    if metadata:
        return metadata[0], False
    if typing.get_origin(annotation) is tuple:
        return Listing(_kind_of(typing.get_args(annotation)[0])[0]), True
    if annotation in _BUILT_IN:
        return _BUILT_IN[annotation], False
    return Block(annotation), False


def _validated(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    label = cls.__name__.lower()
    rows = []
    out = []
    for field in fields:
        kind, optional = _kind_of(field.type)
        required = not optional and field.default is attrs.NOTHING
        rows.append((field.name, field.name.rstrip("_"), kind, required))
        out.append(field.evolve(validator=_checker(kind, f"{label}.{field.name}", optional)))
    rows.sort(key=_wire_position)
    _plans[cls] = Plan(label, tuple(rows), frozenset(row[1] for row in rows))
    return out


def _wire_position(row: tuple[str, str, Kind, bool]) -> int:
    name = row[1]
    if name in _FIRST:
        return _FIRST.index(name) - 100
    return _LAST.index(name) + 100 if name in _LAST else 0


def _checker(
    kind: Kind, path: str, optional: bool
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
        if value is None or (optional and value == ()):
            if not optional:
                raise InvalidEventError(path, "a value", "nothing")
            return
        kind.check(value, path)

    return check


@dataclass_transform(kw_only_default=True, frozen_default=True)
def block(cls: type[T]) -> type[T]:
    """
    Make *cls* a frozen, keyword-only attrs class whose annotations are checked at construction.
    """
    made = attrs.define(cls, frozen=True, kw_only=True, slots=True, field_transformer=_validated)
    # With slots attrs makes a second class; the plan was filed under the first.
    _plans[made] = _plans.pop(cls)
    return made


def plan(cls: type) -> Plan:
    """
    Return the plan of a class made by `block`.
    """
    return _plans[cls]


def dump(value: Any) -> dict[str, Any]:
    """
    Return the wire form of a block: absent fields are left out, never null.
    """
    out = {}
    for attribute, name, kind, _ in _plans[type(value)].fields:
        item = getattr(value, attribute)
        if item is not None and item != ():
            out[name] = kind.dump(item)
    return out


def load(cls: type[T], value: Any, path: str, *, strict: bool) -> T:
    """
    Read the wire form of *cls*; *strict* refuses fields and enum values it does not know.

    Raises:
        InvalidEventError: naming the field and what was expected.
    """
    if not isinstance(value, dict):
        raise InvalidEventError(path, "an object", describe(value))
    made = _plans[cls]
    if strict and not value.keys() <= made.names:
        _refuse_unknown(made, value, path)
    arguments = {}
    for attribute, name, kind, required in made.fields:
        item = value.get(name)
        if item is None:
            if required:
                raise InvalidEventError(f"{path}.{name}", "a value", "nothing")
            continue
        arguments[attribute] = kind.load(item, f"{path}.{name}", strict=strict)
    try:
        return cls(**arguments)
    except InvalidEventError as error:
        # The class knows only its own name; the caller's path says where it stands.
        tail = error.field.removeprefix(made.label)
        raise InvalidEventError(f"{path}{tail}", error.expected, error.got) from None


def _refuse_unknown(made: Plan, value: dict[str, Any], path: str) -> None:
    for name in value:
        if name in made.names:
            continue
        if name in PERCEPTION_FIELDS:
            raise InvalidEventError(
                f"{path}.{name}", "no perception field here; what the customer says is feedback"
            )
        if name == "outcome" and made.label == "feedback":
            raise InvalidEventError(
                f"{path}.{name}", "no outcome here; what happened is an interaction"
            )
        raise InvalidEventError(f"{path}.{str(name)[:60]}", "a field of the standard")


def schema(cls: type, *, strict: bool) -> dict[str, Any]:
    """
    Return the JSON Schema (2020-12) of a block's wire form.
    """
    made = _plans[cls]
    out: dict[str, Any] = {
        "type": "object",
        "properties": {name: kind.schema(strict=strict) for _, name, kind, _ in made.fields},
    }
    required = [name for _, name, _, needed in made.fields if needed]
    if required:
        out["required"] = required
    if strict:
        out["additionalProperties"] = False
    out.update(getattr(cls, "_schema_rules", dict)())
    return out
