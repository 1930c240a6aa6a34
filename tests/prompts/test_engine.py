"""
Who is asked, about what, how often; and why not.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

import cxsdk as cx
from cxsdk.errors import InvalidEventError, StoreUnavailableError
from cxsdk.prompts import FrequencyCap, Offer, QuotaRule, Sampling, Trigger
from cxsdk.prompts.rules import (
    Attribute,
    Custom,
    NotAfterFailure,
    NotSeen,
    QuietHours,
    Segment,
    TenureAtLeast,
)
from cxsdk.prompts.stores.memory import MemoryCapStore

DAY = 86_400.0


def test_an_offer_is_about_the_interaction_that_just_ended(rig):
    """It is bound to it on the server; what a browser gets names nothing of it."""
    r = rig()
    offer = r.ask("checkout_effort", customer="somebody-in-particular")
    assert isinstance(offer, Offer)
    (done,) = r.said("interaction")
    (offered,) = r.said("prompt", "offered")
    assert offered["about"]["interaction_ids"] == [done["interaction_id"]]
    assert offered["offer_id"] == offer.offer_id
    assert offered["customer"] == {"id": "somebody-in-particular"}
    assert offered["inclusion_probability"] == 1.0
    assert done["interaction_id"] not in offer.token
    assert "somebody" not in offer.token


def test_an_open_interaction_cannot_be_judged_yet(rig):
    """Inside of the call that is to be judged nobody is asked."""
    r = rig()
    with r.client.scope(customer="c1"), r.client.interaction("checkout.pay"):
        assert r.engine.offer("checkout_effort").reason == "interaction_open"


def test_without_an_interaction_only_the_relationship_can_be_asked_about(rig, prompt):
    """A transactional prompt needs something that happened, a relational one does not."""
    r = rig(prompt(), prompt("loyalty", scope="relational"))
    with r.client.scope(customer="c1"):
        assert r.engine.offer("checkout_effort").reason == "trigger_mismatch"
        assert r.engine.offer("loyalty")
    (offered,) = r.said("prompt", "offered")
    assert offered["about"] == {"relationship": True}


def test_nobody_is_nobody(rig):
    """With no customer, visitor or session there is nobody to ask."""
    r = rig()
    assert r.engine.offer("checkout_effort", about=None).reason in {
        "no_customer",
        "trigger_mismatch",
    }
    assert r.ask(customer=None).reason in {"no_customer", "trigger_mismatch"}


def test_an_unknown_prompt_is_said_and_in_strict_mode_raised(rig, caplog):
    """A slip in the key never breaks a page, and never hides."""
    r = rig()
    assert r.ask("chekout").reason == "unknown_prompt"
    assert "chekout" in caplog.text
    strict = rig(strict=True)
    with pytest.raises(InvalidEventError, match="checkout_effort"):
        strict.engine.offer("chekout")


@pytest.mark.parametrize(
    ("fields", "how", "reason"),
    [
        ({"status": "paused"}, {}, "not_live"),
        ({"starts_at": datetime(2026, 2, 1, tzinfo=UTC)}, {}, "out_of_window"),
        ({"ends_at": datetime(2025, 2, 1, tzinfo=UTC)}, {}, "out_of_window"),
        ({}, {"channel": "email"}, "wrong_channel"),
        ({"trigger": Trigger(event="other")}, {}, "trigger_mismatch"),
        ({"trigger": Trigger(outcome="failure")}, {}, "trigger_mismatch"),
        ({"trigger": Trigger(where={"attributes.plan": "pro"})}, {}, "trigger_mismatch"),
        ({"trigger": Trigger(count=2)}, {}, "trigger_count"),
        ({}, {"consent": "denied"}, "no_consent"),
        ({"needs_consent": True}, {}, "no_consent"),
        ({"needs_locale": True}, {"locale": "fr"}, "no_locale"),
        ({"sampling": Sampling(rate=0.0)}, {}, "not_sampled"),
        ({"eligibility": [Segment(name="pro")]}, {}, "not_in_segment"),
        ({"eligibility": [Attribute(name="plan", values=["pro"])]}, {}, "not_in_segment"),
        ({"eligibility": [TenureAtLeast(seconds=DAY)]}, {}, "too_new"),
        ({"eligibility": [QuietHours(start="00:00", end="01:00")]}, {}, "quiet_hours"),
        ({"eligibility": [Custom(predicate=lambda _: 1 / 0)]}, {}, "x_custom"),
        ({"eligibility": [NotAfterFailure(within=DAY)]}, {"outcome": "failure"}, "recent_failure"),
    ],
)
def test_each_rule_refuses_by_its_code(rig, prompt, fields, how, reason):
    """Nobody is asked, the reason is returned and counted, and nothing is spent."""
    r = rig(prompt(**fields))
    assert r.ask("checkout_effort", **how).reason == reason
    assert r.engine.stats()["suppressed"] == {reason: 1}
    assert r.engine.store.counts()["offers"] == {}


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({"trigger": Trigger(event="checkout.pay", outcome="success")}, {}),
        (
            {"trigger": Trigger(where={"attributes.total": {"gt": 10}})},
            {"with_attributes": {"total": 12}},
        ),
        ({"needs_consent": True}, {"consent": "granted"}),
        ({"needs_locale": True}, {"locale": "en-GB"}),
        ({"eligibility": [Segment(name="pro")]}, {"attributes": {"segments": ["pro"]}}),
        (
            {"eligibility": [TenureAtLeast(seconds=DAY)]},
            {"attributes": {"customer_since": datetime(2025, 1, 1, tzinfo=UTC)}},
        ),
        ({"eligibility": [QuietHours(start="22:00", end="23:00")]}, {}),
    ],
)
def test_each_rule_lets_through_who_qualifies(rig, prompt, fields, how):
    """The other side of each rule."""
    assert rig(prompt(**fields)).ask("checkout_effort", **how)


def test_a_trigger_may_want_several(rig, prompt):
    """The third such interaction within the time asks; one that is too old does not count."""
    r = rig(prompt(trigger=Trigger(count=3, within=10 * DAY)))
    assert [bool(r.ask()) for _ in range(2)] == [False, False]
    r.turn(11 * DAY)
    assert [bool(r.ask()) for _ in range(3)] == [False, False, True]


# ---- caps -----------------------------------------------------------------------------------


def seen(r, offer):
    assert r.engine.advance(offer.token, "shown")


def test_a_cap_is_spent_when_shown_and_refunded_when_not(rig):
    """An offer that nobody saw costs nothing once it is over; one that was seen costs a week."""
    r = rig()
    assert r.ask()
    assert r.ask().reason == "in_flight"
    r.turn(1801)
    offer = r.ask()
    seen(r, offer)
    r.turn(1801)
    assert r.ask().reason == "cap_global"
    r.turn(7 * DAY)
    assert r.ask().reason == "cap_prompt"
    r.turn(24 * DAY)
    assert r.ask()


def test_three_clocks_and_not_one(rig, prompt):
    """Another prompt waits for the global clock only, not for this one's."""
    r = rig(prompt(), prompt("delivery"))
    seen(r, r.ask("checkout_effort"))
    r.turn(8 * DAY)
    assert r.ask("checkout_effort").reason == "cap_prompt"
    assert r.ask("delivery")


