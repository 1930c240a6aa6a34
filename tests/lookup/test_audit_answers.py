"""
Whatever providers answer: one section costs no other, and what is not known is never "nothing".
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cxsdk.knowing import ErrorCode, Failed, Found, Reason, SectionPlan
from tests.lookup.conftest import Told


def _down(_: Any) -> Any:
    raise RuntimeError("down")


def test_a_section_with_nothing_in_it_stands_beside_a_refused_one(make: Any) -> None:
    """
    An empty section has no truth, and is given all the same where another one is refused.
    """
    client = make(
        Told("crm", {"problems": [], "health": 1}),
        plans={"health": SectionPlan(purposes=("contract",))},
    )
    ctx = client.context("u1", sections=("health", "problems"), timeout=30)
    assert ctx.reasons == {"health": Reason.PURPOSE_DENIED, "problems": Reason.RESOLVED}


def test_a_peek_does_not_fail_where_something_happened_since_there_was_nothing(make: Any) -> None:
    """
    What was "nothing" before an event is not requested to a peek; other sections are as they were.
    """
    client = make(Told("crm", {"orders": None, "profile": {"name": "Ada"}}))
    client.context("u1", sections=("orders", "profile"), timeout=30)
    with client.interaction("shop.view", customer="u1"):
        pass
    ctx = client.peek("u1", sections=("orders", "profile"))
    assert ctx.reasons == {"orders": Reason.NOT_REQUESTED, "profile": Reason.CACHED}


def test_a_general_word_of_consent_has_its_provider_for_each_purpose(make: Any) -> None:
    """
    One provider says it in general, the other for a purpose: the stricter holds, and who said it.
    """
    general = Told("cmp", {"consent": {"state": "denied"}})
    named = Told("crm", {"consent": {"purposes": {"marketing": {"state": "granted"}}}})
    ctx = make(general, named).context("u1", sections=("consent",), timeout=30)
    assert ctx.consent.value.of("marketing") == "denied"
    assert ctx.provenance("consent", "marketing") == "cmp"


@pytest.mark.parametrize("code", ["auth", "who_knows", None, ["auth"]])
def test_a_failure_with_another_code_is_a_failure(make: Any, kind: type[Told], code: Any) -> None:
    """
    A code as text is read, any other one is general; the context can be shown and explained.
    """
    provider = kind("crm", {"orders": Failed(code=code, message=5)})  # type: ignore[arg-type]
    client = make(provider, workers=1)
    ctx = client.context("u1", sections=("orders",), timeout=30)
    expected = ErrorCode.AUTH if code == "auth" else ErrorCode.GENERAL
    assert (ctx["orders"].reason, ctx["orders"].error_code) == (Reason.ERROR, expected)
    assert expected.value in ctx.explain()


def test_a_time_that_is_none_costs_its_section_only(make: Any, kind: type[Told]) -> None:
    """
    An as_of that is text is a parse error, and the provider answers the next one.
    """
    provider = kind("crm", {"orders": Found(1, as_of="2026")})  # type: ignore[arg-type]
    client = make(provider, workers=1)
    bad = client.context("u1", sections=("orders",), timeout=30)["orders"]
    assert (bad.reason, bad.error_code) == (Reason.ERROR, ErrorCode.PARSE_ERROR)
    provider.answers = {"orders": 1}
    assert client.context("u2", sections=("orders",), timeout=30)["orders"].value == 1


def test_nothing_of_one_and_no_word_of_the_other_is_not_nothing(make: Any) -> None:
    """
    A merge in which one provider has an empty list and the other failed is not known.
    """
    client = make(
        Told("one", {"problems": []}),
        Told("other", _down, sections=("problems",)),
        plans={"problems": SectionPlan(strategy="merge")},
    )
    problems = client.context("u1", sections=("problems",), timeout=30).problems
    assert (problems.known, problems.any(), problems.reason) == (False, None, Reason.ERROR)


def test_nothing_of_one_while_the_other_thinks_is_not_nothing(make: Any) -> None:
    """
    At the deadline an empty list of the quicker provider is no answer of both.
    """
    answered = threading.Event()

    class Quick(Told):
        def fetch(self, request: Any) -> Any:
            answered.set()
            return super().fetch(request)

    slow = Told("slow", {"problems": [{"id": "p1"}]})
    slow.open.clear()
    client = make(
        Quick("quick", {"problems": []}), slow, plans={"problems": SectionPlan(strategy="merge")}
    )
    problems = client.context("u1", sections=("problems",), timeout=0.2).problems
    assert answered.is_set()
    assert (problems.known, problems.any(), problems.reason) == (False, None, Reason.TIMEOUT)


def test_a_default_does_not_hide_a_denial(make: Any) -> None:
    """
    A plan's default stands in for a provider that failed, not for consent that was refused.
    """
    consent = {"consent": {"purposes": {"marketing": {"state": "denied"}}}}
    client = make(
        Told("cmp", consent), Told("crm", {"offers": 1}), plans={"offers": SectionPlan(default=7)}
    )
    for _ in range(2):
        ctx = client.context("u1", sections=("offers",), purpose="marketing", timeout=30)
        assert (ctx["offers"].reason, ctx["offers"].value) == (Reason.CONSENT_DENIED, None)


def test_items_without_a_plain_id_are_not_joined(make: Any) -> None:
    """
    Lists whose ids cannot be compared do not fail a merge: the first provider's stands.
    """
    client = make(
        Told("one", {"orders": [{"id": {"no": 1}}]}),
        Told("other", {"orders": [{"id": "A-1"}]}),
        plans={"orders": SectionPlan(strategy="merge")},
    )
    orders = client.context("u1", sections=("orders",), timeout=30)["orders"]
    assert orders.value == ({"id": {"no": 1}},)
