"""
What a context lookup and its providers say to each other: the `ContextProvider` seam.

A lookup asks for *sections* of what is known of one customer; each is answered by itself, with its
reason, its source and its age. A provider answers for the sections it names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from cxsdk.errors import ConfigurationError

__all__ = [
    "ASSURANCES",
    "NOTHING",
    "UNCHANGED",
    "Assurance",
    "ContextProvider",
    "ErrorCode",
    "Failed",
    "Found",
    "LookupRequest",
    "Reason",
    "Results",
    "SectionPlan",
    "Space",
    "Subject",
]


class Reason(StrEnum):
    """
    Where the value of a section came from, or why there is none.
    """

    RESOLVED = "resolved"
    """A provider said so just now."""
    CACHED = "cached"
    """A provider said so within the plan's *ttl*."""
    STALE = "stale"
    """Older than *ttl*: it is being fetched again, or could not be."""
    LOCAL = "local"
    """Only what this service itself saw; no provider has confirmed it, so there may be more."""
    DEFAULT = "default"
    """The plan's default, because no provider answered."""
    NOT_FOUND = "not_found"
    """The providers answered: there is nothing."""
    TIMEOUT = "timeout"
    ERROR = "error"
    CIRCUIT_OPEN = "circuit_open"
    """The provider failed too often and is left alone for some seconds."""
    RATE_LIMITED = "rate_limited"
    """The provider said to come back later."""
    CONSENT_DENIED = "consent_denied"
    PURPOSE_DENIED = "purpose_denied"
    ASSURANCE_TOO_LOW = "assurance_too_low"
    """Who the customer is was only claimed."""
    FORGOTTEN = "forgotten"
    """The customer was erased."""
    UNSUPPORTED = "unsupported"
    """No provider has this section."""
    NOT_REQUESTED = "not_requested"
    DISABLED = "disabled"
    """Context is switched off, or `init` has not run."""


class ErrorCode(StrEnum):
    """
    What went wrong with a provider; beside `Reason`, for logs and metrics.
    """

    PROVIDER_NOT_READY = "provider_not_ready"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    UPSTREAM_4XX = "upstream_4xx"
    UPSTREAM_5XX = "upstream_5xx"
    AUTH = "auth"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    PARSE_ERROR = "parse_error"
    INVALID_SUBJECT = "invalid_subject"
    BULKHEAD_FULL = "bulkhead_full"
    GENERAL = "general"


Assurance: TypeAlias = Literal["anonymous", "claimed", "authenticated", "verified"]

ASSURANCES: tuple[str, ...] = ("anonymous", "claimed", "authenticated", "verified")
"""How sure it is who the customer is, from a visitor nobody knows over a header that claims
something, the login of the host, to a second factor. The higher includes the lower."""

Space: TypeAlias = Literal["id", "anonymous"]
"""What kind of id: the host's own of a known customer, or an opaque one of a visitor."""


# ---- what a provider is asked, and says ----------------------------------------------------------


@attrs.define(frozen=True)
class Subject:
    """
    Whom a provider is asked about, in the form that it takes.
    """

    id: str
    """The host's own id where the provider's *takes* is ``raw``, else the id as events carry it
    (a pseudonym where a key is set). Of a visitor: the anonymous id, in either form."""

    space: Space = "id"

    also: tuple[str, ...] = ()
    """Other ids of the same customer, which were linked to this one; same form."""


@attrs.define(frozen=True, kw_only=True)
class LookupRequest:
    """
    One question to a provider.
    """

    subjects: tuple[Subject, ...]
    """One, unless the provider says `max_batch`; then at most so many."""

    sections: frozenset[str]
    """Of those that the provider has; others need not be answered."""

    purpose: str
    """What the answer is for, such as ``support``."""

    deadline: float
    """By `time.monotonic`; later answers are of no use to anybody who waits."""

    limits: Mapping[str, int] = attrs.field(factory=dict)
    """Section → items at most, the newest first."""

    fields: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    """Section → names of the fields that are wanted; a section that is absent here: all."""

    versions: Mapping[tuple[str, str], str] = attrs.field(factory=dict)
    """(subject id, section) → `Found.version` of what is known already; the answer may then be
    `UNCHANGED`."""


@attrs.define(frozen=True)
class Found:
    """
    A section's value with what the source says of it. A plain value is the same as of now.
    """

    value: Any
    """Plain data: for typed sections a mapping (identity, profile, consent) or a list of mappings
    by the names in ``docs/reference/context.md``; for others anything that JSON can say."""

    as_of: datetime | None = None
    """Aware: when the source last knew this to be true; None: now."""

    version: str | None = None
    """An ETag or revision, given back in `LookupRequest.versions`."""

    truncated: bool = False
    """There is more than was asked for."""


@attrs.define(frozen=True)
class Failed:
    """
    One section could not be answered, while others could.
    """

    code: ErrorCode = ErrorCode.GENERAL
    message: str = ""
    """For a log: no id and no value of a customer."""


class _Unchanged:
    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED = _Unchanged()
"""What is known under the version of the request still holds."""


