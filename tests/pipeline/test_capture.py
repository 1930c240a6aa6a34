"""
The steps of capture: processors, listeners, sampling, caps, sizes, and the ledger over all.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Any

import attrs
import pytest

import cxsdk as cx
from cxsdk.events.model import load
from cxsdk.pipeline import capture as capture_module
from cxsdk.pipeline.loss import Losses
from cxsdk.testing import capture


def _balanced(client: cx.Client) -> dict[str, Any]:
    stats = client.stats()
    assert stats["offered"] == stats["accepted"] + sum(stats["refused"].values())
    for sink in stats["sinks"].values():
        kept = sink["delivered"] + sink["in_flight"] + sink["spooled"] + sink["dead_lettered"]
        assert sink["accepted"] + sink["adopted"] == kept + sum(sink["dropped"].values())
    return stats


def test_processors_change_drop_and_fail_closed() -> None:
    """A processor may change or drop an event; one that raises drops it, said once."""

    def process(event: Any) -> Any:
        if event.family == "reaction":
            return None
        if event.family == "feedback":
            raise RuntimeError("boom")
        return attrs.evolve(event, correlationid="set")

    client = cx.Client("shop", collector="memory:", processors=[process])
    with capture() as events:
        with client.interaction("a", customer="u1"):
            pass
        reaction = client.reaction("renew", customer="u1")
        feedback = client.feedback(csat=1, customer="u1")

    assert "set" == events.one("interaction").correlationid
    assert ("processor", "processor") == (reaction.reason, feedback.reason)
    assert 1 == client.stats()["noted"]["processor_error"]


def test_sequence_has_no_gap_over_dropped_events() -> None:
    """Seq counts after all processors, so dropped events leave no gap in a lane."""
    client = cx.Client("shop", processors=[lambda e: None if e.data.where.channel == "web" else e])
    with capture() as events:
        for channel in ("store", "web", "store", "web", "store"):
            client.record("a", customer="u1", channel=channel)

    assert [1, 2, 3] == [event.data.sdk.seq for event in events]


def test_listeners_get_every_accepted_event_and_cannot_break() -> None:
    """Listeners see accepted events; their errors are counted and swallowed."""
    seen: list[str] = []

    def listen(event: Any) -> None:
        seen.append(event.family)
        raise RuntimeError("boom")

    client = cx.Client("shop", collector="null:", listeners=[listen])
    with client.interaction("a", customer="u1"):
        pass
    client.feedback(csat=1, customer="u1")

    assert ["interaction", "feedback"] == seen
    assert 2 == client.stats()["noted"]["listener_error"]
    client.close()


def test_sampling_keeps_whole_sessions_and_only_interactions() -> None:
    """One in N sessions is kept whole, stamped with the rate; nothing else is sampled."""
    client = cx.Client("shop", capture=cx.CaptureOptions(sample=0.1))
    with capture() as events:
        for number in range(2000):
            for _ in range(2):
                with client.scope(customer=f"u{number}", session=f"s{number}"):
                    with client.interaction("a"):
                        pass
        for number in range(50):
            client.feedback(csat=3, customer=f"u{number}")

    kept = events.of("interaction")
    assert {10} == {event.sampledrate for event in kept}
    assert 300 < len(kept) < 500
    sessions = [event.data.session_id for event in kept]
    assert {2} == {sessions.count(session) for session in set(sessions)}
    assert 50 == len(events.of("feedback"))


def test_touchpoints_are_capped(caplog: pytest.LogCaptureFixture) -> None:
    """An id in a touchpoint cannot make endless names: further ones become x_overflow."""
    client = cx.Client("shop", capture=cx.CaptureOptions(max_touchpoints=3))
    with capture() as events:
        for number in range(6):
            with client.interaction(f"order.n{number}", customer="u1"):
                pass

    assert ["order.n0", "order.n1", "order.n2"] + ["x_overflow"] * 3 == events.touchpoints()
    assert 1 == sum("touchpoints" in record.message for record in caplog.records)


def test_a_large_event_is_shortened_then_refused() -> None:
    """Free text gives way first, flagged; what is still too large is dropped before it counts."""
    client = cx.Client("shop")
    with capture() as events:
        with client.interaction("a", customer="u1") as i:
            i.attributes["story"] = "lorem ipsum " * 4000
        client.problem("slow", detail="word " * 1500, attributes={"x": "y" * 30_000}, customer="u1")
        with client.interaction("a", customer="u1") as large:
            large.attributes.update({f"k{n}": "word " * 50 for n in range(400)})

    story, problem = events
    assert 500 == len(story.data.ext["app"]["story"])
    assert story.data.ext["app"]["truncated"] is True
    assert problem.data.ext["app"]["truncated"] is True
    assert "too_large" == large.result.reason


def test_a_loss_record_covers_what_had_its_place_in_the_count() -> None:
    """An event refused after it got its seq is named by a vital loss record."""
    client = cx.Client("shop", collector="memory:")
    with client.interaction("a.b", customer="u1") as i:
        i.attributes.update({f"k{n}": "word " * 50 for n in range(400)})
    assert "too_large" == i.result.reason
    with capture() as events:
        client.flush(0)

    loss = events.one("loss").data
    assert ("too_large", "interaction", "a.b", 1) == (
        loss.reason,
        loss.family,
        loss.touchpoint,
        loss.count,
    )
    client.close()


def test_strange_attribute_values_do_not_cost_the_event() -> None:
    """Objects that JSON cannot carry become their type's name; lone surrogates are replaced."""

    class Cart:
        pass

    with capture() as events:
        with cx.interaction("a", customer="u1") as i:
            i.attributes.update(cart=Cart(), bad="\ud800", deep={"x": [Cart()]}, number=2**70)

    app = events.one("interaction").data.ext["app"]
    assert ("[Cart]", "?", {"x": ["[Cart]"]}) == (app["cart"], app["bad"], app["deep"])


