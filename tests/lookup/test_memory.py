"""
What was just done is in the next lookup; who is who; bounded, and the process's own after a fork.
"""

from __future__ import annotations

import contextvars
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import Found, LookupRequest, Reason, SectionPlan
from cxsdk.scope import current_scope
from tests.lookup.conftest import Told, ToldAsync


def test_an_event_is_in_the_next_lookup_of_the_same_customer(make: Any) -> None:
    """
    Read your writes: emit, then context, in one process, with a provider that lags behind.
    """
    client = make(Told("crm", {"interactions": [{"id": "old", "at": "2026-01-01T00:00:00Z"}]}))
    assert [one.id for one in client.context("u1", timeout=30).interactions] == ["old"]
    with client.interaction("checkout.pay", customer="u1", stage="order") as i:
        i.refs["order"] = "A-1"
    ctx = client.context("u1")
    assert [one.local for one in ctx.interactions] == [True, False]
    assert ctx.last(ref="order").refs == {"order": "A-1"}
    assert ctx.interactions.source == "crm+local"
    assert client.context("u2", timeout=30).interactions[0].id == "old"


def test_all_kinds_of_fact_are_seen(make: Any) -> None:
    """
    Feedback, problem, promise, reaction and consent show each in its section, apart.
    """
    client = make()
    client.feedback(customer="u1", csat=2, about=cx.About(touchpoint="checkout.pay"))
    client.problem("delivery_failure", customer="u1", severity="major")
    client.reaction("complain", customer="u1", evidence="declared")
    client.consent("denied", customer="u1", purposes=("marketing",))
    due = datetime.now(UTC) - timedelta(days=1)
    client.promise("callback", key="c-1", customer="u1", due_at=due)
    ctx = client.context("u1")
    assert [one.score for one in ctx.feedback] == [2]
    assert [one.problem for one in ctx.problems] == ["delivery_failure"]
    assert [one.reaction for one in ctx.reactions] == ["complain"]
    assert ctx.consent.value.of("marketing") == "denied"
    assert [one.id for one in ctx.commitments.overdue()] == ["c-1"]


def test_only_what_was_seen_here_is_not_all_there_is(make: Any) -> None:
    """
    Without a provider a section is LOCAL: what is there is there, what is not is not "no".
    """
    client = make()
    client.problem("slow", customer="u1", severity="minor")
    ctx = client.context("u1")
    assert (ctx.problems.any(), ctx.problems.known, ctx.feedback.any()) == (True, False, None)


def test_peek_shows_what_happened_since_there_was_nothing(make: Any) -> None:
    """
    LOCAL, and the next lookup asks the provider all the same.
    """
    provider = Told("crm", lambda request: {}, sections=("problems",))
    client = make(provider)
    named = ("problems",)
    assert client.context("u1", sections=named, timeout=30).problems.reason is Reason.NOT_FOUND
    client.problem("slow", customer="u1", severity="minor")
    for _ in range(2):
        peeked = client.peek("u1", sections=named).problems
        assert (peeked.reason, [one.problem for one in peeked]) == (Reason.LOCAL, ["slow"])
    assert provider.calls == 1
    client.context("u1", sections=named, timeout=30)
    assert provider.calls == 2


def test_what_peek_made_is_given_again_until_something_happens(make: Any) -> None:
    """
    The same object, and another one after an event.
    """
    client = make(Told("crm", {"problems": []}))
    named = ("problems",)
    client.context("u1", sections=named, timeout=30)
    first = client.peek("u1", sections=named)
    assert client.peek("u1", sections=named) is first
    assert client.context("u1", sections=named) is first
    client.problem("slow", customer="u1", severity="minor")
    assert [one.problem for one in client.peek("u1", sections=named).problems] == ["slow"]


def test_a_warranty_is_found_before_it_ends_and_is_never_broken(make: Any) -> None:
    """
    In force, expiring within 30 days, and after its end expired.
    """
    client = make()
    ends = datetime.now(UTC) + timedelta(days=30)
    client.promise("warranty", key="w-1", customer="u1", due_at=ends)
    ctx = client.context("u1")
    assert [one.id for one in ctx.commitments.expiring_within(31)] == ["w-1"]
    assert ctx.commitments.expiring_within(29) == ()
    one = ctx.commitments[0]
    assert one.standing(ends - timedelta(seconds=1)) == "in_force"
    assert one.standing(ends) == "expired"
    assert ctx.commitments.overdue(ends + timedelta(days=9)) == ()


