"""
Verbs turn keyword arguments into events of the standard, and refuse what does not fit.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.events import codec
from cxsdk.instrument.outcome import judge
from cxsdk.testing import Captured, capture

UTC = dt.UTC


def test_an_open_interaction_takes_everything_it_may(cx_events: Captured) -> None:
    """What a handler says about its interaction stands on the wire in the standard's terms."""
    with (
        cx.scope(customer="u1", channel="web", locale="de-AT"),
        cx.interaction("checkout.pay") as i,
    ):
        i.goal_met = "partly"
        i.outcome = "partial"
        i.reason = "no_stock"
        i.performed_by = cx.partner("marketplace", org="bazaar")
        i.refs["order"] = "A-1"
        i.attributes["plan"] = "gold"
        i.waited(90)
        i.expect(wait=60, basis="sla")
        i.effort(steps=2, transfers=1)
        i.value(Decimal("19.90"), "EUR")

    data = cx_events.one("interaction").data
    assert ("partly", "partial", "no_stock") == (data.goal_met, data.outcome, data.reason)
    assert ("partner", "marketplace") == (data.performed_by.kind, data.performed_by.partner_role)
    assert [("order", "A-1")] == [(ref.type, ref.id) for ref in data.refs]
    assert {"app": {"plan": "gold"}} == data.ext
    assert 90_000 == data.wait_ms
    [expectation] = data.expectations
    assert (60_000, 90_000, "no") == (expectation.expected, expectation.actual, expectation.met)
    assert (2, 1) == (data.effort.steps, data.effort.transfers)
    assert ("19.90", "EUR") == (data.value.amount, data.value.currency)
    assert ("web", "de-AT") == (data.where.channel, data.where.locale)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("outcome", "great", "success"),
        ("goal_met", "maybe", "partly"),
        ("reason", "Not a token", "lower-case"),
        ("performed_by", "dhl", "cx.partner"),
        ("refs", "A-1", "mapping"),
    ],
)
def test_a_wrong_assignment_is_refused_at_once(
    cx_events: Captured, name: str, value: str, words: str
) -> None:
    """In strict mode an assignment that does not fit raises where it stands."""
    with cx.scope(customer="u1"), cx.interaction("a") as i:
        with pytest.raises(cx.InvalidEventError, match=words):
            setattr(i, name, value)

    assert "success" == cx_events.one("interaction").data.outcome


def test_perception_in_an_interaction_is_refused(cx_events: Captured) -> None:
    """What the customer says cannot be stored in a record of what happened."""
    with pytest.raises(cx.InvalidEventError, match=r"cx\.feedback"):
        with cx.scope(customer="u1"), cx.interaction("a") as i:
            i.csat = 5


def test_a_slip_of_the_pen_costs_neither_host_nor_event() -> None:
    """Outside of strict mode an unknown fact is logged once and the event is kept."""
    with capture(strict=False) as events:
        with cx.scope(customer="u1"), cx.interaction("a") as i:
            i.goalmet = "yes"
            i.value(1.5, "EUR")
            i.outcome = "nonsense"

    assert "success" == events.one("interaction").data.outcome


def test_outside_of_an_interaction_current_takes_everything() -> None:
    """cx.current() is falsy and harmless where nothing is open."""
    current = cx.current()
    current.goal_met = "yes"
    current.attributes["a"] = 1
    current.expect(wait=3)
    current.effort(steps=1)

    assert not current
    assert current.goal_met is None


def test_feedback_brings_the_scale_of_its_instrument(cx_events: Captured) -> None:
    """Each number carries the scale that its instrument defines."""
    cx.feedback(csat=4, nps=9, ces=5, rating=(4, 5), versus_expectation="better", customer="u1")

    answers = {a.question: a for a in cx_events.one("feedback").data.answers}
    assert {
        "csat": (4, 1, 5),
        "nps": (9, 0, 10),
        "ces": (5, 1, 7),
        "rating": (4, 1, 5),
    } == {
        name: (answer.value, answer.scale.min, answer.scale.max)
        for name, answer in answers.items()
        if answer.scale
    }
    assert "better" == cx_events.one("feedback").data.versus_expectation


