"""
Whatever the host passes, its own functions do or the store raises: no page breaks, none is late.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import pytest

import cxsdk as cx
from cxsdk.prompts import Prompt, Question, Suppressed
from cxsdk.prompts.deadline import Deadline
from cxsdk.prompts.rules import Attribute, Custom, Segment
from cxsdk.prompts.stores.memory import MemoryCapStore

PRO = Segment(name="pro")
LOYALTY = Prompt(key="loyalty", scope="relational", questions=[Question(id="q")])


class Odd(dict):
    """A mapping of the host's that cannot be read."""

    def keys(self):
        raise RuntimeError("no keys today")

    def __iter__(self):
        raise RuntimeError("no items today")


class Stranger:
    """An object whose every attribute raises."""

    @property
    def interaction_id(self):
        raise RuntimeError("not that")


@pytest.mark.parametrize(
    "how",
    [
        {"customer": object()},
        {"customer": ["c1"]},
        {"anonymous": 5.5},
        {"account": b"acme"},
        {"about": 5},
        {"about": "forged"},
        {"about": Stranger()},
        {"context": 5},
        {"context": Odd(a=1)},
        {"attributes": 5},
        {"attributes": Odd(a=1)},
        {"locale": 5},
        {"channel": ["in_app"]},
        {"channel": None},
        {"colour": "red"},
    ],
)
def test_no_argument_breaks_a_page(rig, prompt, how):
    """Of a plainly wrong kind or hostile: nobody is asked, and nothing is raised."""
    r = rig(prompt(eligibility=[PRO], context_fields=["a"]), prompt("other", context_fields=["a"]))
    with r.client.scope(customer="c1"):
        with r.client.interaction("checkout.pay"):
            pass
        for key in ("checkout_effort", None, 5, ["checkout_effort"]):
            assert isinstance(r.engine.offer(key, **how), (Suppressed, cx.prompts.Offer))
        found = asyncio.run(r.engine.aoffer(None, **how))
        assert isinstance(found, (Suppressed, cx.prompts.Offer))


@pytest.mark.parametrize("token", [None, 5, b"x", "", "x" * 600, ["i.x"], object()])
def test_no_token_breaks_a_page(rig, token):
    """What is no token is worth nothing."""
    engine = rig().engine
    assert not engine.submit(token, {"effort": 5})
    assert not engine.submit_text(token, "5")
    assert not engine.advance(token, "shown")
    assert engine.find(token).outcome == "gone"


@pytest.mark.parametrize("given", [None, 5, "effort=5", [("effort", 5)], {5: 5}, {None: None}])
def test_no_answer_breaks_a_page(rig, given):
    """What is no answer is refused, and the question stays open."""
    r = rig()
    token = r.ask().token
    assert r.engine.submit(token, given).outcome == "invalid"
    assert not r.engine.advance(token, ["shown"])
    assert r.engine.submit(token, {"effort": 5}, channels=5).outcome == "unavailable"
    assert r.engine.submit(token, {"effort": 5})


# ---- the host's own function ------------------------------------------------------------------


def fail(_):
    raise LookupError("no such customer")


def test_attributes_that_raise_ask_only_who_needs_none(rig, prompt, caplog):
    """The page goes on; a prompt whose rules look at none of them may ask."""
    r = rig(prompt("pro", priority=1, eligibility=[PRO]), prompt("anyone"), attributes=fail)
    assert r.ask("pro").reason == "attributes_failed"
    assert "no such customer" in caplog.text
    assert r.ask().prompt.key == "anyone"


def test_attributes_that_raise_are_raised_in_strict_mode(rig, prompt):
    """A developer sees what is wrong."""
    r = rig(prompt(eligibility=[PRO]), attributes=fail, strict=True)
    with pytest.raises(LookupError):
        r.ask()


def test_attributes_that_hang_keep_no_page(rig, prompt):
    """They are within the deadline of the decision."""
    go = threading.Event()
    r = rig(prompt(eligibility=[PRO]), attributes=lambda _: go.wait(30) and {}, deadline=0.05)
    began = time.monotonic()
    assert r.ask().reason == "store_unavailable"
    assert time.monotonic() - began < 5
    go.set()


def test_attributes_see_the_context_of_the_page(rig, prompt):
    """They run elsewhere, with what the request put into context variables; once, if needed."""
    tenant = ContextVar("tenant")
    asked = []

    def look(customer):
        asked.append((customer, tenant.get()))
        return {"segments": ["pro"]}

    r = rig(prompt(eligibility=[PRO, PRO]), prompt("other"), attributes=look)
    tenant.set("acme")
    assert r.ask("other", customer="c2")
    assert asked == []
    assert r.ask("checkout_effort", attributes={"more": 1})
    assert asked == [("c1", "acme")]


