"""
Flags that heed what is known of a customer, with the real OpenFeature SDK.
"""

from __future__ import annotations

import sys

import pytest
from openfeature import api
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

import cxsdk as cx
from cxsdk.lookup.openfeature import UNKNOWN, evaluation_context
from tests.lookup.conftest import Told

KEY = b"a secret of the team, long enough"
KNOWN = {
    "profile": {"email": "anna@example.com", "plan": "gold", "segments": ["vip"]},
    "problems": [{"id": "p1"}],
    "orders": {"last": {"total": 19.9}},
}


@pytest.fixture
def ctx(make):
    """Return the context of a customer, whose id becomes a pseudonym."""
    client = make(Told("crm", KNOWN), timeout=10.0, client={"privacy": cx.PrivacyOptions(key=KEY)})
    return client.context("kunde-4711")


def test_only_what_is_chosen_goes_out(ctx):
    """The pseudonym, the chosen traits, and nothing else."""
    found = evaluation_context(ctx, attributes=("plan", "segments", "open_problems"))
    assert ctx.wire_id == found.targeting_key
    assert "kunde-4711" not in str(found)
    assert {"plan": "gold", "segments": ["vip"], "open_problems": 1} == found.attributes
    assert {} == evaluation_context(ctx).attributes


def test_what_is_not_known_is_left_out_and_named(ctx):
    """A flag can tell "no" from "nobody knows"."""
    chosen = {"total": "orders.last.total", "tier": "orders.tier", "late": "overdue_commitments"}
    found = evaluation_context(ctx, attributes=chosen, targeting_key="k")
    assert "k" == found.targeting_key
    assert {"total": 19.9, UNKNOWN: ["tier", "late"]} == found.attributes


@pytest.mark.parametrize("attributes", ["plan", ("plan", 7), {"plan": "a..b"}, {"plan": ""}])
def test_what_names_nothing_is_a_mistake(ctx, attributes):
    """A text is no list of names, and a path has no holes."""
    with pytest.raises(cx.ConfigurationError, match="facts: expected"):
        evaluation_context(ctx, attributes=attributes)


def test_no_method_of_a_value_is_a_fact(ctx):
    """A path leads through fields and keys only."""
    chosen = {"a": "profile.__class__.__name__", "b": "profile.attributes.keys", "c": "problems.0"}
    assert {UNKNOWN: ["a", "b", "c"]} == evaluation_context(ctx, attributes=chosen).attributes


def test_a_flag_is_decided_by_plan(ctx):
    """The SDK's own provider sees the plan; without it the default variant is served."""

    def by_plan(flag, context):
        variant = "on" if context.attributes.get("plan") == "gold" else "off"
        return FlagResolutionDetails(
            value=flag.variants[variant], reason=Reason.TARGETING_MATCH, variant=variant
        )

    flag = InMemoryFlag(
        default_variant="off", variants={"on": True, "off": False}, context_evaluator=by_plan
    )
    api.set_provider(InMemoryProvider({"new_desk": flag}))
    try:
        client = api.get_client()
        known = evaluation_context(ctx, attributes=("plan",))
        assert client.get_boolean_value("new_desk", False, known) is True
        nobody = evaluation_context(ctx, attributes=("overdue_commitments",))
        assert client.get_boolean_value("new_desk", False, nobody) is False
    finally:
        api.clear_providers()


def test_without_the_package_the_extra_is_named(ctx, monkeypatch):
    """The hint says what to install."""
    monkeypatch.setitem(sys.modules, "openfeature.evaluation_context", None)
    with pytest.raises(ImportError, match=r"cxsdk\[openfeature\]"):
        evaluation_context(ctx)
