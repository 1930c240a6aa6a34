"""
What is asked later: delayed triggers, echoes, letters; and offers whose time is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from cxsdk._guard import voice
from cxsdk._ids import new_id
from cxsdk.asking import LATE_S, Due, StoredOffer
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import judging
from cxsdk.prompts.cases import Case
from cxsdk.prompts.deciding import Asked
from cxsdk.prompts.offer import Bound, Offer, Suppressed, pack, unpack

if TYPE_CHECKING:
    from cxsdk.prompts.engine import Engine
    from cxsdk.prompts.model import Prompt
    from cxsdk.prompts.reserving import Plan

__all__ = ["PASSING", "echo", "put_back", "ready", "run_due", "sweep", "wait"]

PASSING = frozenset({"in_flight", "cap_session", "quiet_hours", "lost_priority"})
"""Refusals that a thing which is due outlives: they are soon over."""

_RETRY_S = 300.0
_QUIET_S = 1800.0


def _case_of(bound: Bound) -> Case:
    data: dict[str, Any] = {"outcome": bound.outcome} if bound.outcome else {}
    if bound.echo_of:
        data["echo_of"] = bound.echo_of
    return Case(
        interaction_id=bound.interaction_id,
        touchpoint=bound.touchpoint,
        happened_at=bound.happened_at,
        data=data,
    )


def wait(engine: Engine, prompt: Prompt, asked: Asked, *, since: float = 0.0) -> str:
    """
    Keep a trigger that holds for later; return the code that says so.

    Args:
        since: seconds that it has waited already.

    Raises:
        StoreUnavailableError: it cannot be kept.
    """
    name = f"{prompt.key}:{asked.case.interaction_id}"
    record = pack(engine.bound(prompt, asked, {}))
    delay = prompt.trigger.delay - since
    engine.store.schedule(Due(name, asked.subject, delay, record, prompt.key))
    return "delayed"


def echo(
    engine: Engine, prompt: Prompt, bound: Bound, stored: StoredOffer, feedback_id: str
) -> None:
    """
    Have the same wording asked again when the time has come.
    """
    if prompt.echo is None:
        return
    again = msgspec.structs.replace(bound, stage="recall", echo_of=feedback_id)
    due = Due(f"echo:{stored.offer_id}", stored.subject, prompt.echo.after, pack(again), prompt.key)
    try:
        engine.ask(lambda: engine.store.schedule(due))
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:echo", "cxsdk: an echo is not scheduled: %s", error)


def may_wait(engine: Engine, asked: Asked) -> bool:
    """
    Say whether something could wait for this customer at all.
    """
    return bool(asked.subject) and any(p.trigger.delay or p.echo for p in engine.by_priority)


def mark(engine: Engine, prompt: Prompt, asked: Asked) -> None:
    """
    Count an occurrence for a trigger that wants several. Blocks on the store.
    """
    if prompt.trigger.count > 1:
        topic, unique = f"event:{prompt.key}", asked.case.interaction_id
        engine.store.mark(asked.subject, topic, unique, prompt.trigger.within)


def put_back(engine: Engine, dues: Iterable[Due]) -> None:
    """
    Have *dues* wait on, as far as the store takes them. Never raises.
    """
    for due in dues:
        try:
            engine.store.schedule(due)
        except Exception as error:  # noqa: BLE001 - a store that failed a moment ago
            words = "cxsdk: what was due is lost, for the store does not take it back: %s"
            voice.say(logging.WARNING, "prompts:due", words, error)


def _take(
    engine: Engine, subject: str | None, topics: Collection[str], limit: int
) -> list[tuple[Due, Bound, Prompt]]:
    """
    Take out what is due of the prompts *topics*; what came too late, or cannot be read, is gone.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    found = []
    for due in engine.store.take_due(subject, limit, topics):
        try:
            bound = unpack(due.record)
        except msgspec.MsgspecError as error:
            voice.say(logging.WARNING, "prompts:record", "cxsdk: a due prompt: %s", error)
            continue
        prompt = engine.prompts.get(bound.prompt)
        if prompt is not None and -due.in_s <= LATE_S:
            found.append((due, bound, prompt))
    return found


