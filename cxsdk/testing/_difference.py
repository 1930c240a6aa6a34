"""
What is expected of an event against what it says, and both in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import attrs

from cxsdk.events._block import Block, plan
from cxsdk.events.kinds import Listing
from cxsdk.events.model import FAMILIES, Event
from cxsdk.events.vocabulary import ACTIONS

__all__ = ["check", "differences", "expectation", "listed", "matches", "nearest"]

_ABSENT = type("_Absent", (), {"__repr__": lambda _: "absent"})()
_IDS = ("id", "anonymous_id", "account_id")
_LONGEST = 200
_SHORT = ("action", "customer", "family", "touchpoint")
_RESULTS = ("outcome", "problem", "reaction", "kind", "instrument", "op", "prompt_id", "reason")


def check(family: str, action: str | None, expected: Mapping[str, Any]) -> None:
    """
    Check that an event could be what is expected.

    Raises:
        ValueError: there is no such family, or it has no such action or field.
    """
    if family not in FAMILIES:
        head, _, tail = family.partition(".")
        hint = f"; the action is an argument of its own: {head!r}, {tail!r}" if tail else ""
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}{hint}")
    if action is not None and action not in ACTIONS[family]:
        raise ValueError(f"{family}: expected one of {', '.join(ACTIONS[family])}, got {action!r}")
    own = {*_fields(FAMILIES[family]), *_SHORT}
    kinds = {"data": Block(FAMILIES[family]), **_kinds(FAMILIES[family])}
    for path, wanted in expected.items():
        name, *steps = path.split(".")
        if name not in {*own, *_fields(Event)}:
            raise ValueError(
                f"{family} has no field {name!r}; it has {', '.join(sorted(own))}, and those of the"
                f" event itself: {', '.join(_fields(Event))}"
            )
        _check_within(kinds.get(name), steps, wanted, name)


def _check_within(kind: Any, steps: Sequence[str], wanted: Any, path: str) -> None:
    """
    Check that what stands at *path*, of this *kind*, could have what is expected below it: by the
    *steps* of a path, or as a mapping or a list.
    """
    if isinstance(kind, Listing):
        if steps:
            _check_within(kind.item, steps[1:], wanted, f"{path}.{steps[0]}")
        elif isinstance(wanted, (list, tuple)):
            for number, item in enumerate(wanted):
                _check_within(kind.item, (), item, f"{path}.{number}")
    elif isinstance(kind, Block):
        below = _kinds(kind.cls)
        named = wanted if isinstance(wanted, Mapping) else {}
        for name, item in {steps[0]: wanted}.items() if steps else named.items():
            if name not in below:
                raise ValueError(f"{path} has no field {name!r}; it has {', '.join(below)}")
            _check_within(below[name], steps[1:], item, f"{path}.{name}")


def _kinds(cls: type[Any]) -> dict[str, Any]:
    return {name: kind for _, name, kind, _ in plan(cls).fields}


def matches(event: Event, family: str, action: str | None, expected: Mapping[str, Any]) -> bool:
    """
    Say whether *event* is of *family* and *action* and has all that is *expected*.
    """
    is_kind = event.family == family and action in {None, event.action}
    return is_kind and not differences(event, expected)


def differences(event: Event, expected: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """
    Return path → (expected, actual) where they differ.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for path, wanted in expected.items():
        is_block = path == "customer" and isinstance(wanted, Mapping)
        actual = _step(event.data, path) if is_block else _read(event, path)
        _compare(path, wanted, actual, found)
    return found


