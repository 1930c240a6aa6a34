"""
Whose word, whose assurance and whose data: never those of somebody else, never lost by a link.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import Reason
from tests.lookup.conftest import Told

_OFFERS = {"sections": ("offers",), "purpose": "marketing", "timeout": 30}


def _shop(**more: Any) -> Told:
    return Told("shop", {"offers": 1}, spaces=("id", "anonymous"), **more)


# ---- consent -------------------------------------------------------------------------------


def test_a_grant_for_one_purpose_is_none_for_another(make: Any) -> None:
    """
    Who agreed to analytics a moment ago has not agreed to marketing.
    """
    client = make(_shop())
    client.consent("granted", customer="u1", purposes=("analytics",))
    assert client.context("u1", **_OFFERS)["offers"].reason is Reason.CONSENT_DENIED
    client.consent("granted", customer="u1", purposes=("marketing",))
    assert client.context("u1", **_OFFERS)["offers"].value == 1


def test_a_grant_in_general_is_one_for_every_purpose(make: Any) -> None:
    """
    Who agreed without naming a purpose agreed to marketing, too.
    """
    client = make(_shop())
    client.consent("granted", customer="u1")
    assert client.context("u1", **_OFFERS)["offers"].value == 1


def test_a_visitor_cannot_agree_for_the_customer_of_that_id(make: Any) -> None:
    """
    An anonymous id that is spelled like a customer's id grants nothing for the customer.
    """
    client = make(_shop())
    with cx.scope(anonymous="u1"):
        client.consent("granted")
    assert client.context("u1", **_OFFERS)["offers"].reason is Reason.CONSENT_DENIED


def test_the_consent_of_a_scope_is_that_of_its_visitor(make: Any) -> None:
    """
    What one visitor agreed to does not count for another one who is named inside of the scope.
    """
    client = make(_shop())
    with cx.scope(anonymous="v-1", consent="granted"):
        other = client.context(anonymous="v-2", **_OFFERS)
        own = client.context(**_OFFERS)
    assert (other["offers"].reason, own["offers"].value) == (Reason.CONSENT_DENIED, 1)


@pytest.mark.parametrize("named", [None, "old", "new"])
def test_the_denial_of_a_scope_holds_for_linked_ids(make: Any, named: str | None) -> None:
    """
    A scope that serves an absorbed id says of consent what holds for the customer, however named.
    """
    client = make(Told("cmp", {"consent": {"state": "granted"}}), _shop())
    client.link(keep="new", absorb="old")
    with cx.scope(customer="old", consent="denied"):
        found = client.context(named, **_OFFERS)["offers"]
    assert found.reason is Reason.CONSENT_DENIED


# ---- assurance -----------------------------------------------------------------------------


@pytest.mark.parametrize("named", [None, "victim", " victim ", "alias"])
def test_a_claim_stays_one_however_the_customer_is_named(make: Any, named: str | None) -> None:
    """
    Blanks around an id, or another id of the same customer, make a claim no login.
    """
    crm = Told("crm", {"profile": {"name": "Ada"}})
    client = make(crm)
    client.link(keep="victim", absorb="alias")
    with cx.scope(customer="victim", assurance="claimed"):
        found = client.context(named, sections=("profile",), timeout=30).profile
    assert (found.reason, crm.calls) == (Reason.ASSURANCE_TOO_LOW, 0)


# ---- ids -----------------------------------------------------------------------------------


def test_a_provider_is_asked_for_the_id_without_the_blanks_around_it(make: Any) -> None:
    """
    The same customer is the same to the provider, whoever asks first.
    """
    crm = Told("crm", {"profile": {"name": "Ada"}})
    client = make(crm)
    client.context(" u1 ", sections=("profile",), timeout=30)
    assert client.context("u1", sections=("profile",)).profile.reason is Reason.CACHED
    assert [request.subjects[0].id for request in crm.requests] == ["u1"]


def test_news_of_an_absorbed_id_are_news_of_who_absorbed_it(make: Any) -> None:
    """
    A provider that says an absorbed id changed has the customer fetched again.
    """
    told: list[Any] = []
    crm = Told("crm", {"profile": {"name": "Ada"}}, subscribe=told.append)
    client = make(crm)
    client.link(keep="new", absorb="old")
    client.context("old", sections=("profile",), timeout=30)
    told[0]("old")
    client.context("old", sections=("profile",), timeout=30)
    assert crm.calls == 2


def test_an_export_has_nothing_of_the_next_visitor_at_the_same_device(make: Any) -> None:
    """
    What was done before the login is the customer's; what comes after it under that id is not.
    """
    client = make()
    with cx.scope(anonymous="device-1", consent="granted"), client.interaction("shop.before"):
        pass
    client.identify("u1", anonymous_id="device-1")
    with cx.scope(anonymous="device-1", consent="granted"), client.interaction("shop.after"):
        pass
    shown = client.export("u1")
    touchpoints = [(one["data"].get("where") or {}).get("touchpoint") for one in shown["events"]]
    assert ("shop.before" in touchpoints, "shop.after" in touchpoints) == (True, False)
    assert {"space": "anonymous", "id": "device-1"} in shown["ids"]


def test_a_tombstone_behind_a_torn_line_holds(make: Any, tmp_path: Path) -> None:
    """
    A disk that was full left half a line: the next erasure is written on a line of its own.
    """
    spool = {"spool": cx.SpoolOptions(mode="mmap", directory=tmp_path / "spool")}
    first = make(client=spool)
    first.forget("u1")
    path = next((tmp_path / "spool" / ".forgotten").rglob("tombstones"))
    path.write_bytes(path.read_bytes() + b"0123abc")
    first.forget("u2")
    later = make(client=spool)
    found = later.contexts(["u1", "u2", "u3"], sections=("interactions",))
    assert [ctx.interactions.reason for ctx in found.values()] == [
        Reason.FORGOTTEN,
        Reason.FORGOTTEN,
        Reason.LOCAL,
    ]