def test_nothing_found_before_an_event_is_asked_for_again_after_it(make: Any) -> None:
    """
    Emitting ends "there is nothing" for sections of the host's own.
    """
    provider = Told("crm", lambda _: {}, sections=("plan",))
    client = make(provider, plans={"plan": SectionPlan(negative_ttl=999)})
    client.context("u1", sections=("plan",), timeout=30)
    client.context("u1", sections=("plan",), timeout=30)
    assert provider.calls == 1
    with client.interaction("signup.done", customer="u1"):
        pass
    client.context("u1", sections=("plan",), timeout=30)
    assert provider.calls == 2


# ---- who is who ----------------------------------------------------------------------------


def test_a_login_brings_the_visit_and_leaves_the_visitor_nothing(make: Any) -> None:
    """
    After identify the customer has what the visitor did; the next visitor on that device sees
    nothing of it.
    """
    client = make(client={"privacy": cx.PrivacyOptions(consent="granted")})
    with cx.scope(session="device-7"):
        with client.interaction("product.view"):
            pass
        assert client.context().interactions.any()
        client.identify("u1")
        assert not client.context().interactions.any()
    assert [one.touchpoint for one in client.context("u1").interactions] == ["product.view"]
    with cx.scope(session="device-7"):
        with client.interaction("cart.open"):
            pass
        assert [one.touchpoint for one in client.context().interactions] == ["cart.open"]
        client.identify("u2")
    assert [one.touchpoint for one in client.context("u2").interactions] == ["cart.open"]
    assert [one.touchpoint for one in client.context("u1").interactions] == ["product.view"]


def test_linked_ids_are_one_customer_until_they_are_unlinked(make: Any) -> None:
    """
    link: either id finds both, providers are told the other ids; unlink takes it back.
    """
    provider = Told("crm", lambda r: {one.id: {"plan": one.id} for one in r.subjects})
    provider.sections = frozenset({"plan"})
    client = make(provider)
    with client.interaction("shop.buy", customer="old"):
        pass
    assert client.link(keep="new", absorb="old")
    ctx = client.context("old", timeout=30)
    assert ctx["plan"].value == "new"
    assert [one.touchpoint for one in ctx.interactions] == ["shop.buy"]
    assert provider.requests[-1].subjects[0].also == ("old",)
    assert client.unlink(keep="new", absorb="old")
    assert client.context("old", sections=("plan",), timeout=30)["plan"].value == "old"


def test_a_link_holds_also_for_what_was_just_asked(make: Any) -> None:
    """
    What was held of either id before a link, or under it, is not given after it, or after its end.
    """
    provider = Told("crm", lambda r: {one.id: {"plan": [one.id, *one.also]} for one in r.subjects})
    provider.sections = frozenset({"plan"})
    client = make(provider)

    def plan(who: str) -> Any:
        for _ in range(3):
            ctx = client.context(who, sections=("plan",), timeout=30)
        return ctx["plan"].value

    assert (plan("new"), plan("old")) == (("new",), ("old",))
    client.link(keep="new", absorb="old")
    assert plan("old") == plan("new") == ("new", "old")
    client.unlink(keep="new", absorb="old")
    assert (plan("new"), plan("old")) == (("new",), ("old",))


def test_links_say_why_they_are_refused(make: Any) -> None:
    """
    A typed result and never silence: same, already linked, of another customer, junk, not linked.
    """
    client = make()
    assert client.link(keep="a", absorb="b").applied
    assert client.link(keep="a", absorb="b").reason == "already_linked"
    assert client.link(keep="c", absorb="b").reason == "other_customer"
    assert client.link(keep="b", absorb="a").reason == "same"
    assert client.link(keep="a", absorb="a").reason == "invalid"
    assert client.link(keep="a", absorb="null").reason == "invalid"
    assert client.unlink(keep="a", absorb="z").reason == "not_linked"
    assert client.link(keep="z", absorb="a").applied
    assert client.context("b").customer == "b"
    assert client.knower.engine is not None
    assert client.knower.engine.people.find(("id", "z")) is not None


