"""
The scope of a request: whatever says who it serves, it raises nothing and mixes up nobody.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import cxsdk as cx
from cxsdk.errors import ConfigurationError
from cxsdk.integrations import serving
from cxsdk.integrations.options import Options
from cxsdk.prompts import Prompt, Question
from cxsdk.scope import current_scope
from tests.integrations.test_front import Fields

GUARD_S = 30.0


@pytest.fixture
def asking():
    """A client that asks, so that sessions remember what was done last."""
    prompts = cx.PromptOptions(
        prompts=[Prompt(key="effort", questions=[Question(id="easy", kind="ces")])],
        store="memory:",
        keys=(b"test-of-the-guest-and-its-trail!",),
    )
    client = cx.init("test", collector="null:", prompts=prompts)
    yield client
    client.close(0)


def paid(front, user):
    """Return what the session keeps of a payment of *user*."""
    with front.visit({"user": user}, "/pay") as visit:
        visit.began("POST", "/pay", None)
        kept = visit.answered(303)
    visit.end()
    return kept


@pytest.mark.parametrize("said", [("a", "claimed", "more"), ("a",), ()])
def test_a_resolver_that_returns_a_wrong_tuple_raises_into_no_handler(said, caplog):
    """A scope inside of the request is entered as if nobody were known."""
    with Fields(Options(customer=lambda _: said)).visit({}, "/x"):
        with cx.scope(channel="web"):
            assert current_scope.get().who[0] is None
    assert caplog.text.count("who a request serves is not known: ValueError in customer") == 1


def test_a_resolver_that_is_a_coroutine_function_is_refused_at_the_start():
    """Nobody would wait for it: each request would be nobody's, and say so nowhere."""

    async def resolver(_):
        return "u1"

    class Resolver:
        async def __call__(self, _):
            return "u1"

    for each in (resolver, Resolver()):
        with pytest.raises(ConfigurationError, match="expected a plain function"):
            Fields(Options(customer=each))


def test_two_threads_that_ask_at_once_both_learn_who_it_is():
    """The one that comes while the other is in the team's function does not find nobody."""
    asked, both = [], threading.Barrier(2)

    def resolver(_):
        asked.append(1)
        both.wait(GUARD_S)
        return "u1"

    with Fields(Options(customer=resolver)).visit({}, "/x") as visit:
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(lambda: visit.guest.who[0]) for _ in range(2)]
            assert [each.result(GUARD_S) for each in found] == ["u1", "u1"]


def test_a_claim_is_one_also_where_the_assurance_is_asked_for_first():
    """Who it is was looked for in vain before the claim was there."""
    request = {}
    with Fields(Options(header="x-customer")).visit(request, "/x") as visit:
        assert visit.guest.who[0] is None
        request["x-customer"] = "u1"
        assert (visit.guest.assurance, visit.guest.who[0]) == ("claimed", "u1")


def test_what_a_customer_did_is_not_remembered_for_who_comes_after(asking):
    """After a logout the session may still have it, and nobody knows who sits there."""
    front = Fields(Options(interactions=[{"route": "*"}]))
    held = paid(front, "u1")
    found = []
    for user in (None, "u2", "u1"):
        with front.visit({"user": user, "held": held}, "/thanks") as visit:
            found.append(visit.guest.done is not None)
    assert found == [False, False, True]


def test_what_a_visitor_did_is_theirs_when_they_have_registered(asking):
    """Who paid without a login and logs in after that is the same person."""
    front = Fields(Options(interactions=[{"route": "*"}]))
    held = paid(front, None)
    with front.visit({"user": "u1", "held": held}, "/thanks") as visit:
        assert visit.guest.done.touchpoint == "pay.post"


def test_what_was_remembered_before_it_was_known_who_it_is_is_looked_at_again(asking):
    """A scope of the host's around the handler looks before a dependency says who it is."""
    front = Fields(Options(interactions=[{"route": "*"}]))
    held = paid(front, None)
    owned = paid(front, "u1")
    found = []
    for held_by, user in ((owned, "u2"), (owned, "u1"), (held, "u2")):
        with front.visit({"held": held_by}, "/thanks") as visit:
            with cx.scope(channel="web"):
                contextvars.copy_context().run(serving, user)
            found.append(visit.guest.done is not None)
    assert found == [False, True, True]


def test_a_visit_that_is_entered_within_itself_leaves_nobody_behind():
    """A body that is closed by another thread while it is read; the threads serve others next."""
    visit = Fields(Options()).visit({"user": "u1"}, "/x")
    with visit:
        with visit:
            assert current_scope.get().who[0] == "u1"
    assert current_scope.get() is None
    assert serving("u2") is False
