"""
What the actions show alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["customer", "minute", "query"]


def query(**said: Any) -> dict[str, str]:
    """
    Return what was said as parameters of a question.
    """
    return {name: str(value) for name, value in said.items() if value is not None}


def customer(who: Mapping[str, str] | None) -> str:
    """
    Return an identifier; one that is no known customer's with its space.
    """
    if who is None:
        return "-"
    # A terminal heeds control characters; an id may hold whatever somebody sent.
    shown = "".join(char if char.isprintable() else "?" for char in who["id"])
    return shown if who["space"] == "id" else f"{who['space']}:{shown}"


def minute(text: str | None) -> str:
    """
    Return an RFC 3339 time in UTC to the minute.
    """
    return "-" if text is None else f"{text[:10]} {text[11:16]}"