def test_what_a_call_says_wins_over_attributes(rig, prompt):
    """The call knows better than the function."""
    rule = Attribute(name="plan", values=["pro"])
    r = rig(prompt(eligibility=[rule]), attributes=lambda _: {"plan": "free"})
    assert r.ask().reason == "not_in_segment"
    assert r.ask(attributes={"plan": "pro"})


def test_a_team_s_own_rule_sees_the_history(rig, prompt):
    """Also where no other rule looks at it."""
    rule = Custom(predicate=lambda facts: not facts.history.offers, code="x_ever")
    r = rig(prompt("one"), prompt("two", eligibility=[rule]))
    r.engine.advance(r.ask("one").token, "shown")
    r.turn(8 * 86_400)
    assert r.ask("two").reason == "x_ever"
    assert r.ask("two", customer="c2")


# ---- the store --------------------------------------------------------------------------------


class Broken(MemoryCapStore):
    """A store of somebody's own that raises what no store should, once it is told to."""

    error: Exception | None = None

    def _now(self):
        if self.error is not None:
            raise self.error
        return super()._now()


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), OSError("x")], ids=repr)
def test_a_store_that_raises_oddly_breaks_nothing(rig, error):
    """Whatever it is: no page, no answer, no timer of the host's."""
    r = rig(store=Broken())
    token = r.ask().token
    r.engine.store.error = error
    assert r.ask(customer="c2").reason == "internal"
    with r.client.scope(customer="c3"):
        with r.client.interaction("checkout.pay"):
            pass
        assert asyncio.run(r.engine.aoffer()).reason == "internal"
    assert r.engine.find(token).outcome == "unavailable"
    assert r.engine.submit(token, {"effort": 5}).outcome == "unavailable"
    assert not r.engine.advance(token, "shown")
    assert r.engine.sweep() == 0
    assert r.engine.run_due(lambda *_: None) == 0
    r.engine.store.error = None
    assert r.engine.submit(token, {"effort": 5})


def test_a_no_that_was_not_kept_can_be_said_again(rig):
    """The store fails between the dismissal and the opt-out: said again, it holds."""

    class Half(MemoryCapStore):
        is_down = True

        def opt_out(self, subject):
            if self.is_down:
                raise RuntimeError("gone")
            super().opt_out(subject)

    r = rig(store=Half())
    token = r.ask().token
    assert not r.engine.advance(token, "dismissed", reason="never_ask")
    r.engine.store.is_down = False
    assert r.engine.advance(token, "dismissed", reason="never_ask")
    r.turn(400 * 86_400)
    assert r.ask().reason == "opted_out"


def test_never_again_counts_after_an_answer_too(rig):
    """The form is still open: who answered may want no more."""
    r = rig()
    token = r.ask().token
    r.engine.submit(token, {"effort": 5})
    r.engine.advance(token, "dismissed", reason="never_ask")
    r.turn(400 * 86_400)
    assert r.ask().reason == "opted_out"


# ---- clients ----------------------------------------------------------------------------------


def test_off_asks_nobody_and_reads_nothing(monkeypatch):
    """Switched off, a prompt's file that is not there stays unread in the handler too."""
    monkeypatch.setenv("CXSDK_DISABLED", "1")
    cx.init("shop", prompts=cx.PromptOptions(files="/nowhere"))
    with cx.scope(customer="c1"):
        assert cx.prompts.offer("loyalty").reason == "disabled"
        assert asyncio.run(cx.prompts.aoffer()).reason == "disabled"
    assert not cx.prompts.submit("x", {})
    assert cx.prompts.sweep() == 0


def test_an_engine_that_cannot_be_made_breaks_no_handler(monkeypatch, caplog):
    """Prompts were never configured and cannot be: said, not raised; in strict mode raised."""

    def open_engine(*_):
        raise cx.errors.ConfigurationError("prompts.keys: none")

    monkeypatch.setattr("cxsdk.prompts.setup.open_engine", open_engine)
    with cx.init("shop", collector="memory:"):
        assert not cx.prompts.offer("loyalty")
        assert "prompts.keys: none" in caplog.text
    with cx.init("shop", collector="memory:", strict=True), pytest.raises(cx.errors.CXError):
        cx.prompts.offer("loyalty")


def test_init_again_keeps_the_team_s_own_store_open():
    """The client before is closed; a store that the team made and gave to both is not."""

    class Mine(MemoryCapStore):
        closed = 0

        def close(self):
            self.closed += 1

    store = Mine()
    options = cx.PromptOptions(prompts=[LOYALTY], store=store, deadline=5.0)
    cx.init("shop", collector="memory:", prompts=options)
    with cx.scope(customer="c1"):
        assert cx.prompts.offer("loyalty")
    with cx.init("shop", collector="memory:", prompts=options):
        assert store.closed == 0
        with cx.scope(customer="c2"):
            assert cx.prompts.offer("loyalty")
    assert store.closed == 0