def ready(engine: Engine, plan: Plan) -> list[tuple[str, Prompt, Asked, Due]]:
    """
    Take out what this customer waits to be asked on this channel, by the wanted prompt or by any.

    Who they are, what they consent to and what the page is are the call's own: things change
    while something waits.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    asked = plan.asked
    if not may_wait(engine, asked):
        return []
    topics = [p.key for p in engine.by_priority if asked.channel in p.channels]
    if plan.key is not None:
        topics = [key for key in topics if key == plan.key]
    taken = _take(engine, asked.subject, topics, 50) if topics else []
    plan.taken.update((due.due_id, due) for due, *_ in taken)
    found = []
    for due, bound, prompt in taken:
        if bound.channel != asked.channel:
            continue  # a letter's: put back with whatever is not asked now
        is_recall = bound.stage == "recall"
        its = attrs.evolve(
            asked,
            case=_case_of(bound),
            is_due=True,
            is_recall=is_recall,
            locale=bound.locale if is_recall else asked.locale or bound.locale,
        )
        shown = engine.prompt_of(bound) if is_recall else prompt
        found.append((new_id(), shown, its, due))
    return found


def run_due(engine: Engine, send: Callable[[Offer, Mapping[str, str]], object], limit: int) -> int:
    """
    Take what is due on channels that no page shows, decide again, send, and note it as shown.
    """
    sent = 0
    left: list[Due] = []
    topics = [p.key for p in engine.by_priority if set(p.channels) != {"in_app"}]
    try:
        engine.watcher.settle(engine.patience)
        dues = engine.ask(lambda: _take(engine, None, topics, limit)) if topics else []
        left = [due for due, *_ in dues]
        for due, bound, prompt in dues:
            if bound.channel != "in_app":  # else the next page of this customer's asks
                sent += _send(engine, prompt, bound, due, send)
                left.remove(due)
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: nothing due is asked: %s", error)
    finally:
        put_back(engine, left)
    return sent


def _later(engine: Engine, due: Due, seconds: float) -> None:
    put_back(engine, [attrs.evolve(due, in_s=seconds)])


def _asked_of(engine: Engine, bound: Bound) -> Asked:
    capture = engine._capture()
    known = bound.known
    said = bound.consent
    customer: str | None = None
    if capture is not None:
        # A denial that came meanwhile holds, as far as this process knows of it.
        said = capture.customers.consent_of(known) or said
        # With a key the wire knows a pseudonym, of which the host's function knows nothing.
        if capture.settings.privacy.key is None:
            customer = (known.block or {}).get("id")
    return Asked(
        known=known,
        case=_case_of(bound),
        channel=bound.channel,
        locale=bound.locale,
        now=engine.now(),
        consent=said or "unknown",
        tz=bound.tz,
        is_recall=bound.stage == "recall",
        is_due=True,
        customer=customer,
    )


def _send(
    engine: Engine,
    prompt: Prompt,
    bound: Bound,
    due: Due,
    send: Callable[[Offer, Mapping[str, str]], object],
) -> bool:
    asked = _asked_of(engine, bound)
    shown = engine.prompt_of(bound) if asked.is_recall else prompt
    memory = engine.ask(lambda: judging.remember(engine, asked, [shown]))
    reason = judging.refusal(shown, asked, memory)
    if reason:
        if reason == "quiet_hours":
            _later(engine, due, _QUIET_S)
        engine.suppress(prompt, asked, reason)
        return False
    offer = engine.ask(lambda: engine.reserve(shown, asked, new_id(), bound.context))
    if isinstance(offer, Suppressed):
        if offer.reason in PASSING:
            _later(engine, due, offer.retry_in or _RETRY_S)
        return False
    engine.told(offer)
    try:
        send(offer, bound.customer or {})
    except Exception as error:  # noqa: BLE001 - the host's own way of sending
        with suppress(StoreUnavailableError):  # it expires by itself
            engine.ask(lambda: engine.store.release(offer.offer_id))
        _later(engine, due, _RETRY_S)
        words = "cxsdk: a prompt is sent later: %r"
        voice.say(logging.WARNING, "prompts:send", words, error)
        return False
    try:
        moved = engine.ask(lambda: engine.store.advance(offer.offer_id, "shown"))
    except StoreUnavailableError as error:
        words = "cxsdk: that a prompt was sent is not noted: %s"
        voice.say(logging.WARNING, "prompts:store", words, error)
        return True
    if moved is not None and offer.bound is not None:
        engine.life.prompt(prompt, offer.bound, "shown", offer.offer_id)
    return True


def sweep(engine: Engine) -> int:
    """
    End offers whose time is over and say so.
    """
    try:
        ended = engine.ask(engine.store.sweep)
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: no offer is ended: %s", error)
        return 0
    for stored in ended:
        try:
            bound = unpack(stored.record)
        except msgspec.MsgspecError as error:
            voice.say(logging.WARNING, "prompts:record", "cxsdk: an offer: %s", error)
            continue
        prompt = engine.prompts.get(bound.prompt)
        if prompt is not None:
            reason = None if stored.shown_at is not None else "not_shown"
            engine.life.prompt(prompt, bound, "lapsed", stored.offer_id, reason=reason)
    return len(ended)
