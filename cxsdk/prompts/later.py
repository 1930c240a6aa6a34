"""
What is asked later: delayed triggers, echoes, letters; and offers whose time is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from cxsdk._guard import voice
from cxsdk._ids import new_id
from cxsdk.asking import Due, StoredOffer
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import deciding
from cxsdk.prompts.cases import Case, case_of_event
from cxsdk.prompts.deciding import FAILURE, Asked
from cxsdk.prompts.offer import Bound, Offer, Suppressed, pack, unpack
from cxsdk.prompts.rules import NotAfterFailure

if TYPE_CHECKING:
    from cxsdk.prompts.engine import Engine
    from cxsdk.prompts.model import Prompt

__all__ = ["echo", "ready", "run_due", "sweep", "wait", "watch"]

_LATE_S = 7 * 86_400.0
_LETTERS = ("email", "link", "chat", "api")


def _asked_of(engine: Engine, bound: Bound) -> Asked:
    data: dict[str, Any] = {"outcome": bound.outcome} if bound.outcome else {}
    if bound.echo_of:
        data["echo_of"] = bound.echo_of
    case = Case(
        interaction_id=bound.interaction_id,
        touchpoint=bound.touchpoint,
        happened_at=bound.happened_at,
        data=data,
    )
    return Asked(
        known=bound.known,
        case=case,
        channel=bound.channel,
        locale=bound.locale,
        now=engine.now(),
        consent=bound.consent or "unknown",
        tz=bound.tz,
        is_recall=bound.stage == "recall",
    )


def wait(engine: Engine, prompt: Prompt, asked: Asked) -> str:
    """
    Keep a trigger that holds for later; return the code that says so.

    Raises:
        StoreUnavailableError: it cannot be kept.
    """
    topic = f"{prompt.key}:{asked.case.interaction_id}"
    record = pack(engine.bound(prompt, asked, {}))
    engine.store.schedule(Due(topic, asked.subject, prompt.trigger.delay, record, prompt.key))
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
        engine.store.schedule(due)
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


def ready(engine: Engine, asked: Asked, key: str | None) -> list[tuple[str, Prompt, Asked, Due]]:
    """
    Take out what this customer waits to be asked on this channel, by prompt *key* or by any.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    if not may_wait(engine, asked):
        return []
    found = []
    for due in engine.store.take_due(asked.subject):
        bound = unpack(due.record)
        prompt = engine.prompts.get(bound.prompt)
        if prompt is None or -due.in_s > _LATE_S:
            continue
        if bound.channel != asked.channel or key not in {None, prompt.key}:
            engine.store.schedule(due)  # a letter's, say; whoever sends those takes it
            continue
        found.append((new_id(), prompt, _asked_of(engine, bound), due))
    return found


def run_due(engine: Engine, send: Callable[[Offer, Mapping[str, str]], object], limit: int) -> int:
    """
    Take what is due on channels that no page shows, decide again, send, and note it as shown.
    """
    sent = 0
    try:
        dues = engine.store.take_due(None, limit)
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: nothing due is asked: %s", error)
        return 0
    for due in dues:
        bound = unpack(due.record)
        prompt = engine.prompts.get(bound.prompt)
        if prompt is None or -due.in_s > _LATE_S:
            continue
        if bound.channel == "in_app":
            engine.store.schedule(due)  # the next page of this customer's asks
            continue
        sent += _send(engine, prompt, bound, due, send)
    return sent