def test_a_dismissal_is_respected(rig, prompt):
    """After a no the prompt waits thirty days, though its own gap is shorter."""
    cap = FrequencyCap(scope="prompt", within=DAY, after_dismissal=30 * DAY)
    r = rig(prompt(caps=[cap]))
    offer = r.ask()
    assert r.engine.advance(offer.token, "dismissed", reason="not_now")
    r.turn(29 * DAY)
    assert r.ask().reason == "cap_prompt"
    r.turn(2 * DAY)
    assert r.ask()
    (dismissed,) = r.said("prompt", "dismissed")
    assert dismissed["reason"] == "not_now"


def test_never_again_means_never(rig, prompt):
    """Who opts out by the form is asked by no prompt any more."""
    r = rig(prompt(), prompt("delivery"))
    r.engine.advance(r.ask("checkout_effort").token, "dismissed", reason="never_ask")
    r.turn(400 * DAY)
    assert r.ask("delivery").reason == "opted_out"


def test_once_a_session_and_once_an_account(rig, prompt):
    """Two customers in one session or of one account are not both asked."""
    caps = [FrequencyCap(scope="account", within=7 * DAY), FrequencyCap(scope="global", within=1.0)]
    r = rig(prompt(caps=caps))
    offer = r.ask(customer="c1", session="s1", account="acme")
    seen(r, offer)
    assert r.ask(customer="c2", session="s1").reason == "cap_session"
    assert r.ask(customer="c3", session="s3", account="acme").reason == "cap_account"
    assert r.ask(customer="c3", session="s4", account="other")


