"""
Encoded events by hand, as small as a journal takes them.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""The moment at which a `FakeClock` begins."""


def moment(seconds: float) -> dt.datetime:
    """
    Return *seconds* after the start.
    """
    return START + dt.timedelta(seconds=seconds)


def text(seconds: float) -> str:
    """
    Return the same as the wire has it.
    """
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event(
    name: str, kind: str, seconds: float, data: dict[str, Any], recorded: float | None = None
) -> bytes:
    """
    Return an event of *kind* (``interaction.completed``) at *seconds* after the start.
    """
    wire = {
        "specversion": "1.0",
        "id": name,
        "source": "shop",
        "type": f"io.cxsdk.{kind}.v1",
        "time": text(seconds),
        "data": data,
    }
    if recorded is not None:
        wire["recordedtime"] = text(recorded)
    return msgspec.json.encode(wire)


def contact(name: str, seconds: float, touchpoint: str = "checkout.pay", **more: Any) -> bytes:
    """
    Return an interaction, whose id is that of its event.
    """
    data = {"interaction_id": name, "where": {"touchpoint": touchpoint}, **more}
    return event(name, "interaction.completed", seconds, data)


def promise(name: str, key: str, state: str, seconds: float, **more: Any) -> bytes:
    """
    Return what became of a promise.
    """
    data = {"commitment_id": key, "state": state, **more}
    return event(name, "commitment.updated", seconds, data)


def problem(name: str, key: str, action: str, seconds: float, **more: Any) -> bytes:
    """
    Return a problem, ``raised`` or ``resolved``.
    """
    return event(name, f"problem.{action}", seconds, {"problem_id": key, **more})


def consent(name: str, state: str, seconds: float, *purposes: str) -> bytes:
    """
    Return a word of consent.
    """
    block: dict[str, Any] = {"state": state}
    if purposes:
        block["purposes"] = list(purposes)
    data = {"identity_id": name, "op": "consent_changed", "consent": block}
    return event(name, "identity.consent_changed", seconds, data)
