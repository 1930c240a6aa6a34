"""
``cx_context``: what is known of customers is what the test says, and nothing else.
"""

from __future__ import annotations

import asyncio

import pytest

import cxsdk as cx
from cxsdk.errors import SectionUnknownError
from cxsdk.lookup import CallableProvider
from cxsdk.lookup.items import Profile
from cxsdk.testing import Asking, Captured, Knowing


def never(_: str) -> None:
    """
    The application's own source, which no test may ask.
    """
    raise AssertionError("asked")


def test_a_lookup_finds_what_the_test_said(cx_context: Knowing) -> None:
    """Typed sections are typed, others are plain data, an empty list is nothing."""
    cx_context.knows(
        "u-17",
        profile={"name": "Anna", "plan": "gold"},
        orders=[{"id": "A-1", "total": "19.90"}],
        problems=[],
        commitments=[{"kind": "delivery"}, {"id": "c-9", "kind": "warranty"}],
    )
    ctx = cx.context("u-17")

    assert ("Anna", "gold") == (ctx.profile.name, ctx.profile.attributes["plan"])
    assert "19.90" == ctx["orders"][0]["total"]
    assert (True, False) == (ctx.problems.known, ctx.problems.any())
    assert ["commitments-1", "c-9"] == [one.id for one in ctx.commitments]


def test_what_the_test_did_not_say_is_not_known(cx_context: Knowing) -> None:
    """Absence is not "no": a read of it raises and says what to do."""
    cx_context.knows("u-17", profile={"name": "Anna"})
    ctx = cx.context("u-17")

    assert ctx.problems.any() is None
    with pytest.raises(SectionUnknownError, match=r"the test did not say; cx_context.knows\(…\)"):
        bool(ctx.problems)
    with pytest.raises(SectionUnknownError):
        assert cx.context("u-18").profile.name


def test_nothing_is_something_that_is_said(cx_context: Knowing) -> None:
    """Of one section, of one customer, of anybody."""
    cx_context.knows_nothing("u-17", "problems", "orders")
    ctx = cx.context("u-17", sections=("problems", "orders", "profile"))
    assert (False, False, None) == (ctx.problems.any(), ctx["orders"].any(), ctx.profile.any())

    cx_context.knows_nothing()
    assert "not_found" == cx.context("u-99").profile.reason
    cx_context.knows("u-99", profile={"name": "Bo"})
    assert "Bo" == cx.context("u-99").profile.name
    cx_context.knows_nothing("u-99")
    assert cx.context("u-99").profile.any() is False


def test_a_section_that_fails_fails_each_time(cx_context: Knowing) -> None:
    """However often it is asked for: no breaker opens, and another section is not touched."""
    cx_context.knows("u-17", profile={"name": "Anna"}, orders=[{"id": "A-1"}])
    cx_context.fails("orders", code="upstream_5xx")
    for _ in range(30):
        ctx = cx.context("u-17", refresh=True)
        assert ("error", "upstream_5xx") == (ctx["orders"].reason, ctx["orders"].error_code)
        assert "Anna" == ctx.profile.name
    cx_context.knows("u-17", orders=[{"id": "A-2"}])
    assert "A-2" == cx.context("u-17")["orders"][0]["id"]
    assert "error" == cx.context("u-18")["orders"].reason
    with pytest.raises(ValueError, match="nonsense"):
        cx_context.fails("orders", code="nonsense")


def test_everything_may_fail_for_one_customer(cx_context: Knowing) -> None:
    """The others are known as before."""
    cx_context.knows_nothing()
    cx_context.fails(customer="u-17")
    assert ("error", "not_found") == (
        cx.context("u-17").profile.reason,
        cx.context("u-18").profile.reason,
    )


def test_no_source_of_the_application_is_asked(cx_context: Knowing) -> None:
    """Its sections and plans stay; whatever order they are made in."""
    crm = CallableProvider("crm", ("profile", "orders"), never)
    cx.init(
        "shop",
        context=cx.ContextOptions(
            providers=[crm],
            plans={
                "orders": cx.SectionPlan(providers=("crm",), purposes=("support",), limit=1),
                "profile": cx.SectionPlan(default=Profile(name="somebody")),
            },
        ),
    )
    cx_context.knows("u-17", orders=[{"id": "A-1"}, {"id": "A-2"}])

    assert ["A-1"] == [one["id"] for one in cx.context("u-17")["orders"]]
    denied = cx.context("u-17", purpose="contract")["orders"]
    assert "purpose_denied" == denied.reason
    assert "somebody" == cx.context("u-17").profile.name


