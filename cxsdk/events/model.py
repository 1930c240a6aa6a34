"""
The event standard as classes: eight families, the blocks they share, and the CloudEvents envelope.

Three kinds of fact are never mixed in one record: what happened (`Interaction`, `Problem`,
`Commitment`), how the customer saw it (`Feedback`) and what they then did (`Reaction`). Every
class checks its values at construction and raises `InvalidEventError`; nothing is ever ``null``
on the wire, absent means not observed. Instances are frozen and safe to share.
"""

# No `from __future__ import annotations` here: the annotations are read at class creation.

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, TypeAlias

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._block import Block, block, dump, load, plan, schema
from cxsdk.events.kinds import (
    Choice,
    Json,
    Listing,
    Number,
    Scalar,
    Text,
    Traits,
    Whole,
    describe,
)

__all__ = [
    "FAMILIES",
    "About",
    "Answer",
    "Commitment",
    "Consent",
    "Customer",
    "CustomerId",
    "Data",
    "Effort",
    "ErrorInfo",
    "Event",
    "Expectation",
    "Feedback",
    "Identity",
    "Interaction",
    "Loss",
    "Memory",
    "Money",
    "Party",
    "Problem",
    "Prompt",
    "Reaction",
    "Ref",
    "Scale",
    "Sdk",
    "Service",
    "Where",
    "Window",
    "dump",
    "load",
    "plan",
    "schema",
]

TOKEN_PATTERN = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*){0,4}"  # noqa: S105 - a grammar, no secret

