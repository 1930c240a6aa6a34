"""
Write the golden corpus of the current version: ``python tests/events/golden.py``.

A file that exists is never rewritten: golden events are history. One event per file, exactly the
bytes of the encoder. For each action there is a minimal event (required fields only) and a full
one (every field that may stand beside the others), made from the plans; the cases after them are
written by hand.
"""

# ruff: noqa: RUF001 - the corpus holds text of many scripts

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cxsdk.events import vocabulary as v
from cxsdk.events._block import Block, plan
from cxsdk.events.codec import encode, from_wire, schema_urn, subject_of
from cxsdk.events.envelope import Event
from cxsdk.events.families import FAMILIES
from cxsdk.events.kinds import (
    Choice,
    Day,
    Flag,
    Instant,
    Json,
    Listing,
    Number,
    Scalar,
    Text,
    Traits,
    Whole,
)

FOLDER = Path(__file__).parent.parent / "golden"
WHEN = "2026-11-22T09:14:05.120000Z"
LATER = "2026-11-24T11:00:00.000000Z"

_BY_NAME: dict[str, Any] = {
    "to": LATER,
    "min": 0,
    "max": 10,
    "value": 7,
    "skipped": False,
    "due_date": "2026-11-24",
    "locale": "de-AT",
    "lang": "de",
    "tz": "Europe/Vienna",
    "currency": "EUR",
    "amount": "19.90",
    "period": "P2Y",
    "error": {"type": "TimeoutError", "code": "504"},
}


def sample(name: str, kind: Any) -> Any:  # noqa: PLR0911 - a table of kinds
    """
    Return a right JSON value for a field.
    """
    if name in _BY_NAME and not isinstance(kind, Block):
        return _BY_NAME[name]
    if isinstance(kind, Block):
        return full_block(kind.cls)
    if isinstance(kind, Listing):
        return [sample("value" if name == "values" else name.removesuffix("s"), kind.item)]
    if isinstance(kind, Choice):
        return kind.vocabulary.values[0]
    if isinstance(kind, Text):
        if kind.pattern and "{0,4}" in kind.pattern:
            return f"{name}.sample"
        return f"{name} sample" if kind.pii == "free_text" else f"{name}-1"
    if isinstance(kind, Whole):
        return max(kind.least, 3)
    for cls, value in (
        (Number, 0.5),
        (Flag, True),
        (Scalar, "many"),
        (Instant, WHEN),
        (Day, "2026-11-24"),
        (Traits, {"plan": "gold", "age": 3, "vip": False}),
        (Json, {"com.acme": {"flag": True, "deep": {"list": [1, 2.5, None, "x"]}}}),
    ):
        if isinstance(kind, cls):
            return value
    raise TypeError(name)


def full_block(cls: type) -> dict[str, Any]:
    """
    Return every field of a block.
    """
    return {name: sample(name, kind) for _, name, kind, _ in plan(cls).fields}


def minimal_block(cls: type) -> dict[str, Any]:
    """
    Return the required fields of a block, nested ones minimal too.
    """
    out = {}
    for _, name, kind, required in plan(cls).fields:
        if required:
            out[name] = minimal(name, kind)
    if cls.__name__ == "Customer":
        out["id"] = "k7f3a9"
    if cls.__name__ == "About":
        out["interaction_ids"] = ["I-1"]
    if cls.__name__ == "Answer":
        out["text"] = "ok"
    return out


def minimal(name: str, kind: Any) -> Any:
    """
    Return the smallest right JSON value of a field.
    """
    if isinstance(kind, Block):
        return minimal_block(kind.cls)
    if isinstance(kind, Listing):
        return [minimal(name, kind.item)]
    return sample(name, kind)