def _send(
    engine: Engine,
    prompt: Prompt,
    bound: Bound,
    due: Due,
    send: Callable[[Offer, Mapping[str, str]], object],
) -> bool:
    asked = _asked_of(engine, bound)
    history = engine.store.history(asked.subject)
    verdicts = (*deciding.cheap_verdicts(prompt, asked), *deciding.verdicts(prompt, asked, history))
    reason = next((v.reason for v in verdicts if v.reason and v.rule != "trigger.count"), "")
    if reason == "quiet_hours":
        engine.store.schedule(Due(due.due_id, due.subject, 1800.0, due.record, due.topic))
    if reason:
        engine.suppress(prompt, asked, reason)
        return False
    offer = engine.told(engine.reserve(prompt, asked, new_id(), bound.context))
    if isinstance(offer, Suppressed):
        return False
    try:
        send(offer, bound.customer or {})
    except Exception as error:  # noqa: BLE001 - the host's own way of sending
        engine.store.release(offer.offer_id)
        engine.store.schedule(Due(due.due_id, due.subject, 300.0, due.record, due.topic))
        words = "cxsdk: a prompt is sent later: %r"
        voice.say(logging.WARNING, "prompts:send", words, error)
        return False
    if engine.store.advance(offer.offer_id, "shown") is not None:
        engine.life.prompt(prompt, bound, "shown", offer.offer_id)
    return True


def sweep(engine: Engine) -> int:
    """
    End offers whose time is over and say so.
    """
    try:
        ended = engine.store.sweep()
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: no offer is ended: %s", error)
        return 0
    for stored in ended:
        bound = unpack(stored.record)
        prompt = engine.prompts.get(bound.prompt)
        if prompt is not None:
            reason = None if stored.shown_at is not None else "not_shown"
            engine.life.prompt(prompt, bound, "lapsed", stored.offer_id, reason=reason)
    return len(ended)


def watch(engine: Engine, event: Any) -> None:
    """
    Look at a live event: note failures, call waits off, keep delayed triggers of letters.

    Never raises and blocks only as long as the store's own timeout; on the emitting thread, so
    that a decision right after it knows.
    """
    family, _, action = str(event.type).rpartition(".v")[0].rpartition(".")
    family = family.rpartition(".")[2]
    customer = getattr(event.data, "customer", None)
    if family not in {"interaction", "problem"} or action == "started" or customer is None:
        return
    from cxsdk.events.model import dump

    data = dump(event.data)
    block = data["customer"]
    try:
        _watched(engine, family, block, data, event.time.timestamp())
    except StoreUnavailableError as error:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: an event is not watched: %s", error)


def _watched(
    engine: Engine, family: str, block: dict[str, str], data: dict[str, Any], moment: float
) -> None:
    kind, name = ("c", "id") if "id" in block else ("a", "anonymous_id")
    if name not in block:
        return
    subject = deciding.subject_of(kind, block[name])
    touchpoint = (data.get("where") or {}).get("touchpoint", "")
    prompts = [prompt for prompt in engine.prompts.values() if prompt.status == "live"]
    failed = family == "problem" or data.get("outcome") == "failure"
    guards = [r.within for p in prompts for r in p.eligibility if isinstance(r, NotAfterFailure)]
    if failed and guards:
        unique = data.get("interaction_id") or data.get("problem_id") or new_id()
        engine.store.mark(subject, FAILURE, unique, max(guards))
    for prompt in prompts:
        if {touchpoint, family} & set(prompt.trigger.cancel_on):
            engine.store.cancel(subject, prompt.key)
    if family == "interaction":
        _trigger_letters(engine, prompts, block, data, moment)


def _trigger_letters(
    engine: Engine,
    prompts: list[Prompt],
    block: dict[str, str],
    data: dict[str, Any],
    moment: float,
) -> None:
    capture = engine._capture()
    if capture is None:
        return
    case = case_of_event(data, moment, capture.settings.capture.namespace)
    for prompt in prompts:
        channel = next((each for each in prompt.channels if each in _LETTERS), None)
        channel = channel or ("in_app" if prompt.trigger.delay else None)
        if channel is None or not prompt.trigger.event:
            continue
        bound = Bound(
            prompt=prompt.key,
            version=prompt.version,
            channel=channel,
            customer=block,
            is_known="id" in block,
            interaction_id=case.interaction_id,
        )
        asked = Asked(
            known=bound.known,
            case=case,
            channel=channel,
            locale=str((data.get("where") or {}).get("locale") or ""),
            now=engine.now(),
            consent=str((data.get("consent") or {}).get("state") or "unknown"),
        )
        if any(verdict.reason for verdict in deciding.cheap_verdicts(prompt, asked)):
            continue
        mark(engine, prompt, asked)
        wait(engine, prompt, asked)
