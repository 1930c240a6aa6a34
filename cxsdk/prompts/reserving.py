"""
From a call of the host's to an offer: who, about what, which prompts, and the first that may ask.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk._guard import voice
from cxsdk._ids import new_id
from cxsdk.asking import OPEN as OPEN_STATES
from cxsdk.asking import Due
from cxsdk.errors import InvalidEventError, StoreUnavailableError
from cxsdk.prompts import deciding, judging, later
from cxsdk.prompts.cases import OPEN, Case, case_of
from cxsdk.prompts.deciding import Asked
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.offer import Offer, Suppressed, unpack
from cxsdk.scope import NOBODY, NOWHERE, current_scope

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture
    from cxsdk.prompts.engine import Engine

__all__ = [
    "Failed",
    "Plan",
    "asked_of",
    "attempt",
    "open_one",
    "plan",
    "reserve_first",
    "undo",
    "unknown",
]

_KNOWN_MERGES = 4096
_OPEN_ALREADY = frozenset({"in_flight", "already_asked"})


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

    variables: Context | None = None
    """The caller's, for the host's own function that says what a customer is."""

    tried: list[str] = attrs.field(factory=list)
    """Ids of offers that the store was asked for."""

    taken: dict[str, Due] = attrs.field(factory=dict)
    """What was taken out of the store, by its id, until something became of it."""

    spent: list[Due] = attrs.field(factory=list)
    """What was taken out and is asked now."""


@attrs.define(frozen=True)
class Failed:
    """
    What the store or the host's own code raised, on its way to the host's thread.
    """

    error: Exception


def unknown(engine: Engine, key: str) -> InvalidEventError:
    """
    Return the error that says which prompts there are.
    """
    known = ", ".join(engine.prompts)
    return InvalidEventError("prompt", f"one of {known or 'the configured, which are none'}", key)


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
            raise unknown(engine, key)
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
    if not candidates and not may_wait:
        return refusal
    variables = copy_context() if engine.attributes is not None else None
    return Plan(candidates, asked, context, key, refusal, variables)


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
    return Asked(
        known=known,
        visitor=_visitor(capture, known.block or {}, who[3]),
        case=case,
        channel=channel,
        locale=locale or where[3] or str(getattr(scope, "reader", "")),
        now=engine.now(),
        consent=capture.gate.state_of(scope.consent if scope else None, known),
        tz=where[4] or str(capture.settings.tz or "UTC"),
        attributes=attributes or {},
        customer=who[0],
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


def attempt(engine: Engine, plan: Plan) -> Offer | Suppressed | Failed:
    """
    Reserve the first that the store allows, once all that happened before is taken in.

    Runs on a thread of the deadline's. What fails here is the store's or the host's own code,
    never a signal handler that meant the host's thread, so it is no error of the page's.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    try:
        engine.watcher.settle(engine.deadline)
        return reserve_first(engine, plan)
    except StoreUnavailableError:
        undo(engine, plan)
        raise
    except Exception as error:  # noqa: BLE001 - told on the host's thread
        undo(engine, plan)
        return Failed(error)


def undo(engine: Engine, plan: Plan) -> None:
    """
    Give back what was reserved and taken for somebody who waits no more.
    """
    for offer_id in plan.tried:
        with suppress(Exception):  # it expires by itself
            engine.store.release(offer_id)
    later.put_back(engine, (*plan.taken.values(), *plan.spent))


def reserve_first(engine: Engine, plan: Plan) -> Offer | Suppressed:
    """
    Reserve the first that the store allows; the others lose by priority. Blocks on the store.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    _merge_visitor(engine, plan.asked)
    waiting = later.ready(engine, plan)
    for _, prompt in plan.candidates:
        later.mark(engine, prompt, plan.asked)
    everyone = [each[1] for each in waiting] + [each[1] for each in plan.candidates]
    memory = judging.remember(engine, plan.asked, everyone, plan.variables)
    refusal = plan.refusal
    offered: Offer | None = None
    for offer_id, prompt, asked, due in _in_order(waiting, plan.candidates, plan.asked):
        if offered is not None:
            # What waited for this page is put back below and waits for another.
            engine.suppress(prompt, asked, "lost_priority")
            continue
        if prompt.trigger.delay and due is None:
            reason = deciding.count_reason(prompt, asked, memory.history)
            reason = reason or later.wait(engine, prompt, asked)
        else:
            reason = judging.refusal(prompt, asked, memory)
        result: Offer | Suppressed
        if reason:
            result = engine.suppress(prompt, asked, reason)
        else:
            plan.tried.append(offer_id)
            result = engine.reserve(prompt, asked, offer_id, plan.context)
        if isinstance(result, Suppressed):
            refusal = result
            if due is not None and result.reason not in later.PASSING:
                del plan.taken[due.due_id]
        else:
            offered = result
            if due is not None:
                plan.spent.append(plan.taken.pop(due.due_id))
    later.put_back(engine, plan.taken.values())
    plan.taken.clear()
    return offered or refusal


def open_one(engine: Engine, prompt: Prompt, asked: Asked, reason: str) -> Offer | None:
    """
    Return the offer about the same thing that is open already, where it is why there is no other:
    a page that is loaded again shows the same question. Blocks on the store.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    about = asked.case.interaction_id  # empty: the relationship
    if reason not in _OPEN_ALREADY:
        return None
    history = engine.store.history(asked.subject)
    for stored in history.offers:
        is_open = stored.state in OPEN_STATES and stored.expires_at > history.now
        if is_open and stored.prompt == prompt.key:
            bound = unpack(stored.record)
            if (bound.interaction_id, bound.channel) == (about, asked.channel):
                again = engine.offer_of(bound, stored.offer_id, stored.expires_at, stored.state)
                return attrs.evolve(again, is_new=False)
    return None


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
