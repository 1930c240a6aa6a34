"""
What of an event may be shown to whoever looks after a machine: what it is, not what was said.
"""

from __future__ import annotations

import json
from typing import Any

from cxsdk.pipeline.redact import Redactor

__all__ = ["event_of", "excerpt", "letter_excerpt", "line_of"]

_ENVELOPE = ("specversion", "id", "source", "type", "time", "dataschema", "sampledrate")
_DATA = frozenset(
    {
        "action", "channel", "code", "count", "direction", "due_at", "due_date", "duration_ms",
        "duty", "effort", "environment", "family", "from", "goal_met", "instance", "instrument",
        "kind", "lane", "medium", "name", "outcome", "partner_role", "performed_by", "problem",
        "promised_by", "reaction", "reason", "sdk", "seq", "service", "severity", "stage", "to",
        "touchpoint", "user_visible", "version", "wait_ms", "where",
    }
)  # fmt: skip
_HIDDEN = "…"
_redactor = Redactor()


def event_of(payload: bytes) -> Any:
    """
    Return an event as plain data, or None where it cannot be read.
    """
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def excerpt(event: Any) -> dict[str, Any]:
    """
    Return an event with everything hidden that may be a customer's: an allow-list of names.
    """
    if not isinstance(event, dict):
        return {"unreadable": True}
    shown = {name: event[name] for name in _ENVELOPE if name in event}
    shown["data"] = _allowed(event.get("data"))
    return shown


def _allowed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _allowed(v) if k in _DATA else _HIDDEN for k, v in value.items()}
    if isinstance(value, list):
        return [_allowed(each) if isinstance(each, dict) else _HIDDEN for each in value]
    return value


def letter_excerpt(letter: Any) -> dict[str, Any]:
    """
    Return a dead letter with its event as an excerpt, and the destination's words redacted.
    """
    if not isinstance(letter, dict):
        return {"unreadable": True}
    shown = {name: letter.get(name) for name in ("sink", "reason", "attempts", "first", "last")}
    shown["detail"] = _redactor.text(str(letter.get("detail", "")))
    shown["event"] = excerpt(letter.get("event"))
    return shown


def line_of(value: Any) -> str:
    """
    Return plain data as one line of JSON.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
