"""
Live events are watched beside the handler: it never waits, and a decision after it knows of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time

import pytest

import cxsdk as cx
from cxsdk.errors import StoreUnavailableError
from cxsdk.events.codec import decode
from cxsdk.prompts import Prompt, Question, Trigger
from cxsdk.prompts.rules import NotAfterFailure, QuietHours
from cxsdk.prompts.stores.memory import MemoryCapStore
from cxsdk.prompts.stores.sqlite import SqliteCapStore
from cxsdk.prompts.watching import Watcher

DAY = 86_400.0
LETTER = Prompt(
    key="letter",
    questions=[Question(id="q")],
    channels=["email"],
    trigger=Trigger(event="checkout.pay", delay=60.0),
    eligibility=[NotAfterFailure(within=DAY)],
)


class Hung(MemoryCapStore):
    """A store that hangs in whatever a watched event needs, until it is let go."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def schedule(self, due):
        assert self.go.wait(60)
        return super().schedule(due)

    def mark(self, *args):
        assert self.go.wait(60)
        return super().mark(*args)


def pay(client, outcome="success"):
    with client.scope(customer="c1"), client.interaction("checkout.pay") as contact:
        contact.outcome = outcome


def test_a_store_that_hangs_stalls_no_handler():
    """A hundred contacts while it hangs take no longer than without; then all of it is kept."""
    store = Hung()
    options = cx.PromptOptions(prompts=[LETTER], store=store, deadline=0.05)
    with cx.Client("shop", collector="memory:", prompts=options) as client:
        began = time.monotonic()
        for _ in range(100):
            pay(client)
        assert time.monotonic() - began < 5
        store.go.set()
        client.prompts.watcher.settle(10)
        assert store.counts()["due"] == 100
    assert "listener_error" not in client.stats()["noted"]


def test_a_decision_knows_what_just_happened():
    """Right after a failure nobody is asked, however busy the watcher is."""
    loyalty = Prompt(
        key="loyalty",
        scope="relational",
        questions=[Question(id="q")],
        eligibility=[NotAfterFailure(within=DAY)],
    )
    options = cx.PromptOptions(prompts=[loyalty], store="memory:", deadline=5.0)
    with cx.Client("shop", collector="memory:", prompts=options) as client:
        for number in range(50):
            with client.scope(customer=f"c{number}"):
                with client.interaction("search") as contact:
                    contact.outcome = "failure"
                with client.interaction("browse"):
                    pass
                assert client.prompts.offer("loyalty").reason == "recent_failure"


def test_as_long_as_it_is_not_known_what_happened_nobody_is_asked():
    """A failure that could not be noted yet might be one that guards: the page asks nobody."""
    store = Hung()
    options = cx.PromptOptions(
        prompts=[LETTER, Prompt(key="here", questions=[Question(id="q")])],
        store=store,
        deadline=0.05,
    )
    with cx.Client("shop", collector="memory:", prompts=options) as client:
        with client.scope(customer="c1"):
            with client.interaction("checkout.pay"):
                pass
            assert client.prompts.offer("here").reason == "store_unavailable"
        store.go.set()


def test_what_waits_survives_the_end_of_the_process(tmp_path):
    """Watched, closed at once, opened anew: it is due."""
    path = f"sqlite:{tmp_path}/caps.db"
    options = cx.PromptOptions(prompts=[LETTER], store=path, deadline=5.0)
    with cx.Client("shop", collector="memory:", prompts=options) as client:
        for _ in range(20):
            pay(client)
    with contextlib.closing(SqliteCapStore(tmp_path / "caps.db", timeout=5.0)) as store:
        assert store.counts()["due"] == 20


def test_a_store_that_was_away_gets_what_it_missed(rig):
    """Events wait for it, in their order; the delay counts from when they came."""

    class Away(MemoryCapStore):
        is_away = True

        def schedule(self, due):
            if self.is_away:
                raise StoreUnavailableError("no route")
            return super().schedule(due)

    r = rig(LETTER, store=Away())
    r.engine.store._time = r.engine.now
    before = len(r.events)
    pay(r.client)
    r.engine.watch(decode(r.events[before]))
    with pytest.raises(StoreUnavailableError):
        r.engine.watcher.settle(5)
    r.turn(50)
    r.engine.store.is_away = False
    r.engine.watcher.settle(5)
    r.turn(11)
    assert r.engine.run_due(lambda *_: None) == 1


