"""
Rules that decide who is asked look at what context knows, and unknown is never "none".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import cxsdk as cx
from cxsdk.knowing import SectionPlan
from cxsdk.lookup.traits import traits_of
from cxsdk.prompts import Prompt, Question
from cxsdk.prompts.rules import Attribute, NoOpenProblem, Segment, TenureAtLeast
from cxsdk.scope import WireId
from tests.lookup.conftest import Told

LONG_AGO = datetime.now(UTC) - timedelta(days=800)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
PROFILE = {
    "locale": "de-AT",
    "created_at": LONG_AGO,
    "plan": "gold",
    "segments": ["vip", "early"],
}
PROMISE = {"id": "c1", "duty": "deliver_by", "due_at": YESTERDAY}
KNOWN = {
    "profile": PROFILE,
    "problems": [{"id": "p1"}, {"id": "p2", "status": "resolved"}],
    "commitments": [PROMISE, {**PROMISE, "id": "c2", "state": "kept"}],
    "feedback": [{"id": "f1", "at": LONG_AGO}, {"id": "f2", "at": YESTERDAY}],
    "consent": {"purposes": {"prompts": {"state": "granted"}}},
}


def prompt(*rules, key="loyalty"):
    """Return a prompt with rules."""
    questions = [Question(id="q")]
    return Prompt(key=key, scope="relational", questions=questions, eligibility=rules)


@pytest.fixture
def asking(make):
    """Make a client with prompts and providers, that waits as long as it takes."""

    def client(*rules, providers=(), context=None, **options):
        return make(
            *providers,
            timeout=10.0,
            client={
                "prompts": cx.PromptOptions(
                    prompts=[prompt(*rules)], store="memory:", deadline=10.0, **options
                )
            },
            **(context or {}),
        )

    return client


def reason(client, customer="u1", **scope):
    """Return why a customer is not asked, empty where they are."""
    with client.scope(customer=customer, **scope):
        return getattr(client.prompts.offer("loyalty"), "reason", "")


# ---- what is known as attributes --------------------------------------------------------------


def test_traits_are_the_profile_and_figures(make):
    """Profile fields, its attributes, since when, and counts of what is open."""
    ctx = make(Told("crm", KNOWN), timeout=10.0).context("u1")
    expected = {
        "customer_since": LONG_AGO,
        "plan": "gold",
        "segments": ("vip", "early"),
        "locale": "de-AT",
        "open_problems": 1,
        "overdue_commitments": 1,
        "last_feedback_at": YESTERDAY,
    }
    assert expected == traits_of(ctx)


def test_what_is_not_known_is_absent(make):
    """A failure, a denial and silence are no zero; an answer of nothing is."""

    def fail(request):
        raise TimeoutError

    assert {} == traits_of(make(Told("crm", fail, sections=tuple(KNOWN))).context("u1"))
    assert {} == traits_of(make(Told("crm", KNOWN)).peek("u1"))
    empty = dict.fromkeys(KNOWN)
    found = traits_of(make(Told("crm", empty), timeout=10.0).context("u1"))
    assert {"open_problems": 0, "overdue_commitments": 0} == found


def test_none_of_a_part_is_not_none_of_all(make):
    """Where the list was cut or one of several providers failed, zero is not known; some are."""

    def fail(request):
        raise TimeoutError

    resolved = [{"id": f"p{n}", "status": "resolved"} for n in range(3)]
    crm = Told("crm", {"problems": resolved})
    one = make(crm, timeout=10.0, plans={"problems": SectionPlan(limit=2)})
    assert {} == traits_of(one.context("u1"))
    two = make(
        crm,
        Told("desk", fail, sections=("problems",)),
        timeout=10.0,
        plans={"problems": SectionPlan(strategy="merge")},
    )
    assert {} == traits_of(two.context("u1"))
    crm.answers = {"problems": [{"id": "p1"}]}
    assert {"open_problems": 1} == traits_of(two.context("u2"))


# ---- prompts ------------------------------------------------------------------------------------


def test_rules_look_at_what_context_knows(asking):
    """Plan, segment and tenure come from the profile, without a function of the team's."""
    rules = (
        Attribute(name="plan", values=("gold",)),
        Segment(name="vip"),
        TenureAtLeast(seconds=86_400.0),
    )
    client = asking(*rules, providers=[Told("crm", KNOWN)])
    assert "" == reason(client)
    other = asking(Attribute(name="plan", values=("basic",)), providers=[Told("crm", KNOWN)])
    assert "not_in_segment" == reason(other)


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ([], ""),
        (None, ""),
        ([{"id": "p1", "status": "resolved"}], ""),
        ([{"id": "p1"}], "open_problem"),
        (Exception(), "open_problem"),
    ],
    ids=["empty", "nothing", "resolved", "open", "unknown"],
)
def test_who_may_have_an_open_problem_is_not_asked(asking, problems, expected):
    """Only of whom it is known that there is none."""

    def answer(request):
        if isinstance(problems, Exception) and "problems" in request.sections:
            raise ConnectionError
        return {one.id: {**KNOWN, "problems": problems} for one in request.subjects}

    client = asking(NoOpenProblem(), providers=[Told("crm", answer, sections=tuple(KNOWN))])
    assert expected == reason(client)
    verdicts = client.prompts.explain("loyalty", customer="u1")
    (found,) = [each for each in verdicts if each.rule == "NoOpenProblem"]
    assert expected == found.reason


