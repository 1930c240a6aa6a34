"""
How a class of the standard is made from its annotations: attrs, validators, wire form, schema.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NamedTuple, NoReturn, TypeVar, dataclass_transform

import attrs

from cxsdk.errors import InvalidEventError
from cxsdk.events.kinds import Day, Flag, Instant, Kind, Listing, Number, Whole, describe, under
from cxsdk.events.vocabulary import ACTUAL_FIELDS, PERCEPTION_FIELDS

__all__ = ["Block", "Plan", "block", "dump", "load", "plan", "schema"]

T = TypeVar("T")

_FIRST = ("service", "where", "direction", "performed_by", "on_behalf_of", "goal")
_LAST = ("ext", "sdk")
_PERCEPTIONS = {"feedback", "answer"}
_LABELS = {"errorinfo": "error", "customerid": "customer.ids[]"}


class Plan(NamedTuple):
    """
    The fields of one class in wire order, and how it is built.
    """

    label: str
    """What an error calls an instance that stands alone."""

    fields: tuple[tuple[str, str, Kind, bool], ...]
    """(attribute, name on the wire, kind, required)"""

    names: frozenset[str]
    """The names on the wire."""

    slots: tuple[tuple[str, str, Kind, Any, bool], ...]
    """(attribute, path, kind, default, optional) in the order of the class."""

    rule: Callable[[Any], None] | None
    """What the class checks over its fields together."""


_plans: dict[type, Plan] = {}


class Block:
    """
    A nested class of the standard as a kind of value. Stateless; safe to share.
    """

    __slots__ = ("cls",)

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is an instance.
        """
        if not isinstance(value, self.cls):
            raise InvalidEventError(path, self.words(), describe(value))

    def dump(self, value: Any) -> Any:
        """
        Return the JSON object.
        """
        return dump(value)

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Read a JSON object.

        Raises:
            InvalidEventError: naming the field and what was expected.
        """
        return load(self.cls, value, path, strict=strict)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return schema(self.cls, strict=strict)

    def words(self) -> str:
        """
        Say what is expected.
        """
        name = self.cls.__name__
        return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


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


# ---- making a class -----------------------------------------------------------------------


@dataclass_transform(kw_only_default=True, frozen_default=True)
def block(cls: type[T]) -> type[T]:
    """
    Make *cls* a frozen, keyword-only attrs class whose annotations are checked at construction.

    A wrong, missing or unknown field raises `InvalidEventError`, never TypeError.
    """
    # One `__init__` for all classes that walks the plan: it can name the missing and the unknown
    # field, is faster for sparse facts, and attrs need not compile 100 methods at import.
    for name, method in _METHODS.items():
        setattr(cls, name, method)
    made = attrs.define(
        cls, frozen=True, kw_only=True, slots=True, init=False, field_transformer=_filed
    )
    # With slots attrs makes a second class; the plan was filed under the first.
    _plans[made] = _plans.pop(cls)
    return made


def _filed(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    label = cls.__name__.lower()
    label = _LABELS.get(label, label)
    rows = []
    slots = []
    for field in fields:
        kind, optional = _kind_of(field.type)
        name = field.name.rstrip("_")
        required = not optional and field.default is attrs.NOTHING
        rows.append((field.name, name, kind, required))
        slots.append((field.name, f"{label}.{name}", kind, field.default, optional))
    rows.sort(key=_wire_position)
    _plans[cls] = Plan(
        label,
        tuple(rows),
        frozenset(row[1] for row in rows),
        tuple(slots),
        getattr(cls, "__attrs_post_init__", None),
    )
    return fields


def _wire_position(row: tuple[str, str, Kind, bool]) -> int:
    name = row[1]
    if name in _FIRST:
        return _FIRST.index(name) - 100
    return _LAST.index(name) + 100 if name in _LAST else 0


def _construct(self: Any, **facts: Any) -> None:
    made = _plans[type(self)]
    put = object.__setattr__
    known = 0
    for attribute, path, kind, default, optional in made.slots:
        value = default
        if attribute in facts:
            known += 1
            value = facts[attribute]
        if value is attrs.NOTHING or value is None or value == ():
            if not optional:
                _refuse_unknown(made, facts)
                raise InvalidEventError(path, kind.words(), "nothing")
            # A list that is absent is (), also when None was given.
            value = () if default == () else None
        else:
            kind.check(value, path)
            if type(value) is list:
                value = tuple(value)
        put(self, attribute, value)
    if known != len(facts):
        _refuse_unknown(made, facts)
    if made.rule is not None:
        made.rule(self)


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, slot[0]) for slot in _plans[type(self)].slots)


def _equal(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash((type(self), _values(self)))


def _repr(self: Any) -> str:
    made = _plans[type(self)]
    items = ((slot[0], getattr(self, slot[0])) for slot in made.slots)
    said = ", ".join(f"{name}={item!r}" for name, item in items if item not in (None, ()))
    return f"{type(self).__name__}({said})"


_METHODS: dict[str, Any] = {
    "__init__": _construct,
    "__eq__": _equal,
    "__hash__": _hash,
    "__repr__": _repr,
}


def _refuse_unknown(made: Plan, names: typing.Iterable[Any], path: str = "") -> None:
    """
    Raise for the first of *names* that is no field, if there is one.
    """
    attributes = {slot[0] for slot in made.slots}
    for name in names:
        if name not in made.names and name not in attributes:
            _refuse_field(made, name, path or made.label)


def _refuse_field(made: Plan, name: Any, path: str) -> NoReturn:
    expected = "a field of the standard"
    if made.label in _PERCEPTIONS:
        if name in ACTUAL_FIELDS:
            expected = f"no {name} here; what happened is an interaction"
    elif name in PERCEPTION_FIELDS:
        expected = "no perception field here; what the customer says is feedback"
    raise InvalidEventError(under(path, name), expected)


# ---- the plan at work ---------------------------------------------------------------------


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
        for name in value:
            if name not in made.names:
                _refuse_field(made, name, path)
    arguments = {}
    for attribute, name, kind, required in made.fields:
        item = value.get(name)
        if item is None:
            if required:
                raise InvalidEventError(f"{path}.{name}", kind.words(), "nothing")
            continue
        arguments[attribute] = kind.load(item, f"{path}.{name}", strict=strict)
    try:
        return cls(**arguments)
    except InvalidEventError as error:
        # The class knows only its own name; the caller's path says where it stands.
        tail = error.field.removeprefix(made.label)
        raise InvalidEventError(f"{path}{tail}", error.expected, error.got) from None


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