Results: TypeAlias = Mapping[str, Mapping[str, Any]]
"""
Subject id → section → value, `Found`, `Failed`, `UNCHANGED` or None.

None, a section that is left out and a subject that is left out all mean: asked, and there is
nothing. What could not be found out is `Failed` or raises; an outage is never "nothing".
"""


@runtime_checkable
class ContextProvider(Protocol):
    """
    Knows something of customers. One method; everything else is optional.

    1. `fetch` answers for each subject and each of its sections that was asked for, in plain data;
       nothing of what it returned changes afterwards.
    2. What does not exist is absent (`Results`); what could not be found out raises or is `Failed`.
    3. `fetch` is back by about `LookupRequest.deadline`, whatever its source does: its own retries
       are off, its timeouts follow from the deadline.
    4. It is called from many threads (sync) or tasks of one loop (async) at a time.
    5. It answers about the subjects asked, and about nobody else.
    6. After `close` it raises `ProviderError`, and `close` is idempotent.
    7. A forked child may use it: connections of the parent stay the parent's.
    8. ``repr()``, errors and logs hold no credentials, no id and no value of a customer.

    Optional attributes and methods, looked for once at registration:

    ``takes``: ``raw`` (default: the host's own id) or ``wire`` (as events carry it). ``spaces``:
    `Space` names that it knows, default ``("id",)``. ``max_batch``: subjects per request, default
    1. ``visibility_lag``: seconds until an event shows in its answers, default 0. ``start()``:
    called once per process before the first `fetch`. ``close()``. ``forget(subject)``: erase, and
    return ``done``, ``pending`` or ``unsupported``. ``subscribe(changed)``: call *changed* with the
    id of a subject whose answers are no longer what they were (None: any); called once per process,
    after `start`. ``apply(subject, event)``: called with each event that was kept about somebody,
    soon after, by a provider that *takes* ``wire``. ``status()``: a word for ``stats()``, quickly.
    Each of the methods but the last may be ``async``.
    """

    @property
    def name(self) -> str:
        """
        Return a token, unique among the providers of a client; it is the *source* of a section.
        """

    @property
    def sections(self) -> frozenset[str]:
        """
        Return the names of the sections that it can answer for.
        """

    def fetch(self, request: LookupRequest) -> Results | Awaitable[Results]:
        """
        Answer. Sync (called on a worker thread of the provider's own) or ``async`` (on a loop of
        the client's own); found out at registration.

        Raises:
            ProviderError: the source could not be asked; any other exception counts as ``general``.
        """


# ---- plans -----------------------------------------------------------------------------------


def _seconds(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e10:
        raise ConfigurationError(f"{attribute.name}: expected seconds, 0 or more, got {value!r}")


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value)


def _maybe_names(value: Any) -> Any:
    return None if value is None else _names(value)


def _assurance(_: Any, __: Any, value: Any) -> None:
    if value not in ASSURANCES:
        raise ConfigurationError(
            f"min_assurance: expected one of {', '.join(ASSURANCES)}, got {value!r:.40}"
        )


def _strategy(_: Any, __: Any, value: Any) -> None:
    if value not in {"first_success", "merge", "newest"}:
        raise ConfigurationError(
            f"strategy: expected first_success, merge or newest, got {value!r:.40}"
        )


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Any = _Nothing()
"""No default; None is one."""


@attrs.define(frozen=True, kw_only=True)
class SectionPlan:
    """
    How one section is looked up.
    """

    providers: tuple[str, ...] = attrs.field(default=(), converter=_names)
    """Names in order of preference; empty: every provider that has the section, as registered."""

    strategy: Literal["first_success", "merge", "newest"] = attrs.field(
        default="first_success", validator=_strategy
    )
    """``first_success``: one after the other until one has it. ``merge``: all at once; lists join
    by id, the newer item wins, mappings field by field in order of preference. ``newest``: all at
    once, the latest `Found.as_of` wins. Consent always merges, most restrictive first."""

    ttl: float = attrs.field(default=60.0, validator=_seconds)
    """Seconds for which an answer is fresh; drawn anew by ± 10 % each time, so that what was
    fetched together is not fetched again together."""

    stale_for: float = attrs.field(default=600.0, validator=_seconds)
    """Seconds after *ttl* in which the old answer is given while a new one is fetched, or where
    none can be had."""

    negative_ttl: float = attrs.field(default=15.0, validator=_seconds)
    """Seconds for which "there is nothing" holds."""

    error_ttl: float = attrs.field(default=1.0, validator=_seconds)
    """Seconds after a failure in which this section of this customer is not asked for again."""

    min_assurance: Assurance = attrs.field(default="authenticated", validator=_assurance)
    """Of known customers; a visitor sees what is known under the anonymous id."""

    purposes: tuple[str, ...] | None = attrs.field(default=None, converter=_maybe_names)
    """Purposes for which it may be looked up; None: any."""

    limit: int = attrs.field(default=50, validator=attrs.validators.ge(1))
    """Items of a list at most, the newest first."""

    fields: tuple[str, ...] = attrs.field(default=(), converter=_names)
    """Names of the only fields that are wanted; also others that a provider sends are left out."""

    default: Any = NOTHING
    """Value where no provider answers (not where there is nothing)."""
