"""
``capture()`` and what it gives: events, assertions, and what they say when they fail.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from unittest.mock import ANY

import pytest

import cxsdk as cx
from cxsdk import _default
from cxsdk.testing import Captured, capture

# ---- the block ----------------------------------------------------------------------------


def test_a_client_made_by_the_code_under_test_is_strict_too(cx_events: Captured) -> None:
    """An application that calls init inside of the test raises what production would log."""
    made = cx.init("shop", collector="memory:")

    with pytest.raises(cx.InvalidEventError):
        cx.feedback(csat=9, customer="u1")
    with pytest.raises(cx.InvalidEventError):
        made.record("a", customer="")


def test_strictness_ends_with_the_block() -> None:
    """Afterwards such a client is as strict as its settings say."""
    with capture():
        made = cx.init("shop", collector="memory:")

    assert "invalid" == made.feedback(csat=9, customer="u1").reason  # type: ignore[union-attr]
    with capture(strict=False):
        lenient = cx.init("shop", collector="memory:", strict=True)
        assert "invalid" == lenient.feedback(csat=9, customer="u1").reason  # type: ignore[union-attr]
    with pytest.raises(cx.InvalidEventError):
        lenient.feedback(csat=9, customer="u1")


def test_a_client_that_an_earlier_test_closed_is_set_aside() -> None:
    """An application that closes at its end does not blind the tests that follow."""
    closed = cx.init("shop", collector="memory:")
    closed.close(0)
    with capture() as events:
        assert cx.feedback(csat=4, customer="u1")

    assert ["feedback"] == [event.family for event in events]
    assert closed is _default.client()


def test_blocks_may_stand_inside_of_each_other() -> None:
    """Both see the events, and each ends with its own."""
    with capture() as outer:
        with capture() as inner:
            cx.feedback(csat=4, customer="u1")
        cx.reaction("renew", customer="u1")

    assert (["feedback"], ["feedback", "reaction"]) == (
        [event.family for event in inner],
        [event.family for event in outer],
    )


def test_listeners_hear_of_captured_events() -> None:
    """What prompts and a team's own listeners wait for happens in tests as well."""
    heard: list[str] = []
    client = cx.Client("shop", collector="null:", listeners=[lambda event: heard.append(event.id)])
    with capture() as events:
        client.record("checkout.pay", customer="c1")
        with client.interaction("checkout.pay", customer="c1"):
            pass
    assert [event.id for event in events] == heard
    assert len(heard) == 2
    client.close()


# ---- what is expected ---------------------------------------------------------------------


@pytest.fixture
def paid(cx_events: Captured) -> Captured:
    """
    A payment that failed, one that did not, and what the customer said of it.
    """
    with cx.scope(customer="u-17"):
        with cx.interaction("checkout.pay", channel="web", stage="order") as one:
            one.outcome = "failure"
            one.reason = "card_declined"
        with cx.interaction("checkout.pay", channel="web", stage="order") as two:
            two.attributes["method"] = "card"
        cx.feedback(csat=4, text="quick")
        cx.promise("delivery", key="o-1", due_date=date(2026, 3, 1), tz="Europe/Vienna")
    return cx_events


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("interaction", {"outcome": "failure", "reason": "card_declined"}),
        ("interaction", {"outcome": "success", "touchpoint": "checkout.pay", "customer": "u-17"}),
        ("interaction", {"reason": None, "where": {"channel": "web", "stage": "order"}}),
        ("interaction", {"outcome": "success", "where.channel": "web"}),
        ("interaction", {"ext": {"app": {"method": "card"}}}),
        ("interaction", {"ext.app.method": "card", "id": ANY}),
        ("interaction", {"customer": {"id": "u-17"}, "outcome": "success"}),
        ("feedback", {"answers": [{"value": 4, "scale": {"max": 5}}, {"text": "quick"}]}),
        ("feedback", {"answers.0.value": pytest.approx(4.0), "source": "stated"}),
        ("commitment", {"action": "made", "kind": "delivery", "commitment_id": "o-1"}),
    ],
)
def test_what_is_expected_picks_the_event(
    paid: Captured, family: str, expected: dict[str, Any]
) -> None:
    """Fields, blocks, parts of lists and absence are met by exactly one event each."""
    assert [paid.assert_one(family, **expected)] == paid.of(family, **expected)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("interaction", {"outcome": "abandoned"}),
        ("interaction", {"where": {"channel": "web", "medium": "voice"}}),
        ("interaction", {"customer.anonymous_id": "u-17"}),
        ("interaction", {"touchpoint": None}),
        ("interaction", {"goal_met": "yes"}),
        ("interaction", {"goal_met": ANY}),
        ("feedback", {"answers": []}),
        ("feedback", {"answers": [{"value": 4}, {"value": 4}]}),
        ("feedback", {"answers": {"value": 4}}),
        ("reaction", {}),
    ],
)
def test_what_is_not_so_is_not_found(paid: Captured, family: str, expected: dict[str, Any]) -> None:
    """One field that differs, in whatever depth, is enough."""
    paid.assert_none(family, **expected)
    with pytest.raises(AssertionError, match="got none"):
        paid.assert_one(family, **expected)


