"""
What the timeline of a journey shows of each event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from cxsdk.collector.promises import Promise
from cxsdk.collector.words import due, duration, money, number, party, question, words

__all__ = ["Badge", "Card", "Fact", "cards"]

_LANES = {
    "interaction": "happened",
    "problem": "happened",
    "commitment": "happened",
    "feedback": "perceived",
    "reaction": "did",
}
_TONES = {
    "success": "good",
    "yes": "good",
    "kept": "good",
    "much_better": "good",
    "better": "good",
    "resolved": "good",
    "failure": "bad",
    "no": "bad",
    "broken": "bad",
    "overdue": "bad",
    "much_worse": "bad",
    "worse": "bad",
    "encountered": "bad",
    "partial": "mixed",
    "partly": "mixed",
    "abandoned": "mixed",
    "kept_late": "mixed",
    "at_risk": "mixed",
}
_VERSUS = {
    "much_worse": "much worse than expected",
    "worse": "worse than expected",
    "better": "better than expected",
    "much_better": "much better than expected",
}


@attrs.define(frozen=True)
class Badge:
    """
    A judgement in a word: its tone is good, bad, mixed or plain, and never by colour alone.
    """

    text: str
    tone: str = "plain"


@attrs.define(frozen=True)
class Fact:
    """
    One labelled value.
    """

    label: str
    text: str
    is_code: bool = False


@attrs.define
class Card:
    """
    One event on the timeline; *lane* is happened, perceived, did or none.
    """

    lane: str
    kind: str
    title: str
    time: str
    anchor: str
    promise: str | None = None
    """Id of the promise that it is about."""

    is_named: bool = False
    """Whether the title is a name as it stands in code and filters: a touchpoint."""

    badges: list[Badge] = attrs.Factory(list)
    facts: list[Fact] = attrs.Factory(list)
    fine: list[Fact] = attrs.Factory(list)
    """What one looks up rather than reads: consent, trace, references."""

    quotes: list[str] = attrs.Factory(list)
    links: list[Card] = attrs.Factory(list)
    """The cards of the events on this page that it refers to."""


def _badge(value: str | None, prefix: str = "") -> list[Badge]:
    if value is None:
        return []
    return [Badge(prefix + words(value), _TONES.get(value, "plain"))]


def _interaction(card: Card, data: dict[str, Any], _: Promise | None) -> None:
    card.kind = "contact" if card.kind == "interaction.completed" else "contact begun"
    touchpoint = data.get("where", {}).get("touchpoint")
    card.title = touchpoint or words(data.get("goal") or "contact")
    card.is_named = touchpoint is not None
    card.badges += _badge(data.get("outcome"))
    if data.get("goal_met"):
        card.badges += _badge(data["goal_met"], "goal met: ")
    card.facts.append(Fact("performed by", party(data.get("performed_by"))))
    if data.get("on_behalf_of"):
        card.facts.append(Fact("on behalf of", words(data["on_behalf_of"])))
    if data.get("wait_ms") is not None:
        card.facts.append(Fact("waited", duration(data["wait_ms"])))
    effort = [f"{words(name)} {value}" for name, value in data.get("effort", {}).items()]
    if effort:
        card.facts.append(Fact("effort", ", ".join(effort)))
    memory = data.get("memory", {})
    if memory.get("context_used"):
        card.facts.append(Fact("memory", "we knew the customer"))
    if memory.get("repeat_of"):
        card.facts.append(Fact("memory", "told before"))
    for expected in data.get("expectations", ()):
        _expectation(card, expected)


def _expectation(card: Card, expected: dict[str, Any]) -> None:
    met = {"yes": "met", "no": "not met"}.get(expected.get("met", ""), "not known whether met")
    unit = f" {expected['unit']}" if expected.get("unit") else ""
    said = [
        f"{name} {number(expected[name])}{unit}"
        for name in ("expected", "actual")
        if expected.get(name) is not None
    ]
    text = f"{words(expected['metric'])}: {met}" + (f" ({', '.join(said)})" if said else "")
    card.badges.append(Badge(f"expectation {met}", _TONES.get(expected.get("met", ""), "plain")))
    card.facts.append(Fact("expectation", text))


def _problem(card: Card, data: dict[str, Any], _: Promise | None) -> None:
    is_over = card.kind == "problem.resolved"
    card.kind = "problem solved" if is_over else "problem"
    card.title = words(data["problem"])
    card.badges.append(Badge(words(data["severity"]), "good" if is_over else "bad"))
    seen = "seen by the customer" if data["user_visible"] else "not seen by the customer"
    card.badges.append(Badge(seen))
    if data.get("recovered") is not None:
        card.facts.append(Fact("recovered", "yes" if data["recovered"] else "no"))
    if data.get("count"):
        card.facts.append(Fact("times", str(data["count"])))
    if data.get("resolution"):
        card.facts.append(Fact("resolution", words(data["resolution"])))
    if data.get("detail"):
        card.quotes.append(data["detail"])


def _commitment(card: Card, data: dict[str, Any], promise: Promise | None) -> None:
    state = data["state"]
    card.kind = f"promise {words(state)}"
    card.title = words((promise and promise.kind) or data.get("kind") or "promise")
    if promise is None:
        return
    if state in {"kept", "broken", "at_risk"}:
        card.badges += _badge("kept_late" if state == "kept" and promise.was_late() else state)
    if state in {"made", "revised"}:
        card.badges += _badge(promise.standing_now, "now: ")
        if promise.promised_by:
            card.facts.append(Fact("promised by", party(promise.promised_by)))
    if promise.due_text:
        label = "in force until" if promise.duty == "in_force_until" else "due"
        card.facts.append(Fact(label, due(promise.due_text)))
    if data.get("lateness_ms"):
        card.facts.append(Fact("late by", duration(data["lateness_ms"])))


def _feedback(card: Card, data: dict[str, Any], _: Promise | None) -> None:
    card.kind = "said" if data["source"] == "stated" else "inferred"
    versus = data.get("versus_expectation")
    instrument = data.get("instrument") or "feedback"
    card.title = _VERSUS.get(versus, words(versus)) if versus else question(instrument)
    if versus:
        card.badges.append(Badge("versus expectation", _TONES.get(versus, "plain")))
    for answer in data["answers"]:
        _answer(card, answer, versus)
    asked = "we asked" if data["solicited"] else "on their own"
    card.facts.append(
        Fact("how", asked + (f", {words(data['stage'])}" if data.get("stage") else ""))
    )
    if data.get("over_quota"):
        card.badges.append(Badge("over quota", "mixed"))
    if data.get("supersedes"):
        card.facts.append(Fact("replaces", "an earlier answer"))


def _answer(card: Card, answer: dict[str, Any], title: str | None) -> None:
    label = question(answer["question"])
    scale = answer.get("scale")
    if answer.get("skipped"):
        card.facts.append(Fact(label, "skipped"))
    elif answer.get("value") is not None and answer["value"] != title:
        on = f" on {number(scale['min'])} to {number(scale['max'])}" if scale else ""
        card.facts.append(Fact(label, number(answer["value"]) + on))
    elif answer.get("values"):
        card.facts.append(Fact(label, ", ".join(number(value) for value in answer["values"])))
    if answer.get("text"):
        card.quotes.append(answer["text"])


def _reaction(card: Card, data: dict[str, Any], _: Promise | None) -> None:
    card.kind = "reaction"
    card.title = words(data["reaction"])
    card.badges.append(Badge(words(data["evidence"])))
    if data.get("via"):
        card.facts.append(Fact("via", words(data["via"])))
    if data.get("reason_text"):
        card.quotes.append(data["reason_text"])


def _identity(card: Card, data: dict[str, Any], _: Promise | None) -> None:
    card.kind = "who"
    consent = data.get("consent", {})
    previous = data.get("previous", {})
    before = previous.get("id") or previous.get("anonymous_id") or previous.get("account_id")
    card.title = {
        "identified": "recognised",
        "linked": "joined with another identifier",
        "unlinked": "parted from another identifier",
        "consent_changed": f"consent: {words(consent.get('state', 'unknown'))}",
        "erasure_requested": "asked to be forgotten",
    }[data["op"]]
    if before:
        card.facts.append(Fact("other", before, is_code=True))


def _prompt(card: Card, data: dict[str, Any], _: Promise | None) -> None:
    card.kind = "question"
    card.title = f"{words(data['action'])}: {data['prompt_id']}"
    if data.get("reason"):
        card.facts.append(Fact("reason", words(data["reason"])))


_FILLERS: dict[str, Callable[[Card, dict[str, Any], Promise | None], None]] = {
    "interaction": _interaction,
    "problem": _problem,
    "commitment": _commitment,
    "feedback": _feedback,
    "reaction": _reaction,
    "identity": _identity,
    "prompt": _prompt,
}


def _common(card: Card, event: dict[str, Any], data: dict[str, Any]) -> None:
    where = data.get("where", {})
    # "unknown" is the default of a channel, not something to read on every card.
    place = [
        words(where[name])
        for name in ("channel", "medium", "stage", "location")
        if where.get(name) not in {None, "unknown"}
    ]
    if place:
        card.facts.append(Fact("where", " · ".join(place)))
    if data.get("reason"):
        card.facts.append(Fact("reason", words(data["reason"])))
    if data.get("error"):
        card.facts.append(Fact("error", data["error"]["type"], is_code=True))
    if data.get("value"):
        card.facts.append(Fact("value", money(data["value"])))
    if card.lane == "none":
        return
    for ref in data.get("refs", ()):
        card.fine.append(Fact(words(ref["type"]), ref["id"], is_code=True))
    trace = event.get("traceparent")
    if trace:
        card.fine.append(Fact("trace", trace.split("-")[1], is_code=True))


def _entity(family: str, data: dict[str, Any], event_id: str) -> str:
    return str(data.get(f"{family}_id") or event_id)


def _told(value: Any) -> Any:
    """
    Return a JSON value without its nulls: to the standard they are absent.
    """
    if isinstance(value, dict):
        return {name: _told(item) for name, item in value.items() if item is not None}
    return [_told(item) for item in value] if isinstance(value, list) else value


def cards(bodies: tuple[str, ...], promises: dict[str, Promise]) -> list[Card]:
    """
    Return what to show of each event, in the order given.
    """
    made: list[Card] = []
    consent = None
    anchors: dict[str, Card] = {}
    wires = [_told(msgspec.json.decode(body)) for body in bodies]
    for index, event in enumerate(wires):
        data = event["data"]
        _, family, action, _ = event["type"].rsplit(".", 3)
        card = Card(
            _LANES.get(family, "none"), f"{family}.{action}", family, event["time"], f"e{index}"
        )
        card.promise = data.get("commitment_id")
        _FILLERS[family](card, data, promises.get(card.promise or ""))
        _common(card, event, data)
        state = data.get("consent", {}).get("state", consent)
        # Said where it changes: on every card it would hide the change.
        if state != consent and card.lane != "none":
            card.fine.append(Fact("consent", words(state)))
        consent = state
        made.append(card)
        entity = _entity(family, data, event["id"])
        if family == "interaction":
            anchors[entity] = anchors[event["id"]] = card
    for card, event in zip(made, wires, strict=True):
        about = event["data"].get("about") or {}
        named = [*about.get("interaction_ids", ()), *about.get("event_ids", ())]
        named += [event["data"].get("made_in"), event["data"].get("interaction_id")]
        found = {anchors[name].anchor: anchors[name] for name in named if name in anchors}
        card.links = [link for link in found.values() if link is not card]
    return made
