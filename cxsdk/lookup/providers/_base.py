"""
What all built-in providers have in common: names that are checked, ids that are sound, plain data.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar, get_args
from uuid import UUID

import attrs
import msgspec

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import UNCHANGED, ErrorCode, Failed, Found, LookupRequest, Space

__all__ = [
    "INVALID",
    "PerProcess",
    "Provider",
    "called",
    "cut",
    "is_sound",
    "left",
    "moment",
    "nest",
    "plain",
    "said",
    "sifted",
    "walk",
]

_TOKEN = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_LONGEST_ID = 1024
_NOTHING: Any = object()

T = TypeVar("T")

INVALID = Failed(ErrorCode.INVALID_SUBJECT, "the id cannot be asked for there")
"""The answer for a subject whose id the source could take for something else."""


class Provider:
    """
    The names of a provider, and its end.
    """

    name: str
    sections: frozenset[str]
    takes: str
    spaces: tuple[str, ...]
    visibility_lag: float
    max_batch: int = 1
    _is_closed = False

    def _settle(
        self,
        name: str,
        sections: Collection[str],
        takes: str = "raw",
        spaces: Collection[str] = ("id",),
        visibility_lag: float = 0.0,
    ) -> None:
        """
        Check and keep what says who the provider is.

        Raises:
            ConfigurationError: a name is no token, or *takes* or *spaces* is unknown.
        """
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise ConfigurationError("name: expected a token such as crm or shop_orders")
        self.name = name
        names = (sections,) if isinstance(sections, str) else tuple(sections)
        for section in names:
            if not isinstance(section, str) or not _TOKEN.match(section):
                raise ConfigurationError(
                    f"{name}.sections: expected tokens such as profile or orders"
                )
        self.sections = frozenset(names)
        if takes not in {"raw", "wire"}:
            raise ConfigurationError(f"{name}.takes: expected raw or wire")
        self.takes = takes
        self.spaces = (spaces,) if isinstance(spaces, str) else tuple(spaces)
        if not self.spaces or not set(self.spaces) <= set(get_args(Space)):
            raise ConfigurationError(f"{name}.spaces: expected id, anonymous or both")
        if isinstance(visibility_lag, bool) or not 0 <= visibility_lag < math.inf:
            raise ConfigurationError(f"{name}.visibility_lag: expected seconds, 0 or more")
        self.visibility_lag = float(visibility_lag)

    def __repr__(self) -> str:
        kind = type(self).__name__.removeprefix("Async")
        return f"{kind}({self.name!r}, sections={sorted(self.sections)})"

    def _asked(self, request: LookupRequest) -> frozenset[str]:
        """
        Return the sections to answer for.

        Raises:
            ProviderError: the provider is closed.
        """
        if self._is_closed:
            raise ProviderError(ErrorCode.PROVIDER_NOT_READY, f"{self.name}: closed")
        return request.sections & self.sections

    def close(self) -> Any:
        """
        End; later fetches raise `ProviderError`. Idempotent.
        """
        self._is_closed = True


class PerProcess(Generic[T]):
    """
    Something with connections that each process makes anew. Safe from any thread.

    Args:
        make: makes one; does not block.

        leave: called in a forked child with what the parent has. It is kept besides, so that
            nothing here says goodbye in the parent's name.
    """

    def __init__(self, make: Callable[[], T], leave: Callable[[T], object] | None = None) -> None:
        self._make = make
        self._leave = leave
        self._made: T = _NOTHING
        self._generation = _fork.current()
        self._inherited: list[T] = []

    def get(self) -> T:
        """
        Return this process's own.
        """
        made = self._made
        if made is not _NOTHING and self._generation == _fork.current():
            return made
        with _fork.own_lock():
            self._inherit()
            if self._made is _NOTHING:
                self._made = self._make()
            return self._made

    def _inherit(self) -> None:
        if self._generation == _fork.current():
            return
        if self._made is not _NOTHING:
            self._inherited.append(self._made)
            if self._leave is not None:
                self._leave(self._made)
        self._made = _NOTHING
        self._generation = _fork.current()

    def take(self) -> T | None:
        """
        Return this process's own, if there is one, and forget it: for `close`.
        """
        with _fork.own_lock():
            self._inherit()
            made, self._made = self._made, _NOTHING
        return None if made is _NOTHING else made


# ---- time and ids ----------------------------------------------------------------------------


def left(request: LookupRequest, name: str) -> float:
    """
    Return the seconds until the deadline.

    Raises:
        ProviderError: there are none.
    """
    seconds = request.deadline - time.monotonic()
    if seconds <= 0:
        raise ProviderError(ErrorCode.DEADLINE_EXCEEDED, f"{name}: out of time")
    return seconds


def is_sound(identifier: str) -> bool:
    """
    Say whether an id may be put into a key, a path or a query: not empty, at most 1,024
    characters, and printable, so that it has a form in UTF-8 and no line ends.
    """
    return 0 < len(identifier) <= _LONGEST_ID and identifier.isprintable()


def sifted(
    request: LookupRequest, wanted: Iterable[str], id_as: Callable[[str], Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """
    Return (subject id → section → the answers that need no question, subject id → what the source
    calls it). Only customers by their id are sifted; one that *id_as* has no value for, it raises
    ``ValueError``, is not there.
    """
    results: dict[str, dict[str, Any]] = {}
    values: dict[str, Any] = {}
    for subject in request.subjects:
        if subject.space != "id":
            continue
        results[subject.id] = {}
        if not is_sound(subject.id):
            results[subject.id] = dict.fromkeys(wanted, INVALID)
            continue
        try:
            values[subject.id] = id_as(subject.id)
        except ValueError:
            continue
    return results, values


def moment(value: Any) -> datetime | None:
    """
    Return a moment that was said as a datetime, as RFC 3339 text or in seconds since 1970; one
    without a zone is UTC. None where it is none of these.
    """
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# ---- plain data ------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """
    Return a copy of *value* that JSON can say: moments as RFC 3339 text (without a zone: UTC),
    decimals as numbers, what can be iterated as a list, what is no number as None.

    Raises:
        TypeError: it is nothing of the kind.
    """
    if value is None or isinstance(value, (bool, int)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (float, Decimal)):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return _less_plain(value)


def _number(value: float | Decimal) -> float | None:
    if not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _less_plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, (date, time_of_day)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain(item) for item in value]
    raise TypeError(f"expected plain data, got {type(value).__name__}")


def said(value: Any) -> Any:
    """
    Return what a function said of a section with its value as plain data of its own.

    Raises:
        TypeError: the value is no plain data.
    """
    if value is None or value is UNCHANGED or isinstance(value, Failed):
        return value
    if isinstance(value, Found):
        return attrs.evolve(value, value=plain(value.value))
    return plain(value)


def cut(value: Any, limit: int | None) -> tuple[Any, bool]:
    """
    Return a list with at most *limit* items, and whether there were more; else *value* as it is.
    """
    if limit is not None and isinstance(value, list) and len(value) > limit:
        return value[:limit], True
    return value, False


def walk(document: Any, path: str) -> Any:
    """
    Return what stands at a dotted path, such as ``data.orders`` or ``items.0``; all of it for an
    empty one, None where nothing is there.

    Raises:
        ValueError: the path goes through what has no parts.
    """
    for step in path.split(".") if path else ():
        if document is None:
            return None
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit():
            document = document[int(step)] if int(step) < len(document) else None
        else:
            raise ValueError(f"expected an object on the way to {path}")
    return document


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return ``{"refs.order": 1}`` as ``{"refs": {"order": 1}}``, without what is None.
    """
    found: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None:
            continue
        *outer, last = name.split(".")
        place = found
        for step in outer:
            place = place.setdefault(step, {})
        place[last] = value
    return found


def called(error: BaseException) -> str:
    """
    Return the name of an error's class: its words may hold an id.
    """
    return type(error).__name__