def test_feedback_is_about_the_last_interaction_of_its_scope(cx_events: Captured) -> None:
    """Without about=, feedback refers to the open or last interaction, else the relationship."""
    with cx.scope(customer="u1"):
        cx.feedback(csat=1)
        with cx.interaction("a") as i:
            cx.feedback(csat=2)
        cx.feedback(csat=3)

    first, second, third = (event.data.about for event in cx_events.of("feedback"))
    assert first.relationship is True
    assert (i.interaction_id,) == second.interaction_ids == third.interaction_ids


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cx.feedback(csat=9, customer="u1"), "1 to 5"),
        (lambda: cx.feedback(customer="u1"), "csat, nps"),
        (lambda: cx.feedback(rating=4, customer="u1"), "pair"),
        (lambda: cx.reaction("loves_it", customer="u1"), "repurchase"),
        (lambda: cx.reaction("renew", value=(19.9, "EUR"), customer="u1"), "floats"),
        (lambda: cx.promise("delivery", customer="u1"), "due_at, due_date"),
        (
            lambda: cx.promise("delivery", customer="u1", due_at=dt.datetime(2026, 1, 1)),
            "time zone",
        ),
        (
            lambda: cx.promise("delivery", customer="u1", due_date=dt.date(2026, 1, 1)),
            "zone",
        ),
        (lambda: cx.record("a", customer="u1", channel="tv"), "mass media"),
        (lambda: cx.record("a", customer="u1", at=dt.datetime(2026, 1, 1)), "time zone"),
        (lambda: cx.record("a", customer="me@shop.example"), "pseudonym"),
        (lambda: cx.record("a", customer="undefined"), "one customer"),
        (lambda: cx.record("a", customer=""), "printable"),
        (lambda: cx.link(keep="u1", absorb="u1"), "another customer"),
        (lambda: cx.emit("nonsense"), "Event"),
    ],
)
def test_what_does_not_fit_is_refused_with_field_and_expectation(
    cx_events: Captured, call, words: str
) -> None:
    """Strict mode raises an error that says what was expected; nothing is captured."""
    with pytest.raises(cx.InvalidEventError, match=words):
        call()

    assert [] == cx_events