def test_after_close_nothing_is_asked_and_no_thread_begins(rig):
    """A closed engine starts nothing again, in the process and in a child of it."""
    r = rig()
    assert r.ask()
    r.engine.close()
    deadline = time.monotonic() + 5
    names = ["cxsdk-prompts"]
    while "cxsdk-prompts" in names and time.monotonic() < deadline:
        names = [t.name for t in threading.enumerate()]
    before = threading.active_count()
    assert r.ask(customer="c2").reason == "store_unavailable"
    assert not r.engine.submit("x" * 20, {})
    assert threading.active_count() == before


def test_two_threads_that_need_the_engine_first_get_one(monkeypatch):
    """Made once: a second one would hold a store that nobody closes."""
    from cxsdk.prompts import setup

    made, real = [], setup.open_engine

    def slow(*args):
        made.append(real(*args))
        time.sleep(0.05)
        return made[-1]

    monkeypatch.setattr(setup, "open_engine", slow)
    with cx.Client("shop", collector="memory:") as client:
        threads = [threading.Thread(target=lambda: client.prompts) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(made) == 1


def test_many_clients_leave_no_thread_and_no_file_behind(tmp_path):
    """Twenty clients one after another, each asks: what was there before is there after."""

    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    def use(number):
        options = cx.PromptOptions(
            prompts=[LOYALTY], store=f"sqlite:{tmp_path}/caps.db", deadline=5.0
        )
        with cx.Client("shop", collector="memory:", prompts=options) as client:
            with client.scope(customer=f"c{number}"):
                offer = client.prompts.offer("loyalty")
            assert client.prompts.submit(offer.token, {"q": "better"})

    use(0)
    threads, files = threading.active_count(), open_files()
    for number in range(1, 21):
        use(number)
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert open_files() <= files + 2


def test_a_signal_handler_that_raises_while_a_page_waits_undoes_it():
    """What comes back to nobody is taken back."""
    deadline = Deadline(30.0)
    go, begun, undone = threading.Event(), threading.Event(), threading.Event()

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            assert begun.wait(5)
            raise KeyboardInterrupt

    begin = deadline._begin

    def interrupted(*args):
        call = begin(*args)
        call.done = Interrupted()
        return call

    deadline._begin = interrupted
    with pytest.raises(KeyboardInterrupt):
        deadline.call(lambda: begun.set() or go.wait(30), undone.set)
    go.set()
    assert undone.wait(5)
    deadline.close()


@pytest.mark.parametrize(
    "options",
    [
        {"prompts": [LOYALTY], "store": 5},
        {"prompts": [LOYALTY], "store": object()},
        {"prompts": ["loyalty"]},
        {"attributes": {"c1": {}}},
    ],
)
def test_options_of_a_wrong_kind_stop_the_start(options):
    """And not the first page that asks."""
    with pytest.raises(cx.errors.ConfigurationError):
        cx.Client("shop", collector="memory:", prompts=cx.PromptOptions(**options))


def test_an_opt_out_is_kept_while_capture_is_off():
    """What a customer wants does not wait for the OFF file to go."""
    options = cx.PromptOptions(prompts=[LOYALTY], store=MemoryCapStore(), deadline=5.0)
    key = cx.PrivacyOptions(key=b"a privacy key of the team")
    with cx.Client("shop", collector="memory:", prompts=options, privacy=key) as client:
        capture, client._capture = client._capture, None
        client.prompts.opt_out("c1")
        client._capture = capture
        with client.scope(customer="c1"):
            assert client.prompts.offer("loyalty").reason == "opted_out"


def test_an_opt_out_that_cannot_be_kept_is_said(rig):
    """Nobody is left to believe that it was."""
    r = rig()
    r.engine._capture = lambda: None
    with pytest.raises(cx.errors.StoreUnavailableError):
        r.engine.opt_out("c1")


def test_closing_a_client_leaves_the_loop_free():
    """A store that takes its time to close keeps no other task waiting."""

    class Slow(MemoryCapStore):
        def close(self):
            time.sleep(0.2)

    async def main():
        client = cx.Client(
            "shop",
            collector="memory:",
            prompts=cx.PromptOptions(prompts=[LOYALTY], store="memory:"),
        )
        client.prompts.store = Slow()
        task, ticks = asyncio.ensure_future(client.aclose()), 0
        while not task.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return ticks

    assert asyncio.run(main()) > 5