def test_redaction_is_on_everywhere_and_spares_ids() -> None:
    """Addresses and keys are replaced in attributes and words, never in ids and references."""
    with capture() as events:
        with cx.interaction("a", customer="4111111111111111") as i:
            i.attributes.update(mail="me@shop.example", password="hunter2", deep=[{"t": "1.2.3.4"}])
            i.refs["order"] = "4111111111111111"
        cx.feedback(text="my card 4111 1111 1111 1111", customer="u1")

    data = events.one("interaction").data
    assert {"mail": "[email]", "password": "[redacted]", "deep": [{"t": "[ip]"}]} == data.ext["app"]
    assert "4111111111111111" == data.customer.id == data.refs[0].id
    assert "my card [card]" == events.one("feedback").data.answers[0].text


def test_nothing_is_kept_without_a_collector(caplog: pytest.LogCaptureFixture) -> None:
    """Without a collector one INFO line says so and events are dropped with the reason."""
    caplog.set_level(logging.INFO, "cxsdk")
    client = cx.Client("shop")

    assert "no_collector" == client.feedback(csat=1, customer="u1").reason
    assert 1 == sum("no collector" in record.message for record in caplog.records)
    _balanced(client)


def test_after_close_events_are_dropped_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """close() is idempotent; later events are Dropped("closed") with one warning."""
    client = cx.Client("shop", collector="memory:")
    client.close()
    client.close()
    results = [client.feedback(csat=1, customer="u1") for _ in range(3)]

    assert {"closed"} == {result.reason for result in results}
    assert (False, False) == (results[0].durable, results[0].waits)
    assert 1 == sum("after close" in record.message for record in caplog.records)
    assert "off" == client.health().status


def test_init_again_replaces_the_client(caplog: pytest.LogCaptureFixture) -> None:
    """A second init closes the client before it, with a warning."""
    first = cx.init("shop", collector="memory:")
    second = cx.init("shop", collector="memory:")

    assert second is cx.client()
    assert "off" == first.health().status
    assert 1 == sum("init ran again" in record.message for record in caplog.records)


