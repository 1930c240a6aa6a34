"""
What waits is asked once, when it may, as things are then; and it is never lost on the way.
"""

from __future__ import annotations

import threading

import attrs
import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import Echo, FrequencyCap, Trigger
from cxsdk.prompts.rules import Custom, QuietHours, Segment
from cxsdk.prompts.stores.memory import MemoryCapStore
from tests.prompts.test_watching import happen, letter, send

DAY = 86_400.0


def waiting(prompt, key="checkout_effort", **more):
    return prompt(key, trigger=Trigger(event="checkout.pay", delay=60.0), **more)


def browse(r, key=None, **how):
    return r.ask(key, touchpoint="browse", **how)


class Down(MemoryCapStore):
    """A store that fails in a call of this name."""

    broken = ""

    def reserve(self, request):
        if self.broken == "reserve":
            raise StoreUnavailableError("no route")
        return super().reserve(request)

    def history(self, subject):
        if self.broken == "history":
            raise StoreUnavailableError("no route")
        return super().history(subject)

    def advance(self, *args):
        if self.broken == "advance":
            raise StoreUnavailableError("no route")
        return super().advance(*args)


def timed(r):
    r.engine.store._time = r.engine.now
    return r


@pytest.mark.parametrize("broken", ["history", "reserve"])
def test_a_store_that_fails_halfway_loses_nothing_that_waits(rig, prompt, broken):
    """Taken out and not asked is put back."""
    rule = Custom(predicate=lambda _: True)
    r = timed(rig(waiting(prompt, eligibility=[rule]), store=Down()))
    r.ask()
    r.turn(61)
    r.engine.store.broken = broken
    assert browse(r).reason == "store_unavailable"
    r.engine.store.broken = ""
    assert browse(r).prompt.key == "checkout_effort"


def test_a_page_that_did_not_wait_loses_nothing_that_waits(rig, prompt):
    """Decided too late, the offer is taken back and what it was about waits on."""

    class Slow(MemoryCapStore):
        def __init__(self):
            super().__init__()
            self.go, self.back = threading.Event(), threading.Event()
            self.is_slow = False

        def reserve(self, request):
            found = super().reserve(request)
            if self.is_slow:
                assert self.go.wait(60)
            return found

        def schedule(self, due):
            found = super().schedule(due)
            if self.is_slow:
                self.back.set()
            return found

    r = timed(rig(waiting(prompt), store=Slow(), deadline=0.3))
    r.ask()
    r.turn(61)
    store = r.engine.store
    store.is_slow = True
    assert browse(r).reason == "store_unavailable"
    store.go.set()
    assert store.back.wait(5)
    assert store.counts() == {"offers": {}, "due": 1, "answers": {}}


def test_a_timer_whose_store_fails_loses_no_letter(rig, prompt):
    """Those that were taken and not sent come again; the timer of the host's is not broken."""
    r = timed(rig(letter(prompt), store=Down()))
    for number in range(3):
        happen(r, f"c{number}")
    r.turn(61)
    r.engine.store.broken = "reserve"
    assert send(r) == []
    r.engine.store.broken = ""
    assert sorted(send(r)) == [("letter", f"c{number}") for number in range(3)]


def test_a_letter_that_went_out_counts_though_it_could_not_be_noted(rig, prompt):
    """It is not sent again, and the next one goes out."""
    r = timed(rig(letter(prompt), store=Down()))
    happen(r, "c1")
    happen(r, "c2")
    r.turn(61)
    r.engine.store.broken = "advance"
    assert len(send(r)) == 2
    assert send(r) == []


def test_a_damaged_record_stops_no_other(rig, prompt):
    """What cannot be read is passed over, by the timer, by a page and by the sweep."""
    r = timed(rig(letter(prompt), waiting(prompt, "here")))
    happen(r)
    r.ask("here", customer="c2")
    for name, (moment, due) in list(r.engine.store._dues.items()):
        odd = type(due)(f"0{name}", due.subject, due.in_s, b"{", due.topic)
        r.engine.store._dues[odd.due_id] = (moment - 1, odd)
    r.turn(61)
    assert send(r) == [("letter", "c1")]
    assert browse(r, customer="c2").prompt.key == "here"
    for entry in r.engine.store._entries.values():
        entry.offer = attrs.evolve(entry.offer, record=b"{")
        break
    r.turn(30 * DAY)
    assert r.engine.sweep() == 2
    assert len(r.said("prompt", "lapsed")) == 1


def test_what_waits_for_pages_keeps_no_letter_from_being_sent(rig, prompt):
    """Sixty customers who never came back wait in front of one letter."""
    r = rig(waiting(prompt, "here"), letter(prompt))
    for number in range(60):
        r.ask("here", customer=f"never-{number}")
    happen(r, "c1")
    r.turn(61)
    assert send(r) == [("letter", "c1")]
    assert browse(r, "here", customer="never-1").prompt.key == "here"