def test_in_production_the_same_is_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without strict the host gets a falsy Dropped with the reason, and one log line."""
    client = cx.Client("shop")
    for _ in range(3):
        result = client.feedback(csat=9, customer="u1")

    assert not result
    assert "invalid" == result.reason
    assert {"invalid": 3} == client.stats()["refused"]
    assert 1 == sum("is refused" in record.message for record in caplog.records)


def test_a_promise_lives_over_processes_by_its_key(cx_events: Captured) -> None:
    """promise() and commitment(key=) name the same commitment; an ending counts once."""
    with cx.scope(customer="u1"):
        cx.promise("delivery", key="order-1", due_date=dt.date(2026, 12, 1), tz="Europe/Vienna")
        promise = cx.commitment("order-1")
        promise.at_risk(reason="weather")
        promise.kept(late_by=3600)
        promise.kept()

    made, risk, kept, again = cx_events.of("commitment")
    assert {"order-1"} == {e.data.commitment_id for e in (made, risk, kept, again)}
    assert ("deliver_by", "Europe/Vienna") == (made.data.duty, made.data.where.tz)
    assert kept.id == again.id != made.id
    assert 3_600_000 == kept.data.lateness_ms


def test_what_became_of_a_promise_is_told_once_under_a_key(cx_events: Captured) -> None:
    """A webhook that comes twice revises once; another word, or another promise, is another event."""
    day = dt.date(2026, 12, 2)
    with cx.scope(customer="u1", tz="Europe/Vienna"):
        for key in ("order-1", "order-1", "order-2"):
            cx.commitment(key).revised(due_date=day, key="msg-1")
            cx.commitment(key).at_risk(key="msg-1")
            cx.commitment(key).paused(key="msg-1")
        unkeyed = [cx.commitment("order-1").revised(due_date=day) for _ in range(2)]

    first, again, other = (cx_events.of("commitment")[at : at + 3] for at in (0, 3, 6))
    assert [event.id for event in first] == [event.id for event in again]
    ids = {event.id for event in (*first, *other)} | {told.id for told in unkeyed}
    assert 8 == len(ids)
    assert {"order-2"} == {event.data.commitment_id for event in other}


def test_a_warranty_is_in_force_and_expires(cx_events: Captured) -> None:
    """What holds until a date ends as expired; its duty says so from the start."""
    with cx.scope(customer="u1", tz="Europe/Vienna"):
        cx.promise("warranty", key="w-1", due_date=dt.date(2028, 1, 1))
        cx.commitment("w-1").expired()

    made, expired = cx_events.of("commitment")
    assert "in_force_until" == made.data.duty
    assert "expired" == expired.action


def test_record_says_who_when_and_under_which_key(cx_events: Captured) -> None:
    """What had no handler of ours is recorded with its own time, party and key."""
    at = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    facts = {
        "customer": "u1",
        "at": at,
        "key": "scan-7",
        "by": cx.partner("carrier", org="dhl"),
        "channel": "field",
        "direction": "outbound",
        "wait": 1.5,
    }
    first = cx.record("parcel.handover", **facts)
    second = cx.record("parcel.handover", **facts)

    assert first.id == second.id
    event = cx_events[0]
    assert at == event.time
    assert event.recordedtime is not None
    assert "dhl" == event.data.performed_by.org
    assert (1500, None) == (event.data.wait_ms, event.data.outcome)


def test_a_problem_knows_its_interaction_and_is_resolved_by_key(cx_events: Captured) -> None:
    """A problem inside an interaction refers to it; resolved() closes it under the same id."""
    with cx.scope(customer="u1"), cx.interaction("checkout.pay") as i:
        cx.problem("slow", key="p-1", error=ValueError("secret"), detail="mail me@shop.example")
    cx.resolved("slow", key="p-1", resolution="refunded", customer="u1")

    encountered, resolved = cx_events.of("problem")
    assert i.interaction_id == encountered.data.interaction_id
    assert "checkout.pay" == encountered.data.where.touchpoint
    assert ("ValueError", "mail [email]") == (
        encountered.data.error.type,
        encountered.data.detail,
    )
    assert "p-1" == encountered.data.problem_id == resolved.data.problem_id


def test_identify_ties_the_visitor_to_the_customer(cx_events: Captured) -> None:
    """identify() carries the anonymous id that the session's events had before."""
    with cx.scope(session="cookie-value", consent="granted"):
        with cx.interaction("browse"):
            pass
        cx.identify("u1", traits={"plan": "gold", "mail": "me@shop.example"})

    visit, identity = cx_events
    assert visit.data.customer.anonymous_id == identity.data.customer.anonymous_id
    assert "u1" == identity.data.customer.id
    assert {"plan": "gold", "mail": "[email]"} == dict(identity.data.traits)
    assert b"cookie-value" not in repr(cx_events).encode()


def test_emit_takes_an_event_made_by_hand(cx_events: Captured) -> None:
    """An Event goes the same way as the verbs: redacted, stamped, its id and time kept."""
    cx.feedback(text="call me@shop.example", customer="u1")
    made = cx_events.pop()
    result = cx.emit(made)

    assert made.id == result.id
    assert made.time == cx_events[0].time
    assert made.data.answers == cx_events[0].data.answers


def test_an_inner_scope_of_another_customer_starts_afresh(cx_events: Captured) -> None:
    """Consent and ids of one customer never reach the events of another."""
    with cx.scope(customer="u1", session="s1", consent="denied", channel="web"):
        with cx.scope(customer="u2"), cx.interaction("a"):
            pass
        with cx.scope(account="acme"), cx.interaction("b"):
            pass

    other, same = (event.data for event in cx_events)
    assert ("u2", None, "web") == (other.customer.id, other.consent, other.where.channel)
    assert ("u1", "acme", "denied") == (
        same.customer.id,
        same.customer.account_id,
        same.consent.state,
    )


def _sent(client: cx.Client) -> list[dict[str, Any]]:
    spool = client._parts.spool
    assert spool is not None
    records = [*spool.lease("default", "bulk", 99, 10**7)]
    records += spool.lease("default", "vital", 99, 10**7)
    return [json.loads(record.payload)["data"] for record in records]


