"""
The kinds of value a field of the standard may hold.

Each kind knows four things about its values: whether one is right, how it is written on the wire,
how it is read back, and its JSON Schema. Models, validators, codec and schemas all come from the
annotations of `cxsdk.events.model`, so they cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

import attrs

from cxsdk._clock import rfc3339
from cxsdk.errors import InvalidEventError
from cxsdk.events.vocabulary import OWN_VALUE, Vocabulary

__all__ = [
    "Choice",
    "Day",
    "Flag",
    "Instant",
    "Json",
    "Kind",
    "Listing",
    "Number",
    "Scalar",
    "Text",
    "Traits",
    "Whole",
    "describe",
]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_DEPTH = 16


def describe(value: object) -> str:
    """
    Say what *value* is without repeating what may be personal: its type, and its size.
    """
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value else "empty text"
    if isinstance(value, (bool, int, float)):
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__


class Kind(Protocol):
    """
    What every kind of value knows. Stateless.
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
        """

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """


@attrs.define(frozen=True)
class _Plain:
    """
    A value that is on the wire what it is in Python.
    """

    def check(self, value: Any, path: str) -> None:
        raise NotImplementedError

    def dump(self, value: Any) -> Any:
        return value

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        return value

    def schema(self, *, strict: bool) -> dict[str, Any]:
        raise NotImplementedError


@attrs.define(frozen=True)
class Text(_Plain):
    """
    A string; *pattern* must match all of it; *pii* names the class of personal data, if any.
    """

    longest: int = 200
    pattern: str | None = None
    expected: str = ""
    pii: str | None = None
    is_id: bool = False

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, str) or not value:
            raise InvalidEventError(path, self.words(), describe(value))
        if len(value) > self.longest:
            raise InvalidEventError(path, self.words(), describe(value))
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise InvalidEventError(path, self.words(), describe(value))
        if self.pii != "free_text" and not value.isprintable():
            raise InvalidEventError(path, "printable text without control characters")

    def words(self) -> str:
        return self.expected or f"text of 1 to {self.longest} characters"

    def schema(self, *, strict: bool) -> dict[str, Any]:
        out: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest}
        if self.pattern:
            out["pattern"] = f"^(?:{self.pattern})$"
        if self.pii:
            out["x-pii"] = self.pii
        return out


@attrs.define(frozen=True)
class Choice(_Plain):
    """
    One value of a vocabulary.
    """

    vocabulary: Vocabulary

    def check(self, value: Any, path: str) -> None:
        if value not in self.vocabulary:
            got = repr(value)[:40] if isinstance(value, str) else describe(value)
            raise InvalidEventError(path, self.vocabulary.expected(), got)

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        if strict or value in self.vocabulary or not isinstance(value, str):
            return value
        if "unknown" in self.vocabulary.values:
            return "unknown"
        return "x_unknown" if self.vocabulary.is_open else value

    def schema(self, *, strict: bool) -> dict[str, Any]:
        if not strict and self.vocabulary.is_open:
            return {"type": "string"}
        listed: dict[str, Any] = {"enum": list(self.vocabulary.values)}
        if not self.vocabulary.is_open:
            return listed
        own = {"type": "string", "pattern": "^" + OWN_VALUE.pattern.removesuffix(r"\Z") + "$"}
        return {"anyOf": [listed, own]}


@attrs.define(frozen=True)
class Whole(_Plain):
    """
    A whole number from *least* on.
    """

    least: int = 0

    def check(self, value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value < 2**53:
            raise InvalidEventError(path, f"a whole number from {self.least}", describe(value))

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least}


@attrs.define(frozen=True)
class Number(_Plain):
    """
    A finite number between *least* and *most*.
    """

    least: float | None = None
    most: float | None = None

    def check(self, value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidEventError(path, "a number", describe(value))
        low = self.least if self.least is not None else -1e308
        high = self.most if self.most is not None else 1e308
        if not low <= value <= high:
            raise InvalidEventError(path, f"a number from {low:g} to {high:g}", describe(value))

    def schema(self, *, strict: bool) -> dict[str, Any]:
        out: dict[str, Any] = {"type": "number"}
        if self.least is not None:
            out["minimum"] = self.least
        if self.most is not None:
            out["maximum"] = self.most
        return out


@attrs.define(frozen=True)
class Flag(_Plain):
    """
    True or False; absent is neither.
    """

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, bool):
            raise InvalidEventError(path, "true or false", describe(value))

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "boolean"}