def test_only_so_many_events_wait(caplog):
    """A store that stays away costs no memory without end: the oldest go, and it is said."""
    go, seen = threading.Event(), []

    def see(event, _):
        assert go.wait(60)
        seen.append(event)

    watcher = Watcher(see, lambda: 0.0)
    for number in range(1500):
        watcher.put(number)
    go.set()
    watcher.settle(10)
    assert seen[-1000:] == list(range(500, 1500))
    assert len(seen) <= 1001
    assert "events pass" in caplog.text
    watcher.close()
    watcher.put(1)
    assert watcher.settle(0.1) is None


def test_what_a_watcher_cannot_read_keeps_nothing_up(caplog):
    """An error that is no outage is said once, and the next event is looked at."""
    seen = []

    def see(event, _):
        if event == 1:
            raise KeyError("odd")
        seen.append(event)

    watcher = Watcher(see, lambda: 0.0)
    for number in range(3):
        watcher.put(number)
    watcher.settle(10)
    assert seen == [0, 2]
    assert "odd" in caplog.text
    watcher.close()


def test_a_forked_child_watches_for_itself():
    """What waits in the parent is the parent's; the child has a thread of its own."""
    seen = []
    watcher = Watcher(lambda event, _: seen.append(event), lambda: 0.0)
    watcher.put("parent")
    watcher.settle(10)
    child = os.fork()
    if child == 0:
        try:
            watcher.put("child")
            watcher.settle(10)
            os._exit(0 if seen == ["parent", "child"] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    watcher.put("again")
    watcher.settle(10)
    assert seen == ["parent", "again"]
    watcher.close()


# ---- what is made of events -----------------------------------------------------------------


def happen(r, customer="c1", touchpoint="checkout.pay", **more):
    """Let the engine see an interaction as its listener does."""
    before = len(r.events)
    scope = {k: more.pop(k) for k in ("tz", "consent", "session") if k in more}
    with r.client.scope(customer=customer, **scope), r.client.interaction(touchpoint) as contact:
        contact.attributes.update(more)
    for payload in r.events[before:]:
        r.engine.watch(decode(payload))
    return json.loads(r.events[before])["data"]


def send(r):
    sent = []
    r.engine.run_due(lambda offer, who: sent.append((offer.prompt.key, who.get("id"))))
    return sent


def letter(prompt, key="letter", **more):
    trigger = {"event": "checkout.pay", "delay": 60.0, **more.pop("trigger", {})}
    return prompt(key, channels=["email"], trigger=Trigger(**trigger), **more)


def test_a_letter_after_a_contact_of_a_certain_kind_is_sent(rig, prompt):
    """What the trigger looks at is looked at when it happens, and only then."""
    r = rig(letter(prompt, trigger={"where": {"attributes.total": {"gt": 10}}}))
    happen(r, "small", total=5)
    happen(r, "large", total=50)
    r.turn(61)
    assert send(r) == [("letter", "large")]


def test_a_letter_after_several_contacts_waits_for_the_last(rig, prompt):
    """The third one within the time, not the first."""
    r = rig(letter(prompt, trigger={"count": 3}))
    for _ in range(2):
        happen(r)
    r.turn(61)
    assert send(r) == []
    last = happen(r)
    r.turn(61)
    assert send(r) == [("letter", "c1")]
    (offered,) = r.said("prompt", "offered")
    assert offered["about"]["interaction_ids"] == [last["interaction_id"]]


@pytest.mark.parametrize(
    ("zone", "start", "end"), [("Pacific/Auckland", "13:00", "14:00"), ("UTC", "00:00", "01:00")]
)
def test_quiet_hours_of_a_letter_are_the_customer_s(rig, prompt, zone, start, end):
    """Midnight in Greenwich is one o'clock in the afternoon in Auckland, in January."""
    r = rig(letter(prompt, eligibility=[QuietHours(start=start, end=end)]))
    happen(r, tz=zone)
    r.turn(61)
    assert send(r) == []
    r.turn(2 * 3600)
    assert send(r) == [("letter", "c1")]


def test_a_session_goes_with_a_letter(rig, prompt):
    """So that its answer stands in the session's journey."""
    r = rig(letter(prompt))
    seen = happen(r, session="s1")
    r.turn(61)
    send(r)
    (offered,) = r.said("prompt", "offered")
    assert offered["session_id"] == seen["session_id"]
