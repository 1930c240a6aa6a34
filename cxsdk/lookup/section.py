"""
One section of a customer's context: its value, and why it is that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from cxsdk._clock import utc_now
from cxsdk._guard import caller, voice
from cxsdk.errors import SectionUnknownError
from cxsdk.knowing import ErrorCode, Reason
from cxsdk.lookup.items import RECORDS, Commitment, expiring

__all__ = ["KNOWN", "Commitments", "Section", "section_of"]

T = TypeVar("T")

KNOWN = frozenset({Reason.RESOLVED, Reason.CACHED, Reason.STALE, Reason.DEFAULT, Reason.NOT_FOUND})
"""Reasons under which the value is all there is, as far as the source knows."""

_NO_PROVENANCE: Mapping[str, str] = MappingProxyType({})


class Section(Generic[T]):
    """
    What is known of one customer in one respect. Immutable; safe to share.

    Absence is not "no": a section that is not *known* has no truth, no length, no items and no
    fields. Asked for them all the same it raises `SectionUnknownError` in strict mode; otherwise
    it warns once for each place and answers as if it were empty. `any`, `get` and `known` say what
    is meant. Of a section under `Reason.LOCAL`, with something in it, there may be more.

    A record (identity, profile, consent) gives its fields as attributes, a list its items as a
    sequence, another section the items of its value.
    """

    # The name is private, because a profile has a field of that name.
    __slots__ = (
        "_name",
        "_strict",
        "_value",
        "as_of",
        "error_code",
        "error_message",
        "fetched_at",
        "known",
        "provenance",
        "reason",
        "source",
        "stale",
        "truncated",
    )

    reason: Reason
    source: str
    """Name of the provider, several joined by ``+``; ``local`` among them: what this service saw."""

    as_of: datetime | None
    """When the source last knew it to be true."""

    fetched_at: datetime | None
    """When it was fetched."""

    stale: bool
    """Older than its plan's *ttl*."""

    error_code: ErrorCode | None
    error_message: str
    truncated: bool
    """There is more than this."""

    provenance: Mapping[str, str]
    """Of a merged record: field → provider that it came from; of a merged list: id → provider."""

    known: bool
    """Whether the value is all there is; True also where there is nothing."""

    def __init__(
        self,
        name: str,
        value: Any,
        reason: Reason,
        *,
        source: str = "",
        as_of: datetime | None = None,
        fetched_at: datetime | None = None,
        stale: bool = False,
        error_code: ErrorCode | None = None,
        error_message: str = "",
        truncated: bool = False,
        provenance: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> None:
        self._name = name
        self._value = value
        self.reason = reason
        self.source = source
        self.as_of = as_of
        self.fetched_at = fetched_at
        self.stale = stale
        self.error_code = error_code
        self.error_message = error_message
        self.truncated = truncated
        self.provenance = provenance or _NO_PROVENANCE
        self.known = reason in KNOWN
        self._strict = strict

    def but(self, **changed: Any) -> Section[T]:
        """
        Return a copy with other *value*, *reason*, *source*, *stale*, …
        """
        made = {
            "value": self._value,
            "reason": self.reason,
            "source": self.source,
            "as_of": self.as_of,
            "fetched_at": self.fetched_at,
            "stale": self.stale,
            "error_code": self.error_code,
            "error_message": self.error_message,
            "truncated": self.truncated,
            "provenance": self.provenance,
            "strict": self._strict,
            **changed,
        }
        return type(self)(self._name, **made)

    # ---- meaning what is said --------------------------------------------------------------

    @property
    def value(self) -> T | None:
        """
        Return the value, None where there is none. Never complains; see also *reason*.
        """
        found: T | None = self._value
        return found

    @property
    def age(self) -> float | None:
        """
        Return seconds since *as_of*, else since it was fetched; None where neither is known.
        """
        moment = self.as_of or self.fetched_at
        return None if moment is None else (utc_now() - moment).total_seconds()

    def any(self) -> bool | None:
        """
        Say whether there is something: True, False, or None where nobody knows.
        """
        if _is_something(self._value):
            return True
        return False if self.known else None

    def get(self, default: Any = None) -> Any:
        """
        Return the value where the section is known or something of it is, else *default*.
        """
        if self.known or _is_something(self._value):
            return self._value
        return default

    def raise_for_error(self) -> Section[T]:
        """
        Return self where the section is known.

        Raises:
            SectionUnknownError: it is not.
        """
        if not self.known:
            raise SectionUnknownError(self._why())
        return self

    def _why(self) -> str:
        what = f"{self._name} is not known: {self.reason.value}"
        if self.error_code is not None:
            what += f" ({self.error_code.value})"
        more = f", {self.error_message}" if self.error_message else ""
        return f"{what}{more}; ask .known, .any() or .get(default)"

    def _read(self) -> Any:
        value = self._value
        if self.known or _is_something(value):
            return value
        if self._strict:
            raise SectionUnknownError(self._why())
        place = caller()
        voice.say(
            logging.WARNING,
            f"context:unknown:{self._name}:{place}",
            "cxsdk: at %s %s",
            place,
            self._why(),
        )
        return value

    # ---- as if it were the value -----------------------------------------------------------

    def __bool__(self) -> bool:
        return _is_something(self._read())

    def __len__(self) -> int:
        value = self._read()
        return len(value) if _is_something(value) else 0

    def __iter__(self) -> Iterator[Any]:
        value = self._read()
        return iter(() if value is None else value)

    def __contains__(self, item: object) -> bool:
        value = self._read()
        return value is not None and item in value

    def __getitem__(self, key: Any) -> Any:
        value = self._read()
        if value is None:
            raise KeyError(key)
        return value[key]

    def __getattr__(self, name: str) -> Any:
        # Only for what is no attribute of the section: fields of a record.
        if name.startswith("_"):
            raise AttributeError(name)
        fields = getattr(RECORDS.get(self._name), "__struct_fields__", None)
        if fields is not None and name in fields:
            value = self._read()
            return None if value is None else getattr(value, name)
        raise AttributeError(f"section {self._name!r} has no field {name!r}")

    def __repr__(self) -> str:
        # No value: contexts end up in logs.
        return f"<Section {self._name}: {self.reason.value}{' stale' if self.stale else ''}>"


class Commitments(Section["tuple[Commitment, ...]"]):
    """
    The promises made to a customer, the newest first.
    """

    __slots__ = ()

    def expiring_within(self, days: float, now: datetime | None = None) -> tuple[Commitment, ...]:
        """
        Return what is in force and ends within *days*: warranties, prices. The first to end first.
        """
        return expiring(self._read() or (), days, now or utc_now())

    def standing(self, *standings: str, now: datetime | None = None) -> tuple[Commitment, ...]:
        """
        Return those that stand so now: ``overdue``, ``open``, ``in_force``, ``broken``, … See
        `Commitment.standing`.
        """
        moment = now or utc_now()
        return tuple(one for one in self._read() or () if one.standing(moment) in standings)

    def overdue(self, now: datetime | None = None) -> tuple[Commitment, ...]:
        """
        Return what was to be delivered by now and is not, the longest overdue first.
        """
        found = self.standing("overdue", now=now)
        return tuple(sorted(found, key=lambda one: one.due_at or datetime.max.replace(tzinfo=UTC)))


def section_of(name: str) -> type[Section[Any]]:
    """
    Return the class of a section.
    """
    return Commitments if name == "commitments" else Section


def _is_something(value: Any) -> bool:
    if value is None:
        return False
    # Zero and False are values that somebody said; only containers can hold nothing.
    return len(value) > 0 if isinstance(value, (tuple, Mapping, str, frozenset, list)) else True