def test_a_slip_in_an_expectation_is_named(paid: Captured) -> None:
    """It does not pass as "no such event", also where there is none of the family."""
    with pytest.raises(ValueError, match="feedback has no field 'outcome'; it has about, action"):
        paid.assert_none("feedback", outcome="success")
    with pytest.raises(ValueError, match="reaction has no field 'reacton'"):
        paid.assert_none("reaction", reacton="renew")
    with pytest.raises(ValueError, match=r"commitment: expected one of made, .* got 'mad'"):
        paid.assert_sequence("commitment.mad")
    with pytest.raises(ValueError, match="has no field 'customr'"):
        paid.assert_none(customr="u-17")
    with pytest.raises(ValueError, match=r"expected one of interaction, .*, got 'interactions'"):
        paid.assert_one("interactions")


# ---- what is said when it is not so -------------------------------------------------------


def test_one_says_what_was_there_instead(cx_events: Captured) -> None:
    """one() fails with what was captured, and gives the event where there is one."""
    cx.reaction("renew", customer="u1")

    with pytest.raises(AssertionError, match=r"(?s)one feedback, got none.*1  reaction.observed"):
        cx_events.one("feedback")
    assert "renew" == cx_events.one("reaction", "observed").data.reaction


def test_the_nearest_event_is_shown_field_by_field(paid: Captured) -> None:
    """What differs is marked, with both values; what is right stands beside it."""
    with pytest.raises(AssertionError) as failed:
        paid.assert_one(
            "interaction",
            touchpoint="checkout.pay",
            customer="u-18",
            outcome="success",
            where={"channel": "app", "stage": "order"},
        )
    expected = """\
expected one interaction with touchpoint='checkout.pay', customer='u-18', outcome='success', \
where={'channel': 'app', 'stage': 'order'}, got none
nearest is 2, interaction.completed:
    touchpoint     'checkout.pay'
  ! customer       expected 'u-18', got 'u-17'
    outcome        'success'
  ! where.channel  expected 'app', got 'web'
captured, in order:
  1  interaction.completed  checkout.pay  u-17  failure
  2  interaction.completed  checkout.pay  u-17  success
  3  feedback.given         -             u-17  csat=4
  4  commitment.made        -             u-17  delivery"""
    assert expected == str(failed.value)


def test_too_many_are_counted(paid: Captured) -> None:
    """Several where one was expected, and one where none was."""
    with pytest.raises(AssertionError, match="expected one interaction, got 2\ncaptured, in order"):
        paid.one("interaction")
    with pytest.raises(AssertionError, match=r"expected no interaction with outcome='failure', g"):
        paid.assert_none("interaction", outcome="failure")
    with pytest.raises(AssertionError, match="expected no event, got 4"):
        paid.assert_none()
    with pytest.raises(AssertionError, match="expected no event with outcome='success', got 1"):
        paid.assert_none(outcome="success")
    paid.assert_none(customer="u-18")


def test_nothing_captured_is_said(cx_events: Captured) -> None:
    """An empty list is no empty message."""
    cx_events.assert_none()
    with pytest.raises(AssertionError, match=r"expected one problem, got none\ncaptured: nothing$"):
        cx_events.assert_one("problem")


def test_long_values_are_cut(cx_events: Captured) -> None:
    """A message stays readable whatever a customer wrote."""
    cx.feedback(csat=4, text="x" * 5000, customer="u1")

    with pytest.raises(AssertionError) as failed:
        cx_events.assert_one("feedback", answers=[{"value": 3}, {"text": "y"}])
    assert "  ! answers.0.value  expected 3, got 4" in str(failed.value)
    assert "  ! answers.1.text   expected 'y', got 'xxx" in str(failed.value)
    assert max(map(len, str(failed.value).splitlines())) < 300