def test_the_same_interaction_is_asked_about_once(rig):
    """Also after everything else would allow it."""
    r = rig()
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay") as contact:
            pass
        seen(r, r.engine.offer(about=contact))
        r.turn(400 * DAY)
        assert r.engine.offer(about=contact).reason == "already_asked"


def test_a_quota_is_strict_and_refunded(rig, prompt):
    """Living offers count, lapsed ones do not, answers do for good."""
    r = rig(prompt(quotas=[QuotaRule(limit=2)]))
    one, two = r.ask(customer="c1"), r.ask(customer="c2")
    assert r.ask(customer="c3").reason == "quota_full"
    assert r.engine.submit(one.token, {"effort": 7})
    r.turn(1801)
    assert r.ask(customer="c3")
    assert r.ask(customer="c4").reason == "quota_full"
    assert not r.engine.submit(two.token, {"effort": 7})


def test_a_quota_of_one_kind_of_interaction(rig, prompt):
    """A quota for failures says nothing of successes."""
    r = rig(prompt(quotas=[QuotaRule(name="bad", limit=1, where={"outcome": "failure"})]))
    assert r.ask(customer="c1", outcome="failure")
    assert r.ask(customer="c2", outcome="failure").reason == "quota_full"
    assert r.ask(customer="c3", outcome="success")


def prompt_with_gap(seconds):
    from cxsdk.prompts import Prompt, Question

    cap = FrequencyCap(scope="global", within=7 * DAY)
    return Prompt(key="q", questions=[Question(id="q")], caps=[cap], offer_ttl=seconds)


def test_a_visitor_who_becomes_known_keeps_the_clock(rig):
    """Asked as a visitor, not asked again as the customer that they turn out to be."""
    r = rig()
    seen(r, r.ask(customer=None, session="s1", consent="granted"))
    r.turn(2 * DAY)
    assert r.ask(customer="c1", session="s1").reason == "cap_global"


def test_two_who_share_a_browser_stay_two(rig):
    """The visitor of a session becomes the first who logs in, and never joins two customers."""
    r = rig(prompt_with_gap(1.0))
    seen(r, r.ask(customer=None, session="s1", consent="granted"))
    r.turn(3600)
    assert r.ask(customer="c1", session="s1").reason == "cap_global"
    assert r.ask(customer="c2", session="s1").reason == "cap_session"
    assert r.ask(customer="c2", session="s2")


# ---- priority -------------------------------------------------------------------------------


def test_the_highest_priority_asks_and_the_others_lose(rig, prompt):
    """One prompt a page; the order does not depend on how they were listed."""
    r = rig(prompt("b"), prompt("a"), prompt("first", priority=5))
    assert r.ask().prompt.key == "first"
    assert r.engine.stats()["suppressed"] == {"lost_priority": 2}
    assert rig(prompt("b"), prompt("a")).ask().prompt.key == "a"


def test_a_prompt_that_may_not_gives_way(rig, prompt):
    """What is refused by its own rules leaves the place to the next."""
    r = rig(prompt("first", priority=5, eligibility=[Segment(name="pro")]), prompt("second"))
    assert r.ask().prompt.key == "second"


def test_sampling_is_sticky(rig, prompt):
    """Asked again and again, it is the same half of the customers."""
    r = rig(prompt(sampling=Sampling(rate=0.5)))
    asked = [r.ask(customer=f"c{n}").__class__ for n in range(200)]
    assert 60 < asked.count(Offer) < 140
    r.turn(100 * DAY)
    assert [r.ask(customer=f"c{n}").__class__ for n in range(200)] == asked


def test_rules_may_look_at_other_prompts(rig, prompt):
    """Who saw the one within a month is not asked the other."""
    r = rig(prompt("one"), prompt("two", eligibility=[NotSeen(prompt="one", within=30 * DAY)]))
    seen(r, r.ask("one"))
    r.turn(8 * DAY)
    assert r.ask("two").reason == "seen_other"
    r.turn(30 * DAY)
    assert r.ask("two")


