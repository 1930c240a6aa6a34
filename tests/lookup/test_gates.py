"""
Purpose, assurance and consent are asked before any provider is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import ErrorCode, Reason, SectionPlan
from cxsdk.testing.clock import FakeClock
from tests.lookup.conftest import Told


def _consent(**purposes: str) -> dict[str, Any]:
    return {"purposes": {name: {"state": state} for name, state in purposes.items()}}


# ---- purpose -------------------------------------------------------------------------------


def test_a_section_is_not_fetched_for_a_purpose_that_its_plan_does_not_name(make: Any) -> None:
    """
    PURPOSE_DENIED, and the provider's own log has no request.
    """
    provider = Told("crm", {"health": {"x": 1}, "plan": "gold"})
    client = make(provider, plans={"health": SectionPlan(purposes=("contract",))})
    ctx = client.context("u1", sections=("health", "plan"), timeout=30)
    assert ctx.reasons == {"health": Reason.PURPOSE_DENIED, "plan": Reason.RESOLVED}
    assert [request.sections for request in provider.requests] == [{"plan"}]


def test_the_provider_is_told_the_purpose_and_purposes_are_cached_apart(make: Any) -> None:
    """
    What was fetched for one purpose is not given for another.
    """
    provider = Told("crm", {"plan": "gold"})
    client = make(provider, client={"purpose": "contract"})
    client.context("u1", sections=("plan",), timeout=30)
    client.context("u1", sections=("plan",), purpose="support", timeout=30)
    client.context("u1", sections=("plan",), purpose="support", timeout=30)
    assert [request.purpose for request in provider.requests] == ["contract", "support"]


@pytest.mark.parametrize("strict", [False, True])
def test_a_section_that_is_refused_takes_no_empty_one_with_it(make: Any, strict: bool) -> None:
    """
    "There are no problems" stands beside PURPOSE_DENIED, fetched and from memory.
    """
    provider = Told("crm", {"health": {"x": 1}, "problems": []})
    plans = {"health": SectionPlan(purposes=("contract",))}
    client = make(provider, plans=plans, client={"strict": strict})
    for reason in (Reason.RESOLVED, Reason.CACHED):
        ctx = client.context("u1", sections=("problems", "health"), timeout=30)
        assert ctx.reasons == {"problems": reason, "health": Reason.PURPOSE_DENIED}
        assert ctx.problems.any() is False


# ---- assurance -----------------------------------------------------------------------------


def test_a_spoofed_header_gets_no_personal_section(make: Any) -> None:
    """
    A scope that only claims who the customer is: ASSURANCE_TOO_LOW, and nobody is asked.
    """
    provider = Told("crm", {"profile": {"name": "Ada"}, "offers": ["10 %"]})
    client = make(provider, plans={"offers": SectionPlan(min_assurance="claimed")})
    client.context("victim", sections=("profile",), timeout=30)
    with cx.scope(customer="victim", assurance="claimed"):
        ambient = client.context(sections=("profile", "offers"), timeout=30)
        named = client.context("victim", sections=("profile",), timeout=30)
        peeked = client.peek("victim", sections=("profile",))
    assert ambient.profile.reason is Reason.ASSURANCE_TOO_LOW
    assert ambient["offers"].value == ("10 %",)
    assert named.profile.value is peeked.profile.value is None
    assert [request.sections for request in provider.requests] == [{"profile"}, {"offers"}]


def test_a_claim_can_be_said_on_the_call(make: Any) -> None:
    """
    ``assurance="claimed"`` withholds what the host has in memory, too.
    """
    client = make(Told("crm", {"profile": {"name": "Ada"}}))
    assert client.context("u1", sections=("profile",), timeout=30).profile.name == "Ada"
    claimed = client.context("u1", sections=("profile",), assurance="claimed")
    assert (claimed.profile.value, claimed.assurance) == (None, "claimed")


def test_a_section_can_want_a_second_factor(make: Any) -> None:
    """
    min_assurance="verified" refuses a plain login.
    """
    client = make(
        Told("bank", {"accounts": [1]}), plans={"accounts": SectionPlan(min_assurance="verified")}
    )
    with cx.scope(customer="u1"):
        assert client.context(sections=("accounts",))["accounts"].value is None
    with cx.scope(customer="u1", assurance="verified"):
        assert client.context(sections=("accounts",), timeout=30)["accounts"].value == (1,)


def test_what_was_shown_to_a_second_factor_is_not_shown_without(make: Any) -> None:
    """
    A context made under one scope is not given again outside of it, nor under another.
    """
    client = make(
        Told("bank", {"accounts": [1]}), plans={"accounts": SectionPlan(min_assurance="verified")}
    )
    for _ in range(3):
        with cx.scope(customer="u1", assurance="verified"):
            shown = client.context("u1", sections=("accounts",), timeout=30)["accounts"]
        assert shown.value == (1,)
        assert client.context("u1", sections=("accounts",))["accounts"].value is None
        assert client.peek("u1", sections=("accounts",))["accounts"].value is None
        with cx.scope(customer="u1", assurance="claimed"):
            assert client.context("u1", sections=("accounts",))["accounts"].value is None


def test_a_visitor_is_asked_about_only_where_a_provider_knows_visitors(make: Any) -> None:
    """
    Providers that do not take anonymous ids are not asked, and it is said.
    """
    crm, web = Told("crm", {"profile": {}}), Told("web", {"pages": [1]}, spaces=("id", "anonymous"))
    client = make(crm, web)
    ctx = client.context(anonymous="v-1", sections=("profile", "pages"), timeout=30)
    assert ctx.reasons == {"profile": Reason.UNSUPPORTED, "pages": Reason.RESOLVED}
    assert (crm.calls, web.requests[0].subjects[0].id) == (0, "v-1")


# ---- consent -------------------------------------------------------------------------------


def test_a_denied_purpose_reaches_no_provider(make: Any) -> None:
    """
    The consent provider is asked first; what it denies is not fetched from anybody.
    """
    consent = Told("cmp", {"consent": _consent(marketing="denied")})
    crm = Told("crm", {"profile": {"name": "Ada"}})
    client = make(consent, crm)
    ctx = client.context("u1", sections=("profile", "consent"), purpose="marketing", timeout=30)
    assert ctx.reasons == {"profile": Reason.CONSENT_DENIED, "consent": Reason.CACHED}
    assert (consent.calls, crm.calls) == (1, 0)


def test_unknown_consent_is_no_consent_for_marketing_and_no_obstacle_for_support(make: Any) -> None:
    """
    Without any word: support goes on, a purpose that needs consent does not.
    """
    crm = Told("crm", {"profile": {"name": "Ada"}})
    client = make(crm)
    assert client.context("u1", sections=("profile",), timeout=30).profile.name == "Ada"
    denied = client.context("u1", sections=("profile",), purpose="marketing", timeout=30)
    assert denied.profile.reason is Reason.CONSENT_DENIED
    assert crm.calls == 1


def test_a_denial_of_that_very_purpose_stops_support_too(make: Any) -> None:
    """
    A purpose that needs no consent is still withheld where the customer said no to it.
    """
    client = make(
        Told("cmp", {"consent": _consent(support="withdrawn")}), Told("crm", {"profile": {}})
    )
    ctx = client.context("u1", sections=("profile",), timeout=30)
    assert ctx.profile.reason is Reason.CONSENT_DENIED


def test_the_most_restrictive_word_wins_over_the_newest(make: Any) -> None:
    """
    One provider grants, another denies: denied, whichever is asked first.
    """
    yes = Told("yes", {"consent": _consent(marketing="granted")})
    no = Told("no", {"consent": _consent(marketing="denied")})
    for order in ((yes, no), (no, yes)):
        crm = Told("crm", {"profile": {}})
        ctx = make(*order, crm).context(
            "u1", sections=("profile",), purpose="marketing", timeout=30
        )
        assert (ctx.profile.reason, crm.calls) == (Reason.CONSENT_DENIED, 0)


def test_a_grant_is_not_believed_while_one_who_might_deny_is_not_heard(make: Any) -> None:
    """
    A consent provider that fails leaves consent unknown, also where another one grants.
    """

    def fails(_: Any) -> Any:
        raise ConnectionError

    grants = Told("grants", {"consent": _consent(marketing="granted")})
    fails_ = Told("fails", fails, sections=("consent",))
    crm = Told("crm", {"profile": {}})
    ctx = make(grants, fails_, crm).context(
        "u1", sections=("profile", "consent"), purpose="marketing", timeout=30
    )
    assert ctx.profile.reason is Reason.CONSENT_DENIED
    assert ctx.consent.error_code is ErrorCode.CONNECTION
    assert crm.calls == 0


def test_a_grant_is_not_served_stale_for_longer_than_a_minute(make: Any) -> None:
    """
    While the consent provider is down, an old grant ends after 60 seconds; a denial does not.
    """
    clock = FakeClock()
    consent = Told("cmp", {"consent": _consent(marketing="granted")})
    crm = Told("crm", {"profile": {"name": "Ada"}})
    plans = {"consent": SectionPlan(ttl=20, stale_for=3600), "profile": SectionPlan(ttl=9999)}
    client = make(consent, crm, clock=clock, plans=plans)

    def look(who: str) -> Any:
        return client.context(who, sections=("profile",), purpose="marketing", timeout=30).profile

    assert look("u1").name == "Ada"

    def fails(_: Any) -> Any:
        raise ConnectionError

    consent.answers = fails
    clock.advance(45)
    assert look("u1").name == "Ada"
    clock.advance(30)
    assert look("u1").reason is Reason.CONSENT_DENIED


def test_what_the_scope_and_the_customer_say_counts(make: Any) -> None:
    """
    A scope's denial withholds; a denial said a moment ago holds at once, over a provider's grant.
    """
    consent = Told("cmp", {"consent": _consent(marketing="granted")})
    crm = Told("crm", {"profile": {"name": "Ada"}})
    client = make(consent, crm)
    said = {"sections": ("profile",), "purpose": "marketing", "timeout": 30}
    assert client.context("u1", **said).profile.name == "Ada"
    with cx.scope(customer="u1", consent="denied"):
        assert client.context(**said).profile.reason is Reason.CONSENT_DENIED
    assert client.context("u1", **said).profile.name == "Ada"
    client.consent("denied", customer="u1", purposes=("marketing",))
    assert client.context("u1", **said).profile.reason is Reason.CONSENT_DENIED
    assert client.context("u1", sections=("profile",), timeout=30).profile.name == "Ada"


def test_a_grant_that_has_run_out_is_unknown(make: Any) -> None:
    """
    ``expires_at`` in the past: no consent.
    """
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    said = {"purposes": {"marketing": {"state": "granted", "expires_at": past}}}
    crm = Told("crm", {"profile": {}})
    client = make(Told("cmp", {"consent": said}), crm)
    ctx = client.context("u1", sections=("profile",), purpose="marketing", timeout=30)
    assert (ctx.profile.reason, crm.calls) == (Reason.CONSENT_DENIED, 0)


# ---- input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("customer", ["", "null", "0", "x" * 300, "a\nb", 1.5, True, object()])
def test_a_junk_id_is_no_customer(make: Any, customer: Any, caplog: Any) -> None:
    """
    Placeholders and things that are no id are asked about nowhere, and said once without the id.
    """
    crm = Told("crm", {"profile": {}})
    client = make(crm)
    ctx = client.context(customer, sections=("profile",), timeout=30)
    assert (ctx.profile.reason, ctx.profile.error_code) == (
        Reason.ERROR,
        ErrorCode.INVALID_SUBJECT,
    )
    assert crm.calls == 0
    assert "customer.id" in caplog.text


def test_nobody_is_said(make: Any) -> None:
    """
    Without a customer and without a scope the context is there, and says that nobody was named.
    """
    ctx = make(Told("crm", {"profile": {}})).context(sections=("profile",))
    assert "nobody" in ctx.profile.error_message


def test_a_section_that_nobody_has_is_unsupported_and_says_which_there_are(make: Any) -> None:
    """
    A misspelt section names the known ones.
    """
    ctx = make(Told("crm", {"orders": []}), overlay=False).context("u1", sections=("ordres",))
    assert ctx["ordres"].reason is Reason.UNSUPPORTED
    assert "orders" in ctx["ordres"].error_message


def test_in_strict_mode_a_mistake_of_the_callers_raises(make: Any) -> None:
    """
    Development: a wrong purpose, a string of sections and nobody raise.
    """
    client = make(Told("crm", {"profile": {}}), client={"strict": True})
    for said in ({"purpose": "Not a word"}, {"sections": "profile"}, {"assurance": "sure"}):
        with pytest.raises(cx.InvalidEventError):
            client.context("u1", **said)
    with pytest.raises(cx.InvalidEventError):
        client.context()
