"""
What the words of one or more providers come to for one section, under its plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from cxsdk.knowing import ErrorCode, Reason, SectionPlan
from cxsdk.lookup.shaping import ShapeError, merge, shape
from cxsdk.lookup.sources import Outcome, Source

__all__ = ["Answer", "Plan", "is_empty", "shaped", "single", "total"]

_OLDEST = datetime.min.replace(tzinfo=UTC)


@attrs.define(frozen=True, eq=False)
class Plan:
    """
    One section's plan with the providers that it leads to.
    """

    name: str
    said: SectionPlan
    sources: tuple[Source, ...]

    @property
    def is_one_by_one(self) -> bool:
        """
        Say whether providers are asked one after the other. Consent is asked of all of them.
        """
        return self.said.strategy == "first_success" and self.name != "consent"


@attrs.define(frozen=True)
class Answer:
    """
    What a flight came to.
    """

    reason: Reason
    value: Any = None
    source: str = ""
    as_of: Any = None
    truncated: bool = False
    unchanged: bool = False
    provenance: Mapping[str, str] = attrs.field(factory=dict)
    versions: Mapping[str, str] = attrs.field(factory=dict)
    code: ErrorCode | None = None
    message: str = ""
    lag: float = 0.0
    """Seconds until an event shows in it: the longest of its providers'."""


def is_empty(value: Any) -> bool:
    """
    Say whether *value* is a container with nothing in it.
    """
    return isinstance(value, (tuple, Mapping)) and not value


def _is_found(outcome: Outcome) -> bool:
    return outcome.reason is Reason.RESOLVED


def shaped(plan: Plan, outcome: Outcome) -> Outcome:
    """
    Return *outcome* with its value as the section holds it, or what is wrong with that.
    """
    if outcome.reason is not Reason.RESOLVED or outcome.unchanged:
        return outcome
    try:
        value, is_cut = shape(plan.name, outcome.value, plan.said)
    except ShapeError as error:
        return Outcome(Reason.ERROR, code=ErrorCode.PARSE_ERROR, message=str(error))
    except Exception as error:  # noqa: BLE001 - a provider's own types may raise anything
        words = f"{plan.name}: {type(error).__name__}"
        return Outcome(Reason.ERROR, code=ErrorCode.PARSE_ERROR, message=words)
    outcome.value, outcome.truncated = value, outcome.truncated or is_cut
    return outcome


def single(source: Source, outcome: Outcome) -> Answer:
    """
    Return what one provider found.
    """
    return Answer(
        Reason.RESOLVED,
        value=outcome.value,
        source=source.name,
        as_of=outcome.as_of,
        truncated=outcome.truncated,
        unchanged=outcome.unchanged,
        versions={source.name: outcome.version} if outcome.version is not None else {},
        lag=source.lag,
    )


def total(plan: Plan, outcomes: list[tuple[Source, Outcome]]) -> Answer:
    """
    Return what the outcomes of all providers come to under *plan*.
    """
    found = [(source, outcome) for source, outcome in outcomes if _is_found(outcome)]
    failed = next((out for _, out in outcomes if out.reason is not Reason.NOT_FOUND), None)
    if found:
        if plan.is_one_by_one:
            return single(*found[-1])
        if plan.said.strategy == "newest" and plan.name != "consent":
            return single(*max(found, key=lambda each: each[1].as_of or _OLDEST))
        return _with_gap(_joined(plan, found), outcomes)
    if not outcomes:
        return Answer(Reason.UNSUPPORTED, message="no provider has it for this kind of customer")
    if failed is None:
        named = "+".join(source.name for source, _ in outcomes)
        return Answer(
            Reason.NOT_FOUND,
            source=named,
            as_of=min(out.as_of for _, out in outcomes if out.as_of is not None),
            lag=max(one.lag for one, _ in outcomes),
        )
    # Somebody said "nothing" and somebody failed: that there is nothing is not known.
    return Answer(failed.reason, code=failed.code, message=failed.message)


def _joined(plan: Plan, found: list[tuple[Source, Outcome]]) -> Answer:
    if len(found) == 1:
        return single(*found[0])
    # In order of preference, whoever was quicker.
    found = sorted(found, key=lambda each: plan.sources.index(each[0]))
    value, origin = merge(
        plan.name, [(source.name, out.value) for source, out in found], plan.said.limit
    )
    moments = [out.as_of for _, out in found if out.as_of is not None]
    return Answer(
        Reason.RESOLVED,
        value=value,
        source="+".join(source.name for source, _ in found),
        # As old as its oldest part.
        as_of=min(moments) if moments else None,
        truncated=any(out.truncated for _, out in found),
        provenance=origin,
        lag=max(source.lag for source, _ in found),
    )


def _with_gap(answer: Answer, outcomes: list[tuple[Source, Outcome]]) -> Answer:
    """
    Say on a merged answer that a provider failed: there may be more.
    """
    lost = [out for _, out in outcomes if out.reason not in {Reason.RESOLVED, Reason.NOT_FOUND}]
    if not lost:
        return answer
    if is_empty(answer.value):
        # An empty list of one and no word of the other: that there is nothing is not known.
        return Answer(lost[0].reason, code=lost[0].code, message=lost[0].message)
    return attrs.evolve(answer, truncated=True, code=lost[0].code, message=lost[0].message)
