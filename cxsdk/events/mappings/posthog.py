"""
Events as PostHog takes them: custom events, its survey events, and its identity events.
"""

from __future__ import annotations

import uuid
from typing import Any

from cxsdk._version import __version__
from cxsdk.events.mappings._fact import Fact, Who, envelope, flat, number, title, who

__all__ = ["capture", "event_uuid", "is_survey"]

_NAMESPACE = uuid.UUID("6f0c7a51-7d0b-5c5e-9b52-0f6f3d1a7c44")
"""For ids that are no UUIDs. Never changes: it decides what PostHog takes for the same event."""

_ELSEWHERE = frozenset({"customer", "value", "answers", "traits", "previous"})
_SURVEY_ACTIONS = {"shown": "survey shown", "dismissed": "survey dismissed"}


def capture(fact: Fact) -> dict[str, Any]:
    """
    Return the captured event of *fact*.

    ``uuid``, name, time and ``distinct_id`` are the same however often it is asked: by these four
    PostHog drops what comes twice.
    """
    ids = who(fact.data.get("customer"))
    name, special = _special(fact, ids)
    out: dict[str, Any] = {
        "uuid": event_uuid(fact),
        "event": name,
        "distinct_id": _distinct_id(fact, ids),
        "properties": {**_properties(fact, ids), **special},
    }
    if fact.time:
        out["timestamp"] = fact.time
    return out


def event_uuid(fact: Fact) -> str:
    """
    Return the event's id if it is a UUID, else one made from source and id.
    """
    try:
        return str(uuid.UUID(fact.id))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, f"{len(fact.source)}:{fact.source}{fact.id}"))


def is_survey(fact: Fact) -> bool:
    """
    Say whether PostHog counts *fact* as a survey event, for which it has a quota of its own.
    """
    if fact.family == "feedback":
        return bool(fact.data.get("prompt_id"))
    return fact.family == "prompt" and fact.action in _SURVEY_ACTIONS


def _distinct_id(fact: Fact, ids: Who) -> str:
    if ids.user or ids.anonymous:
        return str(ids.user or ids.anonymous)
    return f"account:{ids.account}" if ids.account else fact.source or "cxsdk"


def _special(fact: Fact, ids: Who) -> tuple[str, dict[str, Any]]:
    """
    Return the event's name, and the properties that PostHog gives a meaning of its own.
    """
    if fact.family == "identity":
        return _identity(fact, ids)
    if not is_survey(fact):
        return title(fact) or "event", {}
    special = {"$survey_id": fact.data["prompt_id"]}
    if "offer_id" in fact.data:
        special["$survey_submission_id"] = fact.data["offer_id"]
    locale = (fact.data.get("where") or {}).get("locale")
    if locale:
        special["$survey_language"] = locale
    if fact.family == "prompt":
        if fact.action == "dismissed":
            # A dismissal after an answer in part is none in PostHog's rates.
            special["$survey_partially_completed"] = "feedback_id" in fact.data
            special |= _met(fact, ids, "dismissed")
        return _SURVEY_ACTIONS[fact.action], special
    return "survey sent", {**special, **_responses(fact), **_met(fact, ids, "responded")}


def _met(fact: Fact, ids: Who, how: str) -> dict[str, Any]:
    """
    Note with the person what PostHog's own clients note, so that it does not ask them again.
    """
    if not (ids.user or ids.anonymous):
        return {}
    return {"$set": {f"$survey_{how}/{fact.data['prompt_id']}": True}}


def _responses(fact: Fact) -> dict[str, Any]:
    """
    Return the answers by index (``$survey_response``, ``$survey_response_1``, …), as PostHog's own
    API clients do, and by question.
    """
    out: dict[str, Any] = {"$survey_completed": fact.data.get("complete", True)}
    questions = []
    for index, answer in enumerate(fact.data.get("answers", ())):
        said = answer.get("value", answer.get("values", answer.get("text")))
        # PostHog reads ratings from text.
        response = said if said is None or isinstance(said, list) else _text(said)
        name = answer["question"]
        questions.append({"id": name, "question": name, "response": response})
        if response is None:
            continue
        out["$survey_response" if index == 0 else f"$survey_response_{index}"] = response
        out[f"$survey_response_{name}"] = response
    return {**out, "$survey_questions": questions}


def _text(said: Any) -> str:
    if isinstance(said, bool):
        return str(said).lower()
    if isinstance(said, float) and said.is_integer():
        return str(int(said))
    return str(said)


def _identity(fact: Fact, ids: Who) -> tuple[str, dict[str, Any]]:
    traits = {"$set": fact.data.get("traits") or {}}
    if fact.action == "identified":
        if ids.user and ids.anonymous:
            return "$identify", {**traits, "$anon_distinct_id": ids.anonymous}
        return "$set", traits
    previous = who(fact.data.get("previous"))
    if fact.action == "linked" and ids.user:
        if previous.user:
            return "$create_alias", {"distinct_id": ids.user, "alias": previous.user}
        if previous.anonymous:
            return "$identify", {**traits, "$anon_distinct_id": previous.anonymous}
    return title(fact), flat({"previous": fact.data.get("previous") or {}})


def _properties(fact: Fact, ids: Who) -> dict[str, Any]:
    customer = fact.data.get("customer") or {}
    rest = {key: item for key, item in customer.items() if key not in {"id", "anonymous_id"}}
    out: dict[str, Any] = {
        "$lib": "cxsdk",
        "$lib_version": __version__,
        # The address that PostHog sees is the service's, not the customer's.
        "$geoip_disable": True,
        **envelope(fact),
        **{f"customer_{key}": item for key, item in rest.items()},
        **flat(fact.data, without=_ELSEWHERE),
    }
    if "answers" in fact.data:
        out["answers"] = fact.data["answers"]
    if fact.traceparent:
        out["cloudevent_traceparent"] = fact.traceparent
    money = fact.data.get("value") or {}
    amount = number(money.get("amount"))
    if amount is not None:
        out |= {"value": amount, "currency": money.get("currency")}
    if not (ids.user or ids.anonymous):
        # Of a service or an account no profile of a person is made.
        out["$process_person_profile"] = False
    return out
