"""
Traits: what is known of a customer as plain attributes, for rules that decide who is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from cxsdk._clock import utc_now
from cxsdk._guard import is_ours
from cxsdk.scope import current_interaction

if TYPE_CHECKING:
    from cxsdk.lookup.context import CustomerContext
    from cxsdk.lookup.engine import Engine
    from cxsdk.lookup.section import Section

__all__ = ["SECTIONS", "Traits", "traits_of"]

SECTIONS = ("profile", "problems", "commitments", "feedback")
"""What is looked up, of what there is."""


class Traits:
    """
    Looks a customer up and returns what rules may look at. Safe from any thread; never raises.

    Args:
        lookups: returns the engine, None where there is none.

        purpose: of the lookup.

        seconds: that it may take; what comes later is there the next time.
    """

    def __init__(self, lookups: Callable[[], Engine | None], purpose: str, seconds: float) -> None:
        self._lookups = lookups
        self._purpose = purpose
        self._seconds = seconds

    def __call__(self, customer: Any) -> dict[str, Any]:
        """
        Return the traits of *customer*; what is not known is absent. Blocks for *seconds* at most.
        """
        # Deciding whom to ask is no use of context by the interaction that is open.
        token = current_interaction.set(None)
        try:
            engine = self._lookups()
            if engine is None:
                return {}
            sections = tuple(name for name in SECTIONS if name in engine.plans)
            said = (None, sections, self._purpose, None, False)
            return traits_of(engine.context(customer, said, self._seconds))
        except Exception as error:
            if not is_ours(error):
                raise
            return {}
        finally:
            current_interaction.reset(token)


def traits_of(ctx: CustomerContext) -> dict[str, Any]:
    """
    Return what *ctx* knows as attributes: those of the profile, ``customer_since``, and
    ``open_problems``, ``overdue_commitments``, ``last_feedback_at``. Unknown is absent, never 0.
    """
    traits: dict[str, Any] = {}
    profile = ctx.profile.value
    if profile is not None:
        fields = msgspec.structs.asdict(profile)
        since = fields.pop("created_at")
        if since is not None:
            traits["customer_since"] = since
        traits.update(fields.pop("attributes"))
        traits.update((name, value) for name, value in fields.items() if value is not None)
    now = utc_now()
    counts = {
        "open_problems": _count(ctx.problems, lambda one: one.status == "open"),
        "overdue_commitments": _count(ctx.commitments, lambda one: one.standing(now) == "overdue"),
    }
    traits.update((name, count) for name, count in counts.items() if count is not None)
    if ctx.feedback.known:
        moments = [one.at for one in ctx.feedback.value or () if one.at is not None]
        if moments:
            traits["last_feedback_at"] = max(moments)
    return traits


def _count(section: Section[tuple[Any, ...]], counts: Callable[[Any], bool]) -> int | None:
    """
    Return how many items there are that count; None where that is not known.
    """
    if not section.known:
        return None
    found = sum(map(counts, section.value or ()))
    # There is more than this, or one of several providers failed: none here is not none at all.
    return None if not found and section.truncated else found