def event(family: str, action: str, data: dict[str, Any], **envelope: Any) -> dict[str, Any]:
    """
    Return the JSON object of an event around *data*.
    """
    event_id = envelope.pop("id", "019b0001-0000-7000-8000-000000000001")
    return {
        "source": "urn:service:shop",
        "type": f"{envelope.pop('prefix', 'dev.cxsdk')}.{family}.{action}.v1",
        "dataschema": schema_urn(family),
        "id": event_id,
        "subject": subject_of(family, data, event_id),
        "time": WHEN,
        "data": data,
        "specversion": "1.0",
        "datacontenttype": "application/json",
        **envelope,
    }


def _for_action(family: str, action: str, data: dict[str, Any], *, is_full: bool) -> None:
    field = v.ACTION_FIELDS.get(family)
    if field:
        data[field] = action
    if family == "commitment":
        _promise(action, data, is_full=is_full)
    if family == "identity" and not is_full:
        if action in {"linked", "unlinked"}:
            data["previous"] = {"anonymous_id": "s-55"}
        if action == "consent_changed":
            data["consent"] = {"state": "denied"}
    if family == "prompt":
        data.pop("offer_id", None)
        data |= {"reason": "frequency_cap"} if action == "suppressed" else {"offer_id": "O-1"}


def _promise(action: str, data: dict[str, Any], *, is_full: bool) -> None:
    if is_full:
        for name in ("due_at", "due_date", "period"):
            del data[name]
        data["duty"] = "in_force_until" if action == "expired" else "deliver_by"
    elif action == "made":
        data |= {"kind": "callback", "promised_by": {"kind": "company"}, "due_at": LATER}
        data["duty"] = "deliver_by"


