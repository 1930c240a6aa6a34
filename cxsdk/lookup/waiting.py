"""
Waiting for flights: on a thread, or on an event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from cxsdk._guard import caller, voice
from cxsdk.lookup.ask import Ask
from cxsdk.lookup.flights import Flight
from cxsdk.lookup.flow import Flow, Steps
from cxsdk.lookup.loads import Loads

__all__ = ["adrive", "drive", "warn_of_loop"]


def drive(flow: Flow, loads: Loads, asks: list[Ask], seconds: float, began: float) -> None:
    """
    Answer *asks* within *seconds* from *began* (`time.monotonic`); blocks the thread.
    """
    steps: Steps = flow.steps(loads, asks, seconds)
    for flights, share in steps:
        is_over = threading.Event()
        leave = loads.wait_for(flights, is_over.set)
        until = _until(began + seconds, share)
        try:
            # Our time limit on a provider may come before the caller's own.
            while not is_over.wait(_next_end(flights, until)):
                loads.reap()
                if time.monotonic() >= until:
                    break
        finally:
            leave()


async def adrive(flow: Flow, loads: Loads, asks: list[Ask], seconds: float, began: float) -> None:
    """
    Like `drive`, without blocking the event loop. Cancelled, it harms nobody else.
    """
    loop = asyncio.get_running_loop()
    steps: Steps = flow.steps(loads, asks, seconds)
    for flights, share in steps:
        is_over = asyncio.Event()
        leave = loads.wait_for(flights, _ringing(loop, is_over))
        until = _until(began + seconds, share)
        try:
            while not is_over.is_set():
                try:
                    async with asyncio.timeout(_next_end(flights, until)):
                        await is_over.wait()
                except TimeoutError:
                    loads.reap()
                    if time.monotonic() >= until:
                        break
        finally:
            # Also where the caller is cancelled: the flights go on for everybody else.
            leave()


def warn_of_loop() -> None:
    """
    Warn once for each place where a sync call is about to block an event loop.
    """
    if asyncio._get_running_loop() is not None:
        place = caller()
        words = "cxsdk: context() at %s blocks the event loop; await acontext() there"
        voice.say(logging.WARNING, f"context:loop:{place}", words, place)


def _until(end: float, share: float) -> float:
    now = time.monotonic()
    return now + (end - now) * share


def _next_end(flights: list[Flight], until: float) -> float:
    """
    Return seconds until the first end: the caller's, or a provider's.
    """
    ends = [flight.expires for flight in flights if flight.answer is None]
    return max(0.001, min([until, *ends]) - time.monotonic())


def _ringing(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    def ring() -> None:
        try:
            loop.call_soon_threadsafe(event.set)
        except RuntimeError:
            pass  # the caller's loop is gone, and so is the caller

    return ring
