"""
The hot path holds for a moment only, and odd arguments raise into no handler.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import Reason
from cxsdk.testing.clock import FakeClock
from tests.lookup.conftest import Told


def test_what_was_seen_ends_for_who_asks_again_and_again(make: Any) -> None:
    """
    An event that has ended is in no context that is given again, also of sections nobody has.
    """
    clock = FakeClock()
    client = make(Told("crm", {"profile": {"name": "Ada"}}), clock=clock)
    client.context("u1", sections=("profile",), timeout=30)
    with client.interaction("shop.view", customer="u1"):
        pass
    for _ in range(3):
        found = client.context("u1", sections=("interactions",)).interactions
        assert [one.touchpoint for one in found.value] == ["shop.view"]
    clock.advance(1801)
    assert client.context("u1", sections=("interactions",)).interactions.value is None


def test_whom_another_process_forgot_is_not_given_again(make: Any, tmp_path: Path) -> None:
    """
    A process that only asks, and captures nothing, hears of an erasure within a second.
    """
    clock = FakeClock()
    spool = {"spool": cx.SpoolOptions(mode="mmap", directory=tmp_path / "spool")}
    one = make(Told("crm", {"profile": {"name": "Ada"}}), client=spool, clock=clock)
    other = make(Told("crm", {"profile": {"name": "Ada"}}), client=spool, clock=clock)
    for _ in range(3):
        assert other.context("u1", sections=("profile",), timeout=30).profile.name == "Ada"
    one.forget("u1")
    clock.advance(2)
    asked = other.context("u1", sections=("profile",))
    many = other.contexts(["u1"], sections=("profile",))["u1"]
    peeked = other.peek("u1", sections=("profile",))
    assert {one.profile.reason for one in (asked, many, peeked)} == {Reason.FORGOTTEN}


@pytest.mark.parametrize("customers", [None, 5, iter([["a"], "u1"])], ids=["none", "int", "list"])
def test_a_batch_of_what_is_none_raises_nothing(make: Any, customers: Any) -> None:
    """
    What cannot be walked over is nobody, what cannot be a key is left out.
    """
    client = make(Told("crm", {"orders": 1}))
    found = client.contexts(customers, sections=("orders",), timeout=30)
    assert [ctx["orders"].value for ctx in found.values()] in ([], [1])
    assert asyncio.run(client.acontexts(None, sections=("orders",), timeout=30)) == {}


@pytest.mark.parametrize(
    ("sections", "calls"), [("orders", 2), (5, 1), ((), 1), (("other",), 1), ({"orders"}, 2)]
)
def test_invalidate_takes_a_name_alone_and_raises_nothing(
    make: Any, sections: Any, calls: int
) -> None:
    """
    One name is that section, none is none, and what names nothing is said and not raised.
    """
    crm = Told("crm", {"orders": 1})
    client = make(crm)
    client.context("u1", sections=("orders",), timeout=30)
    client.invalidate("u1", sections)
    client.context("u1", sections=("orders",), timeout=30)
    assert crm.calls == calls


@pytest.mark.parametrize(
    "said",
    [
        {"sections": 5},
        {"sections": [["profile"]]},
        {"sections": (None, 1)},
        {"sections": "profile"},
        {"purpose": ["support"]},
        {"assurance": ["verified"]},
        {"timeout": "soon"},
        {"anonymous": ["v-1"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("customer", ["u1", None, b"u1", ["u1"], {"id": 1}, True, "x" * 300])
def test_whatever_is_asked_is_answered_and_can_be_shown(
    make: Any, said: dict[str, Any], customer: Any
) -> None:
    """
    Arguments of another kind raise nothing; what comes of them can be explained.
    """
    client = make(Told("crm", {"profile": {"name": "Ada"}}))
    for ctx in (client.context(customer, **said), asyncio.run(client.acontext(customer, **said))):
        assert ctx.explain().startswith("purpose ")
        assert set(ctx.reasons) == set(ctx)