def _compare(path: str, wanted: Any, actual: Any, found: dict[str, tuple[Any, Any]]) -> None:
    """
    Enter where *wanted* is not met: of a mapping its own keys count, of a list each item.
    """
    if isinstance(wanted, Mapping) and not isinstance(actual, (str, int, float, list, tuple)):
        for name, item in wanted.items():
            _compare(f"{path}.{name}", item, _step(actual, str(name)), found)
    elif isinstance(wanted, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(wanted) != len(actual):
            found[path] = (wanted, actual)
            return
        for number, item in enumerate(wanted):
            _compare(f"{path}.{number}", item, actual[number], found)
    # What is absent equals nothing but None, also not what equals everything, such as `mock.ANY`.
    elif not (wanted is None if actual is _ABSENT else wanted == actual):
        found[path] = (wanted, actual)


def _read(event: Event, path: str) -> Any:
    first, *steps = path.split(".")
    found = _step(event.data, first) if first == "customer" and steps else _first(event, first)
    for step in steps:
        found = _step(found, step)
    return found


def _first(event: Event, name: str) -> Any:
    """
    Return a fact by its name; of a customer the id, for touchpoint wherever it stands.
    """
    data = event.data
    if name == "customer":
        return _customer(event)
    if name == "touchpoint":
        return _touchpoint(event)
    if name in {"family", "action"}:
        return getattr(event, name)
    found = _step(data, name)
    return _step(event, name) if found is _ABSENT else found


def _fields(cls: type[Any]) -> list[str]:
    return [field.name.rstrip("_") for field in attrs.fields(cls)]


def _step(value: Any, name: str) -> Any:
    """
    Return what stands under *name* in a block, a mapping or a list.
    """
    if isinstance(value, Mapping):
        return value.get(name, _ABSENT)
    if isinstance(value, (list, tuple)):
        is_there = name.isdigit() and int(name) < len(value)
        return value[int(name)] if is_there else _ABSENT
    found = (
        getattr(value, name, getattr(value, f"{name}_", None)) if attrs.has(type(value)) else None
    )
    return _ABSENT if found is None or found == () else found


def _customer(event: Event) -> Any:
    customer = getattr(event.data, "customer", None)
    found = (getattr(customer, name, None) for name in _IDS)
    return next((each for each in found if each is not None), _ABSENT)


def _touchpoint(event: Event) -> Any:
    data = event.data
    for place in ("where", "about"):
        found = getattr(getattr(data, place, None), "touchpoint", None)
        if found is not None:
            return found
    return _step(data, "touchpoint")


# ---- in words --------------------------------------------------------------------------------


def expectation(family: str, action: str | None, expected: Mapping[str, Any]) -> str:
    """
    Return what is expected, such as ``interaction.completed with outcome='success'``.
    """
    kind = f"{family}.{action}" if action else family
    fields = ", ".join(f"{name}={shown(value)}" for name, value in expected.items())
    return f"{kind} with {fields}" if fields else kind


def shown(value: Any) -> str:
    """
    Return *value* as Python has it, blocks without what is absent, not too long.
    """
    text = repr(_plain(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        named = {
            field.name.rstrip("_"): _step(value, field.name) for field in attrs.fields(type(value))
        }
        return {name: _plain(item) for name, item in named.items() if item is not _ABSENT}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _Moment(value) if isinstance(value, (date, datetime)) else value


class _Moment:
    """
    A date or a moment in words: bare, so that it is told from a text that says the same.
    """

    def __init__(self, value: date) -> None:
        self.value = value

    def __repr__(self) -> str:
        return self.value.isoformat()


def listed(events: Iterable[Event]) -> str:
    """
    Return the events, a line each, with what tells them apart.
    """
    rows = [
        (
            f"{number}",
            f"{event.family}.{event.action}",
            *("-" if part is _ABSENT else str(part) for part in _marks(event)),
        )
        for number, event in enumerate(events, 1)
    ]
    if not rows:
        return "captured: nothing"
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = (
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "captured, in order:\n" + "\n".join(lines)


def _marks(event: Event) -> tuple[Any, Any, Any]:
    """
    Return touchpoint, customer, and what came of it.
    """
    said = [_step(event.data, name) for name in _RESULTS]
    result = next((each for each in said if each is not _ABSENT), _ABSENT)
    if event.family == "feedback":
        value = _read(event, "answers.0.value")
        result = value if result is _ABSENT else f"{result}={value}"
    return _touchpoint(event), _customer(event), result


def nearest(
    events: Sequence[Event],
    family: str,
    action: str | None,
    expected: Mapping[str, Any],
    after: int = 0,
) -> str:
    """
    Return the event that comes nearest to what is expected, field by field; empty where none is
    of *family* and *action*. Looked at are those behind the first *after*.
    """
    kin = [
        (number, event)
        for number, event in enumerate(events[after:], after + 1)
        if event.family == family and action in {None, event.action}
    ]
    if not kin or not expected:
        return ""
    number, event = min(kin, key=lambda each: len(differences(each[1], expected)))
    wrong = differences(event, expected)
    right = [path for path in expected if not any(_is_in(name, path) for name in wrong)]
    width = max(map(len, [*wrong, *right]))
    lines = [f"nearest is {number}, {event.family}.{event.action}:"]
    for path in expected:
        if path in right:
            lines.append(f"    {path.ljust(width)}  {shown(expected[path])}")
        for name, (wanted, actual) in wrong.items():
            if _is_in(name, path):
                lines.append(
                    f"  ! {name.ljust(width)}  expected {shown(wanted)}, got {shown(actual)}"
                )
    return "\n".join(lines)


def _is_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")
