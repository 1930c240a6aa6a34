"""
Whether the company remembered: what an ending interaction says of those before it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cxsdk._guard import is_ours, voice
from cxsdk.instrument.checks import checked

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture
    from cxsdk.pipeline.customers import Known

__all__ = ["ask", "conclude", "look_back"]


def _failed(capture: Capture, error: Exception) -> None:
    if not is_ours(error):
        raise error
    capture._ledger.note("memory_error")
    voice.say(logging.ERROR, "memory_error", "cxsdk: the memory: %r", error)


def ask(capture: Capture, known: Known, question: str, interaction_id: str) -> str | None:
    """
    Return where *known* was asked *question* before: an id; empty: nowhere; None: who knows.
    """
    if capture.memory is None or known.key is None:
        return None
    try:
        at = capture.time_ns() / 1e9
        before: str | None = capture.memory.asked(known, question, interaction_id, at)
    except Exception as error:
        _failed(capture, error)
        return None
    return before


def look_back(
    capture: Capture,
    known: Known,
    touchpoint: str,
    interaction_id: str,
    fields: dict[str, Any],
    answers: dict[str, str | None],
) -> None:
    """
    Fill ``effort.questions_repeated`` and ``memory`` of *fields*, which are in wire form; what the
    handler said itself stays, and what cannot be known stays absent.

    Args:
        answers: question → what `ask` said of it.
    """
    if capture.memory is None or known.key is None:
        return
    for question in [name for name, before in answers.items() if before is None]:
        # The customer may not have been known when it was asked, or not been read yet.
        answers[question] = ask(capture, known, question, interaction_id)
    repeated = [before for before in answers.values() if before]
    if repeated or (answers and None not in answers.values()):
        said = {"questions_repeated": len(repeated), **fields.get("effort", {})}
        fields["effort"] = checked("Effort", "interaction.effort", said)
    try:
        before, last = capture.memory.repeats(
            known, touchpoint, fields.get("refs", ()), interaction_id, capture.time_ns() / 1e9
        )
    except Exception as error:
        _failed(capture, error)
        before = last = None
    first = before or (repeated[0] if repeated else None)
    found = {"repeat_of": first, "previous_interaction_id": last}
    memory = {name: value for name, value in found.items() if value is not None}
    if memory:
        said = {**memory, **fields.get("memory", {})}
        fields["memory"] = checked("Memory", "interaction.memory", said)


def conclude(
    capture: Capture, known: Known, touchpoint: str, interaction_id: str, fields: dict[str, Any]
) -> None:
    """
    Have the memory take note of an interaction that was kept.
    """
    if capture.memory is None or known.key is None or not (fields.keys() & {"asked", "refs"}):
        return
    try:
        at = capture.time_ns() / 1e9
        capture.memory.ended(known, touchpoint, fields, interaction_id, at)
    except Exception as error:
        _failed(capture, error)
