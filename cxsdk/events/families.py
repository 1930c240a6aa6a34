"""
The eight families: what happened, how the customer saw it, what they then did, and the rest.
"""

# No `from __future__ import annotations` here: the annotations are read at class creation.

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, TypeAlias

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._block import Block, block
from cxsdk.events.blocks import (
    About,
    Answer,
    Consent,
    Customer,
    Effort,
    ErrorInfo,
    Expectation,
    Ext,
    FreeText,
    Id,
    Memory,
    Money,
    Party,
    Period,
    Precision,
    Refs,
    Sdk,
    Service,
    Share,
    Short,
    Token,
    Where,
    Window,
)
from cxsdk.events.kinds import Choice, Listing, Number, Traits, Whole

__all__ = [
    "FAMILIES",
    "Commitment",
    "Data",
    "Feedback",
    "Identity",
    "Interaction",
    "Loss",
    "Problem",
    "Prompt",
    "Reaction",
]


@block
class Interaction:
    """
    ``interaction.completed`` / ``started``: one contact of one customer. Layer: actual.
    """

    interaction_id: Id
    customer: Customer
    where: Where
    direction: Annotated[str, Choice(v.DIRECTION)]
    performed_by: Party
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    on_behalf_of: Token | None = None
    goal: Token | None = None
    started_at: datetime | None = None
    duration_ms: int | None = None
    outcome: Annotated[str, Choice(v.OUTCOME)] | None = None
    goal_met: Annotated[str, Choice(v.GOAL_MET)] | None = None
    reason: Token | None = None
    error: ErrorInfo | None = None
    wait_ms: int | None = None
    effort: Effort | None = None
    memory: Memory | None = None
    expectations: tuple[Expectation, ...] = ()
    value: Money | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None


@block
class Problem:
    """
    ``problem.encountered`` / ``resolved``: what went wrong, with or without a known customer.
    """

    problem_id: Id
    problem: Annotated[str, Choice(v.PROBLEM)]
    severity: Annotated[str, Choice(v.SEVERITY)]
    user_visible: bool
    customer: Customer | None = None
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    where: Where | None = None
    recovered: bool | None = None
    error: ErrorInfo | None = None
    fingerprint: Short | None = None
    count: Annotated[int, Whole(1)] | None = None
    interaction_id: Id | None = None
    reported_by: Party | None = None
    detail: FreeText | None = None
    resolution: Token | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None


_DUE = ("due_at", "due_date", "window", "period")
_NEVER: dict[tuple[str, str | None], str] = {
    ("broken", "in_force_until"): "expired: the end of what was in force breaks no promise",
    ("expired", "deliver_by"): "broken: what was to be delivered by a time and was not is broken",
}


