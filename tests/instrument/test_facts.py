"""
What verbs are given: a wrong fact is refused by its name, an unusual one is taken for what it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.testing import Captured, capture

NOW = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)

WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("feedback.csat", lambda: cx.feedback(csat="4", customer="u1")),  # type: ignore[arg-type]
    ("feedback.csat", lambda: cx.feedback(csat=True, customer="u1")),
    ("feedback.nps", lambda: cx.feedback(nps=float("nan"), customer="u1")),
    ("feedback.ces", lambda: cx.feedback(ces=[5], customer="u1")),  # type: ignore[arg-type]
    ("feedback.rating", lambda: cx.feedback(rating=("4", 5), customer="u1")),  # type: ignore[arg-type]
    ("feedback.rating", lambda: cx.feedback(rating=(4, "5"), customer="u1")),  # type: ignore[arg-type]
    ("feedback.rating", lambda: cx.feedback(rating=(True, 5), customer="u1")),
    ("key", lambda: cx.record("a", customer="u1", key="")),
    ("key", lambda: cx.record("a", customer="u1", key=" ")),
    ("key", lambda: cx.record("a", customer="u1", key=b"x")),  # type: ignore[arg-type]
    ("key", lambda: cx.record("a", customer="u1", key=True)),  # type: ignore[arg-type]
    ("key", lambda: cx.record("a", customer="u1", key="\ud800")),
    ("key", lambda: cx.record("a", customer="u1", key=object())),  # type: ignore[arg-type]
    ("commitment.key", lambda: cx.commitment("", customer="u1").kept()),
    ("problem.key", lambda: cx.resolved("slow", key=None, customer="u1")),  # type: ignore[arg-type]
    ("commitment.window", lambda: cx.promise("callback", window=5, customer="u1")),  # type: ignore[arg-type]
    ("commitment.window", lambda: cx.promise("callback", window=(NOW,), customer="u1")),  # type: ignore[arg-type]
    ("commitment.kind", lambda: cx.promise(["x"], period="P1D", customer="u1")),  # type: ignore[arg-type]
    (
        "tz",
        lambda: cx.promise("delivery", due_date=NOW.date(), tz="Mars/Olympus", customer="u1"),
    ),
    ("value", lambda: cx.record("a", value=5, customer="u1")),  # type: ignore[arg-type]
    ("value.amount", lambda: cx.record("a", value=(True, "EUR"), customer="u1")),
    ("value.amount", lambda: cx.record("a", value=(b"5", "EUR"), customer="u1")),
    ("problem.error", lambda: cx.problem("error", error="boom", customer="u1")),  # type: ignore[arg-type]
    ("problem.error", lambda: cx.problem("error", error=ValueError, customer="u1")),  # type: ignore[arg-type]
    ("refs", lambda: cx.record("a", refs=["A-1"], customer="u1")),  # type: ignore[arg-type]
    ("refs.order", lambda: cx.record("a", refs={"order": b"x"}, customer="u1")),
    ("attributes", lambda: cx.record("a", attributes="x", customer="u1")),  # type: ignore[arg-type]
    ("identity.consent.purposes[0]", lambda: cx.consent("granted", purposes=5, customer="u1")),  # type: ignore[arg-type]
    ("identity.previous", lambda: cx.link(keep=5, absorb="5")),
    ("customer.id", lambda: cx.record("a", customer={"id": 1})),
    ("customer.id", lambda: cx.record("a", customer=["u1"])),
]


@pytest.mark.parametrize(("field", "call"), WRONG)
def test_a_wrong_argument_is_refused_by_its_name(field: str, call: Callable[[], Any]) -> None:
    """In a running host the event is dropped as invalid, with the name of the field."""
    with capture(strict=False) as events:
        result = call()

    assert ("invalid", field) == (result.reason, result.detail.partition(":")[0])
    assert [] == events


@pytest.mark.parametrize(
    ("amount", "text"), [(Decimal("1E+3"), "1000"), (Decimal(100).normalize(), "100"), (5, "5")]
)
def test_an_amount_is_written_without_an_exponent(
    cx_events: Captured, amount: Decimal | int, text: str
) -> None:
    """A Decimal in any form becomes decimal text, in verbs and in handlers."""
    cx.record("a", value=(amount, "EUR"), customer="u1")
    with cx.interaction("a", customer="u1") as i:
        i.value(amount, "EUR")

    assert [text] * 2 == [event.data.value.amount for event in cx_events]


def test_a_decimal_is_a_number_of_a_scale(cx_events: Captured) -> None:
    """A column of a database gives a Decimal where a form gives a number."""
    cx.feedback(csat=Decimal(4), rating=(Decimal("4.5"), 5), customer="u1")

    assert [4, 4.5] == [answer.value for answer in cx_events.one("feedback").data.answers]


def test_a_key_that_is_a_number_is_its_text(cx_events: Captured) -> None:
    """A promise made under 5 is found under "5", from any process, also as 0."""
    for key in (5, 0):
        cx.promise("callback", period="P1D", key=key, customer="u1")  # type: ignore[arg-type]
        cx.commitment(str(key), customer="u1").kept()
        cx.problem("slow", key=key, customer="u1")  # type: ignore[arg-type]
        cx.resolved("slow", key=str(key), customer="u1")

    ids = [event.subject for event in cx_events]
    assert ["commitment/5"] * 2 + ["problem/5"] * 2 == ids[:4]
    assert ["commitment/0"] * 2 + ["problem/0"] * 2 == ids[4:]


def test_feedback_about_what_current_gives_outside_of_an_interaction(cx_events: Captured) -> None:
    """cx.current() where nothing is open counts as nothing said."""
    cx.feedback(csat=4, about=cx.current(), customer="u1")

    assert cx_events.one("feedback").data.about.relationship is True


def test_a_blank_comment_is_none(cx_events: Captured) -> None:
    """A form's comment field with a blank in it is no answer."""
    cx.feedback(csat=4, text=" \n", customer="u1")

    assert ["csat"] == [answer.question for answer in cx_events.one("feedback").data.answers]


