"""
From a route's template to the touchpoint that stands for it.
"""

from __future__ import annotations

import re

__all__ = ["touchpoint_of"]

_PARTS = 5
_LONGEST = 80
_CLOSING = {"(": ")", "{": "}"}
_QUANTIFIER = re.compile(r"[?*+]+|\{\d*,?\d*\}\??")
_GROUP_NAME = re.compile(r"\(\?P<(\w+)>")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]?")
_ANY = "-any-"


def touchpoint_of(route: str, method: str = "GET") -> str:
    """
    Return the touchpoint that stands for *route*: its parts joined by dots, those of a parameter
    under its name, and what is done to it where that is not GET.

    ``/orders/<int:order_id>/pay`` with POST is ``orders.order_id.pay.post``. At most five parts;
    the last one takes what is beyond.
    """
    words = [word for part in re.split(r"[/.]", _named(route)) if (word := _word(part))]
    words = words or ["root"]
    if method not in {"GET", "WEBSOCKET"}:
        words.append(_word(method))
    if len(words) > _PARTS:
        words = [*words[: _PARTS - 1], "_".join(words[_PARTS - 1 :])]
    return ".".join(words)[:_LONGEST].rstrip("._")


def _word(text: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return f"n{word}" if word[:1].isdigit() else word


def _named(route: str) -> str:
    """
    Return *route* with its parameters under their names, and without what only an expression has.
    """
    named, at = "", 0
    while at < len(route):
        sign = route[at]
        end = _end(route, at)
        if sign in "(<{":
            named += _name(route[at:end])
        elif sign == "[":
            named += _ANY
        elif sign == "\\":
            named += _escaped(route[at + 1 : end])
        else:
            named += sign
        at = end
        if sign in "([\\" and (more := _QUANTIFIER.match(route, at)):
            at = more.end()
    return named


def _escaped(sign: str) -> str:
    if sign.isalnum():
        return _ANY if sign.lower() in "dws" else ""
    return sign


def _name(placeholder: str) -> str:
    if placeholder.startswith("("):
        found = _GROUP_NAME.search(placeholder)
        return found[1] if found else _ANY
    if placeholder.startswith("<"):
        return placeholder.strip("<>").rpartition(":")[2] or _ANY
    return placeholder.strip("{}").partition(":")[0] or _ANY


def _end(route: str, at: int) -> int:
    """
    Return where what begins at *at* ends: an escape, a class, a group or a placeholder with all that
    is inside of it, or one sign.
    """
    sign = route[at]
    if sign == "[":
        found = _CLASS.match(route, at)
        return found.end() if found else at + 1
    if sign == "<":
        return (route.find(">", at) + 1) or len(route)
    if sign not in _CLOSING:
        return min(at + 1 + (sign == "\\"), len(route))
    at += 1
    while at < len(route) and route[at] != _CLOSING[sign]:
        # A `<` inside of a group is part of its name, or a look behind.
        at = _end(route, at) if route[at] != "<" else at + 1
    return min(at + 1, len(route))