# ---- across a redirect ----------------------------------------------------------------------


def test_another_worker_asks_after_the_redirect(rig, prompt):
    """POST here, GET there: the signed memory is all that the other engine needs."""
    r = rig()
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay") as contact:
            pass
        kept = r.engine.remember()
    other = rig(store=r.engine.store)
    with other.client.scope(customer="c1"):
        assert other.engine.offer(about=kept)
    offered = other.said("prompt", "offered")[0]
    assert offered["about"]["interaction_ids"] == [contact.interaction_id]


@pytest.mark.parametrize("change", ["x", "", "WyJhIl0.AAAA"])
def test_a_memory_that_was_tampered_with_asks_nothing(rig, change):
    """A forged memory is refused; an empty one is about nothing."""
    r = rig()
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay"):
            pass
        kept = r.engine.remember()
        forged = kept[:-3] + change if change == "x" else change
        assert not r.engine.offer("checkout_effort", about=forged)


def test_there_is_nothing_to_remember_without_an_interaction(rig):
    """An empty text, that asks about nothing."""
    assert rig().engine.remember() == ""


# ---- later ----------------------------------------------------------------------------------


def test_a_delay_waits_and_then_asks(rig, prompt):
    """Two days after the purchase the next page asks, about that purchase."""
    r = rig(prompt(trigger=Trigger(event="checkout.pay", delay=2 * DAY)))
    assert r.ask().reason == "delayed"
    (first,) = r.said("interaction")
    r.turn(DAY)
    assert not r.ask(touchpoint="browse")
    r.turn(DAY + 1)
    assert r.ask(touchpoint="browse")
    (offered,) = r.said("prompt", "offered")
    assert offered["about"]["interaction_ids"] == [first["interaction_id"]]


def test_an_echo_asks_again_and_makes_a_pair(rig, prompt):
    """Answered now, asked again in a week with the same wording: the two are tied together."""
    from cxsdk.prompts import Echo

    r = rig(prompt(echo=Echo(after=7 * DAY)))
    assert r.engine.submit(r.ask().token, {"effort": 6})
    r.turn(7 * DAY + 1)
    again = r.ask(touchpoint="browse")
    assert again.stage == "recall"
    assert r.engine.submit(again.token, {"effort": 3})
    first, second = r.said("feedback")
    assert (first["stage"], second["stage"]) == ("experience", "recall")
    assert second["echo_of"] == first["feedback_id"]
    assert second["about"] == first["about"]
    assert second["elapsed_s"] - first["elapsed_s"] >= 7 * DAY
    r.turn(40 * DAY)
    assert not r.engine.store.take_due()


def test_letters_are_sent_when_due(rig, prompt):
    """A trigger on a live event sends a mail a day later; sent is shown."""
    r = rig(prompt(channels=["email"], trigger=Trigger(event="checkout.pay", delay=DAY)))
    r.client._parts.capture.listeners.append(r.engine.watch)
    watch(r)
    sent = []
    assert r.engine.run_due(lambda offer, who: sent.append((offer, who))) == 0
    r.turn(DAY + 1)
    assert r.engine.run_due(lambda offer, who: sent.append((offer, who))) == 1
    ((offer, who),) = sent
    assert who == {"id": "c1"}
    assert offer.channel == "email"
    assert len(r.said("prompt", "shown")) == 1
    assert r.engine.run_due(lambda offer, who: sent.append(offer)) == 0


def watch(r, **more):
    """Have the engine see an interaction as its listener does."""
    from cxsdk.events.codec import decode

    before = len(r.events)
    with r.client.scope(customer=more.pop("customer", "c1")):
        with r.client.interaction(more.pop("touchpoint", "checkout.pay")) as contact:
            contact.outcome = more.pop("outcome", "success")
    for payload in r.events[before:]:
        r.engine.watch(decode(payload))


def test_a_letter_that_cannot_be_sent_comes_back(rig, prompt):
    """The offer is given back, and five minutes later it is tried again."""
    r = rig(prompt(channels=["email"], trigger=Trigger(event="checkout.pay", delay=10.0)))
    watch(r)
    r.turn(11)

    def fail(offer, who):
        raise OSError("no mail server")

    assert r.engine.run_due(fail) == 0
    assert r.engine.store.counts()["offers"] == {}
    r.turn(301)
    assert r.engine.run_due(lambda offer, who: None) == 1


