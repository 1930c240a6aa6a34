"""
Taking answers: who holds a token may answer once, and what was accepted is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk._guard import voice
from cxsdk.asking import Answered, StoredOffer
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import later
from cxsdk.prompts.answers import Answers, check
from cxsdk.prompts.offer import Bound, Offer, Receipt, unpack
from cxsdk.prompts.question import KINDS

if TYPE_CHECKING:
    from cxsdk.prompts.engine import Engine
    from cxsdk.prompts.model import Prompt

__all__ = ["UNAVAILABLE", "advance", "find", "submit", "submit_text"]

_GONE = Receipt(outcome="gone")
_FORBIDDEN = Receipt(outcome="forbidden")
UNAVAILABLE = Receipt(outcome="unavailable")
_YES = frozenset({"👍", "yes", "y", "ja", "oui", "si", "sí", "sim", "ok"})
_NO = frozenset({"👎", "no", "n", "nein", "non", "nao", "não"})


def _stored(
    engine: Engine, token: object, channels: Sequence[str] | None
) -> tuple[StoredOffer, Bound, Prompt] | Receipt:
    ticket = engine.codec.read(token, engine.now(), channels)
    if ticket.fault is not None:
        engine.refused[f"token_{ticket.fault}"] += 1
        is_gone = ticket.fault in {"expired", "malformed"}
        return _GONE if is_gone else _FORBIDDEN
    try:
        stored = engine.ask(lambda: engine.store.find(ticket.offer_id))
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: an offer cannot be read: %s", error)
        return UNAVAILABLE
    if stored is None or stored.state in {"lapsed", "revoked"}:
        return _GONE
    bound = unpack(stored.record)
    if bound.prompt not in engine.prompts or bound.channel != ticket.channel:
        return _GONE  # it was taken out of the configuration meanwhile
    return stored, bound, engine.prompt_of(bound)


def find(engine: Engine, token: str, channels: Sequence[str] | None) -> Offer | Receipt:
    """
    Return the offer of *token*, also an answered one, or why there is none.
    """
    found = _stored(engine, token, channels)
    if isinstance(found, Receipt):
        return found
    stored, bound, _ = found
    return engine.offer_of(bound, stored.offer_id, stored.expires_at, stored.state)


def advance(engine: Engine, token: str, to: Any, reason: str | None) -> bool:
    """
    Move an offer on and record it.
    """
    found = _stored(engine, token, None)
    if isinstance(found, Receipt):
        return False
    stored, bound, prompt = found
    try:
        if to == "dismissed" and reason == "never_ask":
            # First, and whatever became of the offer: a no that was not kept can be said again.
            engine.ask(lambda: engine.store.opt_out(stored.subject))
        moved = engine.ask(lambda: engine.store.advance(stored.offer_id, to))
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: %s is not noted: %s", to, error)
        return False
    if moved is None:
        return False
    facts: dict[str, Any] = {"reason": reason if to == "dismissed" else None}
    if to == "dismissed" and moved.shown_at is not None:
        facts["shown_ms"] = max(0, int((moved.now - moved.shown_at) * 1000))
    if to == "dismissed" and moved.revision:
        # Closed after an answer in part, which stays: no refusal to answer.
        facts["feedback_id"] = engine.life.feedback_id(moved.offer_id, moved.revision)
    engine.life.prompt(prompt, bound, to, moved.offer_id, **facts)
    return True


def submit(
    engine: Engine,
    token: str,
    given: Mapping[str, Any],
    *,
    partial: bool,
    channels: Sequence[str] | None,
) -> Receipt:
    """
    Check an answer, let the store decide whether it holds, and keep it before saying so.
    """
    found = _stored(engine, token, channels)
    if isinstance(found, Receipt) or engine._capture() is None:
        # Switched off: nothing would be kept, so nothing is taken.
        return found if isinstance(found, Receipt) else UNAVAILABLE
    stored, bound, prompt = found
    offer = engine.offer_of(bound, stored.offer_id, stored.expires_at, stored.state)
    if not isinstance(given, Mapping):
        given = {"": given}  # no question has this name
    answers = check(prompt, given, partial=partial, lang=bound.locale)
    if answers.errors or not answers.wire:
        return Receipt(outcome="invalid", errors=answers.errors or {"": "required"}, offer=offer)
    try:
        result = engine.ask(
            lambda: engine.store.answer(
                stored.offer_id,
                answers.digest,
                complete=answers.complete,
                revise_for=prompt.revise_for,
            )
        )
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: an answer is refused: %s", error)
        return UNAVAILABLE
    if result.outcome in {"gone", "conflict"} or result.offer is None:
        return _GONE if result.outcome == "gone" else Receipt(outcome="conflict", offer=offer)
    return _keep(engine, prompt, bound, answers, result)


def _keep(
    engine: Engine, prompt: Prompt, bound: Bound, answers: Answers, result: Answered
) -> Receipt:
    stored = result.offer
    assert stored is not None  # noqa: S101 - the caller looked
    # Also for one that came before: whoever repeats it may have seen us die in between. Its id is
    # the same, so it is one event.
    kept = engine.life.feedback(prompt, bound, answers, stored, over_quota=result.over_quota)
    feedback_id = engine.life.feedback_id(stored.offer_id, stored.revision) or ""
    if not kept and getattr(kept, "reason", "") not in {"consent", "processor"}:
        return UNAVAILABLE  # not kept: the same answer may come again
    action = "answered" if answers.complete else "partial"
    engine.life.prompt(prompt, bound, action, stored.offer_id, feedback_id=feedback_id)
    if answers.complete:
        for number, follow in enumerate(prompt.follow_up):
            if follow.is_due(answers.values):
                engine.life.promise(bound, follow, stored.offer_id, number, feedback_id)
        if prompt.echo is not None and bound.stage == "experience":
            later.echo(engine, prompt, bound, stored, feedback_id)
    outcome: Any = {"first": "accepted", "same": "same", "revised": "revised"}[result.outcome]
    return Receipt(
        outcome=outcome,
        feedback_id=feedback_id,
        complete=answers.complete,
        offer=engine.offer_of(bound, stored.offer_id, stored.expires_at, stored.state),
    )


def submit_text(engine: Engine, token: str, text: str) -> Receipt:
    """
    Read a line of chat as an answer to the first question: a number, a word, a thumb, a label.
    """
    found = _stored(engine, token, ("chat",))
    if isinstance(found, Receipt):
        return found
    _, bound, prompt = found
    question = prompt.questions[0]
    said = text.strip() if isinstance(text, str) else ""
    value: Any = said
    if not KINDS[question.kind].is_text:
        value = _read(question, said, prompt, bound.locale)
    return submit(engine, token, {question.id: value}, partial=True, channels=("chat",))


def _read(question: Any, said: str, prompt: Prompt, locale: str) -> Any:
    from cxsdk.prompts.wording import Wording

    low = said.casefold().strip(" .!")
    values = question.values
    if question.kind == "thumbs" and low in _YES | _NO:
        return 1 if low in _YES else 0
    if question.scale is not None:
        return low
    words = Wording(prompt, locale)
    by_label = {words.label(question, value).casefold(): value for value in values}
    found = by_label.get(low) or next((each for each in values if each == low), None)
    if found is None and low.isdigit() and 1 <= int(low[:3]) <= len(values):
        found = values[int(low[:3]) - 1]
    chosen = found if found is not None else said
    return [chosen] if KINDS[question.kind].is_many else chosen
