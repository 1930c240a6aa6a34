"""
What a customer was asked, and came for in vain, is found again for as long as it matters.
"""

from __future__ import annotations

import pytest

from cxsdk.lookup.asks import ASKED_S, UNMET_S, Asks, is_unmet, told
from cxsdk.lookup.items import Interaction
from tests.lookup import wires

KEY = ("id", "u1")
REFS = [{"type": "order", "id": "A-1"}]
MATTER = ("checkout.pay", "order", "A-1")


def test_a_question_is_found_for_thirty_days() -> None:
    """It is the last interaction that asked it; the one that asks now does not count."""
    asks = Asks()
    asks.add(KEY, ("order_number",), "i1", 1000)
    asks.add(KEY, ("order_number",), "i2", 2000)

    assert "i2" == asks.asked(KEY, "order_number", "now", 2000 + ASKED_S)
    assert asks.asked(KEY, "order_number", "now", 2001 + ASKED_S) is None
    assert asks.asked(KEY, "order_number", "i2", 2000) is None
    assert asks.asked(KEY, "birthday", "now", 2000) is None
    assert asks.asked(("id", "u2"), "order_number", "now", 2000) is None


def test_a_contact_in_vain_is_found_for_seven_days_at_its_touchpoint() -> None:
    """The same touchpoint and the same thing; another thing is another story."""
    asks = Asks()
    asks.add(KEY, MATTER, "i1", 1000)

    assert "i1" == asks.unmet(KEY, "checkout.pay", REFS, "now", 1000 + UNMET_S)
    assert asks.unmet(KEY, "checkout.pay", REFS, "now", 1001 + UNMET_S) is None
    assert asks.unmet(KEY, "checkout.ship", REFS, "now", 1000) is None
    assert asks.unmet(KEY, "checkout.pay", [{"type": "order", "id": "B"}], "now", 1000) is None


def test_what_was_met_since_is_no_repeat() -> None:
    """A contact that gave the customer what they came for ends the story."""
    asks = Asks()
    asks.add(KEY, MATTER, "i1", 1000)
    assert asks.add(KEY, MATTER, "i2", 2000, counts=False)

    assert asks.unmet(KEY, "checkout.pay", REFS, "now", 3000) is None


@pytest.mark.parametrize(
    ("outcome", "goal_met", "expected"),
    [
        ("success", None, False),
        ("success", "no", True),
        ("success", "partly", True),
        ("failure", None, True),
        ("abandoned", "unknown", True),
        ("partial", None, True),
        ("partial", "yes", False),
        (None, None, False),
    ],
)
def test_in_vain_is_what_was_said_to_be(
    outcome: str | None, goal_met: str | None, *, expected: bool
) -> None:
    """The customer's goal decides where it was said, else the outcome."""
    assert expected == is_unmet(outcome, goal_met)


def test_older_news_changes_nothing() -> None:
    """What is read from elsewhere, out of order, does not hide what came later."""
    asks = Asks()
    asks.add(KEY, ("order_number",), "i2", 2000)

    assert not asks.add(KEY, ("order_number",), "i1", 1000)
    assert "i2" == asks.asked(KEY, "order_number", "now", 2000)


def test_interactions_of_a_provider_are_learned_from() -> None:
    """What the CRM knows to have been asked counts like what was asked here."""
    asks = Asks()
    interactions = [
        Interaction(
            id="crm-1",
            at=wires.moment(10),
            touchpoint="checkout.pay",
            outcome="failure",
            refs={"order": "A-1"},
            asked=("order_number",),
        ),
        Interaction(id="crm-2", asked=("birthday",)),
    ]

    asks.learn(KEY, interactions)

    now = wires.moment(20).timestamp()
    assert "crm-1" == asks.asked(KEY, "order_number", "now", now)
    assert "crm-1" == asks.unmet(KEY, "checkout.pay", REFS, "now", now)
    assert asks.asked(KEY, "birthday", "now", now) is None


def test_what_is_told_to_others_is_taken_by_them() -> None:
    """The shared memory carries questions and contacts; what cannot be read is left out."""
    asks = Asks()
    put = [
        told("s", ("order_number",), "i1", 1000, counts=True),
        told("s", MATTER, "i1", 1000, counts=True),
    ]
    broken = told("s", ("birthday",), "i1", 1000, counts=True)
    object.__setattr__(broken, "payload", b"{")

    asks.take(KEY, [*put, broken])

    assert "i1" == asks.asked(KEY, "order_number", "now", 1000)
    assert "i1" == asks.unmet(KEY, "checkout.pay", REFS, "now", 1000)
    assert asks.asked(KEY, "birthday", "now", 1000) is None
    assert [("asked", ASKED_S), ("asked", UNMET_S)] == [(one.shelf, one.keep) for one in put]
    assert "A-1" not in "".join(one.id for one in put)


def test_it_is_bounded_for_each_customer_and_over_all() -> None:
    """The oldest matter of a customer goes first, then the customer of whom nothing is heard."""
    asks = Asks(most=2, max_matters=4)
    for number in range(3):
        asks.add(KEY, (f"q{number}",), "i1", number)
    assert asks.asked(KEY, "q0", "now", 3) is None
    assert "i1" == asks.asked(KEY, "q1", "now", 3)

    for number in range(3):
        asks.add(("id", f"v{number}"), ("q",), "i2", number)
    assert asks.asked(KEY, "q1", "now", 3) is None
    assert 3 == len(asks)


def test_a_link_and_an_erasure_are_followed() -> None:
    """What was asked of the visitor was asked of the customer; of a forgotten one nothing stays."""
    asks = Asks()
    visitor = ("anonymous", "a1")
    asks.add(visitor, ("order_number",), "i1", 1000)
    asks.add(KEY, ("order_number",), "i0", 500)

    asks.rekey(visitor, KEY)
    assert "i1" == asks.asked(KEY, "order_number", "now", 1000)
    assert 1 == len(asks)

    assert 1 == asks.forget([KEY, visitor])
    assert asks.asked(KEY, "order_number", "now", 1000) is None
    assert 0 == len(asks)