def test_a_wait_is_called_off(rig, prompt):
    """Who had a problem meanwhile is not asked how it was."""
    trigger = Trigger(event="checkout.pay", delay=DAY, cancel_on=["support.call"])
    r = rig(prompt(channels=["email"], trigger=trigger))
    watch(r)
    watch(r, touchpoint="support.call")
    r.turn(DAY + 1)
    assert r.engine.run_due(lambda offer, who: None) == 0


def test_a_failure_guards_against_asking(rig, prompt):
    """A failure that the engine watched keeps the customer from being asked for a day."""
    r = rig(prompt(eligibility=[NotAfterFailure(within=DAY)]))
    watch(r, outcome="failure", touchpoint="search")
    assert r.ask().reason == "recent_failure"
    r.turn(DAY + 1)
    assert r.ask()


def test_offers_that_are_over_are_told_once(rig):
    """A lapsed offer is an event, with whether it was ever seen."""
    r = rig()
    seen(r, r.ask(customer="c1"))
    r.ask(customer="c2")
    r.turn(1801)
    assert r.engine.sweep() == 2
    assert r.engine.sweep() == 0
    lapsed = r.said("prompt", "lapsed")
    assert sorted(each.get("reason", "seen") for each in lapsed) == ["not_shown", "seen"]


# ---- the host is never late -----------------------------------------------------------------


class Slow(MemoryCapStore):
    """A store that hangs until it is let go."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()
        self.released = threading.Event()

    def reserve(self, request):
        self.go.wait(30)
        return super().reserve(request)

    def release(self, offer_id):
        super().release(offer_id)
        self.released.set()


class Down(MemoryCapStore):
    """A store that is not there."""

    def reserve(self, request):
        raise StoreUnavailableError("no route")


def test_a_store_that_is_down_asks_nobody(rig):
    """The page goes on at once, and the reason is counted."""
    r = rig(store=Down())
    assert r.ask().reason == "store_unavailable"
    assert r.engine.stats()["suppressed"] == {"store_unavailable": 1}


def test_a_store_that_hangs_keeps_no_page(rig):
    """After the deadline nobody is asked, what came too late is taken back, and it is left alone."""
    store = Slow()
    r = rig(store=store, deadline=0.05)
    began = time.monotonic()
    assert r.ask().reason == "store_unavailable"
    assert r.ask(customer="c2").reason == "store_unavailable"
    assert time.monotonic() - began < 5
    store.go.set()
    assert store.released.wait(5)
    assert store.counts()["offers"] == {}


def test_the_async_twin_leaves_the_loop_free(rig):
    """While a store hangs other tasks run; the answer is the same as without."""
    store = Slow()
    r = rig(store=store, deadline=0.2)

    async def main():
        ticks = 0
        with r.client.scope(customer="c1"):
            with r.client.interaction("checkout.pay"):
                pass
            task = asyncio.ensure_future(r.engine.aoffer())
            while not task.done():
                ticks += 1
                await asyncio.sleep(0.01)
        return ticks, task.result()

    ticks, result = asyncio.run(main())
    assert result.reason == "store_unavailable"
    assert ticks > 5
    store.go.set()
    quick = rig()

    async def ask():
        with quick.client.scope(customer="c1"):
            with quick.client.interaction("checkout.pay"):
                pass
            return await quick.engine.aoffer("checkout_effort")

    assert asyncio.run(ask())


# ---- looking in -----------------------------------------------------------------------------


def test_explain_says_what_each_rule_says_and_spends_nothing(rig, prompt):
    """Every rule by name, the caps included."""
    r = rig(prompt(eligibility=[Segment(name="pro")]))
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay"):
            pass
        found = {v.rule: v.reason for v in r.engine.explain("checkout_effort")}
    assert found["trigger"] == ""
    assert found["Segment"] == "not_in_segment"
    assert found["any"] == ""
    assert r.engine.store.counts()["offers"] == {}


def test_explain_shows_a_cap_that_holds(rig):
    """After it was shown the clocks say why not."""
    r = rig()
    seen(r, r.ask())
    r.turn(1801)
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay"):
            pass
        found = {v.rule: v.reason for v in r.engine.explain("checkout_effort")}
    assert found["any"] == "cap_global"
    assert found["prompt:checkout_effort"] == "cap_prompt"


def test_forgetting_a_customer(rig):
    """Nothing of the offer is left, and its token is worth nothing."""
    r = rig()
    offer = r.ask()
    assert r.engine.forget("c1") == 1
    assert r.engine.submit(offer.token, {"effort": 5}).outcome == "gone"
    assert r.ask()


def test_opting_out_survives_being_forgotten(rig):
    """Who wants peace keeps it."""
    r = rig()
    r.engine.opt_out("c1")
    r.engine.forget("c1")
    assert r.ask().reason == "opted_out"


def test_suppressions_as_events_where_wanted(rig, prompt):
    """With the setting each refusal is an event with its reason."""
    r = rig(prompt(status="paused"), suppressed_events=True)
    r.ask()
    (event,) = r.said("prompt", "suppressed")
    assert event["reason"] == "not_live"


def test_the_module_speaks_for_the_default_client():
    """``cx.prompts.offer`` is the default client's, also when the room was imported first."""
    import cxsdk.prompts as room

    assert cx.prompts is room
    assert cx.prompts.offer("x").reason == "not_initialised"
    options = cx.PromptOptions(
        prompts=[room.Prompt(key="loyalty", scope="relational", questions=[room.Question(id="q")])]
    )
    with cx.init("shop", collector="memory:", prompts=options), cx.scope(customer="c1"):
        offer = cx.prompts.offer("loyalty")
        assert offer
        assert offer.expires_at - datetime.now(UTC) <= timedelta(minutes=30)
        assert cx.prompts.submit(offer.token, {"q": "better"}).outcome == "accepted"


