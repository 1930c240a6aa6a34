"""
Kinds with an inner form: times, dates, lists, mappings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from cxsdk._clock import rfc3339
from cxsdk.errors import InvalidEventError
from cxsdk.events._kind import Kind, Plain, describe, under
from cxsdk.events._scalars import SURROGATE, Scalar

__all__ = ["Day", "Instant", "Json", "Listing", "Traits"]

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?\Z"
)
_MAX_DEPTH = 16
_YEAR_1000 = 1000  # strftime writes earlier years with fewer than the four digits of RFC 3339


class Instant:
    """
    An aware datetime; RFC 3339 in UTC with six digits of a second on the wire.
    """

    __slots__ = ()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is an aware datetime.
        """
        if not isinstance(value, datetime):
            raise InvalidEventError(path, "an aware datetime", describe(value))
        if value.tzinfo is None or value.utcoffset() is None:
            raise InvalidEventError(path, "a datetime with a time zone", "a naive datetime")
        self._in_utc(value, path)

    def _in_utc(self, moment: datetime, path: str) -> datetime:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            moment = datetime.min.replace(tzinfo=UTC)
        if moment.year < _YEAR_1000:
            raise InvalidEventError(path, "a time between the years 1000 and 9999")
        return moment

    def dump(self, value: datetime) -> str:
        """
        Return the RFC 3339 text.
        """
        return rfc3339(value)

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Read RFC 3339; digits beyond a microsecond are cut.

        Raises:
            InvalidEventError: it is no RFC 3339 time, or has no offset.
        """
        if not isinstance(value, str) or not _RFC_3339.match(value):
            raise InvalidEventError(path, self.words(), describe(value))
        try:
            moment = datetime.fromisoformat(value.upper())
        except ValueError:
            raise InvalidEventError(path, self.words(), "other text") from None
        if moment.tzinfo is None:
            raise InvalidEventError(path, self.words(), "a time without an offset")
        return self._in_utc(moment, path)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {"type": "string", "format": "date-time"}

    def words(self) -> str:
        """
        Say what is expected.
        """
        return "an RFC 3339 time with an offset"


class Day:
    """
    A local date, read in the zone that stands beside it; ``YYYY-MM-DD`` on the wire.
    """

    __slots__ = ()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is a date without a time.
        """
        if not isinstance(value, date) or isinstance(value, datetime):
            raise InvalidEventError(path, "a date", describe(value))

    def dump(self, value: date) -> str:
        """
        Return the ISO 8601 text.
        """
        return value.isoformat()

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Read a date.

        Raises:
            InvalidEventError: it is not written ``YYYY-MM-DD``, or there is no such day.
        """
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise InvalidEventError(path, self.words(), describe(value))
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise InvalidEventError(path, self.words(), "no such day") from None

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {"type": "string", "format": "date"}

    def words(self) -> str:
        """
        Say what is expected.
        """
        return "a date as YYYY-MM-DD"


class Listing:
    """
    A tuple of one kind; at least *least*, at most *most* items.
    """

    __slots__ = ("item", "least", "most")

    def __init__(self, item: Kind, least: int = 0, most: int = 100) -> None:
        self.item = item
        self.least = least
        self.most = most

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a list.
        """
        if not isinstance(value, (tuple, list)):
            raise InvalidEventError(path, self.words(), describe(value))
        if not self.least <= len(value) <= self.most:
            raise InvalidEventError(path, self.words(), f"{len(value)} items")
        for index, item in enumerate(value):
            self.item.check(item, f"{path}[{index}]")

    def dump(self, value: Any) -> Any:
        """
        Return a list of the items' JSON values.
        """
        return [self.item.dump(item) for item in value]

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Read a list.

        Raises:
            InvalidEventError: it is no list, is too long, or an item is wrong.
        """
        if not isinstance(value, (list, tuple)):
            raise InvalidEventError(path, self.words(), describe(value))
        if len(value) > self.most:
            raise InvalidEventError(path, self.words(), f"{len(value)} items")
        return tuple(
            self.item.load(item, f"{path}[{index}]", strict=strict)
            for index, item in enumerate(value)
        )

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {
            "type": "array",
            "items": self.item.schema(strict=strict),
            "minItems": self.least,
            "maxItems": self.most,
        }

    def words(self) -> str:
        """
        Say what is expected.
        """
        return f"a list of {self.least} to {self.most} items"


class Traits(Plain):
    """
    A flat mapping of names to text, numbers or flags.
    """

    __slots__ = ()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a mapping.
        """
        if not isinstance(value, Mapping):
            raise InvalidEventError(path, self.words(), describe(value))
        scalar = Scalar()
        for name, item in value.items():
            if not isinstance(name, str) or not name or SURROGATE.search(name):
                raise InvalidEventError(path, "names as text", describe(name))
            scalar.check(item, under(path, name))

    def dump(self, value: Any) -> Any:
        """
        Return a copy.
        """
        return dict(value)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {
            "type": "object",
            "additionalProperties": Scalar().schema(strict=strict),
            "x-pii": "trait",
        }

    def words(self) -> str:
        """
        Say what is expected.
        """
        return "a mapping of names to text, numbers or flags"


class Json(Plain):
    """
    ``ext``: namespaces to mappings of JSON values, at most 16 levels deep.
    """

    __slots__ = ()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a mapping.
        """
        if not isinstance(value, Mapping):
            raise InvalidEventError(path, self.words(), describe(value))
        for name, facet in value.items():
            if not isinstance(name, str) or not isinstance(facet, Mapping):
                raise InvalidEventError(under(path, name), "a mapping", describe(facet))
            self._walk(facet, under(path, name), 1)

    def _walk(self, value: Any, path: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise InvalidEventError(path, f"at most {_MAX_DEPTH} levels")
        if value is None or isinstance(value, (str, bool, int, float, Decimal, date)):
            return
        if isinstance(value, Mapping):
            for name, item in value.items():
                if not isinstance(name, str):
                    raise InvalidEventError(path, "names as text", describe(name))
                self._walk(item, under(path, name), depth + 1)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._walk(item, path, depth + 1)
        else:
            raise InvalidEventError(path, "a JSON value", describe(value))

    def dump(self, value: Any) -> Any:
        """
        Return a copy of the two outer levels.
        """
        return {name: dict(facet) for name, facet in value.items()}

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {"type": "object", "additionalProperties": {"type": "object"}}

    def words(self) -> str:
        """
        Say what is expected.
        """
        return "a mapping of namespaces to mappings"