def test_asking_is_a_purpose_of_its_own(asking):
    """Without consent for it nobody is looked up, and attribute rules ask nobody."""
    known = {name: value for name, value in KNOWN.items() if name != "consent"}
    crm = Told("crm", known)
    client = asking(NoOpenProblem(), providers=[crm])
    assert "open_problem" == reason(client)
    assert 0 == crm.calls
    assert "open_problem" == reason(client, "u2", consent="granted", purposes=("support",))
    assert 0 == crm.calls
    assert "open_problem" == reason(client, "u3", consent="granted", purposes=("prompts",))
    assert {"prompts"} == {each.purpose for each in crm.requests}
    crm.answers = {**known, "problems": []}
    assert "" == reason(client, "u4", consent="granted", purposes=("prompts",))


def test_the_purpose_is_the_teams_to_say(asking):
    """Where the team's reading is that asking is part of support, it says so."""
    crm = Told("crm", {"problems": []})
    assert "" == reason(asking(NoOpenProblem(), providers=[crm], purpose="support"))
    assert {"support"} == {each.purpose for each in crm.requests}
    second = asking(
        NoOpenProblem(),
        providers=[Told("crm", {"problems": []})],
        context={"without_consent": ("support", "prompts")},
    )
    assert "" == reason(second)
    with pytest.raises(cx.ConfigurationError, match="purpose: expected a word"):
        cx.PromptOptions(purpose="two words")


def test_a_slow_provider_asks_nobody_now_and_knows_the_next_time(make):
    """A decision waits for a part of its deadline only; what came late is there afterwards."""
    crm = Told("crm", KNOWN)
    client = make(
        crm,
        client={
            "prompts": cx.PromptOptions(
                prompts=[prompt(NoOpenProblem())], store="memory:", deadline=0.2, purpose="support"
            )
        },
    )
    crm.answers = {**KNOWN, "problems": []}
    crm.open.clear()
    assert "open_problem" == reason(client)
    crm.open.set()
    assert client.context("u1", timeout=10.0).problems.known
    assert "" == reason(client)


def test_the_function_of_the_team_wins(asking):
    """Where `attributes` is set, context is not asked."""
    crm = Told("crm", KNOWN)
    client = asking(NoOpenProblem(), providers=[crm], attributes=lambda _: {"open_problems": 0})
    assert "" == reason(client)
    assert 0 == crm.calls


def test_the_function_of_the_team_gets_its_own_ids_only(asking):
    """Of a customer whom another service named it is not asked, for it could not know them."""
    asked = []
    client = asking(NoOpenProblem(), attributes=lambda who: asked.append(who) or {})
    assert "open_problem" == reason(client, WireId("a" * 32))
    assert [] == asked
    assert "open_problem" == reason(client, "u1")
    assert ["u1"] == asked


def test_a_claimed_customer_is_no_source_of_traits(asking):
    """What only a header says shows nothing personal to a rule."""
    crm = Told("crm", {**KNOWN, "problems": []})
    client = asking(NoOpenProblem(), providers=[crm], purpose="support")
    assert "open_problem" == reason(client, assurance="claimed")
    assert {frozenset({"consent"})} == {each.sections for each in crm.requests}


def test_deciding_whom_to_ask_is_no_use_of_context(asking):
    """An interaction that is open during a decision does not say that it looked."""
    seen = []
    client = asking(NoOpenProblem(), providers=[Told("crm", KNOWN)], purpose="support")
    client.capture().listeners.append(seen.append)
    with client.interaction("support.call", customer="u9"):
        assert 1 == client.prompts.attributes("u1")["open_problems"]
    memories = [event.data.memory for event in seen if event.family == "interaction"]
    assert [None] == [memory and memory.context_available for memory in memories]
