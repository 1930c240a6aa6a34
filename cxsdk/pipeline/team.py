"""
Who else sees an event: the team's processors and listeners, and the memory. What they raise ends
here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cxsdk._guard import is_ours, voice
from cxsdk._ledger import Ledger
from cxsdk.typing import Listener, Memory, Processor

if TYPE_CHECKING:
    from cxsdk.events.model import Event
    from cxsdk.pipeline.customers import Known

__all__ = ["process", "remember", "tell"]


def process(event: Event, processors: Iterable[Processor], ledger: Ledger) -> Event | None:
    """
    Return what *processors* make of *event*, one after the other; None where one drops it or
    fails.
    """
    current: Any = event
    for processor in processors:
        try:
            current = processor(current)
            if current is not None and not isinstance(current, type(event)):
                raise TypeError(f"returned {type(current).__name__}, no Event")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - a team's code may raise anything
            ledger.note("processor_error")
            voice.say(
                logging.ERROR,
                "processor_error",
                "cxsdk: processor %r raised %r, the event is dropped",
                getattr(processor, "__name__", processor),
                error,
            )
            return None
        if current is None:
            return None
    kept: Event = current
    return kept


def tell(payload: bytes, listeners: Iterable[Listener], ledger: Ledger) -> None:
    """
    Let *listeners* hear of an event that was kept.
    """
    from cxsdk.events.codec import decode

    event = decode(payload)
    for listener in listeners:
        try:
            listener(event)
        except Exception as error:  # noqa: BLE001 - a team's code may raise anything
            ledger.note("listener_error")
            voice.say(logging.ERROR, "listener_error", "cxsdk: listener %r: %r", listener, error)


def remember(
    memory: Memory, known: Known, payload: bytes, ledger: Ledger, *, is_contact: bool
) -> None:
    """
    Let *memory* take an event that was kept.
    """
    try:
        memory.tap(known, payload, is_contact)
    except Exception as error:
        if not is_ours(error):
            raise
        ledger.note("memory_error")
        voice.say(logging.ERROR, "memory_error", "cxsdk: the memory: %r", error)