@block
class Commitment:
    """
    ``commitment.*``: a promise, from made to kept, broken, expired or cancelled.

    *duty* ``deliver_by``: late is broken; ``in_force_until``: its end is expired, never broken.
    """

    commitment_id: Id
    customer: Customer
    state: Annotated[str, Choice(v.COMMITMENT_STATE)]
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    where: Where | None = None
    kind: Annotated[str, Choice(v.COMMITMENT_KIND)] | None = None
    promised_by: Party | None = None
    duty: Annotated[str, Choice(v.DUTY)] | None = None
    due_at: datetime | None = None
    due_date: date | None = None
    window: Window | None = None
    period: Period | None = None
    made_at: datetime | None = None
    fulfilled_at: datetime | None = None
    lateness_ms: int | None = None
    revision: int | None = None
    made_in: Id | None = None
    about: About | None = None
    reason: Token | None = None
    value: Money | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None

    _rules = (
        "`made` carries `kind`, `promised_by`, `duty` and one of `due_at`, `due_date`, `window`, `period`",
        "never more than one of `due_at`, `due_date`, `window`, `period`",
        "`due_date` needs `where.tz`, the zone in which it is read",
        "what is `in_force_until` is never `broken`; what is to `deliver_by` is never `expired`",
    )

    def __attrs_post_init__(self) -> None:
        due = [name for name in _DUE if getattr(self, name) is not None]
        if len(due) > 1:
            raise InvalidEventError(
                "commitment.due_at", f"one of {', '.join(_DUE)}", " and ".join(due)
            )
        if self.due_date is not None and (self.where is None or self.where.tz is None):
            raise InvalidEventError(
                "commitment.where.tz", "the zone in which due_date is read", "nothing"
            )
        if (self.state, self.duty) in _NEVER:
            raise InvalidEventError(
                "commitment.state", _NEVER[self.state, self.duty], repr(self.state)
            )
        if self.state != "made":
            return
        for name in ("kind", "promised_by", "duty"):
            if getattr(self, name) is None:
                raise InvalidEventError(f"commitment.{name}", "a value when made", "nothing")
        if not due:
            raise InvalidEventError("commitment.due_at", f"one of {', '.join(_DUE)}", "nothing")

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        one = [{"required": [name]} for name in _DUE]
        return {
            "if": {"properties": {"state": {"const": "made"}}, "required": ["state"]},
            "then": {"required": ["kind", "promised_by", "duty"], "oneOf": one},
            "else": {"oneOf": [*one, {"not": {"anyOf": one}}]},
            "dependentSchemas": {
                "due_date": {"required": ["where"], "properties": {"where": {"required": ["tz"]}}}
            },
            "not": {
                "anyOf": [
                    {
                        "required": ["duty"],
                        "properties": {"state": {"const": state}, "duty": {"const": duty}},
                    }
                    for state, duty in _NEVER
                ]
            },
        }


@block
class Feedback:
    """
    ``feedback.given``: what a customer said, or what is inferred of it. Layer: perception.

    Append-only: a changed mind is a new feedback that *supersedes* the other.
    """

    feedback_id: Id
    customer: Customer
    about: About
    answers: Annotated[tuple[Answer, ...], Listing(Block(Answer), least=1)]
    source: Annotated[str, Choice(v.SOURCE)]
    solicited: bool
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    where: Where | None = None
    scope: Annotated[str, Choice(v.FEEDBACK_SCOPE)] | None = None
    instrument: Annotated[str, Choice(v.INSTRUMENT)] | None = None
    instrument_version: Short | None = None
    versus_expectation: Annotated[str, Choice(v.VERSUS)] | None = None
    perceived_at: datetime | None = None
    prompt_id: Id | None = None
    offer_id: Id | None = None
    stage: Annotated[str, Choice(v.FEEDBACK_STAGE)] | None = None
    echo_of: Id | None = None
    elapsed_s: Annotated[float, Number(0)] | None = None
    inclusion_probability: Share | None = None
    complete: bool | None = None
    over_quota: bool | None = None
    supersedes: Id | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None

    _rules = ("`prompt_id` and `offer_id` stand together",)

    def __attrs_post_init__(self) -> None:
        for name, other in (("prompt_id", "offer_id"), ("offer_id", "prompt_id")):
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise InvalidEventError(f"feedback.{other}", f"a value beside {name}", "nothing")

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        return {"dependentRequired": {"prompt_id": ["offer_id"], "offer_id": ["prompt_id"]}}


@block
class Reaction:
    """
    ``reaction.observed``: what a customer did after and because of an experience.

    Never inferred from feedback. A first purchase is an interaction of stage ``order``.
    """

    reaction_id: Id
    reaction: Annotated[str, Choice(v.REACTION)]
    customer: Customer
    evidence: Annotated[str, Choice(v.EVIDENCE)]
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    where: Where | None = None
    about: About | None = None
    attribution: Annotated[str, Choice(v.ATTRIBUTION)] | None = None
    via: Annotated[str, Choice(v.VIA)] | None = None
    value: Money | None = None
    reason: Token | None = None
    reason_text: FreeText | None = None
    effective_at: datetime | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None


