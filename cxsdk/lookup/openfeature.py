"""
What is known of a customer as the evaluation context of OpenFeature: flags that heed a plan, a
segment or an open problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cxsdk.errors import ExtraMissingError
from cxsdk.lookup.context import CustomerContext
from cxsdk.lookup.facts import chosen, paths_of

if TYPE_CHECKING:
    from openfeature.evaluation_context import EvaluationContext

__all__ = ["UNKNOWN", "evaluation_context"]

UNKNOWN = "cx.unknown"
"""Attribute with the names of what was chosen and is not known."""


def evaluation_context(
    ctx: CustomerContext,
    *,
    attributes: Iterable[str] | Mapping[str, str] = (),
    targeting_key: str | None = None,
) -> EvaluationContext:
    """
    Return an evaluation context of *ctx*: only what is chosen, and of that only what is known.

    A flag service is another company more often than not, so the targeting key is the id as events
    carry it, a pseudonym where `PrivacyOptions(key=…)` is set.

    Args:
        attributes: names of traits, such as ``("plan", "open_problems")``, or attribute → where it
            stands, such as ``{"plan": "profile.attributes.plan"}``.

        targeting_key: another one than the pseudonym.

    Raises:
        ConfigurationError: *attributes* are neither names nor paths.
        ExtraMissingError: ``cxsdk[openfeature]`` is not installed.
    """
    try:
        from openfeature.evaluation_context import EvaluationContext
    except ImportError as error:
        raise ExtraMissingError("openfeature-sdk", "openfeature") from error
    paths = paths_of(attributes if isinstance(attributes, Mapping) else _listed(attributes))
    found = chosen(ctx, paths)
    unknown = [name for name in paths if name not in found]
    more = {UNKNOWN: unknown} if unknown else {}
    return EvaluationContext(targeting_key or ctx.wire_id or None, {**found, **more})


def _listed(names: Iterable[str]) -> Iterable[str]:
    return names if isinstance(names, str) else tuple(names)
