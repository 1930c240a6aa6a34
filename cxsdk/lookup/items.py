"""
What stands in the typed sections. Every field but an item's id may be absent: absent means that
nobody said it, never "no".

Made from plain data by these names; what else a provider sends is left out, except of a profile,
where it lands in ``attributes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from cxsdk._clock import utc_now

__all__ = [
    "LISTS",
    "RECORDS",
    "UNCHANGING",
    "Commitment",
    "Consent",
    "ConsentState",
    "Feedback",
    "Identity",
    "IdentityKey",
    "Interaction",
    "Problem",
    "Profile",
    "Reaction",
    "freeze",
]

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""Aware; RFC 3339 text where it comes as text."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """
    One of a list. Two with the same id are the same thing.
    """

    id: str
    local: bool = False
    """True: seen by this service itself, and not confirmed by a provider yet."""


class Interaction(Item, frozen=True, kw_only=True):
    """
    One contact. Layer: actual.
    """

    at: Moment | None = None
    touchpoint: str | None = None
    channel: str | None = None
    stage: str | None = None
    direction: str | None = None
    outcome: str | None = None
    goal_met: str | None = None
    reason: str | None = None
    summary: str | None = None
    """Free text of a CRM, such as a call note."""

    actor: str | None = None
    """``automated``, ``employee``, ``ai_agent``, ``partner``, …"""

    refs: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Things of the host's own by their type: ``{"order": "A-1"}``."""

    asked: tuple[str, ...] = ()
    """What the customer was asked, as tokens."""


class Feedback(Item, frozen=True, kw_only=True):
    """
    What the customer said of it. Layer: perception; a changed mind is a new one.
    """

    at: Moment | None = None
    instrument: str | None = None
    """``nps``, ``csat``, ``ces``, …"""

    score: float | None = None
    score_min: float | None = None
    score_max: float | None = None
    better: str | None = None
    """Which end of the scale is better: ``higher`` or ``lower``."""

    comment: str | None = None
    touchpoint: str | None = None
    interaction_ids: tuple[str, ...] = ()
    refs: Mapping[str, str] = msgspec.field(default_factory=dict)
    solicited: bool | None = None
    followed_up: bool | None = None


class Problem(Item, frozen=True, kw_only=True):
    """
    Something that went wrong. Layer: actual.
    """

    at: Moment | None = None
    updated_at: Moment | None = None
    problem: str | None = None
    severity: str | None = None
    status: str = "open"
    """``open`` or ``resolved``; a section holds the open ones unless its provider says otherwise."""

    subject: str | None = None
    touchpoint: str | None = None
    interaction_id: str | None = None
    refs: Mapping[str, str] = msgspec.field(default_factory=dict)
    url: str | None = None


_ENDED = frozenset({"kept", "broken", "expired", "cancelled"})


class Commitment(Item, frozen=True, kw_only=True):
    """
    A promise of the company's, from made to kept, broken, expired or cancelled.
    """

    kind: str | None = None
    """``warranty``, ``delivery``, ``callback``, ``refund``, …"""

    duty: str | None = None
    """``deliver_by`` (late is broken) or ``in_force_until`` (its end is expired, never broken)."""

    state: str = "made"
    """What was last said: ``made``, ``revised``, ``paused``, ``at_risk``, ``kept``, ``broken``,
    ``expired``, ``cancelled``."""

    made_at: Moment | None = None
    due_at: Moment | None = None
    """The first moment at which it is late, or over."""

    due_date: date | None = None
    """The day, where a day was promised; *due_at* is then the midnight that ends it."""

    tz: str | None = None
    """The zone of *due_date*."""

    promised_by: str | None = None
    """``company``, ``partner:carrier``, …"""

    updated_at: Moment | None = None
    refs: Mapping[str, str] = msgspec.field(default_factory=dict)

    def standing(self, now: datetime) -> str:
        """
        Return what holds at *now*: ``kept``, ``broken``, ``expired``, ``cancelled`` as said;
        ``overdue``, ``open``, ``at_risk``, ``paused`` of what is to be delivered; ``in_force`` or
        ``expired`` of what is in force until its end, which breaks no promise.
        """
        if self.state in _ENDED:
            return self.state
        past = self.due_at is not None and self.due_at <= now
        if self.duty == "in_force_until":
            return "expired" if past else "in_force"
        if self.state == "paused":
            return "paused"
        if past and self.duty != "in_force_until":
            return "overdue"
        return "at_risk" if self.state == "at_risk" else "open"


class Reaction(Item, frozen=True, kw_only=True):
    """
    What the customer then did. Layer: reaction.
    """

    at: Moment | None = None
    reaction: str | None = None
    """``repurchase``, ``renew``, ``refer``, ``complain``, ``cancel``, …"""

    evidence: str | None = None
    via: str | None = None
    refs: Mapping[str, str] = msgspec.field(default_factory=dict)


