"""
Judging: what is known of a customer, looked up once, and what a prompt's own rules say to it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk._guard import voice
from cxsdk.asking import History
from cxsdk.prompts import deciding
from cxsdk.prompts.deciding import Asked

if TYPE_CHECKING:
    from cxsdk.prompts.engine import Engine
    from cxsdk.prompts.model import Prompt

__all__ = ["Memory", "described", "refusal", "remember"]


@attrs.define(frozen=True)
class Memory:
    """
    What is known of one customer, as far as somebody looks at it.
    """

    history: History
    attributes: Mapping[str, Any] | None
    """None: the host's own function failed."""


def remember(
    engine: Engine, asked: Asked, prompts: Sequence[Prompt], variables: Context | None = None
) -> Memory:
    """
    Look up what the rules of *prompts* look at. Blocks on the store and on the host's function.

    Args:
        variables: context in which the latter is called.

    Raises:
        StoreUnavailableError: the store cannot be asked.
    """
    history = History()
    if any(map(deciding.needs_history, prompts)):
        history = engine.store.history(asked.subject)
    if not any(map(deciding.needs_attributes, prompts)):
        return Memory(history, {})
    try:
        return Memory(history, described(engine, asked, variables))
    except Exception as error:
        if engine.is_strict:
            raise
        words = "cxsdk: attributes= failed, so prompts that look at them ask nobody: %r"
        voice.say(logging.ERROR, "prompts:attributes", words, error)
        return Memory(history, None)


def described(engine: Engine, asked: Asked, variables: Context | None = None) -> Mapping[str, Any]:
    """
    Return what rules may look at: what the host says of a customer, and what the call said.
    """
    found: Mapping[str, Any] = {}
    if engine.attributes is not None and asked.customer is not None:
        run = (variables or copy_context()).run
        found = run(engine.attributes, asked.customer) or {}
    return {**found, **asked.attributes}


def refusal(prompt: Prompt, asked: Asked, memory: Memory) -> str:
    """
    Return why *prompt* may not ask, by its own rules; empty where it may.
    """
    if asked.is_due:
        # What was looked at when its wait began may be otherwise now.
        reason = deciding.first_reason(deciding.cheap_verdicts(prompt, asked))
        if reason:
            return reason
    if memory.attributes is None and deciding.needs_attributes(prompt):
        return "attributes_failed"
    known = attrs.evolve(asked, attributes=memory.attributes or {})
    return deciding.first_reason(deciding.verdicts(prompt, known, memory.history))
