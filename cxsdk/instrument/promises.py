"""
Promises and problems: what the company owes, and what went wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from cxsdk.errors import InvalidEventError
from cxsdk.events._kind import describe
from cxsdk.instrument.base import Base, Result, verb
from cxsdk.instrument.checks import id_text, milliseconds
from cxsdk.instrument.facts import (
    IN_FORCE_KINDS,
    Fact,
    about_wire,
    due_wire,
    money_wire,
    wire_of,
)
from cxsdk.instrument.outcome import judge

if TYPE_CHECKING:
    from cxsdk.events.model import Party
    from cxsdk.pipeline.capture import Capture

__all__ = ["CommitmentHandle", "Promises"]

_FINAL = frozenset({"kept", "broken", "expired", "cancelled"})


class CommitmentHandle:
    """
    A promise made earlier, here or in another process, known by its key.

    Each method records what became of it and returns `Accepted` or `Dropped`. A promise ends
    once: the same ending said twice is one event. What may be said of it more than once takes a
    ``key`` of whoever says it: said twice under the same one, it is one event as well.
    """

    def __init__(
        self,
        owner: Promises,
        key: str,
        customer: Any,
        tz: str | None,
        immediate: bool = False,  # noqa: FBT001, FBT002 - made by `commitment` only
    ) -> None:
        self._owner = owner
        self._key = key
        self._customer = customer
        self._tz = tz
        self._immediate = immediate

    def kept(self, *, at: datetime | None = None, late_by: float | None = None) -> Result:
        """
        The promise was kept; *late_by* in seconds, if it was late and still counts as kept.
        """
        return self._say("kept", at=at, late_by=late_by)

    def broken(
        self, *, reason: str | None = None, at: datetime | None = None, late_by: float | None = None
    ) -> Result:
        """
        The promise was broken; *late_by* in seconds, where that is known.
        """
        return self._say("broken", at=at, reason=reason, late_by=late_by)

    def expired(self, *, at: datetime | None = None) -> Result:
        """
        A promise that was in force (a warranty, a price) came to its end.
        """
        return self._say("expired", at=at)

    def cancelled(self, *, reason: str | None = None, at: datetime | None = None) -> Result:
        """
        The promise is off, by mutual word.
        """
        return self._say("cancelled", at=at, reason=reason)

    def at_risk(
        self, *, reason: str | None = None, at: datetime | None = None, key: str | None = None
    ) -> Result:
        """
        The promise will probably not be kept.
        """
        return self._say("at_risk", at=at, told_as=key, reason=reason)

    def paused(
        self, *, reason: str | None = None, at: datetime | None = None, key: str | None = None
    ) -> Result:
        """
        The clock of the promise stands still, for a reason the customer knows.
        """
        return self._say("paused", at=at, told_as=key, reason=reason)

    def revised(
        self,
        *,
        due_at: datetime | None = None,
        due_date: date | None = None,
        window: tuple[datetime, datetime] | None = None,
        reason: str | None = None,
        revision: int | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> Result:
        """
        The customer was told another time.
        """
        return self._owner._commitment_event(
            self._key,
            "revised",
            self._customer,
            self._tz,
            at=at,
            told_as=key,
            due=(due_at, due_date, window, None),
            facts={"reason": reason, "revision": revision},
            immediate=self._immediate,
        )

    def _say(
        self,
        state: str,
        *,
        at: datetime | None,
        late_by: float | None = None,
        told_as: str | None = None,
        **facts: Any,
    ) -> Result:
        return self._owner._commitment_event(
            self._key,
            state,
            self._customer,
            self._tz,
            at=at,
            late_by=late_by,
            told_as=told_as,
            facts=facts,
            immediate=self._immediate,
        )


class Promises(Base):
    """
    ``promise``, ``commitment``, ``problem`` and ``resolved``.
    """

    @verb
    def promise(
        self,
        capture: Capture,
        kind: str,
        *,
        key: str | None = None,
        due_at: datetime | None = None,
        due_date: date | None = None,
        window: tuple[datetime, datetime] | None = None,
        period: str | None = None,
        duty: str | None = None,
        by: Party | None = None,
        about: Any = None,
        value: tuple[Any, str] | None = None,
        customer: Any = None,
        tz: str | None = None,
        at: datetime | None = None,
        refs: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        immediate: bool = False,
    ) -> Result:
        """
        Record a promise, so that it is remembered until kept, broken, expired or cancelled.

        Args:
            kind: ``callback``, ``delivery``, ``response``, ``repair``, ``refund``,
                ``warranty``, …

            key: the promise's own key, under which `commitment` finds it from any process; also
                its id on the wire. Without one the event's id serves.

            due_at, due_date, window, period: exactly one: an instant, a local date (read in
                *tz*, else the scope's, else ``init(tz=)``), a span, an ISO 8601 duration.

            duty: ``deliver_by`` (late is broken) or ``in_force_until`` (ends as expired); by
                default the latter for warranty, price and availability.

            by: who promised; the company by default.

            value: a pair such as ``("19.90", "EUR")``.

            immediate: True: also inside of a transaction of the host's that an integration knows
                of, and whether or not it commits. Elsewhere it makes no difference.
        """
        fact = Fact(
            capture,
            "commitment",
            "made",
            customer=customer,
            at=at,
            key=key,
            role="made.",
            what=kind,
        )
        fact.put(
            commitment_id=fact.key or fact.draft.id,
            state="made",
            kind=kind,
            promised_by=wire_of(by, "by") or {"kind": "company"},
            duty=duty or ("in_force_until" if str(kind) in IN_FORCE_KINDS else "deliver_by"),
            made_in=fact.interaction_id,
            about=about_wire(about, fact, needed=False),
            value=money_wire(value, "value"),
            **due_wire(due_at, due_date, window, period),
        )
        _zone(fact, tz)
        fact.own(attributes, refs)
        return fact.settle(immediate=immediate)

    def commitment(
        self, key: str, *, customer: Any = None, tz: str | None = None, immediate: bool = False
    ) -> CommitmentHandle:
        """
        Return the promise made under *key*, here or in any other process, to say what became
        of it.

        Args:
            key: the key given to `promise`.

            customer: whom it was made to; else the scope's.

            immediate: as for `promise`.
        """
        return CommitmentHandle(self, key, customer, tz, immediate)

    @verb
    def _commitment_event(
        self,
        capture: Capture,
        key: str,
        state: str,
        customer: Any,
        tz: str | None,
        *,
        at: datetime | None = None,
        late_by: float | None = None,
        told_as: str | None = None,
        due: tuple[Any, Any, Any, Any] = (None, None, None, None),
        facts: Mapping[str, Any] | None = None,
        immediate: bool = False,
    ) -> Result:
        key = id_text(key, "commitment.key")
        is_final = state in _FINAL
        fact = Fact(
            capture,
            "commitment",
            state,
            customer=customer,
            at=at,
            key=key if is_final else told_as,
            # The same word of somebody else about two promises is two events.
            role=f"{state}." if is_final else f"{state}.{key}.",
            what=key,
        )
        late_ms = None if late_by is None else milliseconds(late_by, "commitment.late_by")
        fact.put(commitment_id=key, state=state, lateness_ms=late_ms, **(facts or {}))
        fact.put(**due_wire(*due))
        _zone(fact, tz)
        return fact.settle(immediate=immediate)

    @verb
    def problem(
        self,
        capture: Capture,
        problem: str,
        *,
        severity: str = "minor",
        user_visible: bool = True,
        recovered: bool | None = None,
        error: BaseException | None = None,
        detail: str | None = None,
        fingerprint: str | None = None,
        count: int | None = None,
        reported_by: Party | None = None,
        touchpoint: str | None = None,
        channel: str | None = None,
        medium: str | None = None,
        customer: Any = None,
        at: datetime | None = None,
        key: str | None = None,
        refs: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Result:
        """
        Record what went wrong for a customer, known or anonymous (then with consent only).

        Args:
            problem: ``error``, ``crash``, ``slow``, ``unavailable``, ``dead_end``, …

            severity: ``info``, ``minor``, ``major``, ``blocking``.

            user_visible: did the customer notice?

            error: the exception behind it; only its type is kept.

            detail: free text; redacted.

            key: the problem's own key, under which `resolved` finds it; also its id.
        """
        fact = Fact(
            capture,
            "problem",
            "encountered",
            customer=customer,
            at=at,
            key=key,
            role="encountered.",
            what=problem,
        )
        _problem(fact, problem, severity, user_visible=user_visible)
        fact.put(
            recovered=recovered,
            error=_error(error),
            detail=detail,
            fingerprint=fingerprint,
            count=count,
            interaction_id=fact.interaction_id,
            reported_by=wire_of(reported_by, "reported_by"),
        )
        if touchpoint is None and fact.open is not None:
            touchpoint = getattr(fact.open._site, "touchpoint", None)
        fact.place(touchpoint=touchpoint, channel=channel, medium=medium)
        fact.own(attributes, refs)
        return fact.capture_it()

    @verb
    def resolved(
        self,
        capture: Capture,
        problem: str,
        *,
        key: str,
        severity: str = "minor",
        user_visible: bool = True,
        resolution: str | None = None,
        customer: Any = None,
        at: datetime | None = None,
    ) -> Result:
        """
        Record that the problem known under *key* is solved for this customer.

        Args:
            problem, key: as given to `problem`.

            resolution: a token, such as ``refunded``.
        """
        key = id_text(key, "problem.key")
        fact = Fact(
            capture, "problem", "resolved", customer=customer, at=at, key=key, role="resolved."
        )
        _problem(fact, problem, severity, user_visible=user_visible)
        fact.put(resolution=resolution)
        return fact.capture_it()


def _problem(fact: Fact, problem: str, severity: str, *, user_visible: bool) -> None:
    fact.put(
        problem_id=fact.key or fact.draft.id,
        problem=problem,
        severity=severity,
        user_visible=user_visible,
    )


def _error(error: BaseException | None) -> dict[str, str] | None:
    if error is None:
        return None
    if not isinstance(error, BaseException):
        raise InvalidEventError(
            "problem.error", "an exception; words belong into detail", describe(error)
        )
    _, _, name = judge(error, None, (), None)
    return {"type": name or type(error).__name__}


def _zone(fact: Fact, tz: str | None) -> None:
    """
    Give a local date the zone in which it is read.
    """
    if "due_date" not in fact.draft.data:
        return
    zone = tz or fact.draft.where[4]
    if zone is None and fact.capture.settings.tz is not None:
        zone = fact.capture.settings.tz.key
    if isinstance(zone, str) and not _is_zone(zone):
        raise InvalidEventError("tz", "an IANA zone such as 'Europe/Vienna'", describe(zone))
    fact.place(tz=zone)


@functools.lru_cache(maxsize=256)
def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
