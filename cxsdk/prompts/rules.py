"""
Eligibility: small predicates over the customer, the interaction and the history of asking.

Each says why not by a stable code. Rules hold in the order in which a prompt names them.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from typing import Any, Protocol

import attrs

from cxsdk.asking import History
from cxsdk.errors import ConfigurationError

__all__ = [
    "RULES",
    "Answered",
    "Attribute",
    "Custom",
    "Dismissed",
    "Facts",
    "NoOpenProblem",
    "NotAfterFailure",
    "NotSeen",
    "QuietHours",
    "Rule",
    "Segment",
    "TenureAtLeast",
]


@attrs.define(frozen=True, kw_only=True)
class Facts:
    """
    What rules may look at. Nothing here comes from a browser.
    """

    now: datetime
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    """What the host or a context provider says of the customer: ``plan``, ``segments``,
    ``customer_since`` (an aware datetime), …; of a context ``open_problems``,
    ``overdue_commitments`` and ``last_feedback_at`` too. What is not known is absent."""

    interaction: Mapping[str, Any] = attrs.field(factory=dict)
    """Data of the interaction that the offer is about; empty where there is none."""

    history: History = attrs.Factory(History)
    last_failure: datetime | None = None
    """When this customer last had an interaction fail or a problem, where that is known."""

    tz: str = "UTC"


class Rule(Protocol):
    """
    One predicate; pure and quick.
    """

    @property
    def code(self) -> str:
        """
        The reason under which a customer is not asked.
        """

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """


def _day(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


@attrs.define(frozen=True, kw_only=True)
class Attribute:
    """
    An attribute of the customer has one of the *values*.
    """

    name: str
    values: tuple[Any, ...] = attrs.field(converter=tuple)
    code: str = "not_in_segment"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked; one whose attribute is unknown may not.
        """
        return facts.attributes.get(self.name) in self.values


@attrs.define(frozen=True, kw_only=True)
class Segment:
    """
    The customer's ``segments`` hold *name*.
    """

    name: str
    code: str = "not_in_segment"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """
        return self.name in (facts.attributes.get("segments") or ())


@attrs.define(frozen=True, kw_only=True)
class TenureAtLeast:
    """
    The customer is one since so many *seconds* (attribute ``customer_since``).
    """

    seconds: float
    code: str = "too_new"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked; one of unknown tenure may not.
        """
        since = _day(facts.attributes.get("customer_since"))
        return since is not None and (facts.now - since).total_seconds() >= self.seconds


@attrs.define(frozen=True, kw_only=True)
class NoOpenProblem:
    """
    The customer is known to have no open problem (attribute ``open_problems``).
    """

    code: str = "open_problem"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked; one of whom that is not known may not.
        """
        found = facts.attributes.get("open_problems")
        return found is not None and found == 0


@attrs.define(frozen=True, kw_only=True)
class NotAfterFailure:
    """
    Nothing failed for the customer in the last *within* seconds: a guard against asking only
    those who just had trouble, and against asking them at the wrong moment.
    """

    within: float
    code: str = "recent_failure"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """
        if facts.interaction.get("outcome") == "failure":
            return False
        last = facts.last_failure
        return last is None or (facts.now - last).total_seconds() >= self.within


def _ago(facts: Facts, prompt: str, states: tuple[str, ...]) -> float | None:
    """
    Return how many seconds ago an offer of *prompt* last reached one of *states*.
    """
    moments = [
        (each.ended_at if each.state in {"answered", "dismissed"} else each.shown_at)
        for each in facts.history.offers
        if each.prompt == prompt and each.state in states
    ]
    known = [moment for moment in moments if moment is not None]
    return facts.history.now - max(known) if known else None


@attrs.define(frozen=True, kw_only=True)
class NotSeen:
    """
    The customer was not shown *prompt* in the last *within* seconds.
    """

    prompt: str
    within: float
    code: str = "seen_other"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """
        # One that lapsed was seen if it has a moment at which it was.
        seen = ("shown", "started", "partial", "answered", "dismissed", "lapsed")
        ago = _ago(facts, self.prompt, seen)
        return ago is None or ago >= self.within


@attrs.define(frozen=True, kw_only=True)
class Answered:
    """
    The customer answered *prompt* in the last *within* seconds.
    """

    prompt: str
    within: float
    code: str = "not_answered_other"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """
        ago = _ago(facts, self.prompt, ("answered",))
        return ago is not None and ago < self.within


@attrs.define(frozen=True, kw_only=True)
class Dismissed:
    """
    The customer did not dismiss *prompt* in the last *within* seconds.
    """

    prompt: str
    within: float
    code: str = "dismissed_other"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """
        ago = _ago(facts, self.prompt, ("dismissed",))
        return ago is None or ago >= self.within


def _time(value: Any) -> time:
    return value if isinstance(value, time) else time.fromisoformat(str(value))


@attrs.define(frozen=True, kw_only=True)
class QuietHours:
    """
    Nobody is asked between *start* and *end* by the customer's own clock.

    Raises:
        ConfigurationError: a time that is none.
    """

    start: time = attrs.field(converter=_time)
    end: time = attrs.field(converter=_time)
    code: str = "quiet_hours"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked. An unknown zone counts as UTC.
        """
        try:
            zone = zoneinfo.ZoneInfo(facts.tz)
        except (KeyError, ValueError, OSError):
            zone = zoneinfo.ZoneInfo("UTC")
        now = facts.now.astimezone(zone).time()
        if self.start <= self.end:
            return not self.start <= now < self.end
        return self.end <= now < self.start


@attrs.define(frozen=True, kw_only=True)
class Custom:
    """
    The team's own predicate; what it raises counts as no.
    """

    predicate: Callable[[Facts], bool]
    code: str = "x_custom"

    def allows(self, facts: Facts) -> bool:
        """
        Say whether a customer may be asked.
        """
        return bool(self.predicate(facts))


RULES: Mapping[str, type[Any]] = {
    "attribute": Attribute,
    "segment": Segment,
    "tenure_at_least": TenureAtLeast,
    "no_open_problem": NoOpenProblem,
    "not_after_failure": NotAfterFailure,
    "not_seen": NotSeen,
    "answered": Answered,
    "not_dismissed": Dismissed,
    "quiet_hours": QuietHours,
}
"""Rules by the name they have in TOML; `Custom` is for code."""


def rule_from(name: str, fields: Mapping[str, Any]) -> Rule:
    """
    Return the rule of this *name*.

    Raises:
        ConfigurationError: no such rule, or its fields are wrong.
    """
    made = RULES.get(name)
    if made is None:
        known = ", ".join(RULES)
        raise ConfigurationError(f"eligibility: expected one of {known}, got {name!r}")
    try:
        rule: Rule = made(**fields)
    except (TypeError, ValueError) as error:
        wanted = ", ".join(each.name for each in attrs.fields(made))
        raise ConfigurationError(
            f"eligibility.{name}: expected fields of {wanted} ({error})"
        ) from None
    return rule
