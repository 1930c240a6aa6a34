"""
Odd values: none of them costs the event, the host's time, or writes out what nobody looked at.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import numbers
from decimal import Decimal
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.pipeline.plain import MOST_VALUES, plain
from cxsdk.testing import Captured, capture


class Real(float):
    """A subclass of float, as other libraries' numbers are."""


class Whole(int):
    """A subclass of int."""


class Safe(str):
    """A subclass of str, as template engines mark text with."""

    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


@numbers.Integral.register
class Foreign:
    """A whole number of another library, which is no int."""

    def __int__(self) -> int:
        return 7


class Money:
    """Compares with its like only, as most value objects do."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __lt__(self, other: Any) -> bool:
        return self.amount < other.amount


@dataclasses.dataclass
class Price:
    """Has an order with plain numbers, and a field that nobody looked at."""

    amount: int
    buyer: str = "me@shop.example"

    def __lt__(self, other: Any) -> bool:
        return self.amount < other


VALUES = [
    (Real(1.5), 1.5),
    (Whole(2), 2),
    (Safe("gold"), "gold"),
    (Level.HIGH, 3),
    (Foreign(), 7),
    (Money(3), "[Money]"),
    (Price(3), "[Price]"),
    (Decimal("NaN"), "NaN"),
    (Decimal("1.50"), "1.50"),
    (10**5000, "[int]"),
    (-(10**5000), "[int]"),
    (2**70, 2**70),
    (b"abc", "[bytes]"),
    ("\ud800", "?"),
]


@pytest.mark.parametrize(("value", "kept"), VALUES, ids=[type(v).__name__ for v, _ in VALUES])
@pytest.mark.parametrize("nested", [False, True])
def test_an_odd_value_does_not_cost_the_event(
    cx_events: Captured, value: Any, kept: Any, nested: bool
) -> None:
    """Handlers and verbs keep such an attribute as what it is, or as the name of its type."""
    attributes = {"x": [value] if nested else value, "plan": "gold"}
    with cx.interaction("a", customer="u1") as i:
        i.attributes.update(attributes)
    cx.record("a", customer="u1", attributes=attributes)

    expected = {"x": [kept] if nested else kept, "plan": "gold"}
    assert [expected] * 2 == [event.data.ext["app"] for event in cx_events]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("flat", [True, False])
def test_what_has_no_form_is_absent_and_never_null(value: float | None, flat: bool) -> None:
    """None and what is no finite number leave no null on the wire, at any depth."""
    client = cx.Client("shop", collector="memory:")
    attributes = {"x": value, "plan": "gold"} | ({} if flat else {"deep": {"y": [value, 1]}})
    with client.interaction("a", customer="u1") as i:
        i.attributes.update(attributes)
    client.record("a", customer="u1", attributes=attributes)
    records = client._parts.spool.lease("default", "bulk", 9, 10**6)  # type: ignore[union-attr]

    assert 2 == len(records)
    for record in records:
        app = json.loads(record.payload)["data"]["ext"]["app"]
        assert {"plan": "gold"} | ({} if flat else {"deep": {"y": [1]}}) == app
    client.close(0)


def test_a_strange_key_does_not_cost_the_event(cx_events: Captured) -> None:
    """Keys become text that UTF-8 can carry."""
    with cx.interaction("a", customer="u1") as i:
        i.attributes.update({"\ud800": 1, 5: 2})  # type: ignore[dict-item]

    assert {"?": 1, "5": 2} == cx_events.one("interaction").data.ext["app"]


def _size(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def test_a_structure_that_contains_itself_ends() -> None:
    """A tree whose branches know their root becomes a bounded tree, and says where it was cut."""
    root: dict[str, Any] = {}
    root["branches"] = [{"root": root} for _ in range(300)]
    made = plain(root)

    # One more for each level that was open when the bound was met.
    assert MOST_VALUES < _size(made) < MOST_VALUES + 10
    assert "[…]" == made["branches"][-1]


class Counted(dict[str, Any]):
    """A mapping that counts how often it is looked through."""

    looks = 0

    def items(self) -> Any:
        Counted.looks += 1
        return super().items()


def test_no_more_is_looked_at_than_an_event_could_hold() -> None:
    """The number of mappings looked through is bounded, however they contain each other."""
    root = Counted()
    root["branches"] = [Counted(root=root) for _ in range(300)]
    Counted.looks = 0
    with capture(strict=False):
        with cx.interaction("a", customer="u1") as i:
            i.attributes["tree"] = root

    assert Counted.looks <= 2 * MOST_VALUES
    assert i.result is not None
    assert "too_large" == i.result.reason  # type: ignore[union-attr]


def test_subclasses_of_text_and_numbers_are_written_by_every_verb(cx_events: Captured) -> None:
    """Marked text and other libraries' numbers stand on the wire as text and numbers."""
    cx.feedback(csat=Real(4.0), text=Safe("fine"), customer="u1")
    with cx.interaction("a", customer=Safe("u2")) as i:
        i.reason = Safe("no_stock")
        i.expect("share", expected=Real(0.5))

    csat, comment = cx_events.one("feedback").data.answers
    assert (4.0, "fine") == (csat.value, comment.text)
    data = cx_events.one("interaction").data
    assert ("u2", "no_stock", 0.5) == (
        data.customer.id,
        data.reason,
        data.expectations[0].expected,
    )