def test_nothing_wrong_that_a_handler_says_reaches_it() -> None:
    """Outside of strict mode a wrong fact is noted, and the handler and its event go on."""
    client = cx.Client("shop", collector="memory:")
    with client.interaction("a", customer="u1") as i:
        i.expect(wait="soon")
        i.outcome = ["success"]
        i.goal_met = {}
        i.error = "call me@shop.example"
        i.wait_ms = "long"
        i.interaction_id = "mine"
        i.result = "mine"
    late = client.commitment("k", customer="u1").kept(late_by="much")
    wait = client.record("a", customer="u1", wait="long")

    assert ("invalid", "invalid") == (late.reason, wait.reason)
    (data,) = _sent(client)
    assert {"error", "wait_ms", "expectations"}.isdisjoint(data)
    assert "success" == data["outcome"]
    assert 7 == client.stats()["noted"]["field_refused"]
    assert cx.current().end() is None


def test_an_enum_that_is_text_is_taken_for_its_text() -> None:
    """A str enum stands on the wire as its value, not as the name that it formats to."""

    class Word(str, enum.Enum):  # noqa: UP042 - a StrEnum formats as its value
        FAILURE = "failure"
        PARTLY = "partly"

    client = cx.Client("shop", collector="memory:")
    with client.interaction("a", customer="u1") as i:
        i.outcome = Word.FAILURE
        i.goal_met = Word.PARTLY

    (data,) = _sent(client)
    assert ("failure", "partly") == (data["outcome"], data["goal_met"])


def test_a_classify_that_fails_leaves_the_hosts_exception() -> None:
    """The handler's own exception passes, and the event is judged without classify."""

    def classify(error: BaseException) -> None:
        raise KeyError("mine")

    client = cx.Client("shop", collector="memory:")
    with pytest.raises(ValueError, match="host"):
        with client.interaction("a", customer="u1", classify=classify):
            raise ValueError("host")
    with pytest.raises(ValueError, match="host"):
        with client.interaction("a", customer="u1", ignore=[ValueError]):  # type: ignore[arg-type]
            raise ValueError("host")

    (data,) = _sent(client)
    assert ("failure", {"type": "ValueError"}) == (data["outcome"], data["error"])


def test_an_interaction_may_be_entered_again() -> None:
    """Each entry is a contact of its own id; entered in itself it leaves nothing ambient."""
    client = cx.Client("shop", collector="memory:")
    contact = client.interaction("a", customer="u1")
    with contact:
        contact.attributes["first"] = True
    with contact:
        pass
    with contact:
        with contact:
            pass

    first, second, _ = _sent(client)
    assert first["interaction_id"] != second["interaction_id"]
    assert "ext" not in second
    assert not cx.current()


def test_another_customer_gets_nothing_of_the_scope() -> None:
    """Who is named on a call inherits no id, session, consent or purpose of somebody else."""
    client = cx.Client("shop", collector="memory:")
    said: dict[str, Any] = {"consent": "granted", "purposes": ["care"]}
    with client.scope(customer=42, account="acc", session="s", **said):
        with client.interaction("a", customer="other"):
            pass
        client.record("a", customer="other")
        with client.scope(customer="other"):
            client.record("a")
        with client.interaction("a", customer="42"):
            pass
    with client.scope(session="s", **said), client.scope(customer="new"):
        client.record("a")

    *others, same, named = _sent(client)
    assert [{"id": "other"}] * 3 == [data["customer"] for data in others]
    for data in others:
        assert {"session_id", "consent"}.isdisjoint(data)
    assert {"id": "42", "account_id": "acc"} == same["customer"]
    assert ["care"] == same["consent"]["purposes"] == named["consent"]["purposes"]
    assert named["session_id"] == same["session_id"]


def test_a_scope_kept_for_many_requests_forgets_the_last() -> None:
    """Feedback in one request is never about the interaction of the request before."""
    client = cx.Client("shop", collector="memory:")
    shared = client.scope(channel="web")
    with shared, client.interaction("a", customer="u1"):
        pass
    with shared:
        client.feedback(csat=3, customer="u2")

    assert {"relationship": True} == _sent(client)[-1]["about"]