def test_two_known_customers_are_never_made_one_unasked(make: Any) -> None:
    """
    Two logins on one device stay two customers.
    """
    client = make()
    for who in ("u1", "u2"):
        client.identify(who, anonymous_id="device")
        with client.interaction("account.open", customer=who):
            pass
    assert len(client.context("u1").interactions) == len(client.context("u2").interactions) == 1


# ---- identity does not leak ----------------------------------------------------------------


@pytest.mark.parametrize("colour", [Told, ToldAsync])
def test_background_work_does_not_carry_the_callers_identity(make: Any, colour: Any) -> None:
    """
    A provider runs in an empty context: neither the scope nor the host's variables are there.
    """
    variable = contextvars.ContextVar("variable", default="nobody")
    seen: list[Any] = []

    def look(request: LookupRequest) -> Any:
        seen.append((variable.get(), current_scope.get()))
        return {}

    provider = colour("crm", look, sections=("profile",))
    client = make(provider)
    variable.set("user A")
    with cx.scope(customer="a"):
        client.context(timeout=30)
        client.prefetch("b")
        provider.wait_entered()
        provider.wait_entered()
    client.context("c", timeout=30)
    assert set(seen) == {("nobody", None)}


# ---- bounds, and forks -----------------------------------------------------------------------


def test_memory_is_bounded_by_customers(make: Any) -> None:
    """
    Twenty thousand customers through a cache of a thousand: a thousand are held.
    """
    client = make(Told("crm", {"plan": "x"}, max_batch=1000), max_customers=1000)
    for start in range(0, 20_000, 1000):
        many = client.contexts([f"u{n}" for n in range(start, start + 1000)], timeout=30)
        assert {ctx["plan"].value for ctx in many.values()} == {"x"}
    engine = client.knower.engine
    assert engine is not None
    assert (len(engine.people), len(engine.people.by_raw)) == (1000, 1000)
    assert len(engine.loads) == 0


def test_who_is_asked_about_often_stays(make: Any) -> None:
    """
    A customer in use survives a stream of others that are asked about once.
    """
    provider = Told("crm", {"plan": "x"})
    client = make(provider, max_customers=50)
    for n in range(400):
        client.context("regular", sections=("plan",), timeout=30)
        client.context(f"u{n}", sections=("plan",), timeout=30)
    assert sum(r.subjects[0].id == "regular" for r in provider.requests) == 1


def test_many_are_asked_for_in_batches(make: Any) -> None:
    """
    contexts(): one deadline, as few calls as the provider allows, answers in the order asked.
    """
    provider = Told("crm", lambda r: {one.id: {"plan": one.id} for one in r.subjects}, max_batch=40)
    provider.sections = frozenset({"plan"})
    client = make(provider)
    names = [f"u{n}" for n in range(100)]
    found = client.contexts(names, sections=("plan",), timeout=30)
    assert [(who, ctx["plan"].value) for who, ctx in found.items()] == [(n, n) for n in names]
    assert sorted(len(request.subjects) for request in provider.requests) == [20, 40, 40]


def test_a_batch_keeps_its_order_and_its_junk(make: Any) -> None:
    """
    Ids that are none stand where they were asked for, as errors; what cannot be a key is left out.
    """
    client = make(Told("crm", {"plan": "x"}, max_batch=10))
    found = client.contexts(["u1", "null", ["u2"], "u3", 1.5], sections=("plan",), timeout=30)
    assert [(who, ctx["plan"].reason) for who, ctx in found.items()] == [
        ("u1", Reason.RESOLVED),
        ("null", Reason.ERROR),
        ("u3", Reason.RESOLVED),
        (1.5, Reason.ERROR),
    ]


def test_a_forked_child_looks_up_on_its_own(make: Any) -> None:
    """
    After use in the parent, while a call is under way there, a child asks and is answered.
    """
    provider = Told("crm", {"plan": "x"})
    client = make(provider)
    client.context("u1", sections=("plan",), timeout=30)
    provider.open.clear()
    client.prefetch("u2", sections=("plan",))
    provider.wait_entered()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            provider.open = threading.Event()
            provider.open.set()
            held = client.context("u1", sections=("plan",), timeout=0.5)["plan"].reason
            fetched = client.context("u2", sections=("plan",), timeout=20)["plan"].reason
            code = 0 if (held, fetched) == (Reason.CACHED, Reason.RESOLVED) else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


# ---- what a provider may say -----------------------------------------------------------------