def test_a_worker_of_another_version_leaves_alone_what_it_does_not_know(rig, prompt):
    """While a new prompt is rolled out an old worker takes nothing of it out."""
    r = rig(waiting(prompt, "new"), letter(prompt, "new_letter"))
    old = rig(waiting(prompt, "old"), letter(prompt, "old_letter"), store=r.engine.store)
    old.engine.clock = r.engine.clock
    r.ask("new")
    happen(r, "c2")
    r.turn(61)
    assert not browse(old)
    assert send(old) == []
    assert browse(r).prompt.key == "new"
    assert send(r) == [("new_letter", "c2")]


def test_what_is_due_outlives_a_question_that_is_open(rig, prompt):
    """In flight for half an hour; then the letter goes out, and the page asks."""
    cap = FrequencyCap(scope="global", within=1.0)
    caps = [cap, FrequencyCap(scope="session", within=1.0)]
    r = rig(prompt("now", caps=caps), waiting(prompt, "here", caps=caps), letter(prompt, caps=caps))
    happen(r, "c1")
    r.ask("here", customer="c2")
    for who in ("c1", "c2"):
        assert r.ask("now", customer=who)
    r.turn(61)
    assert send(r) == []
    assert browse(r, "here", customer="c2").reason == "in_flight"
    r.turn(1800)
    assert send(r) == [("letter", "c1")]
    assert browse(r, "here", customer="c2")


def test_quiet_hours_hold_a_page_s_question_back(rig, prompt):
    """And the next page after them asks it."""
    r = rig(waiting(prompt, eligibility=[QuietHours(start="00:00", end="02:00")]))
    r.ask()
    r.turn(61)
    assert browse(r).reason == "quiet_hours"
    r.turn(3 * 3600)
    assert browse(r)


# ---- as things are then ---------------------------------------------------------------------


def test_attributes_are_looked_at_when_the_time_has_come(rig, prompt):
    """Of a page's question and of a letter; there was a time when neither was ever asked."""
    plans = {"c1": ["pro"]}
    rule = [Segment(name="pro")]
    r = rig(
        waiting(prompt, "here", eligibility=rule),
        letter(prompt, eligibility=rule),
        attributes=lambda customer: {"segments": plans.get(customer, ())},
    )
    for who in ("c1", "c2"):
        happen(r, who)
        assert r.ask("here", customer=f"{who}-page").reason == "delayed"
    plans["c1-page"] = ["pro"]
    r.turn(61)
    assert send(r) == [("letter", "c1")]
    assert browse(r, "here", customer="c1-page")
    assert browse(r, "here", customer="c2-page").reason == "not_in_segment"


def test_consent_withdrawn_meanwhile_is_heeded(rig, prompt):
    """By the page's own scope, and for letters by what the customer said to this process."""
    r = rig(waiting(prompt, "here"), letter(prompt), prompt("echoed", echo=Echo(after=60.0)))
    r.ask("here", customer="c1")
    happen(r, "c2")
    happen(r, "c3")
    r.client._parts.capture.customers.remember_consent(
        r.client._parts.capture.known(("c2", None, None, None)), "denied"
    )
    r.turn(61)
    assert browse(r, "here", customer="c1", consent="denied").reason == "no_consent"
    assert send(r) == [("letter", "c3")]


@pytest.mark.parametrize("change", [{"status": "paused"}, {"channels": ["email"]}])
def test_a_prompt_that_is_paused_meanwhile_asks_nobody(rig, prompt, change):
    """What waits for it is heard at its time, and refused."""
    r = rig(waiting(prompt))
    r.ask()
    r.turn(61)
    late = rig(waiting(prompt, **change), store=r.engine.store)
    late.engine.clock = r.engine.clock
    assert not browse(late)


def test_a_session_is_asked_once_also_by_what_waited(rig, prompt):
    """The session is that of the page, not that of the contact it is about."""
    caps = [FrequencyCap(scope="global", within=1.0), FrequencyCap(scope="prompt", within=1.0)]
    r = rig(waiting(prompt, "here", caps=caps), prompt("now", caps=caps))
    r.ask("here", session="s1")
    r.turn(61)
    offer = r.ask("now", session="s2", touchpoint="browse")
    r.engine.submit(offer.token, {"effort": 5})
    r.turn(61)
    assert browse(r, "here", session="s2").reason == "cap_session"
    assert browse(r, "here", session="s3")


def test_several_that_want_several_each_see_this_contact(rig, prompt):
    """Two prompts that want two contacts: the second contact counts for both."""
    rule = Trigger(count=2)
    r = rig(
        prompt("a", trigger=rule, priority=1, eligibility=[Segment(name="pro")]),
        prompt("b", trigger=rule),
    )
    assert not r.ask()
    assert r.ask().prompt.key == "b"


def test_a_visitor_who_was_forgotten_is_joined_again(rig):
    """After an erasure the same browser keeps the clock of what it is asked then."""
    r = rig()
    r.engine.advance(r.ask(customer="c1", session="s1").token, "shown")
    r.engine.forget("c1")
    visitor = r.ask(customer=None, session="s1", consent="granted")
    r.engine.advance(visitor.token, "shown")
    r.turn(2 * DAY)
    assert r.ask(customer="c1", session="s1").reason == "cap_global"