class IdentityKey(msgspec.Struct, frozen=True, kw_only=True):
    """
    One identifier, as events carry it.
    """

    space: str
    value: str


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who the customer is, as far as ids tell.
    """

    keys: tuple[IdentityKey, ...] = ()
    canonical_id: str | None = None
    merged_from: tuple[str, ...] = ()
    assurance: str | None = None
    first_seen_at: Moment | None = None
    last_seen_at: Moment | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who the customer is, in words. Spelled as OpenID Connect and the CDPs do.
    """

    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    country: str | None = None
    created_at: Moment | None = None
    attributes: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Everything else: plan, segments, …"""


class ConsentState(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the customer agreed to.
    """

    state: str = "unknown"
    """``granted``, ``denied``, ``withdrawn``, ``pending``, ``unknown``, ``not_required``."""

    basis: str | None = None
    updated_at: Moment | None = None
    expires_at: Moment | None = None
    source: str | None = None

    def word(self, now: datetime) -> str:
        """
        Return the state at *now*; what has run out is ``unknown``.
        """
        is_over = self.expires_at is not None and self.expires_at <= now
        return "unknown" if is_over else self.state


_RANK = {"denied": 0, "withdrawn": 0, "pending": 1, "unknown": 2, "granted": 3, "not_required": 4}


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """
    The state of consent, in general and for purposes.
    """

    state: str | None = None
    """In general; absent: nothing was said in general."""

    state_at: Moment | None = None
    """When that was said."""

    purposes: Mapping[str, ConsentState] = msgspec.field(default_factory=dict)
    updated_at: Moment | None = None

    def of(self, purpose: str, now: datetime | None = None) -> str:
        """
        Return the state for *purpose*; what has run out is ``unknown``.

        A general denial that was said later than a grant for the purpose holds over it; so it does
        where nobody knows which came first.
        """
        said = self.purposes.get(purpose)
        if said is None:
            return self.state or "unknown"
        word = said.word(now or utc_now())
        if self.state is None or _rank(self.state) > 0 or _rank(word) == 0:
            return word
        is_newer = (
            said.updated_at is not None
            and self.state_at is not None
            and said.updated_at > self.state_at
        )
        return word if is_newer else self.state

    def restricted(self, other: Consent) -> Consent:
        """
        Return the two as one, of each purpose the more restrictive word; never the newer one. What
        one of them says in general is also said of the purposes that only the other one names.
        """
        names = {*self.purposes, *other.purposes}
        purposes = {}
        for name in names:
            words = [each for each in (self._for(name), other._for(name)) if each is not None]
            purposes[name] = min(words, key=_strictness)
        stated = [each for each in (self, other) if each.state is not None]
        general = min(stated, key=lambda each: _rank(each.state)) if stated else None
        moments = [each.updated_at for each in (self, other) if each.updated_at is not None]
        return Consent(
            state=None if general is None else general.state,
            state_at=None if general is None else general.state_at,
            purposes=MappingProxyType(purposes),
            updated_at=max(moments) if moments else None,
        )

    def _for(self, purpose: str) -> ConsentState | None:
        said = self.purposes.get(purpose)
        if said is not None:
            return said
        if self.state is None:
            return None
        return ConsentState(state=self.state, updated_at=self.state_at)


def _strictness(said: ConsentState) -> tuple[int, float]:
    # Of two words that say the same the newer one is known to be said after others.
    return _rank(said.state), -said.updated_at.timestamp() if said.updated_at else 0.0


def _rank(word: str | None) -> int:
    # A word that nobody knows is no grant.
    return _RANK.get(word or "unknown", 0)


RECORDS: dict[str, type[Any]] = {"identity": Identity, "profile": Profile, "consent": Consent}
"""Typed sections that are one thing."""

LISTS: dict[str, type[Item]] = {
    "interactions": Interaction,
    "feedback": Feedback,
    "problems": Problem,
    "commitments": Commitment,
    "reactions": Reaction,
}
"""Typed sections that are many, the newest first."""


UNCHANGING = frozenset({str, int, float, bool, type(None), datetime})
"""Types of which nobody can change anything."""


def freeze(value: Any) -> Any:
    """
    Return plain data that nobody can change: mappings as views of copies, lists as tuples.
    """
    if type(value) in UNCHANGING:
        return value  # most are, and asking an abstract class costs ten times as much
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    return value


def expiring(
    commitments: Iterable[Commitment], days: float, now: datetime
) -> tuple[Commitment, ...]:
    """
    Return what is in force and ends within *days* from *now*, the first to end first.
    """
    until = now + timedelta(days=days)
    found = [
        one
        for one in commitments
        if one.standing(now) == "in_force" and one.due_at is not None and one.due_at <= until
    ]
    return tuple(sorted(found, key=lambda one: one.due_at or until))
