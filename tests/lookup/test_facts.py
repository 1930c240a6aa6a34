"""
Chosen facts on interactions, from memory only; and what an interaction says of context.
"""

from __future__ import annotations

import pytest

import cxsdk as cx
from cxsdk import _default
from cxsdk.lookup.facts import ContextFacts
from cxsdk.testing.conformance.processor import ProcessorConformance
from tests.lookup.conftest import Told

KEY = b"a secret of the team, long enough"
KNOWN = {
    "profile": {"email": "anna@example.com", "plan": "gold", "segments": ["vip"], "big": {"a": 1}},
    "problems": [{"id": "p1"}],
}
CHOSEN = {
    "plan": "profile.attributes.plan",
    "segments": "segments",
    "open_problems": "open_problems",
    "mail": "profile.email",
    "big": "profile.attributes.big",
    "tier": "profile.attributes.tier",
}


@pytest.fixture
def shop(make):
    """Make a client with the processor and a list of its events."""

    def client(crm, *, key=KEY, facts=CHOSEN):
        seen = []
        processor = ContextFacts(None, facts)
        made = make(
            crm,
            timeout=10.0,
            client={
                "privacy": cx.PrivacyOptions(key=key),
                "processors": [processor],
                "listeners": [seen.append],
            },
        )
        processor._client = made
        return made, seen

    return client


@pytest.mark.parametrize("key", [KEY, None], ids=["key", "no key"])
def test_what_was_looked_up_is_on_the_interaction(shop, key):
    """Known and chosen facts stand under the team's namespace; what the event says itself stays."""
    client, seen = shop(Told("crm", KNOWN), key=key)
    client.context("u1")
    with client.interaction("checkout.pay", customer="u1") as pay:
        pay.attributes.update(plan="said", n=1)
    app = seen[-1].data.ext["app"]
    assert {"plan": "said", "n": 1, "segments": ["vip"], "open_problems": 1} == {
        name: value for name, value in app.items() if name != "mail"
    }
    assert "anna" not in str(app)


def test_nobody_is_asked(shop):
    """What is not in memory is left out, and no provider hears of it."""
    crm = Told("crm", KNOWN)
    client, seen = shop(crm)
    with client.interaction("checkout.pay", customer="u1"):
        pass
    assert (None, 0) == (seen[-1].data.ext, crm.calls)
    assert 0 == len(client.knower.engine.people)


def test_only_interactions_get_facts(shop):
    """What the customer said is not mixed with what is known of them."""
    client, seen = shop(Told("crm", KNOWN))
    client.context("u1")
    client.feedback(csat=4, customer="u1")
    assert "feedback" == seen[-1].family
    assert not seen[-1].data.ext


def test_a_claim_gets_no_facts(shop):
    """Who was only named by a header has nothing of the customer's on their events."""
    client, seen = shop(Told("crm", KNOWN))
    client.context("u1")
    with client.scope(customer="u1", assurance="claimed"), client.interaction("checkout.pay"):
        pass
    assert seen[-1].data.ext is None
    with client.scope(customer="u1", assurance="verified"), client.interaction("checkout.pay"):
        pass
    assert "gold" == seen[-1].data.ext["app"]["plan"]


def test_looking_is_not_using(shop):
    """The processor does not make an interaction say that context was there."""
    client, seen = shop(Told("crm", KNOWN))
    client.context("u1")
    with client.interaction("checkout.pay", customer="u1"):
        with client.interaction("checkout.total", customer="u1"):
            pass
    memories = [event.data.memory for event in seen]
    assert [None, None] == [memory and memory.context_available for memory in memories]


def test_the_default_client_is_found_when_it_is_there(shop):
    """A processor is made before `init`; without any client events pass as they are."""
    client, seen = shop(Told("crm", KNOWN))
    client.context("u1")
    with client.interaction("checkout.pay", customer="u1"):
        pass
    event = seen[-1]
    bare = ContextFacts(None, {"x": "plan"})
    assert bare(event) is event
    before = _default.replace(client)
    try:
        assert "gold" == bare(event).data.ext["app"]["x"]
    finally:
        _default.replace(before)


@pytest.mark.parametrize("facts", ["plan", {"plan": 7}, {"plan": "."}, None])
def test_what_names_nothing_is_a_mistake(facts):
    """Said where the processor is made."""
    with pytest.raises(cx.ConfigurationError, match="facts: expected"):
        ContextFacts(None, facts)


class TestContextFactsIsAProcessor(ProcessorConformance):
    """It owes what every processor owes."""

    @pytest.fixture
    def processor(self, make):
        client = make(Told("crm", KNOWN), timeout=10.0)
        client.context("u1")
        return ContextFacts(client, {"plan": "plan", "open_problems": "open_problems"})


# ---- what an interaction says of context --------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "answers", "expected"),
    [
        (lambda c: c.context("u1").profile, KNOWN, (True, True)),
        (lambda c: c.context("u1")["profile"], KNOWN, (True, True)),
        (lambda c: c.context("u1"), KNOWN, (True, False)),
        (lambda c: c.context("u1").explain(), KNOWN, (True, False)),
        (lambda c: c.peek("u1").profile, KNOWN, (False, False)),
        (lambda c: c.context("u1").profile, None, (False, False)),
        (lambda c: None, KNOWN, (None, None)),
    ],
    ids=["read", "by name", "opened", "explained", "not there", "failed", "not looked"],
)
def test_an_interaction_says_whether_context_was_there_and_was_used(make, look, answers, expected):
    """Available: something was known; used: a section was read; absent: nobody looked."""

    def answer(request):
        if answers is None:
            raise ConnectionError
        return {one.id: answers for one in request.subjects}

    seen = []
    client = make(
        Told("crm", answer, sections=tuple(KNOWN)),
        timeout=10.0,
        overlay=False,
        client={"listeners": [seen.append]},
    )
    with client.interaction("support.call", customer="u1"):
        look(client)
    memory = seen[-1].data.memory
    found = (None, None) if memory is None else (memory.context_available, memory.context_used)
    assert expected == found