def test_before_init_verbs_do_nothing_and_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without init each verb is dropped; one warning names the place."""
    results = [cx.feedback(csat=1, customer="u1"), cx.record("a", customer="u1")]

    assert {"not_initialised"} == {result.reason for result in results}
    assert 1 == sum(__file__ in record.getMessage() for record in caplog.records)


def test_the_ledger_balances_over_every_way_out() -> None:
    """Offered = accepted + refused, and per sink nothing is unaccounted for."""
    client = cx.Client("shop", collector="memory:")
    for number in range(50):
        with client.interaction("a", customer=f"u{number}" if number % 5 else None):
            pass
        client.feedback(csat=number % 8, customer="u1")
    stats = _balanced(client)
    assert 100 == stats["offered"]
    assert {"no_customer": 10} == {k: v for k, v in stats["refused"].items() if k != "invalid"}
    client.flush(5)
    stats = _balanced(client)
    assert stats["accepted"] == stats["sinks"]["default"]["delivered"]
    client.close()


def test_diversions_leave_no_trace() -> None:
    """capture() takes its diversion away again, also when the block raises."""
    with pytest.raises(KeyError), capture():
        raise KeyError

    assert [] == capture_module.diversions


def _payloads(client: cx.Client) -> list[bytes]:
    spool = client._parts.spool
    assert spool is not None
    lanes = [spool.lease("default", lane, 99, 10**7) for lane in ("bulk", "vital")]
    return [record.payload for lane in lanes for record in lane]


def test_what_a_processor_takes_away_does_not_come_back_with_the_cut() -> None:
    """A large event is processed again after it was shortened, interactions and facts alike."""

    def strip(event: Any) -> Any:
        ext = {"app": {**event.data.ext["app"], "who": "-"}}
        return attrs.evolve(event, data=attrs.evolve(event.data, ext=ext))

    client = cx.Client("shop", collector="memory:", processors=[strip])
    large = {"who": "Ada Lovelace", "story": "lorem ipsum " * 4000}
    with client.interaction("a", customer="u1") as i:
        i.attributes.update(large)
    client.problem("slow", customer="u1", attributes=large)

    payloads = _payloads(client)
    assert 2 == len(payloads)
    for payload in payloads:
        assert b"Lovelace" not in payload
        assert len(payload) < 32_000


def test_a_processor_that_returns_no_event_is_like_one_that_raises() -> None:
    """The event is dropped, counted once, and leaves no gap in the lane."""
    client = cx.Client("shop", collector="memory:", processors=[lambda e: {"id": e.id}])
    with client.interaction("a", customer="u1") as i:
        pass

    assert ("processor", {"processor": 1}) == (i.result.reason, client.stats()["refused"])
    assert 1 == client.stats()["noted"]["processor_error"]
    assert 1 == client._parts.capture._next_bulk()


def test_no_object_is_written_out_field_by_field() -> None:
    """Dataclasses and bytes in attributes become their type's name, dates and ids their text."""

    @dataclasses.dataclass
    class Card:
        holder: str = "me@shop.example"

    loop: dict[str, Any] = {}
    loop["self"] = loop
    odd = {
        "card": Card(),
        "raw": b"me@shop.example",
        "day": dt.date(2026, 1, 2),
        "uid": uuid.UUID(int=1),
        "price": Decimal("1.50"),
        "rate": float("nan"),
    }
    with capture() as events:
        for client in (cx, cx.Client("b", privacy=cx.PrivacyOptions(redact=False))):
            with client.interaction("a", customer="u1") as i:
                i.attributes.update(odd)
            client.record("a", customer="u1", attributes=odd)
        with cx.interaction("a", customer="u1") as i:
            i.attributes["loop"] = loop

    expected = {
        "card": "[Card]",
        "raw": "[bytes]",
        "day": "2026-01-02",
        "uid": str(uuid.UUID(int=1)),
        "price": "1.50",
    }
    *usual, looped = events
    assert [expected] * 4 == [event.data.ext["app"] for event in usual]
    assert "loop" in looped.data.ext["app"]


def test_what_was_expected_and_fingerprints_are_redacted() -> None:
    """Free values beside the attributes are looked at too."""
    with capture() as events:
        with cx.interaction("a", customer="u1") as i:
            i.expect("contact", expected="me@shop.example")
        cx.problem("error", customer="u1", fingerprint="at me@shop.example")

    assert "[email]" == events.one("interaction").data.expectations[0].expected
    assert "at [email]" == events.one("problem").data.fingerprint


def test_an_address_is_no_anonymous_id() -> None:
    """An anonymous id leaves as it is, so what looks like an address is refused, key or not."""
    client = cx.Client("shop", privacy=cx.PrivacyOptions(key=b"0123456789abcdef"))
    with client.scope(anonymous="me@shop.example", consent="granted"):
        assert "customer_is_address" == client.record("a").reason


def test_malformed_touchpoints_take_no_place() -> None:
    """Names that are refused do not use up the cap of those that are right."""
    client = cx.Client("shop", capture=cx.CaptureOptions(max_touchpoints=2))
    with capture() as events:
        for number in range(5):
            client.record(f"/orders/{number}", customer="u1")
        client.record("good", customer="u1")

    assert ["good"] == events.touchpoints()


def test_an_error_after_an_event_was_kept_does_not_refuse_it() -> None:
    """What goes wrong behind the append is noted; the event counts once, as accepted."""
    client = cx.Client("shop", collector="memory:")
    client._parts.capture._on_first = lambda: load(None, {}, "x", strict=True)  # type: ignore[arg-type]
    assert client.feedback(csat=3, customer="u1")
    stats = _balanced(client)
    assert ({}, 1) == (stats["refused"], stats["noted"]["after_error"])


def test_a_loss_that_had_to_wait_keeps_its_time() -> None:
    """A loss record given back for the next try still says when the events were lost."""
    losses = Losses(lambda: 0, lambda: None)
    losses.add("disk", "interaction", "a", 1_000_000_000)
    losses.add("disk", "interaction", "a", 5_000_000_000)
    (before,) = losses.take()
    losses.give_back(before)

    assert [before] == losses.take()


def test_the_first_second_of_1970_has_a_text() -> None:
    """A time below one second is written whole, also as the first of a process."""
    code = "from cxsdk._clock import rfc3339_ns; print(rfc3339_ns(5_000_000))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "1970-01-01T00:00:00.005000Z" == said.stdout.strip()