def test_a_sequence_may_have_others_between(paid: Captured) -> None:
    """Steps are found in their order, and returned."""
    found = paid.assert_sequence(
        {"family": "interaction", "outcome": "failure"},
        {"family": "interaction", "outcome": "success"},
        "commitment.made",
    )
    assert [paid[0], paid[1], paid[3]] == found
    assert [] == paid.assert_sequence()


def test_a_sequence_out_of_order_names_the_step(paid: Captured) -> None:
    """The step that is missing, after what it should have come, and all events."""
    with pytest.raises(AssertionError) as failed:
        paid.assert_sequence("feedback", {"family": "interaction", "touchpoint": "checkout.pay"})
    first, second, *_ = str(failed.value).splitlines()
    assert "step 2, interaction with touchpoint='checkout.pay': none after 3" == first
    assert "captured, in order:" == second
    with pytest.raises(
        AssertionError, match=r"none after 1\nnearest is 2, interaction.completed:\n"
    ):
        paid.assert_sequence("interaction", {"family": "interaction", "outcome": "failure"})
    with pytest.raises(AssertionError, match="step 1, problem: none\ncaptured"):
        paid.assert_sequence("problem", "feedback")


def test_the_list_is_short_where_it_is_shown(paid: Captured) -> None:
    """The fixture is shown beside each failure; models would fill the screen."""
    assert (
        "<Captured ['interaction.completed', 'interaction.completed', 'feedback.given',"
        " 'commitment.made']>"
    ) == repr(paid)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"where.chanel": "web"}, "where has no field 'chanel'; it has channel"),
        ({"where.chanel": None}, "where has no field 'chanel'"),
        ({"where": {"stag": "order"}}, "where has no field 'stag'"),
        ({"customer.idd": "u-1"}, "customer has no field 'idd'"),
        ({"customer": {"idd": "u-1"}}, "customer has no field 'idd'"),
        ({"refs": [{"typ": "order"}]}, "refs.0 has no field 'typ'"),
        ({"refs.0.typ": "order"}, "refs.0 has no field 'typ'"),
        ({"data.where.chanel": "web"}, "data.where has no field 'chanel'"),
    ],
)
def test_a_slip_within_a_block_is_no_silent_pass(expected, words):
    """What no event can have is no expectation, least of all of what is not to be."""
    with capture() as events:
        with cx.interaction("a.b", customer="u-1"):
            pass
    with pytest.raises(ValueError, match=words):
        events.assert_none("interaction", **expected)
    with pytest.raises(ValueError, match=words):
        events.assert_one("interaction", **expected)


def test_names_within_blocks_that_are_free_stay_free():
    """What a team adds has the names that the team gives it."""
    with capture() as events:
        with cx.interaction("a.b", customer="u-1") as contact:
            contact.attributes["cart.items"] = 3
            contact.refs["order"] = "A-1"
    events.assert_one("interaction", refs=[{"type": "order", "id": "A-1"}], **{"refs.0.id": "A-1"})
    events.assert_one("interaction", ext=events[0].data.ext)
    events.assert_none("interaction", **{"ext.anything": 1})


def test_a_list_where_a_mapping_was_expected_is_shown():
    """Else it would look as if nothing were there."""
    with capture() as events:
        with cx.interaction("a.b", customer="u-1") as contact:
            contact.refs["order"] = "A-1"
    with pytest.raises(AssertionError, match=r"! refs +expected .*'A-1'.*, got \[.*'A-1'"):
        events.assert_one("interaction", refs={"order": "A-1"})


def test_a_moment_and_its_text_can_be_told_apart():
    """A text that reads like the moment is not the same, and does not look so."""
    with capture() as events:
        cx.feedback(csat=4, customer="u-1")
    text = events[0].time.isoformat()
    with pytest.raises(AssertionError) as failed:
        events.assert_one("feedback", time=text)
    assert f"expected '{text}', got {text}" in str(failed.value)


def test_an_action_joined_to_its_family_is_told_from_a_wrong_family():
    """It is written so in sequences; elsewhere it is an argument of its own."""
    with capture() as events, pytest.raises(ValueError, match="'interaction', 'completed'"):
        events.assert_one("interaction.completed")
