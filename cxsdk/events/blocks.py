"""
The blocks that families share: who, where, about what, how much, on what ground.
"""

# No `from __future__ import annotations` here: the annotations are read at class creation.

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from cxsdk.errors import InvalidEventError
from cxsdk.events import vocabulary as v
from cxsdk.events._block import block
from cxsdk.events.kinds import Choice, Json, Number, Scalar, Text

__all__ = [
    "About",
    "Answer",
    "Consent",
    "Customer",
    "CustomerId",
    "Effort",
    "ErrorInfo",
    "Expectation",
    "Memory",
    "Money",
    "Party",
    "Ref",
    "Scale",
    "Sdk",
    "Service",
    "Where",
    "Window",
]

TOKEN = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*){0,4}"  # noqa: S105 - a grammar, no secret

Id: TypeAlias = Annotated[str, Text(200, is_id=True)]
Pseudonym: TypeAlias = Annotated[str, Text(200, is_id=True, pii="pseudonym")]
Token: TypeAlias = Annotated[
    str,
    Text(80, TOKEN, "lower-case words joined by dots, such as checkout.pay (at most 80)"),
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
Period: TypeAlias = Annotated[
    str,
    Text(
        40,
        r"P(?=[0-9T])([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?"
        r"(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?",
        "an ISO 8601 duration such as P2Y or PT48H",
    ),
]
AnyScalar: TypeAlias = Annotated[Any, Scalar()]
Ext: TypeAlias = Annotated[Mapping[str, Mapping[str, Any]], Json()]
Precision: TypeAlias = Annotated[str, Choice(v.TIME_PRECISION)]


def _one_of(*names: str) -> dict[str, Any]:
    """
    Return the schema rule that one of *names* is there, and as a list not empty.
    """
    return {
        "anyOf": [{"required": [name], "properties": {name: {"minItems": 1}}} for name in names]
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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
    id: Pseudonym
    state: Annotated[str, Choice(v.ID_STATE)] | None = None


@block
class Customer:
    """
    One addressable customer; at least one identifier.
    """

    id: Pseudonym | None = None
    anonymous_id: Pseudonym | None = None
    account_id: Pseudonym | None = None
    ids: tuple[CustomerId, ...] = ()
    kind: Annotated[str, Choice(v.CUSTOMER_KIND)] | None = None
    segment: Token | None = None

    _rules = ("at least one of `id`, `anonymous_id`, `account_id`, `ids`",)

    def __attrs_post_init__(self) -> None:
        if not (self.id or self.anonymous_id or self.account_id or self.ids):
            raise InvalidEventError(
                "customer",
                "one of id, anonymous_id, account_id, ids: a mass audience cannot be expressed",
                "no identifier",
            )

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        return _one_of("id", "anonymous_id", "account_id", "ids")


@block
class Where:
    """
    Where a fact took place.
    """

    channel: Annotated[str, Choice(v.CHANNEL)] = "unknown"
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

    _rules = ("a `partner` says its `partner_role`",)

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
    expected: AnyScalar | None = None
    actual: AnyScalar | None = None
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

    _rules = (
        "at least one of `interaction_ids`, `event_ids`, `touchpoint`, `refs`, `relationship` (true)",
    )

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
        rules = _one_of("interaction_ids", "event_ids", "touchpoint", "refs")
        true = {"required": ["relationship"], "properties": {"relationship": {"const": True}}}
        return {"anyOf": [*rules["anyOf"], true]}


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

    _rules = ("`to` is not before `from`",)

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

    _rules = ("`min` is below `max`",)

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
    value: AnyScalar | None = None
    values: tuple[AnyScalar, ...] = ()
    scale: Scale | None = None
    text: FreeText | None = None
    lang: Locale | None = None
    skipped: bool | None = None
    confidence: Share | None = None

    _rules = (
        "at least one of `value`, `values`, `text`, `skipped` (true)",
        "a number among `value` and `values` needs the `scale` and lies on it",
    )

    def __attrs_post_init__(self) -> None:
        if self.value is None and not (self.values or self.text or self.skipped):
            raise InvalidEventError("answer", "one of value, values, text, skipped", "nothing")
        for name, value in (
            ("value", self.value),
            *(("values", item) for item in self.values or ()),
        ):
            if not _is_number(value):
                continue
            if self.scale is None:
                raise InvalidEventError(
                    "answer.scale", "the scale of the number: min, max, better", "nothing"
                )
            if not self.scale.min <= value <= self.scale.max:
                raise InvalidEventError(
                    f"answer.{name}",
                    f"a number from {self.scale.min:g} to {self.scale.max:g}",
                    f"{value:g}",
                )

    @staticmethod
    def _schema_rules() -> dict[str, Any]:
        number = {"type": "number"}
        said = _one_of("value", "values", "text")["anyOf"]
        skipped = {"required": ["skipped"], "properties": {"skipped": {"const": True}}}
        return {
            "anyOf": [*said, skipped],
            "if": {
                "anyOf": [
                    {"required": ["value"], "properties": {"value": number}},
                    {"required": ["values"], "properties": {"values": {"contains": number}}},
                ]
            },
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

    name: Short | None = None
    version: Short | None = None
    instance: Id
    lane: Annotated[str, Choice(v.LANE)]
    seq: int


Refs: TypeAlias = tuple[Ref, ...]