def test_a_reference_without_an_id_is_absent(cx_events: Captured) -> None:
    """None among references is left out, by verbs and by handlers."""
    refs = {"order": None, "invoice": 17}
    cx.record("a", refs=refs, customer="u1")
    with cx.interaction("a", customer="u1") as i:
        i.refs.update(refs)

    assert [[("invoice", "17")]] * 2 == [
        [(ref.type, ref.id) for ref in event.data.refs] for event in cx_events
    ]


@pytest.mark.parametrize("refs", [{"Order Id": "A-1"}, {"order": "x" * 500}, {"order": b"x"}])
def test_a_wrong_reference_of_a_handler_is_left_out(refs: dict[str, Any]) -> None:
    """It is counted and said; the interaction and its other references are kept."""
    client = cx.Client("shop", collector="memory:")
    with capture(strict=False) as events:
        with client.interaction("a", customer="u1") as i:
            i.refs.update({**refs, "invoice": "R-1"})

    assert [("invoice", "R-1")] == [(r.type, r.id) for r in events.one("interaction").data.refs]
    assert 1 == client.stats()["noted"]["field_refused"]
    client.close(0)


@pytest.mark.parametrize("expected", ["60s", None])
def test_an_expected_wait_that_is_no_number_is_kept_as_said(
    cx_events: Captured, expected: str | None
) -> None:
    """Nobody can tell whether it was met, so nothing is said about that."""
    with cx.interaction("a", customer="u1") as i:
        i.expect("wait_ms", expected=expected)
        i.waited(3)

    [said] = cx_events.one("interaction").data.expectations
    assert (expected, None, None) == (said.expected, said.actual, said.met)


def test_true_is_not_the_customer_one() -> None:
    """A flag in place of an id is refused, also after the customer with the id 1 came by."""
    client = cx.Client("shop")
    with capture(strict=False) as events:
        client.record("a", customer=1)
        for _ in range(2):
            assert "invalid" == client.record("a", customer=True).reason
            with client.interaction("a", customer=True) as i:
                pass
            assert "invalid" == i.result.reason  # type: ignore[union-attr]

    assert ["1"] == [event.data.customer.id for event in events]


def test_an_id_of_digits_in_the_form_of_a_uuid_is_no_telephone(cx_events: Captured) -> None:
    """A UUID that happens to have no letter is a customer."""
    cx.record("a", customer="10293847-5612-4312-8312-561234567890")

    assert "10293847-5612-4312-8312-561234567890" == cx_events.one("interaction").data.customer.id


@pytest.mark.parametrize("session", ["", " "])
def test_an_empty_session_is_none(session: str) -> None:
    """Visitors without a cookie are nobody, not one and the same; known customers stay known."""
    client = cx.Client("shop")
    with capture(strict=False) as events, client.scope(session=session, consent="granted"):
        assert "no_customer" == client.record("a").reason
        client.record("a", customer="u1")

    assert [("u1", None)] == [(e.data.customer.id, e.data.session_id) for e in events]


def test_what_happens_in_a_refused_interaction_is_kept_for_its_customer() -> None:
    """An interaction that never began still says whom the facts inside of it concern."""
    with capture(strict=False) as events, cx.scope(customer="outer"):
        with cx.interaction("Not A Token", customer="u1"):
            assert cx.feedback(csat=4)
            with cx.interaction("inner"):
                pass

    assert ["u1", "u1"] == [event.data.customer.id for event in events]


def test_what_happens_in_an_interaction_that_began_before_init_is_kept() -> None:
    """An init in the middle of an interaction costs the interaction, not what follows in it."""
    with cx.scope(customer="outer"), cx.interaction("a", customer="u1"):
        with capture() as events:
            assert cx.feedback(csat=4)

    assert "u1" == events.one("feedback").data.customer.id
