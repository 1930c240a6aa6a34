"""
What every kind of value has in common, and how a wrong value is described.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

__all__ = ["Kind", "Plain", "describe", "is_word", "under"]

EXACT = 2**53
"""JSON carries whole numbers exactly up to here (RFC 8259 §6)."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,39}\Z")


def is_word(value: object) -> bool:
    """
    Say whether *value* looks like a word of code, which an error may repeat.
    """
    return isinstance(value, str) and _WORD.match(value) is not None


def describe(value: object) -> str:
    """
    Say what *value* is without repeating what may be personal: its type, and its size.
    """
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value else "empty text"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > EXACT:
        return "a larger whole number"
    if isinstance(value, (int, float)):
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__


def under(path: str, name: object) -> str:
    """
    Return the path of *name* within *path*; a name that is none of code's is not repeated.
    """
    if is_word(name):
        return f"{path}.{name}"
    return f"{path}.<{describe(name)}>"


class Kind(Protocol):
    """
    What every kind of value knows. Stateless; safe to share.
    """

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is right.
        """

    def dump(self, value: Any) -> Any:
        """
        Return the JSON value of a right *value*.
        """

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Read a JSON value; lenient reading takes enum values it does not know.

        Raises `InvalidEventError` naming *path* when it cannot be read.
        """

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """

    def words(self) -> str:
        """
        Say what is expected, for errors and documentation.
        """


class Plain:
    """
    A value that is on the wire what it is in Python.
    """

    __slots__ = ()

    def dump(self, value: Any) -> Any:
        """
        Return *value*.
        """
        return value

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Return *value*.
        """
        return value
