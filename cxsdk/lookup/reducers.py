"""
What an event means for the sections of a customer's context: pure functions, one for each family.

The overlay runs them over what this service just saw, the collector over all that it has stored,
so that both say the same of the same event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from cxsdk.events.due import due_instant

__all__ = ["REDUCERS", "Change", "Reducer", "changes"]

Change: TypeAlias = tuple[str, dict[str, Any]]
"""
A section, and plain data to be merged into it: an item (by its ``id``) of a list, or fields of a
record. A key that stands there replaces what was known before.
"""

Reducer: TypeAlias = Callable[[Mapping[str, Any]], Iterable[Change]]
"""
Takes one event as a CloudEvents mapping (``id``, ``type``, ``time``, ``data``), returns changes.

Pure and quick; it runs when somebody looks, not where the event is emitted.
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_ASKED = 20


def _refs(data: Mapping[str, Any]) -> dict[str, str]:
    about = data.get("about") or {}
    both = [*(about.get("refs") or ()), *(data.get("refs") or ())]
    return {one["type"]: one["id"] for one in both}


def _item(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None and value != {}}


def _interaction(event: Mapping[str, Any]) -> Iterable[Change]:
    data = event["data"]
    where, ours = data.get("where") or {}, (data.get("ext") or {}).get("cxsdk") or {}
    asked = ours.get("asked")
    item = {
        "id": data["interaction_id"],
        "at": event["time"],
        "touchpoint": where.get("touchpoint"),
        "channel": where.get("channel"),
        "stage": where.get("stage"),
        "direction": data.get("direction"),
        "outcome": data.get("outcome"),
        "goal_met": data.get("goal_met"),
        "reason": data.get("reason"),
        "actor": _party(data.get("performed_by")),
        "refs": _refs(data),
        "asked": list(asked)[:_MOST_ASKED] if isinstance(asked, (list, tuple)) else None,
    }
    yield "interactions", _item(item)


def _party(party: Mapping[str, Any] | None) -> str | None:
    if not party:
        return None
    kind: str = party["kind"]
    return f"{kind}:{party['partner_role']}" if "partner_role" in party else kind


def _problem(event: Mapping[str, Any]) -> Iterable[Change]:
    data = event["data"]
    where = data.get("where") or {}
    is_over = event["type"].rpartition(".v")[0].endswith(".resolved") or data.get("recovered")
    item = {
        "id": data["problem_id"],
        "at": None if is_over and not data.get("recovered") else event["time"],
        "updated_at": event["time"],
        "problem": data.get("problem"),
        "severity": data.get("severity"),
        "status": "resolved" if is_over else "open",
        "touchpoint": where.get("touchpoint"),
        "interaction_id": data.get("interaction_id"),
        "refs": _refs(data),
    }
    yield "problems", _item(item)


def _commitment(event: Mapping[str, Any]) -> Iterable[Change]:
    data = event["data"]
    where, window = data.get("where") or {}, data.get("window")
    due, _ = due_instant(
        _micros(event["time"]),
        due_at=data.get("due_at"),
        due_date=data.get("due_date"),
        window=(window["from"], window["to"]) if window else None,
        period=data.get("period"),
        made_at=data.get("made_at"),
        tz=where.get("tz"),
    )
    state = data["state"]
    item = {
        "id": data["commitment_id"],
        "kind": data.get("kind"),
        "duty": data.get("duty"),
        "state": state,
        "made_at": data.get("made_at") or (event["time"] if state == "made" else None),
        "due_at": None if due is None else (_EPOCH + timedelta(microseconds=due)).isoformat(),
        "due_date": data.get("due_date"),
        "tz": where.get("tz") if data.get("due_date") else None,
        "promised_by": _party(data.get("promised_by")),
        "updated_at": event["time"],
        "refs": _refs(data),
    }
    told = _item(item)
    if due is not None:
        # An instant that is promised now replaces a day that was promised before.
        told |= {name: item[name] for name in ("due_date", "tz")}
    yield "commitments", told


def _micros(time: str) -> int:
    return int((datetime.fromisoformat(time.upper()) - _EPOCH) / timedelta(microseconds=1))


def _feedback(event: Mapping[str, Any]) -> Iterable[Change]:
    data = event["data"]
    about = data.get("about") or {}
    answers = data.get("answers") or ()
    scored: Mapping[str, Any] = next(
        (one for one in answers if one.get("scale") and _is_number(one)), {}
    )
    words = next((one["text"] for one in answers if one.get("text")), None)
    scale = scored.get("scale") or {}
    item = {
        "id": data["feedback_id"],
        "at": data.get("perceived_at") or event["time"],
        "instrument": data.get("instrument"),
        "score": scored.get("value"),
        "score_min": scale.get("min"),
        "score_max": scale.get("max"),
        "better": scale.get("better"),
        "comment": words,
        "touchpoint": about.get("touchpoint") or (data.get("where") or {}).get("touchpoint"),
        "interaction_ids": list(about.get("interaction_ids") or ()),
        "refs": _refs(data),
        "solicited": data.get("solicited"),
    }
    yield "feedback", _item(item)


def _is_number(answer: Mapping[str, Any]) -> bool:
    value = answer.get("value")
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _reaction(event: Mapping[str, Any]) -> Iterable[Change]:
    data = event["data"]
    item = {
        "id": data["reaction_id"],
        "at": event["time"],
        "reaction": data.get("reaction"),
        "evidence": data.get("evidence"),
        "via": data.get("via"),
        "refs": _refs(data),
    }
    yield "reactions", _item(item)


def _identity(event: Mapping[str, Any]) -> Iterable[Change]:
    data = event["data"]
    if data.get("op") == "consent_changed":
        yield "consent", _consent(data["consent"], event["time"])
    traits = data.get("traits")
    if traits:
        yield "profile", {"attributes": dict(traits)}


def _consent(said: Mapping[str, Any], time: str) -> dict[str, Any]:
    one = _item(
        {
            "state": said["state"],
            "basis": said.get("basis"),
            "updated_at": said.get("at") or time,
        }
    )
    purposes = said.get("purposes") or ()
    if not purposes:
        at = one["updated_at"]
        return {"state": said["state"], "state_at": at, "updated_at": at}
    return {"purposes": dict.fromkeys(purposes, one), "updated_at": one["updated_at"]}


REDUCERS: dict[str, Reducer] = {
    "interaction": _interaction,
    "problem": _problem,
    "commitment": _commitment,
    "feedback": _feedback,
    "reaction": _reaction,
    "identity": _identity,
}
"""Family → what its events mean. ``prompt`` and ``loss`` say nothing of a customer's story."""


def changes(
    event: Mapping[str, Any], own: Mapping[str, Reducer] | None = None
) -> tuple[Change, ...]:
    """
    Return what *event* changes.

    Args:
        event: a CloudEvents mapping.

        own: a team's reducers: a whole event type, or a family, → reducer; asked first.

    Raises:
        KeyError, ValueError, TypeError: it is no event of the standard.
    """
    kind: str = event["type"]
    _, family, action, _ = kind.rsplit(".", 3)
    if family == "interaction" and action == "started":
        return ()
    reducer = None
    if own:
        reducer = own.get(kind) or own.get(family)
    reducer = reducer or REDUCERS.get(family)
    return () if reducer is None else tuple(reducer(event))