@block
class Identity:
    """
    ``identity.*``: who is who, what they agreed to, and their wish to be forgotten.
    """

    identity_id: Id
    customer: Customer
    op: Annotated[str, Choice(v.IDENTITY_OP)]
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    where: Where | None = None
    previous: Customer | None = None
    assurance: Annotated[str, Choice(v.ASSURANCE)] | None = None
    traits: Annotated[Mapping[str, Any], Traits()] | None = None
    reason: Token | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None

    _rules = (
        "`linked` and `unlinked` carry `previous`",
        "`consent_changed` carries `consent`",
    )

    def __attrs_post_init__(self) -> None:
        if self.op in {"linked", "unlinked"} and self.previous is None:
            raise InvalidEventError("identity.previous", f"a customer when {self.op}", "nothing")
        if self.op == "consent_changed" and self.consent is None:
            raise InvalidEventError("identity.consent", "the new state of consent", "nothing")

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        def when(ops: list[str], field: str) -> dict[str, Any]:
            return {
                "if": {"properties": {"op": {"enum": ops}}, "required": ["op"]},
                "then": {"required": [field]},
            }

        return {
            "allOf": [
                when(["linked", "unlinked"], "previous"),
                when(["consent_changed"], "consent"),
            ]
        }


@block
class Prompt:
    """
    ``prompt.*``: the life of one question asked in context; the denominator of response rates.
    """

    prompt_id: Id
    instrument: Annotated[str, Choice(v.INSTRUMENT)]
    action: Annotated[str, Choice(v.PROMPT_ACTION)]
    offer_id: Id | None = None
    customer: Customer | None = None
    session_id: Id | None = None
    consent: Consent | None = None
    service: Service | None = None
    where: Where | None = None
    instrument_version: Short | None = None
    about: About | None = None
    trigger: Token | None = None
    variant: Token | None = None
    campaign: Token | None = None
    reason: Token | None = None
    stage: Annotated[str, Choice(v.FEEDBACK_STAGE)] | None = None
    echo_of: Id | None = None
    feedback_id: Id | None = None
    shown_ms: int | None = None
    offers: Annotated[int, Whole(1)] | None = None
    inclusion_probability: Share | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None

    _rules = ("`suppressed` carries `reason`; every other action `offer_id`",)

    def __attrs_post_init__(self) -> None:
        if self.action == "suppressed":
            if self.reason is None:
                raise InvalidEventError("prompt.reason", "a reason when suppressed", "nothing")
        elif self.offer_id is None:
            raise InvalidEventError("prompt.offer_id", f"an offer when {self.action}", "nothing")

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        return {
            "if": {"properties": {"action": {"const": "suppressed"}}, "required": ["action"]},
            "then": {"required": ["reason"]},
            "else": {"required": ["offer_id"]},
        }


@block
class Loss:
    """
    ``loss.recorded``: what was given up, so that no total is silently short.
    """

    reason: Token
    family: Annotated[str, Choice(v.FAMILY)]
    touchpoint: Token
    count: Annotated[int, Whole(1)]
    from_: datetime
    to: datetime
    sink: Short | None = None
    service: Service | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None

    _rules = ("`to` is not before `from`",)

    def __attrs_post_init__(self) -> None:
        if self.to < self.from_:
            raise InvalidEventError("loss.to", "a time not before loss.from", "an earlier one")


Data: TypeAlias = (
    Interaction | Problem | Commitment | Feedback | Reaction | Identity | Prompt | Loss
)

FAMILIES: dict[str, type[Data]] = {
    "interaction": Interaction,
    "problem": Problem,
    "commitment": Commitment,
    "feedback": Feedback,
    "reaction": Reaction,
    "identity": Identity,
    "prompt": Prompt,
    "loss": Loss,
}
