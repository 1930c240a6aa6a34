"""
Perceptions and reactions: what a customer said, and what a customer then did.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cxsdk.instrument.base import Base, Result, verb
from cxsdk.instrument.facts import Fact, about_wire, answers_of, money_wire

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture

__all__ = ["Perceptions"]


class Perceptions(Base):
    """
    ``feedback`` and ``reaction``; both on the vital lane, never sampled.
    """

    @verb
    def feedback(
        self,
        capture: Capture,
        *,
        csat: float | None = None,
        nps: float | None = None,
        ces: float | None = None,
        rating: tuple[float, float] | None = None,
        versus_expectation: str | None = None,
        text: str | None = None,
        lang: str | None = None,
        about: Any = None,
        customer: Any = None,
        source: str = "stated",
        solicited: bool = False,
        supersedes: str | None = None,
        at: datetime | None = None,
        key: str | None = None,
        refs: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        time_precision: str | None = None,
    ) -> Result:
        """
        Record how the customer saw it. Kept on the vital lane, whatever the consent.

        Args:
            csat: 1 to 5. nps: 0 to 10. ces: 1 to 7, 7 being easy. Numbers, not text.

            rating: value and highest, such as ``(4, 5)``.

            versus_expectation: ``much_worse``, ``worse``, ``as_expected``, ``better``,
                ``much_better``.

            text: the customer's words; redacted before they are kept, cut to 8,000 characters.
                lang: BCP 47.

            about: an interaction, its id, or `About`; by default the open interaction, else the
                last one of this scope, else the relationship as a whole.

            source: ``stated``, or ``inferred`` by a model.

            solicited: True when we asked.

            supersedes: id of the feedback that this one takes the place of.

        The other arguments are those of `record`.
        """
        fact = Fact(capture, "feedback", "given", customer=customer, at=at, key=key)
        answers, instrument = answers_of(
            {"csat": csat, "nps": nps, "ces": ces}, rating, versus_expectation, text, lang
        )
        fact.put(
            feedback_id=fact.draft.id,
            about=about_wire(about, fact, needed=True),
            answers=answers,
            instrument=instrument,
            versus_expectation=versus_expectation,
            source=source,
            solicited=solicited,
            supersedes=supersedes,
            time_precision=time_precision,
        )
        fact.own(attributes, refs)
        return fact.capture_it()

    @verb
    def reaction(
        self,
        capture: Capture,
        reaction: str,
        *,
        evidence: str = "observed",
        about: Any = None,
        attribution: str | None = None,
        via: str | None = None,
        value: tuple[Any, str] | None = None,
        reason: str | None = None,
        text: str | None = None,
        customer: Any = None,
        at: datetime | None = None,
        key: str | None = None,
        refs: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        time_precision: str | None = None,
        immediate: bool = False,
    ) -> Result:
        """
        Record what the customer did after, and because of, an experience.

        Args:
            reaction: ``repurchase``, ``renew``, ``refer``, ``complain``, ``cancel``, …

            evidence: ``observed``, ``declared`` by the customer, or ``inferred``. Only what was
                declared is taken whatever the consent.

            attribution: how the link to *about* is known: ``asserted``, ``rule``, ``model``.

            via: ``direct``, ``partner``, ``regulator``, ``public_review``, ``social``.

            text: the customer's words; redacted.

            immediate: as for `promise`.

        The other arguments are those of `feedback`.
        """
        fact = Fact(
            capture, "reaction", "observed", customer=customer, at=at, key=key, what=reaction
        )
        fact.put(
            reaction_id=fact.draft.id,
            reaction=reaction,
            evidence=evidence,
            about=about_wire(about, fact, needed=False),
            attribution=attribution,
            via=via,
            value=money_wire(value, "value"),
            reason=reason,
            reason_text=text,
            time_precision=time_precision,
        )
        fact.own(attributes, refs)
        return fact.settle(immediate=immediate)
