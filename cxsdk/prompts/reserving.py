"""
From a call of the host's to an offer: who, about what, which prompts, and the first that may ask.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk._guard import voice
from cxsdk._ids import new_id
from cxsdk.asking import Due, History
from cxsdk.errors import InvalidEventError
from cxsdk.prompts import deciding, later
from cxsdk.prompts.cases import OPEN, Case, case_of
from cxsdk.prompts.deciding import Asked
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.offer import Offer, Suppressed
from cxsdk.scope import NOBODY, NOWHERE, current_scope

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture
    from cxsdk.prompts.engine import Engine

__all__ = ["Plan", "asked_of", "plan", "reserve_first"]

_KNOWN_MERGES = 4096


@attrs.define(frozen=True)
class Plan:
    """
    What is to be tried with the store.
    """

    candidates: Sequence[tuple[str, Prompt]]
    """Prompts with the ids of their offers, the highest priority first."""

    asked: Asked
    context: Mapping[str, str]
    key: str | None
    """Only this prompt, also of those that waited; None: any."""

    refusal: Suppressed
    """Why not, where nothing is left to try."""


def plan(engine: Engine, key: str | None, how: dict[str, Any]) -> Suppressed | Plan:
    """
    Return which prompts may be tried for whom, or why none. No store, no disk; on the host's thread.

    Raises:
        CXError: an argument is wrong.
    """
    capture = engine._capture()
    if capture is None:
        return Suppressed("disabled", key or "")
    if key is not None and key not in engine.prompts:
        if capture.strict:
            raise InvalidEventError("prompt", f"one of {', '.join(engine.prompts)}", key)
        words = "cxsdk: there is no prompt %r, so nobody is asked"
        voice.say(logging.WARNING, f"unknown_prompt:{key:.40}", words, key)
        return engine.suppress(None, None, "unknown_prompt", key)
    case = case_of(how.pop("about", None), engine.seal)
    if case is OPEN:
        return engine.suppress(None, None, "interaction_open", key or "")
    context = how.pop("context", None) or {}
    asked = asked_of(engine, capture, case, **how)
    wanted = [engine.prompts[key]] if key is not None else engine.by_priority
    candidates = []
    refusal = Suppressed("not_live", key or "")
    for prompt in wanted:
        reason = deciding.first_reason(deciding.cheap_verdicts(prompt, asked))
        if reason:
            refusal = engine.suppress(prompt, asked, reason)
        else:
            candidates.append((new_id(), prompt))
    may_wait = later.may_wait(engine, asked)
    return Plan(candidates, asked, context, key, refusal) if candidates or may_wait else refusal


def asked_of(
    engine: Engine,
    capture: Capture,
    case: Case,
    *,
    customer: Any = None,
    anonymous: str | None = None,
    account: Any = None,
    session: str | None = None,
    channel: str = "in_app",
    locale: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Asked:
    """
    Return whom a call is about: what it says, completed from the scope.

    Raises:
        InvalidEventError: an id is wrong.
    """
    scope = current_scope.get()
    if scope is not None and customer is not None:
        scope = scope.serving(customer)
    theirs = NOBODY if scope is None else scope.who
    said = (customer, anonymous, account, session)
    who = (*(b if a is None else a for a, b in zip(said, theirs, strict=True)),)
    known = capture.known(who)
    where = NOWHERE if scope is None else scope.where
    found: dict[str, Any] = {}
    if engine.attributes is not None and who[0] is not None:
        found.update(engine.attributes(who[0]))
    return Asked(
        known=known,
        visitor=_visitor(capture, known.block or {}, who[3]),
        case=case,
        channel=channel,
        locale=locale or where[3] or "",
        now=engine.now(),
        consent=capture.gate.state_of(scope.consent if scope else None, known),
        tz=where[4] or str(capture.settings.tz or "UTC"),
        attributes={**found, **(attributes or {})},
    )


def _visitor(capture: Capture, block: Mapping[str, str], session: str | None) -> str:
    """
    Return who a known customer was before they logged in: named by the host, or of this session.
    """
    if "id" not in block:
        return ""
    anonymous = block.get("anonymous_id")
    if anonymous is None and session is not None:
        anonymous = (capture.known((None, None, None, session)).block or {}).get("anonymous_id")
    return deciding.subject_of("a", anonymous) if anonymous else ""


def reserve_first(engine: Engine, plan: Plan) -> Offer | Suppressed:
    """
    Reserve the first that the store allows; the others lose by priority. Blocks on the store.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    asked = plan.asked
    _merge_visitor(engine, asked)
    waiting = later.ready(engine, asked, plan.key)
    history: History | None = None
    refusal = plan.refusal
    offered: Offer | None = None
    for offer_id, prompt, found, due in _in_order(waiting, plan.candidates, asked):
        if offered is not None:
            engine.suppress(prompt, found, "lost_priority")
            if due is not None:
                engine.store.schedule(due)  # it waited for this page and can wait for another
            continue
        if prompt.trigger.delay and found is asked:
            refusal = engine.suppress(prompt, asked, later.wait(engine, prompt, asked))
            continue
        if deciding.needs_history(prompt):
            later.mark(engine, prompt, found)
            history = history or engine.store.history(found.subject)
        reason = deciding.first_reason(deciding.verdicts(prompt, found, history or History()))
        if reason:
            refusal = engine.suppress(prompt, found, reason)
            continue
        result = engine.reserve(prompt, found, offer_id, plan.context)
        if isinstance(result, Suppressed):
            refusal = result
        else:
            offered = result
    return offered or refusal


def _in_order(
    waiting: Iterable[tuple[str, Prompt, Asked, Due | None]],
    candidates: Sequence[tuple[str, Prompt]],
    asked: Asked,
) -> list[tuple[str, Prompt, Asked, Due | None]]:
    found = [*waiting, *((offer_id, prompt, asked, None) for offer_id, prompt in candidates)]
    found.sort(key=lambda each: (-each[1].priority, each[1].key))
    return found


def _merge_visitor(engine: Engine, asked: Asked) -> None:
    """
    Have a visitor who is known by now keep the clocks of before.
    """
    pair = (asked.visitor, asked.subject)
    if asked.visitor and pair not in engine.merged:
        engine.store.merge(*pair)
        if len(engine.merged) >= _KNOWN_MERGES:
            engine.merged.clear()
        engine.merged.add(pair)
