"""
Redaction: personal data and secrets are replaced before anything is kept.

What is clean comes back as the same object. On the hot path that is decided without a pattern: a
bounded memo of clean strings and key tuples, and for the strings never seen before one pass of
``bytes.translate`` over all of them joined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cxsdk._guard import is_ours

__all__ = ["DENY_KEYS", "Redactor"]

DENY_KEYS: tuple[str, ...] = (
    "access_token",
    "api_key",
    "auth_token",
    "authorization",
    "bearer",
    "card_number",
    "client_secret",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "credit_card_number",
    "csrf",
    "cvc",
    "cvv",
    "iban",
    "id_token",
    "jwt",
    "otp",
    "pan",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pin",
    "pin_code",
    "private_key",
    "pwd",
    "refresh_token",
    "secret",
    "secret_key",
    "secrets",
    "session",
    "session_id",
    "set_cookie",
    "ssn",
    "token",
    "xsrf",
)
"""Parts of a mapping's key whose value is never kept, whatever it is."""

_REDACTED = "[redacted]"
_CARD = "[card]"

_MAX_DEPTH = 32
_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_LENGTH = 64

# Shorter strings hold neither a key of a known shape nor, but for digits, a bank account.
_SHORT = 15
# Text that is longer may be cut before it is read.
_MOST_AT_A_GLANCE = 8000
_LEAST = -1e19
_SMALLEST_CARD = 1e12
_ABOVE_CARDS = 1e19

# The types that hold others and have a JSON form.
_LEVELS = (dict, list, tuple, set, frozenset)

_WORDS = r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+"
_LONGEST_ENTRY = 5


def _table(plain: bytes, mark: bytes) -> bytes:
    """
    Digits become ``0``, *plain* stays nondescript, anything else is the *mark*.
    """
    table = bytearray(mark * 256)
    for code in plain:
        table[code] = ord("x")
    for code in b"0123456789":
        table[code] = ord("0")
    return bytes(table)


_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The joint of several strings must be plain and no separator of numbers.
_JOINT = "|"
_KINDS = _table(_LETTERS + b"_,;!*~|", b"?")
_SEPARATORS = b"-./"
_LONG_NUMBER = b"000000000"
_ANY_NUMBER = b"0000"

_UUID = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
_HEX = bytes(
    ord("x") if chr(code) in "0123456789abcdefABCDEF" else code if code == ord("-") else ord("?")
    for code in range(256)
)