def test_what_waited_and_lost_waits_on(rig, prompt):
    """Of two that are due the one with priority asks, the other one on a later page."""
    delay = Trigger(event="checkout.pay", delay=60.0)
    caps = [FrequencyCap(scope="global", within=1.0), FrequencyCap(scope="session", within=1.0)]
    r = rig(
        prompt("one", trigger=delay, priority=2, caps=caps), prompt("two", trigger=delay, caps=caps)
    )
    r.ask()
    r.turn(61)
    first = r.ask(touchpoint="browse")
    assert first.prompt.key == "one"
    r.engine.submit(first.token, {"effort": 7})
    r.turn(61)
    assert r.ask(touchpoint="browse").prompt.key == "two"


def test_a_page_that_names_its_prompt_gets_no_other(rig, prompt):
    """What waits is asked where any prompt may ask, or where it is named itself."""
    r = rig(prompt(trigger=Trigger(event="checkout.pay", delay=60.0)), prompt("other"))
    r.ask("checkout_effort")
    r.turn(61)
    assert r.ask("other", touchpoint="browse").prompt.key == "other"
    assert r.ask("checkout_effort", customer="c2", touchpoint="browse").reason == "trigger_mismatch"


def test_an_offer_that_is_found_again_has_its_token(rig):
    """The store's clock is a little behind ours, also over the turn of a second."""
    r = rig()
    bound = r.ask("checkout_effort", customer="c1").bound
    minute = 1_800_000_000.0
    tokens = {r.engine.offer_of(bound, "o-1", minute + s).token for s in (10.99, 11.01, 11.4)}
    assert len(tokens) == 1
    assert r.engine.offer_of(bound, "o-1", minute + 71.0).token not in tokens


def test_a_page_that_is_loaded_again_asks_the_same(rig):
    """The open offer comes back, told once; answered, it does not."""
    r = rig()
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay"):
            pass
        kept = r.engine.remember()
        first = r.engine.offer("checkout_effort", about=kept)
        seen(r, first)
        again = r.engine.offer("checkout_effort", about=kept)
        assert (first.is_new, again.is_new) == (True, False)
        assert again.offer_id == first.offer_id
        assert len(r.said("prompt", "offered")) == 1
        assert r.engine.offer("checkout_effort", about=kept, channel="email").reason
        with r.client.interaction("checkout.pay"):
            pass
        assert r.engine.offer("checkout_effort").reason == "in_flight"
        assert r.engine.submit(again.token, {"effort": 6})
        assert r.engine.offer("checkout_effort", about=kept).reason == "already_asked"
