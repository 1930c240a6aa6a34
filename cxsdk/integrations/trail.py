"""
What a session keeps of the last interaction, signed: for the page after a redirect, which may be
served by another worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cxsdk.errors import CXError
from cxsdk.prompts.cases import Case, case_of, memory_of

if TYPE_CHECKING:
    from cxsdk.integrations.guest import Guest
    from cxsdk.prompts.engine import Engine

__all__ = ["KEY", "READS", "kept", "read"]

KEY = "_cx"
"""Name of what integrations keep in a session."""

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of requests whose handlers leave a session as it is, and so do we: written by a page that
only reads, it would come back as it was when that page began, after a logout or a purchase in
another tab."""

_LASTS_S = 1800.0
"""Seconds after which the last interaction is not what a page is about any more."""

_TRAIL, _WHOSE = "t", "w"


def kept(engine: Engine, about: Any, guest: Guest) -> dict[str, str] | None:
    """
    Return what to keep of *about*, an interaction or a `Case`, under the session's `KEY`.
    """
    case = about if isinstance(about, Case) else case_of(about, engine.seal)
    text = memory_of(case, engine.seal)
    if not text:
        return None
    whose = _whose(engine, guest)
    return {_TRAIL: text, _WHOSE: whose} if whose else {_TRAIL: text}


def read(engine: Engine, held: Mapping[str, Any], guest: Guest) -> Case | None:
    """
    Return the interaction that *held* stands for; None where it is forged, old, or of somebody who
    used this browser before.
    """
    text, whose = held.get(_TRAIL), held.get(_WHOSE)
    if not isinstance(text, str) or not text:
        return None
    now = _whose(engine, guest)
    # Who paid as a visitor and registered after that is the same person; who comes after a customer
    # has left is perhaps not.
    if whose and whose != now:
        return None
    try:
        case = case_of(text, engine.seal)
    except CXError:
        return None
    return case if 0.0 <= engine.now() - case.happened_at + 60.0 <= _LASTS_S else None


def _whose(engine: Engine, guest: Guest) -> str:
    capture = engine._capture()
    customer = guest.who[0]
    if capture is None or customer is None:
        return ""
    # A keyed hash: the session may lie in a cookie that its owner can read.
    return capture.known((customer, None, None, None)).tag.hex()