@pytest.mark.parametrize(
    ("module", "base", "name", "status", "expected"),
    [
        ("aiohttp.client_exceptions", Exception, "ContentTypeError", 200, "failure"),
        ("aiohttp.web_exceptions", Exception, "HTTPFound", 302, "success"),
        ("tornado.httpclient", Exception, "HTTPClientError", 404, "failure"),
        ("django.http.response", Exception, "Http404", None, "unknown"),
    ],
)
def test_what_another_service_answered_is_not_our_outcome(
    module: str, base: type, name: str, status: int | None, expected: str
) -> None:
    """Statuses of a framework's own client are failures; subclasses count as their class."""
    known = type(name, (base,), {"__module__": module, "status": status})
    own = type("Mine", (known,), {"__module__": "shop"})

    assert (expected, expected) == (
        judge(known(), None, (), None)[0],
        judge(own(), None, (), None)[0],
    )


def test_an_interaction_begun_before_a_fork_ends_in_the_childs_own_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that leaves the block writes nothing into its parent's files."""
    monkeypatch.setenv("CXSDK_SPOOL_MODE", "mmap")
    spool = cx.SpoolOptions(mode="mmap", directory=tmp_path)
    client = cx.Client("shop", collector="null:", spool=spool)
    client.record("a", customer="u1")
    theirs = client._parts.capture
    with client.interaction("a", customer="u1") as i:
        pid = os.fork()
    if pid == 0:
        alone = client._parts.capture is not theirs and 1 == client.stats()["accepted"]
        os._exit(0 if alone and i.result.durable else 1)
    _, status = os.waitpid(pid, 0)

    assert 0 == status
    assert 2 == client.stats()["accepted"]
    client.close(10)


def _by_hand(family: str, action: str, data: dict[str, Any]) -> Any:
    wire = {
        "specversion": "1.0",
        "id": "x1",
        "source": "urn:service:crm",
        "type": f"dev.cxsdk.{family}.{action}.v1",
        "dataschema": codec.schema_urn(family),
        "datacontenttype": "application/json",
        "subject": f"{family}/x1",
        "time": "2026-01-01T00:00:00.000000Z",
        "data": data,
    }
    return codec.from_wire(wire, strict=True)


_CALL = {
    "interaction_id": "x1",
    "where": {"channel": "web", "medium": "unknown", "touchpoint": "a.b"},
    "direction": "inbound",
    "performed_by": {"kind": "automated"},
    "ext": {"app": {"plan": "gold"}},
}


def test_no_raw_id_passes_through_emit() -> None:
    """With a key every id of an event made by hand becomes a pseudonym, sessions always."""
    client = cx.Client(
        "shop", collector="memory:", privacy=cx.PrivacyOptions(key=b"0123456789abcdef")
    )
    who = {"id": "RAW", "account_id": "RAW", "ids": [{"ns": "crm", "id": "RAW"}]}
    linked = {
        "identity_id": "x1",
        "op": "linked",
        "customer": {"id": "a"},
        "previous": {"id": "RAW"},
    }
    client.emit(
        _by_hand("interaction", "completed", {**_CALL, "customer": who, "session_id": "RAW"})
    )
    client.emit(_by_hand("identity", "linked", linked))
    with client.scope(session="RAW"):
        client.record("a", customer="RAW")

    handmade, usual, link = _sent(client)
    assert "RAW" not in json.dumps([handmade, link])
    assert (usual["customer"]["id"], usual["session_id"]) == (
        handmade["customer"]["id"],
        handmade["session_id"],
    )


def test_emit_heeds_the_consent_that_the_event_states() -> None:
    """A denial on an event made by hand takes ``ext`` away, and a withdrawal is remembered."""
    client = cx.Client("shop", collector="memory:")
    denied = {"customer": {"id": "u1"}, "consent": {"state": "denied"}}
    client.emit(_by_hand("interaction", "completed", {**_CALL, **denied}))
    client.emit(
        _by_hand(
            "identity",
            "consent_changed",
            {**denied, "identity_id": "x1", "op": "consent_changed", "customer": {"id": "u2"}},
        )
    )
    client.record("a", customer="u2", attributes={"plan": "gold"})

    by_hand, later, _ = _sent(client)
    assert "ext" not in by_hand
    assert "ext" not in later
    assert "denied" == later["consent"]["state"]
