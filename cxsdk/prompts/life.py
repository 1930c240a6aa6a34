"""
The life of an offer as events: what was offered, shown, answered, dismissed, and what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cxsdk._clock import rfc3339_ns
from cxsdk._ids import keyed_id, new_id
from cxsdk.asking import StoredOffer
from cxsdk.pipeline.draft import Draft
from cxsdk.prompts.answers import Answers
from cxsdk.prompts.model import FollowUp, Prompt
from cxsdk.prompts.offer import Bound
from cxsdk.scope import Where
from cxsdk.typing import Accepted, Dropped

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture

__all__ = ["Life"]

_CHANNELS: dict[str, tuple[str, str]] = {
    "in_app": ("web", "web_page"),
    "email": ("mail", "email"),
    "link": ("web", "web_page"),
    "chat": ("in_product", "chat"),
    "api": ("api", "unknown"),
}


def about(bound: Bound) -> dict[str, Any]:
    """
    Return what an offer asks about, in wire form.
    """
    if not bound.interaction_id:
        return {"relationship": True}
    found: dict[str, Any] = {"interaction_ids": [bound.interaction_id]}
    if bound.touchpoint:
        found["touchpoint"] = bound.touchpoint
    return found


class Life:
    """
    Says what happened to offers through the capture in force. Never raises into a handler.

    Args:
        capture: returns it, or None where capture is off.
    """

    def __init__(self, capture: Callable[[], Capture | None]) -> None:
        self._capture = capture

    def prompt(
        self, prompt: Prompt, bound: Bound, action: str, offer_id: str, **facts: Any
    ) -> Accepted | Dropped:
        """
        Record ``prompt.<action>``; told twice, it is one event.
        """
        capture = self._capture()
        if capture is None:
            return Dropped("disabled")
        event_id = keyed_id(capture.settings.source, f"prompt.{action}.{offer_id}")
        draft = self._draft(capture, bound, "prompt", action, event_id)
        draft.data.update(
            {
                "prompt_id": prompt.key,
                "instrument": prompt.told_instrument,
                "instrument_version": bound.version,
                "action": action,
                "offer_id": offer_id,
                "about": about(bound),
                "stage": bound.stage,
                "inclusion_probability": bound.probability,
                **({"echo_of": bound.echo_of} if bound.echo_of else {}),
                **({"trigger": bound.trigger} if bound.trigger else {}),
                **{name: value for name, value in facts.items() if value is not None},
            }
        )
        return capture.fact(draft, _consent(capture, bound))

    def suppressed(self, prompt: Prompt, bound: Bound, reason: str) -> Accepted | Dropped:
        """
        Record ``prompt.suppressed`` with its reason.
        """
        capture = self._capture()
        if capture is None:
            return Dropped("disabled")
        draft = self._draft(capture, bound, "prompt", "suppressed", new_id())
        draft.data.update(
            prompt_id=prompt.key,
            instrument=prompt.told_instrument,
            action="suppressed",
            reason=reason,
            about=about(bound),
        )
        return capture.fact(draft, _consent(capture, bound))

    def feedback_id(self, offer_id: str, revision: int) -> str | None:
        """
        Return the id of an answer's event, None where capture is off.
        """
        capture = self._capture()
        if capture is None:
            return None
        return keyed_id(capture.settings.source, f"feedback.{offer_id}.{revision}")

    def feedback(
        self,
        prompt: Prompt,
        bound: Bound,
        answers: Answers,
        stored: StoredOffer,
        *,
        over_quota: bool,
    ) -> Accepted | Dropped:
        """
        Record ``feedback.given`` for the answer that *stored* holds now, under its own id.
        """
        capture = self._capture()
        event_id = self.feedback_id(stored.offer_id, stored.revision)
        if capture is None or event_id is None:
            return Dropped("disabled")
        draft = self._draft(capture, bound, "feedback", "given", event_id)
        data: dict[str, Any] = {
            "feedback_id": event_id,
            "about": about(bound),
            "answers": answers.wire,
            "source": "stated",
            "solicited": True,
            "scope": prompt.scope,
            "instrument": prompt.told_instrument,
            "instrument_version": bound.version,
            "prompt_id": prompt.key,
            "offer_id": stored.offer_id,
            "stage": bound.stage,
            "inclusion_probability": bound.probability,
            "complete": answers.complete,
        }
        first = answers.values.get(prompt.questions[0].id)
        if prompt.questions[0].kind == "versus_expectation" and first is not None:
            data["versus_expectation"] = first
        if bound.echo_of:
            data["echo_of"] = bound.echo_of
        if bound.happened_at:
            data["elapsed_s"] = round(max(0.0, stored.now - bound.happened_at), 3)
        if over_quota:
            data["over_quota"] = True
        if stored.revision > 1:
            data["supersedes"] = self.feedback_id(stored.offer_id, stored.revision - 1)
        draft.data.update(data)
        return capture.fact(draft, _consent(capture, bound))

    def promise(
        self, bound: Bound, follow: FollowUp, offer_id: str, number: int, feedback_id: str
    ) -> Accepted | Dropped:
        """
        Record the promise that an answer makes, under a key of its own: said twice, it is one.
        """
        capture = self._capture()
        if capture is None:
            return Dropped("disabled")
        key = f"follow-up-{offer_id}-{number}"
        event_id = keyed_id(capture.settings.source, f"commitment.made.{key}")
        draft = self._draft(capture, bound, "commitment", "made", event_id)
        due_ns = draft.time_ns + int(follow.within * 1e9)
        draft.data.update(
            commitment_id=key,
            state="made",
            kind=follow.kind,
            promised_by={"kind": "company"},
            duty="deliver_by",
            due_at=rfc3339_ns(due_ns),
            about={"event_ids": [feedback_id], **_interactions(bound)},
        )
        draft.attributes = {"owner": follow.owner}
        return capture.fact(draft, _consent(capture, bound))

    def _draft(
        self, capture: Capture, bound: Bound, family: str, action: str, event_id: str
    ) -> Draft:
        draft = Draft(family, action, bound.known, capture.time_ns(), event_id, {})
        channel, medium = _CHANNELS.get(bound.channel, ("unknown", "unknown"))
        where: Where = (channel, medium, None, bound.locale, None)
        draft.where = where
        if bound.interaction_id:
            draft.causation = bound.interaction_id
        return draft


def _consent(capture: Capture, bound: Bound) -> str | None:
    """
    Return the state that was in force at the offer, or the denial that came after it.
    """
    is_denied = capture.customers.consent_of(bound.known) == "denied"
    return "denied" if is_denied else bound.consent


def _interactions(bound: Bound) -> dict[str, Any]:
    return {"interaction_ids": [bound.interaction_id]} if bound.interaction_id else {}
