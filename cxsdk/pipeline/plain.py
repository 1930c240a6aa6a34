"""
Any value of the host's as something JSON can carry.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from enum import Enum
from math import isfinite
from numbers import Integral, Real
from typing import Any

__all__ = ["MOST_VALUES", "plain"]

MOST_VALUES = 20_000
"""Values looked at; a structure that contains itself in many places would else be endless work."""

_MOST_LEVELS = 8
_MOST_BITS = 128
_CUT = "[…]"
_BY_TEXT = frozenset({"Decimal", "ObjectId", "UUID"})


def plain(value: Any, cut: Callable[[str], str] | None = None) -> Any:
    """
    Return *value* as something JSON can carry: odd objects become ``[TypeName]``.

    So one strange attribute does not cost the event, and no object is written out field by field.
    What is None or no finite number is left out: absent, never null.

    Args:
        value: any object; mappings and lists of it to 8 levels, 20,000 values in all.

        cut: shortens each text.
    """
    return _plain(value, 0, [MOST_VALUES], cut)


def _plain(value: Any, depth: int, left: list[int], cut: Callable[[str], str] | None) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        text = cut(value) if cut is not None else value
        return text.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, Real):
        return _number(value)
    if depth < _MOST_LEVELS and isinstance(value, dict):
        return _mapping(value, depth + 1, left, cut)
    if depth < _MOST_LEVELS and isinstance(value, (list, tuple, set, frozenset)):
        return _sequence(value, depth + 1, left, cut)
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if type(value).__name__ in _BY_TEXT else f"[{type(value).__name__}]"


def _mapping(
    values: dict[Any, Any], depth: int, left: list[int], cut: Callable[[str], str] | None
) -> dict[str, Any]:
    out = {}
    for name, value in values.items():
        left[0] -= 1
        if left[0] < 0:
            out[_CUT] = _CUT
            break
        item = _plain(value, depth, left, cut)
        if item is not None:
            out[str(name).encode("utf-8", "replace").decode()] = item
    return out


def _sequence(
    values: Any, depth: int, left: list[int], cut: Callable[[str], str] | None
) -> list[Any]:
    out = []
    for value in values:
        left[0] -= 1
        if left[0] < 0:
            out.append(_CUT)
            break
        item = _plain(value, depth, left, cut)
        if item is not None:
            out.append(item)
    return out


def _number(value: Real | None) -> Any:
    if value is None or isinstance(value, bool):
        return value
    # Other libraries' numbers too, and subclasses, which JSON writers do not know.
    if isinstance(value, Integral):
        whole = int(value)
        return whole if whole.bit_length() <= _MOST_BITS else f"[{type(value).__name__}]"
    real = float(value)
    return real if isfinite(real) else None