class Redactor:
    """
    Replaces personal data and secrets in text, attribute values and mapping keys.

    E-mail addresses, telephone and payment card numbers, bank accounts, host addresses, tokens
    and keys become ``[email]``, ``[phone]``, ``[card]``, ``[iban]``, ``[ip]``, ``[secret]``;
    query, fragment and user of a URL, and the values of denied keys, ``[redacted]``.

    Deterministic and idempotent; time is linear in the size of what is given. Safe to share
    between threads and over a fork: its memos are only looked up, added to and replaced whole.
    Holds at most some hundred kilobytes. Never raises for JSON-like values of any depth.

    Args:
        deny_keys: further keys whose values are never kept, as words in any spelling:
            ``"loyalty_number"`` also denies ``loyaltyNumber`` and ``X-Loyalty-Number``.
    """

    def __init__(self, deny_keys: Iterable[str] = ()) -> None:
        # Here and not at import: the patterns take milliseconds to compile.
        from cxsdk.pipeline import _detect, _numbers

        self._scan: Callable[[str], str] = _detect.scan
        self._unmarked = _detect.unmarked
        self._is_card = _numbers.is_card
        self._fold = _detect.fold
        self._denied = frozenset(
            "".join(_words(key)) for key in (*DENY_KEYS, *deny_keys) if _words(key)
        )
        self._longest = max(_LONGEST_ENTRY, *(len(_words(key)) for key in (*deny_keys, "")))
        self._clean: set[str] = set()
        self._clean_keys: set[str] = set()
        self._calls = 0

    def text(self, value: str) -> str:
        """
        Return *value* without personal data and secrets; the same object if it holds none.

        Args:
            value: any text; read to its end.

        Returns:
            The text with each find replaced by its word in brackets.
        """
        if value in self._clean:
            return value
        if self._is_plain(value):
            self._remember(value)
            return value
        redacted = self._scan(value)
        if redacted is value:
            self._remember(value)
        return redacted

    def attributes(self, values: dict[str, Any]) -> dict[str, Any]:
        """
        Return *values* without personal data and secrets; the same object if nothing changed.

        Args:
            values: names to JSON-like values, nested or not.

        Returns:
            *values* itself, or a new dict. Of two keys that become alike the later is numbered.
        """
        return values if self.passes(values) else self._mapping(values, 0)

    def passes(self, values: dict[str, Any]) -> bool:
        """
        Say at a glance that *values* is flat, clean and without None; False: look closer.

        The hot path: mostly set look-ups, about 1 µs for eleven values.
        """
        if not self._clean_keys.issuperset(values) and not self._are_clean_keys(values):
            return False
        clean = self._clean
        short = []
        try:
            for value in values.values():
                kind = type(value)
                if kind is str:
                    if value not in clean:
                        if len(value) <= _SHORT:
                            short.append(value)
                        elif not self._is_long_clean(value):
                            break
                # A type of the host's may have an order too, and fields that nobody looked at.
                elif (
                    value >= _SMALLEST_CARD
                    if kind is int
                    else kind is not bool
                    and (kind is not float or not _LEAST < value < _SMALLEST_CARD)
                ):
                    break
            else:
                return not short or self._are_plain(short)
        except (TypeError, ValueError) as error:
            if not is_ours(error):
                raise
        return False

    def value(self, value: Any) -> Any:
        """
        Return any JSON-like *value* without personal data and secrets, through all its levels.

        Args:
            value: a string, number, dict, list, tuple or set; other types are returned as they are.

        Returns:
            The same object if nothing changed; what lies deeper than 32 levels is ``[redacted]``.
        """
        return self._any(value, 0)

    def _any(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (int, float)):
            return self._number(value)
        if isinstance(value, _LEVELS):
            return self._level(value, depth)
        return value

    def _level(self, values: Any, depth: int) -> Any:
        if depth >= _MAX_DEPTH:
            return _REDACTED
        if isinstance(values, dict):
            return self._mapping(values, depth)
        if isinstance(values, (set, frozenset)):
            redacted = {self._any(value, depth + 1) for value in values}
            return values if redacted == values else type(values)(redacted)
        return self._sequence(values, depth)

    def _number(self, value: float) -> Any:
        # Nothing else of a number is personal; a negative one is no card.
        if not _SMALLEST_CARD <= value < _ABOVE_CARDS or value != int(value):
            return value
        return _CARD if self._is_card(str(int(value))) else value

    def _sequence(self, values: Sequence[Any], depth: int) -> Any:
        redacted = [self._any(value, depth + 1) for value in values]
        if all(new is old for new, old in zip(redacted, values, strict=True)):
            return values
        return redacted if isinstance(values, list) else tuple(redacted)

    def _mapping(self, values: dict[Any, Any], depth: int) -> dict[Any, Any]:
        redacted: dict[Any, Any] = {}
        counts: dict[Any, int] = {}
        changed = False
        for name, value in values.items():
            new_name, new = self._item(name, value, depth)
            changed = changed or new_name is not name or new is not value
            redacted[_unused(new_name, redacted, counts) if new_name is not name else name] = new
        return redacted if changed else values

    def _item(self, name: Any, value: Any, depth: int) -> tuple[Any, Any]:
        if not isinstance(name, str):
            return self._any(name, depth + 1), self._any(value, depth + 1)
        new = _REDACTED if self._is_denied(name) else self._any(value, depth + 1)
        return self.text(name), new

    def _are_clean_keys(self, names: Iterable[Any]) -> bool:
        for name in names:
            if type(name) is not str or self._is_denied(name) or not self._is_clean(name):
                return False
            if len(name) <= _MAX_REMEMBERED_LENGTH:
                if len(self._clean_keys) >= _MAX_REMEMBERED:
                    self._clean_keys = set()
                self._clean_keys.add(name)
        return True

    def _is_denied(self, name: str) -> bool:
        words = _words(name if name.isascii() else name.translate(self._fold))
        denied = self._denied
        for first in range(len(words)):
            joined = ""
            for word in words[first : first + self._longest]:
                joined += word
                if joined in denied:
                    return True
        return False

    def _is_clean(self, string: str) -> bool:
        return self.text(string) is string

    def _is_long_clean(self, string: str) -> bool:
        if len(string) > _MOST_AT_A_GLANCE:
            return False
        return string.encode().translate(_HEX) == _UUID or self.text(string) is string

    def _are_plain(self, strings: list[str]) -> bool:
        """
        Say that all *strings*, short ones, are clean; look closer only where that is not plain.
        """
        joined = _JOINT.join(strings)
        kinds = joined.encode().translate(_KINDS, _SEPARATORS)
        if b"?" in kinds or _LONG_NUMBER in kinds or ("." in joined and joined.count(".") > 2):
            return all(self._is_clean(string) for string in strings)
        # What comes often is soon caught at one call in eight; what never comes again costs less.
        self._calls += 1
        if not self._calls & 7:
            self._remember_all(strings)
        return True

    def _is_plain(self, string: str) -> bool:
        if len(string) <= _SHORT:
            return _has_no_trace(string)
        if _is_uuid(string):
            return True
        return _has_no_trace(string, _ANY_NUMBER) and self._unmarked(string)

    def _remember(self, string: str) -> None:
        if len(string) <= _MAX_REMEMBERED_LENGTH and type(string) is str:
            self._remember_all((string,))

    def _remember_all(self, strings: Iterable[str]) -> None:
        if len(self._clean) >= _MAX_REMEMBERED:
            self._clean = set()
        self._clean.update(strings)


def _has_no_trace(string: str, number: bytes = _LONG_NUMBER) -> bool:
    """
    Say that *string* lacks what any number, address or link needs.

    Only letters, digits and a few signs; not so many digits in a row, once separators are taken
    out, as *number* has; not the three dots of an address.
    """
    kinds = string.encode("utf-8", "replace").translate(_KINDS, _SEPARATORS)
    if b"?" in kinds or number in kinds:
        return False
    return "." not in string or string.count(".") < 3


def _is_uuid(string: str) -> bool:
    return string.encode("utf-8", "replace").translate(_HEX) == _UUID


def _words(key: str) -> list[str]:
    return [word.lower() for word in re.findall(_WORDS, key)]


def _unused(name: Any, taken: dict[Any, Any], counts: dict[Any, int]) -> Any:
    # Counted on from the last time: a thousand keys that become alike stay linear.
    count = counts.get(name, 1)
    numbered = name if count == 1 else f"{name} {count}"
    while numbered in taken:
        count += 1
        numbered = f"{name} {count}"
    counts[name] = count
    return numbered