Id: TypeAlias = Annotated[str, Text(200, is_id=True)]
Token: TypeAlias = Annotated[
    str,
    Text(80, TOKEN_PATTERN, "lower-case words joined by dots, such as checkout.pay (at most 80)"),
]
FreeText: TypeAlias = Annotated[str, Text(8000, pii="free_text")]
Short: TypeAlias = Annotated[str, Text(200)]
Locale: TypeAlias = Annotated[
    str, Text(35, r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", "a BCP 47 tag such as de-AT")
]
Zone: TypeAlias = Annotated[
    str, Text(64, r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*", "an IANA zone")
]
Uri: TypeAlias = Annotated[
    str, Text(500, r"[A-Za-z][A-Za-z0-9+.\-]*:\S+", "an absolute URI such as urn:service:shop")
]
Amount: TypeAlias = Annotated[
    str, Text(40, r"-?[0-9]{1,20}(\.[0-9]{1,9})?", "a decimal number as text, such as '19.90'")
]
Share: TypeAlias = Annotated[float, Number(0, 1)]


@block
class Ref:
    """
    A thing of the host's own: an order, an invoice.
    """

    type: Token
    id: Id


@block
class CustomerId:
    """
    One more identifier of a customer, in a named space.
    """

    ns: Token
    id: Id
    state: Annotated[str, Choice(v.ID_STATE)] | None = None


@block
class Customer:
    """
    One addressable customer; at least one identifier.
    """

    id: Id | None = None
    anonymous_id: Id | None = None
    account_id: Id | None = None
    ids: tuple[CustomerId, ...] = ()
    kind: Annotated[str, Choice(v.CUSTOMER_KIND)] | None = None
    segment: Token | None = None

    def __attrs_post_init__(self) -> None:
        if not (self.id or self.anonymous_id or self.account_id or self.ids):
            raise InvalidEventError(
                "customer",
                "one of id, anonymous_id, account_id, ids: a mass audience cannot be expressed",
                "no identifier",
            )

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        names = ("id", "anonymous_id", "account_id", "ids")
        return {"anyOf": [{"required": [name]} for name in names]}


class _Channel(Choice):
    """
    A channel, with a word for those who come with a mass medium.
    """

    def check(self, value: Any, path: str) -> None:
        if value in v.MASS_MEDIA:
            raise InvalidEventError(
                path,
                "a channel to one addressable customer; mass media are no interactions",
                repr(value),
            )
        super().check(value, path)


@block
class Where:
    """
    Where a fact took place.
    """

    channel: Annotated[str, _Channel(v.CHANNEL)] = "unknown"
    medium: Annotated[str, Choice(v.MEDIUM)] = "unknown"
    touchpoint: Token | None = None
    stage: Annotated[str, Choice(v.STAGE)] | None = None
    location: Token | None = None
    locale: Locale | None = None
    tz: Zone | None = None


@block
class Party:
    """
    Who performed or promised: the company, or somebody acting for it. A partner says its role.
    """

    kind: Annotated[str, Choice(v.PARTY_KIND)]
    partner_role: Annotated[str, Choice(v.PARTNER_ROLE)] | None = None
    org: Token | None = None
    id: Id | None = None

    def __attrs_post_init__(self) -> None:
        if self.kind == "partner" and self.partner_role is None:
            raise InvalidEventError(
                "party.partner_role", v.PARTNER_ROLE.expected() + " for a partner", "nothing"
            )

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        return {
            "if": {"properties": {"kind": {"const": "partner"}}, "required": ["kind"]},
            "then": {"required": ["partner_role"]},
        }


@block
class Expectation:
    """
    What was expected beside what was, and on what ground.
    """

    metric: Token
    expected: Annotated[Any, Scalar()] | None = None
    actual: Annotated[Any, Scalar()] | None = None
    unit: Short | None = None
    basis: Annotated[str, Choice(v.BASIS_OF_EXPECTATION)] | None = None
    met: Annotated[str, Choice(v.MET)] | None = None
    commitment_id: Id | None = None


@block
class About:
    """
    What feedback, a reaction or a promise refers to; at least one thing.
    """

    interaction_ids: tuple[Id, ...] = ()
    event_ids: tuple[Id, ...] = ()
    touchpoint: Token | None = None
    refs: tuple[Ref, ...] = ()
    relationship: bool | None = None

    def __attrs_post_init__(self) -> None:
        if not (
            self.interaction_ids
            or self.event_ids
            or self.touchpoint
            or self.refs
            or self.relationship
        ):
            raise InvalidEventError(
                "about",
                "one of interaction_ids, event_ids, touchpoint, refs, relationship",
                "nothing",
            )

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        names = ("interaction_ids", "event_ids", "touchpoint", "refs", "relationship")
        return {"anyOf": [{"required": [name]} for name in names]}


@block
class Consent:
    """
    The state of consent when the fact was captured.
    """

    state: Annotated[str, Choice(v.CONSENT_STATE)]
    basis: Annotated[str, Choice(v.LEGAL_BASIS)] | None = None
    purposes: tuple[Token, ...] = ()
    policy_version: Short | None = None
    at: datetime | None = None


@block
class Money:
    """
    An amount as a decimal string, and its ISO 4217 currency. Floats are refused.
    """

    amount: Amount
    currency: Annotated[str, Text(3, r"[A-Z]{3}", "an ISO 4217 code such as EUR")]


@block
class ErrorInfo:
    """
    OpenTelemetry's ``error.type`` (low cardinality), and a code of the host's.
    """

    type: Short
    code: Short | None = None


@block
class Effort:
    """
    Effort that was observed. What the customer felt is a feedback.
    """

    steps: int | None = None
    attempts: int | None = None
    transfers: int | None = None
    channel_switches: int | None = None
    questions_repeated: int | None = None


@block
class Memory:
    """
    Whether the company remembered.
    """

    context_available: bool | None = None
    context_used: bool | None = None
    repeat_of: Id | None = None
    previous_interaction_id: Id | None = None


@block
class Window:
    """
    A span of time in which something was promised.
    """

    from_: datetime
    to: datetime

    def __attrs_post_init__(self) -> None:
        if self.to < self.from_:
            raise InvalidEventError("window.to", "a time after window.from", "an earlier one")


@block
class Scale:
    """
    What a number means: its ends, and which way is better.
    """

    min: float
    max: float
    better: Annotated[str, Choice(v.BETTER)]

    def __attrs_post_init__(self) -> None:
        if not self.min < self.max:
            raise InvalidEventError("scale.max", "a number above scale.min", f"{self.max:g}")


@block
class Answer:
    """
    One answer of a customer. A number needs its scale.
    """

    question: Token
    dimension: Annotated[str, Choice(v.DIMENSION)] | None = None
    value: Annotated[Any, Scalar()] | None = None
    values: tuple[Annotated[Any, Scalar()], ...] = ()
    scale: Scale | None = None
    text: FreeText | None = None
    lang: Locale | None = None
    skipped: bool | None = None
    confidence: Share | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            return
        if self.scale is None:
            raise InvalidEventError(
                "answer.scale", "the scale of the number: min, max, better", "nothing"
            )
        if not self.scale.min <= self.value <= self.scale.max:
            raise InvalidEventError(
                "answer.value",
                f"a number from {self.scale.min:g} to {self.scale.max:g}",
                f"{self.value:g}",
            )

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        return {
            "if": {"properties": {"value": {"type": "number"}}, "required": ["value"]},
            "then": {"required": ["scale"]},
        }


@block
class Service:
    """
    The service that saw the fact.
    """

    name: Short
    version: Short | None = None
    environment: Short | None = None
    function: Short | None = None


@block
class Sdk:
    """
    Which producer wrote the event; a gap in *seq* not covered by a loss is unaccounted for.
    """

    name: Short
    version: Short
    instance: Id
    lane: Annotated[str, Choice(v.LANE)]
    seq: int


Ext: TypeAlias = Annotated[Mapping[str, Mapping[str, Any]], Json()]
Precision: TypeAlias = Annotated[str, Choice(v.TIME_PRECISION)]
Refs: TypeAlias = tuple[Ref, ...]


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
    count: int | None = None
    interaction_id: Id | None = None
    reported_by: Party | None = None
    detail: FreeText | None = None
    resolution: Token | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None


_DUE = ("due_at", "due_date", "window", "period")


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
    period: Annotated[str, Text(40, r"P[0-9YMWDTHS.]+", "an ISO 8601 duration")] | None = None
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

    def __attrs_post_init__(self) -> None:
        due = [name for name in _DUE if getattr(self, name) is not None]
        if self.due_date is not None and (self.where is None or self.where.tz is None):
            raise InvalidEventError(
                "commitment.where.tz", "the zone in which due_date is read", "nothing"
            )
        if self.state != "made":
            return
        for name in ("kind", "promised_by", "duty"):
            if getattr(self, name) is None:
                raise InvalidEventError(f"commitment.{name}", "a value when made", "nothing")
        if len(due) != 1:
            got = " and ".join(due) or "nothing"
            raise InvalidEventError("commitment.due_at", f"one of {', '.join(_DUE)}", got)

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        made = {"properties": {"state": {"const": "made"}}, "required": ["state"]}
        must = {"required": ["kind", "promised_by", "duty"]}
        one = {"oneOf": [{"required": [name]} for name in _DUE]}
        return {"if": made, "then": {"allOf": [must, one]}}


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


@block
class Reaction:
    """
    ``reaction.observed``: what a customer did after and because of an experience.

    Observed, never inferred from feedback.
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
    reason: Token | None = None
    stage: Annotated[str, Choice(v.FEEDBACK_STAGE)] | None = None
    echo_of: Id | None = None
    feedback_id: Id | None = None
    shown_ms: int | None = None
    inclusion_probability: Share | None = None
    refs: Refs = ()
    time_precision: Precision | None = None
    ext: Ext | None = None
    sdk: Sdk | None = None

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


class _Fact(Json):
    """
    One of the eight families.
    """

    def check(self, value: Any, path: str) -> None:
        if type(value) not in FAMILIES.values():
            raise InvalidEventError(path, "one of the families", describe(value))

    def dump(self, value: Any) -> Any:
        return dump(value)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        return {"type": "object"}


@block
class Event:
    """
    A CloudEvents 1.0 envelope around one fact. Its id is the key under which it counts once.
    """

    specversion: Annotated[str, Text(3, r"1\.0", "1.0")] = "1.0"
    source: Uri
    type: Annotated[
        str,
        Text(
            120,
            TOKEN_PATTERN.replace("{0,4}", "{0,6}"),
            "<prefix>.<family>.<action>.v<MODEL>",
        ),
    ]
    dataschema: Uri
    datacontenttype: Annotated[str, Text(16, "application/json", "application/json")] = (
        "application/json"
    )
    id: Id
    subject: Annotated[str, Text(260)]
    time: datetime
    recordedtime: datetime | None = None
    partitionkey: Id | None = None
    correlationid: Id | None = None
    causationid: Id | None = None
    traceparent: (
        Annotated[
            str, Text(55, r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", "W3C traceparent")
        ]
        | None
    ) = None
    tracestate: Annotated[str, Text(512)] | None = None
    sampledrate: Annotated[int, Whole(1)] | None = None
    data: Annotated[Any, _Fact()]

    def __attrs_post_init__(self) -> None:
        parts = self.type.rsplit(".", 3)
        if len(parts) != 4 or FAMILIES.get(parts[1]) is not type(self.data):
            raise InvalidEventError(
                "event.type",
                f"<prefix>.{type(self.data).__name__.lower()}.<action>.v<MODEL> for this data",
                self.type,
            )
        family, action = parts[1], parts[2]
        field = v.ACTION_FIELDS.get(family)
        inside = getattr(self.data, field) if field else action
        if action not in v.ACTIONS[family] or inside != action:
            raise InvalidEventError(
                "event.type", f"the action {inside!r} of the data as its suffix", self.type
            )

    @property
    def family(self) -> str:
        """
        Return the family, such as ``interaction``.
        """
        return self.type.rsplit(".", 3)[-3]

    @property
    def action(self) -> str:
        """
        Return the action, such as ``completed``.
        """
        return self.type.rsplit(".", 2)[-2]