@attrs.define(frozen=True)
class Scalar(_Plain):
    """
    Text or a number, where the standard leaves it open (an answer, an expected value).
    """

    longest: int = 500

    def check(self, value: Any, path: str) -> None:
        if isinstance(value, str):
            Text(self.longest).check(value, path)
        elif not isinstance(value, bool):
            Number().check(value, path)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean"], "maxLength": self.longest}


@attrs.define(frozen=True)
class Instant:
    """
    An aware datetime; RFC 3339 in UTC on the wire.
    """

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, datetime):
            raise InvalidEventError(path, "an aware datetime", describe(value))
        if value.tzinfo is None or value.utcoffset() is None:
            raise InvalidEventError(path, "a datetime with a time zone", "a naive datetime")

    def dump(self, value: datetime) -> str:
        return rfc3339(value)

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
            raise InvalidEventError(path, "an RFC 3339 time with an offset", describe(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidEventError(path, "an RFC 3339 time with an offset", "other text") from None
        self.check(moment, path)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise InvalidEventError(path, "a time between the years 1 and 9999") from None

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


@attrs.define(frozen=True)
class Day:
    """
    A local date, read in the zone that stands beside it; ``YYYY-MM-DD`` on the wire.
    """

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, date) or isinstance(value, datetime):
            raise InvalidEventError(path, "a date", describe(value))

    def dump(self, value: date) -> str:
        return value.isoformat()

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        if not isinstance(value, str) or len(value) != 10:
            raise InvalidEventError(path, "a date as YYYY-MM-DD", describe(value))
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise InvalidEventError(path, "a date as YYYY-MM-DD", "other text") from None

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "string", "format": "date"}


@attrs.define(frozen=True)
class Listing:
    """
    A tuple of one kind; at least *least*, at most *most* items.
    """

    item: Kind
    least: int = 0
    most: int = 100

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, (tuple, list)) or not self.least <= len(value) <= self.most:
            raise InvalidEventError(
                path, f"a list of {self.least} to {self.most} items", describe(value)
            )
        for index, item in enumerate(value):
            self.item.check(item, f"{path}[{index}]")

    def dump(self, value: Any) -> Any:
        return [self.item.dump(item) for item in value]

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        if not isinstance(value, list):
            raise InvalidEventError(path, "a list", describe(value))
        return tuple(
            self.item.load(item, f"{path}[{index}]", strict=strict)
            for index, item in enumerate(value)
        )

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {
            "type": "array",
            "items": self.item.schema(strict=strict),
            "minItems": self.least,
            "maxItems": self.most,
        }


@attrs.define(frozen=True)
class Traits(_Plain):
    """
    A flat mapping of names to text, numbers or flags.
    """

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidEventError(path, "a mapping of names to values", describe(value))
        for name, item in value.items():
            if not isinstance(name, str) or not name:
                raise InvalidEventError(path, "names as text", describe(name))
            Scalar().check(item, f"{path}.{name}")

    def dump(self, value: Any) -> Any:
        return dict(value)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": Scalar().schema(strict=strict)}


@attrs.define(frozen=True)
class Json(_Plain):
    """
    ``ext``: namespaces to mappings of JSON values, at most 16 levels deep.
    """

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidEventError(path, "a mapping of namespaces", describe(value))
        for name, facet in value.items():
            if not isinstance(name, str) or not isinstance(facet, Mapping):
                raise InvalidEventError(f"{path}.{name}", "a mapping", describe(facet))
            self._walk(facet, f"{path}.{name}", 1)

    def _walk(self, value: Any, path: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise InvalidEventError(path, f"at most {_MAX_DEPTH} levels")
        if value is None or isinstance(value, (str, bool, int, float, Decimal, date)):
            return
        if isinstance(value, Mapping):
            for name, item in value.items():
                if not isinstance(name, str):
                    raise InvalidEventError(path, "names as text", describe(name))
                self._walk(item, f"{path}.{name}", depth + 1)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._walk(item, path, depth + 1)
        else:
            raise InvalidEventError(path, "a JSON value", describe(value))

    def dump(self, value: Any) -> Any:
        return {name: dict(facet) for name, facet in value.items()}

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "object"}}