def test_several_providers_are_merged_with_provenance(make: Any) -> None:
    """
    Fields by preference, items by id and the newer one; where each came from is said.
    """
    crm = Told(
        "crm",
        {
            "profile": {"name": "Ada", "plan": "gold"},
            "problems": [
                {"id": "1", "problem": "slow", "updated_at": "2026-01-02T00:00:00Z"},
            ],
        },
    )
    desk = Told(
        "desk",
        {
            "profile": {"name": "A. L.", "email": "a@b.example"},
            "problems": [
                {"id": "1", "problem": "hang", "updated_at": "2026-01-03T00:00:00Z"},
                {"id": "2", "problem": "crash", "at": "2026-01-01T00:00:00Z"},
            ],
        },
    )
    plans = {name: SectionPlan(strategy="merge") for name in ("profile", "problems")}
    ctx = make(crm, desk, plans=plans).context("u1", timeout=30)
    profile = ctx.profile
    assert (profile.name, profile.email) == ("Ada", "a@b.example")
    assert profile.attributes == {"plan": "gold"}
    assert [ctx.provenance("profile", each) for each in ("name", "email")] == ["crm", "desk"]
    assert {one.id: one.problem for one in ctx.problems} == {"1": "hang", "2": "crash"}
    assert ctx.provenance("problems", "1") == "desk"
    assert profile.source == "crm+desk"


def test_the_newest_of_several_can_win(make: Any) -> None:
    """
    strategy="newest": by as_of, not by order.
    """

    def at(day: int, value: str) -> Any:
        return {"plan": Found(value, as_of=datetime(2026, 1, day, tzinfo=UTC))}

    client = make(
        Told("a", at(1, "old")),
        Told("b", at(2, "new")),
        plans={"plan": SectionPlan(strategy="newest")},
    )
    assert client.context("u1", timeout=30)["plan"].value == "new"


def test_the_next_provider_is_asked_where_one_fails_or_has_nothing(make: Any) -> None:
    """
    first_success goes down the list; "nothing" from the last does not hide an earlier outage.
    """

    def fails(_: Any) -> Any:
        raise ConnectionError

    down = Told("down", fails, sections=("plan",))
    empty = Told("empty", lambda _: {}, sections=("plan",))
    full = Told("full", {"plan": "x"})
    assert make(down, empty, full).context("u1", timeout=30)["plan"].source == "full"
    assert make(down, empty).context("u1", timeout=30)["plan"].reason is Reason.ERROR
    assert make(empty).context("u1", timeout=30)["plan"].reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("problems", {"id": "1"}),
        ("problems", [{"no": "id"}]),
        ("profile", ["x"]),
        ("profile", {"created_at": "yesterday"}),
        ("interactions", [{"id": "1", "at": "2026-01-01T00:00:00"}]),
        ("consent", {"purposes": "all"}),
    ],
)
def test_what_has_another_form_is_an_error_that_names_the_field_and_no_value(
    make: Any, section: str, value: Any
) -> None:
    """
    A provider's mistake is PARSE_ERROR with a path; nothing of the data is in the message.
    """
    one = make(Told("crm", {section: value})).context("u1", sections=(section,), timeout=30)[
        section
    ]
    assert (one.reason, one.error_code) == (Reason.ERROR, "parse_error")
    assert section in one.error_message
    assert "yesterday" not in one.error_message


def test_what_was_given_cannot_be_changed(make: Any) -> None:
    """
    Values are shared between callers: mappings and lists are read-only, and the provider's own
    objects may change afterwards.
    """
    order = {"id": 1, "lines": [1, 2]}
    ctx = make(Told("shop", {"orders": [order]})).context("u1", timeout=30)
    order["id"] = 2
    value = ctx["orders"].value
    assert value[0] == {"id": 1, "lines": (1, 2)}
    with pytest.raises(TypeError):
        value[0]["id"] = 3


def test_only_the_fields_of_a_plan_are_kept(make: Any) -> None:
    """
    Minimisation: what a provider sends beyond ``fields`` is left out, and it is told which.
    """
    provider = Told("crm", {"profile": {"name": "Ada", "email": "a@b.example", "plan": "gold"}})
    client = make(provider, plans={"profile": SectionPlan(fields=("name",))})
    profile = client.context("u1", sections=("profile",), timeout=30).profile
    assert (profile.name, profile.email, profile.attributes) == ("Ada", None, {})
    assert provider.requests[0].fields == {"profile": {"name"}}