def test_a_client_of_before_asks_the_test(request: pytest.FixtureRequest) -> None:
    """Also one that somebody holds; and its own sources again when the test is over."""
    crm = CallableProvider("crm", ("profile",), lambda _: {"profile": {"name": "real"}})
    client = cx.init("shop", context=cx.ContextOptions(providers=[crm], timeout=5.0))
    assert "real" == client.context("u-17").profile.name
    knowing: Knowing = request.getfixturevalue("cx_context")
    knowing.knows("u-17", profile={"name": "Anna"})
    assert "Anna" == client.context("u-17").profile.name


def test_a_section_may_be_named_at_any_time(cx_context: Knowing) -> None:
    """Also after the first lookup, and one that no provider ever had."""
    cx_context.knows("u-17", profile={"name": "Anna"})
    assert "unsupported" == cx.context("u-17", sections=("parcels",))["parcels"].reason
    cx_context.knows("u-17", parcels=["p-1"])
    assert ("p-1",) == cx.context("u-17", sections=("parcels",))["parcels"].value
    assert "parcels" in cx.context("u-17")


def test_a_short_deadline_is_no_dice(cx_context: Knowing) -> None:
    """A page that waits for a millisecond gets its answer however slow the machine is."""
    cx_context.knows("u-17", profile={"name": "Anna"})
    assert "Anna" == cx.context("u-17", timeout=1e-6).profile.name


def test_many_and_coroutines_are_told_the_same(cx_context: Knowing) -> None:
    """The calls `acontext` and `contexts`."""
    cx_context.knows("u-17", problems=[{"problem": "defect"}])
    cx_context.knows_nothing("u-18")

    async def look() -> bool | None:
        return (await cx.acontext("u-17")).problems.any()

    assert asyncio.run(look()) is True
    both = cx.contexts(["u-17", "u-18"], sections=("problems",))
    assert [True, False] == [one.problems.any() for one in both.values()]


def test_visitors_are_known_by_their_anonymous_id(cx_context: Knowing) -> None:
    """A customer of the same id is somebody else."""
    cx_context.knows(anonymous="v-1", profile={"locale": "de"})
    assert "de" == cx.context(anonymous="v-1").profile.locale
    assert cx.context("v-1").profile.any() is None
    with pytest.raises(TypeError, match="id of a customer"):
        cx_context.knows(profile={})
    with pytest.raises(TypeError):
        cx_context.knows("u-17", anonymous="v-1", profile={})


def test_what_the_service_just_saw_is_laid_over_it(
    cx_context: Knowing, cx_events: Captured
) -> None:
    """As in production: a problem of a moment ago is there at the next lookup."""
    cx_context.knows("u-17", problems=[])
    cx.problem("defect", severity="major", customer="u-17")

    assert ["defect"] == [one.problem for one in cx.context("u-17").problems]


def test_consent_is_asked_as_in_production(cx_context: Knowing) -> None:
    """A purpose that needs consent has it where the test says so."""
    cx_context.knows("u-17", profile={"name": "Anna"})
    assert "consent_denied" == cx.context("u-17", purpose="marketing").profile.reason
    cx_context.knows("u-17", consent={"purposes": {"marketing": {"state": "granted"}}})
    assert "Anna" == cx.context("u-17", purpose="marketing").profile.name


def test_forgetting_reaches_the_test(cx_context: Knowing, cx_prompts: Asking) -> None:
    """An erasure takes away what the test said."""
    cx_context.knows("u-17", profile={"name": "Anna"})
    receipt = cx.forget("u-17", suppress=False)
    assert receipt.complete
    assert cx.context("u-17").profile.any() is None


@pytest.mark.cx_lenient
def test_a_lenient_read_of_what_is_not_known_is_empty(
    cx_context: Knowing, caplog: pytest.LogCaptureFixture
) -> None:
    """As in production: it is said once, and the page goes on."""
    assert not cx.context("u-17").problems
    assert "problems is not known" in caplog.text