def by_rule() -> dict[str, dict[str, Any]]:
    """
    Return a minimal and a full event of each action.
    """
    out = {}
    envelope = {
        name: sample(name, kind)
        for _, name, kind, required in plan(Event).fields
        if not required and name not in {"sampledrate", "specversion", "datacontenttype"}
    }
    envelope["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01"
    for family, cls in FAMILIES.items():
        for action in v.ACTIONS[family]:
            data = minimal_block(cls)
            _for_action(family, action, data, is_full=False)
            out[f"{family}.{action}.minimal"] = event(family, action, data)
            data = full_block(cls)
            _for_action(family, action, data, is_full=True)
            rate = {"sampledrate": 10} if family in {"interaction", "problem"} else {}
            out[f"{family}.{action}.full"] = event(family, action, data, **envelope, **rate)
    return out


WHO = {"id": "k7f3a9", "account_id": "A-100"}
SELF = {"kind": "automated"}


def _interaction(**fields: Any) -> dict[str, Any]:
    return {
        "interaction_id": "I-1",
        "customer": WHO,
        "where": {"channel": "web", "medium": "web_page", "touchpoint": "checkout.pay"},
        "direction": "inbound",
        "performed_by": SELF,
        **fields,
    }


def _commitment(state: str, **fields: Any) -> dict[str, Any]:
    return {"commitment_id": "C-1", "customer": WHO, "state": state, **fields}


def _feedback(*answers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "feedback_id": "F-1",
        "customer": WHO,
        "about": {"interaction_ids": ["I-1"]},
        "answers": list(answers),
        "source": "stated",
        "solicited": True,
        **fields,
    }


def _reaction(reaction: str, **fields: Any) -> dict[str, Any]:
    return {
        "reaction_id": "R-1",
        "reaction": reaction,
        "customer": WHO,
        "evidence": "declared",
        **fields,
    }


def _text(text: str, lang: str) -> dict[str, Any]:
    return _feedback({"question": "why", "text": text, "lang": lang})


def by_hand() -> dict[str, dict[str, Any]]:
    """
    Return the cases that reality brought.
    """
    ces = {"min": 1, "max": 7, "better": "higher"}
    nps = {"min": 0, "max": 10, "better": "higher"}
    made = {"kind": "callback", "promised_by": {"kind": "company"}, "duty": "deliver_by"}
    i, c, f, r = "interaction.completed", "commitment", "feedback.given", "reaction.observed"
    cases: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "partner": (i, _interaction(
            where={"channel": "contact_center", "medium": "voice", "stage": "bill",
                   "touchpoint": "billing.dispute_call", "locale": "de-AT", "tz": "Europe/Vienna"},
            performed_by={"kind": "partner", "partner_role": "outsourcer", "org": "callco",
                          "id": "ag-77"},
            on_behalf_of="acme", goal="correct_invoice", goal_met="partly", outcome="deferred",
            wait_ms=184000, effort={"transfers": 1, "questions_repeated": 2},
            memory={"context_available": True, "context_used": False, "repeat_of": "I-0"},
            expectations=[{"metric": "wait_ms", "expected": 60000, "actual": 184000,
                           "unit": "ms", "basis": "sla", "met": "no"}]),
            {"correlationid": "case-8812"}),
        "purchase": (i, _interaction(
            where={"channel": "store", "medium": "in_person", "touchpoint": "till",
                   "stage": "order"}, value={"amount": "249.00", "currency": "EUR"}), {}),
        "success_but_goal_missed": (i, _interaction(outcome="success", goal_met="no"), {}),
        "own_words": (i, _interaction(outcome="x_parked", where={
            "channel": "x_kiosk", "medium": "x_touch"}), {}),
        "anonymous": (i, _interaction(customer={"anonymous_id": "s-55"}), {}),
        "account_only": (i, _interaction(customer={"account_id": "A-100",
                                                   "kind": "organization"}), {}),
        "ids_only": (i, _interaction(customer={"ids": [
            {"ns": "crm", "id": "4711", "state": "authenticated"}]}), {}),
        "import_unknown_place": (i, _interaction(where={"channel": "unknown",
                                                        "medium": "unknown"}), {}),
        "day_only": (i, _interaction(time_precision="day"), {"recordedtime": LATER}),
        "sampled": (i, _interaction(), {"sampledrate": 100}),
        "traced": (i, _interaction(), {
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01",
            "tracestate": "vendor=a,other=b"}),
        "team_prefix": (i, _interaction(), {"prefix": "com.acme.loyalty"}),
        "ext_emoji": (i, _interaction(ext={"com.acme": {"mood": "👩‍👩‍👧‍👦 ✅", "n": None}}), {}),
        "outbound_message": (i, _interaction(direction="outbound", where={
            "channel": "mobile_app", "medium": "messaging", "touchpoint": "parcel.on_its_way"},
            performed_by={"kind": "ai_agent"}), {}),
        "last_moment": (i, _interaction(), {"time": "9999-12-31T23:59:59.999999Z"}),
        "highest_seq": (i, _interaction(sdk={
            "name": "cxsdk", "version": "0.1.0", "instance": "i1", "lane": "bulk",
            "seq": 2**53 - 1}), {}),
        "short_sdk": (i, _interaction(sdk={"instance": "i1", "lane": "vital", "seq": 0}), {}),
        "anonymous_opt_in": ("problem.encountered", {
            "problem_id": "P-1", "problem": "error", "severity": "major", "user_visible": True,
            "recovered": False, "error": {"type": "InvoiceRenderError", "code": "500"},
            "fingerprint": "a1b2c3d4e5", "count": 1, "interaction_id": "I-0",
            "consent": {"state": "granted", "basis": "consent",
                        "purposes": ["product_improvement"]}}, {}),
        "window": (f"{c}.made", _commitment(
            "made", **{**made, "promised_by": {"kind": "partner", "partner_role": "outsourcer",
                                               "org": "callco"}},
            window={"from": "2026-11-24T08:00:00.000000Z", "to": LATER}, made_in="I-1",
            where={"channel": "contact_center", "medium": "voice", "tz": "Europe/Vienna"}), {}),
        "due_date": (f"{c}.made", _commitment(
            "made", **made, due_date="2026-11-24", about={"refs": [
                {"type": "parcel", "id": "00340434161094021501"}]},
            where={"channel": "web", "medium": "web_page", "tz": "Asia/Tokyo"}), {}),
        "warranty": (f"{c}.made", _commitment(
            "made", kind="warranty", promised_by={"kind": "company"}, duty="in_force_until",
            period="P2Y"), {}),
        "warranty_over": (f"{c}.expired", _commitment("expired", duty="in_force_until"), {}),
        "late": (f"{c}.broken", _commitment("broken", duty="deliver_by", due_at=WHEN,
                                            fulfilled_at=LATER, lateness_ms=179154880), {}),
        "effort_and_why": (f, _feedback(
            {"question": "easy_to_resolve", "dimension": "effort", "value": 2, "scale": ces},
            {"question": "why", "text": "Musste alles zweimal erklären.\n\tWarum?", "lang": "de"},
            scope="transactional", instrument="ces", versus_expectation="worse"), {}),
        "reversed_scale": (f, _feedback({"question": "effort", "value": 1.5, "scale": {
            "min": 1, "max": 5, "better": "lower"}}), {}),
        "relational_nps": (f, _feedback({"question": "recommend", "value": 9, "scale": nps},
                           about={"relationship": True}, scope="relational"), {}),
        "supersedes": (f, _feedback({"question": "recommend", "value": 3, "scale": nps},
                                    supersedes="F-0"), {}),
        "inferred": (f, _feedback({"question": "mood", "dimension": "emotion",
                                   "value": "angry", "confidence": 0.71},
                                  source="inferred", solicited=False), {}),
        "recall": (f, _feedback({"question": "recommend", "value": 6, "scale": nps},
                                prompt_id="nps", offer_id="O-2", stage="recall",
                                echo_of="F-1", elapsed_s=2592000.0,
                                inclusion_probability=0.25, complete=True), {}),
        "several": (f, _feedback({"question": "missing", "values": ["price", "شحن", "x"]},
                                 {"question": "later", "skipped": True}), {}),
        "numbers_of_many": (f, _feedback({"question": "slots", "values": [1, 3], "scale": {
            "min": 1, "max": 4, "better": "middle"}}), {}),
        "emoji": (f, _text("👍🏽 super 👩‍👩‍👧‍👦", "de"), {}),
        "emoji_value": (f, _feedback({"question": "mood", "value": "👩‍🚀"}), {}),
        "rtl": (f, _text("\u202bشكراً جزيلاً\u202c – \u200fרב תודות", "ar"), {}),
        "day_precision": (r, _reaction(
            "complain", via="regulator", time_precision="day", reason="billing.wrong_amount",
            about={"interaction_ids": ["I-1"]}, attribution="asserted",
            value={"amount": "19.90", "currency": "EUR"}),
            {"time": "2026-11-25T00:00:00.000000Z",
             "recordedtime": "2026-11-26T07:30:00.000000Z"}),
        "refund": (r, _reaction("return", value={"amount": "-12000", "currency": "JPY"}), {}),
        "account_linked": ("identity.linked", {
            "identity_id": "L-1", "customer": WHO, "op": "linked",
            "previous": {"anonymous_id": "s-55"}, "assurance": "verified"}, {}),
        "suppressed": ("prompt.suppressed", {
            "prompt_id": "ces", "instrument": "ces", "action": "suppressed",
            "reason": "quiet_hours"}, {}),
        "overflow": ("loss.recorded", {
            "reason": "spool_full", "family": "interaction", "touchpoint": "x_overflow",
            "count": 1200, "from": WHEN, "to": WHEN, "sink": "http"}, {}),
    }  # fmt: skip
    out = {}
    for name, (kind, data, envelope) in cases.items():
        family, action = kind.split(".")
        out[f"{kind}.{name}"] = event(family, action, data, **envelope)
    return out


def main() -> None:
    """
    Write what is missing.
    """
    for name, wire in {**by_rule(), **by_hand()}.items():
        version = wire["dataschema"].rpartition(":")[2]
        path = FOLDER / version / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(encode(from_wire(json.loads(json.dumps(wire)), strict=True)))


if __name__ == "__main__":
    main()
