"""
``cx_prompts``: whom the code under test asks, and what customers answer.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

import cxsdk as cx
from cxsdk.prompts import FrequencyCap, Prompt, Question, Sampling, Trigger
from cxsdk.prompts.rules import Attribute, NotAfterFailure
from cxsdk.testing import Asking, Captured, FakeClock, Knowing
from cxsdk.testing.asking import Decision

EFFORT = Prompt(
    key="effort",
    trigger=Trigger(event="checkout.pay", outcome="success"),
    questions=[Question(id="easy", kind="ces")],
)
TOML = """
[easy]
trigger = {event = "checkout.pay"}

[[easy.questions]]
id = "easy"
kind = "ces"
"""


def pay(customer: str = "u-17", *, declined: bool = False) -> Any:
    """
    An application's page: the payment, and whom it asks after it.
    """
    with cx.scope(customer=customer):
        with cx.interaction("checkout.pay") as interaction:
            if declined:
                interaction.outcome = "failure"
        return cx.prompts.offer("effort")


def test_who_was_asked_and_what_they_answered(cx_prompts: Asking, cx_events: Captured) -> None:
    """A prompt is given, the application offers it, the customer answers."""
    cx_prompts.use(EFFORT)
    offer = pay()

    assert offer == cx_prompts.assert_asked("effort", customer="u-17")
    receipt = cx_prompts.answer("effort", {"easy": 6})
    assert "accepted" == receipt.outcome
    cx_events.assert_sequence(
        {"family": "interaction", "touchpoint": "checkout.pay"},
        "prompt.offered",
        "prompt.shown",
        {"family": "feedback", "customer": "u-17", "answers": [{"question": "easy", "value": 6}]},
        "prompt.answered",
    )


def test_each_decision_is_written_down(cx_prompts: Asking) -> None:
    """Whom, about what, and why not."""
    cx_prompts.use(EFFORT, attrs.evolve(EFFORT, key="another"))
    pay("u-17")
    pay("u-17")
    pay("u-18", declined=True)

    assert [
        Decision("effort", "u-17", "checkout.pay", "", ANY_OFFER),
        Decision("effort", "u-17", "checkout.pay", "in_flight"),
        Decision("effort", "u-18", "checkout.pay", "trigger_mismatch"),
    ] == [attrs.evolve(each, offer=each.offer and ANY_OFFER) for each in cx_prompts.decisions]
    assert [True, False, False] == [bool(each) for each in cx_prompts.decisions]
    cx_prompts.assert_not_asked("effort", customer="u-18", reason="trigger_mismatch")
    cx_prompts.assert_not_asked("another")
    cx_prompts.assert_not_asked(customer="u-19")


ANY_OFFER: Any = object()


def test_what_was_decided_is_said_when_it_is_not_as_expected(cx_prompts: Asking) -> None:
    """A failure lists every decision."""
    cx_prompts.use(EFFORT)
    with pytest.raises(AssertionError, match=r"anybody by 'effort' to be asked\ndecided: nothing"):
        cx_prompts.assert_asked("effort")
    pay("u-17")
    pay("u-18", declined=True)

    with pytest.raises(AssertionError) as failed:
        cx_prompts.assert_asked("effort", customer="u-18")
    assert str(failed.value) == (
        "expected 'u-18' by 'effort' to be asked\n"
        "decided, in order:\n"
        "  effort  u-17  checkout.pay  asked\n"
        "  effort  u-18  checkout.pay  not asked: trigger_mismatch"
    )
    with pytest.raises(AssertionError, match="expected anybody by any prompt not to be asked\n"):
        cx_prompts.assert_not_asked()
    with pytest.raises(AssertionError, match=r"'u-18' by any prompt not .* because of cap_prompt"):
        cx_prompts.assert_not_asked(customer="u-18", reason="cap_prompt")


def test_everybody_is_in_the_sample(cx_prompts: Asking) -> None:
    """A rate of one in a million chooses whom the test chooses; the wording is the same version."""
    rare = attrs.evolve(EFFORT, sampling=Sampling(rate=1e-6))
    cx_prompts.use(rare)

    assert all(pay(f"u-{number}") for number in range(20))
    assert rare.version == cx_prompts.assert_asked("effort").version


def test_caps_are_those_of_production(cx_prompts: Asking, cx_clock: FakeClock) -> None:
    """They begin empty and end by the test's clock."""
    cx_prompts.use(attrs.evolve(EFFORT, caps=[FrequencyCap(within=30 * 86400)]))
    assert pay()
    cx_prompts.dismiss("effort")
    cx_clock.advance(timedelta(days=29))
    assert not pay()
    assert "cap_prompt" == cx_prompts.decisions[-1].reason
    cx_clock.advance(timedelta(days=2))
    assert pay()


def test_an_offer_whose_time_is_over_cannot_be_answered(
    cx_prompts: Asking, cx_clock: FakeClock
) -> None:
    """The failure says so, and so it does of an answer that is refused."""
    cx_prompts.use(EFFORT)
    pay()
    with pytest.raises(AssertionError, match="answer to 'effort' is invalid\n  easy: number"):
        cx_prompts.answer("effort", {"easy": 99})
    cx_clock.advance(timedelta(days=60))
    with pytest.raises(AssertionError, match="'effort' is over"):
        cx_prompts.answer("effort", {"easy": 6})


def test_what_is_over_is_not_closed_again(cx_prompts: Asking, cx_events: Captured) -> None:
    """A customer can say "never" once, and nobody asks them again."""
    cx_prompts.use(EFFORT)
    pay()
    cx_prompts.dismiss("effort", reason="never_ask")
    cx_events.assert_one("prompt", "dismissed", reason="never_ask")
    with pytest.raises(AssertionError, match="over already"):
        cx_prompts.dismiss("effort")
    assert "opted_out" == pay().reason


def test_prompts_come_from_files_too(cx_prompts: Asking, tmp_path: Path) -> None:
    """A path is read like PromptOptions(files=…)."""
    file = tmp_path / "prompts.toml"
    file.write_text(TOML)
    cx_prompts.use(file)

    with cx.scope(customer="u-17"):
        with cx.interaction("checkout.pay"):
            pass
        assert cx.prompts.offer("easy")
    with pytest.raises(cx.ConfigurationError):
        cx_prompts.use(tmp_path / "none.toml")


def test_the_applications_own_prompts_hold_as_well(cx_prompts: Asking, tmp_path: Path) -> None:
    """From code and files; one that the test gives under the same key takes its place."""
    file = tmp_path / "prompts.toml"
    file.write_text(TOML)
    other = attrs.evolve(EFFORT, key="other")
    cx_prompts.use(attrs.evolve(EFFORT, priority=7))
    cx.init(
        "shop",
        collector="null:",
        prompts=cx.PromptOptions(
            prompts=[EFFORT, other], files=file, store=f"sqlite:///{tmp_path}/caps.db"
        ),
    )

    assert pay()
    cx_prompts.use(attrs.evolve(other, priority=9))
    engine = cx.client().prompts  # type: ignore[union-attr]
    assert ["other", "effort", "easy"] == [prompt.key for prompt in engine.by_priority]
    assert [9, 7, 0] == [prompt.priority for prompt in engine.by_priority]
    assert not (tmp_path / "caps.db").exists()


def test_losers_are_written_down(cx_prompts: Asking) -> None:
    """Where the application names no prompt, every one that came into question is there."""
    cx_prompts.use(EFFORT, attrs.evolve(EFFORT, key="more", priority=5))
    with cx.scope(customer="u-17"):
        with cx.interaction("checkout.pay"):
            pass
        assert cx.prompts.offer()
    assert [("more", ""), ("effort", "lost_priority")] == [
        (each.prompt, each.reason) for each in cx_prompts.decisions
    ]


def test_an_unknown_prompt_raises(cx_prompts: Asking) -> None:
    """A slip in the application's key is an error of the test."""
    with pytest.raises(cx.InvalidEventError, match="effort"):
        pay()


@pytest.mark.cx_lenient
def test_an_unknown_prompt_is_a_reason_where_it_is_lenient(cx_prompts: Asking) -> None:
    """As in production."""
    assert "unknown_prompt" == pay().reason
    cx_prompts.assert_not_asked("effort", reason="unknown_prompt")


def test_coroutines_and_clients_ask_the_same(cx_prompts: Asking) -> None:
    """aoffer, and the engine of a client that the application holds."""
    client = cx.init("shop", collector="null:")
    cx_prompts.use(EFFORT)

    async def page() -> Any:
        with cx.scope(customer="u-17"):
            with cx.interaction("checkout.pay"):
                pass
            return await cx.prompts.aoffer("effort")

    assert asyncio.run(page())
    with cx.scope(customer="u-18"):
        with cx.interaction("checkout.pay"):
            pass
        assert client.prompts.offer("effort")
    assert cx_prompts.answer("effort", {"easy": 3}, customer="u-17")
    assert ["u-17", "u-18"] == [each.customer for each in cx_prompts.decisions]


def test_prompts_that_wait_for_events_hear_them(cx_prompts: Asking, cx_clock: FakeClock) -> None:
    """A failure of before is known also where the prompt was given after the client was made."""
    cx.init("shop", collector="null:")
    cx_prompts.use(attrs.evolve(EFFORT, eligibility=[NotAfterFailure(within=86400)]))
    pay(declined=True)
    cx_clock.advance(60)

    assert "recent_failure" == pay().reason
    cx_clock.advance(timedelta(days=2))
    assert pay()


def test_rules_look_at_what_the_test_says_is_known(cx_prompts: Asking, cx_context: Knowing) -> None:
    """cx_context tells rules of a customer, consent included."""
    cx_prompts.use(attrs.evolve(EFFORT, eligibility=[Attribute(name="plan", values=("gold",))]))
    assert not pay("u-17")
    consent = {"purposes": {"prompts": {"state": "granted"}}}
    cx_context.knows("u-18", profile={"plan": "gold"}, consent=consent)
    cx_context.knows("u-19", profile={"plan": "basic"}, consent=consent)
    assert pay("u-18")
    assert not pay("u-19")


def test_visitors_are_known_by_their_anonymous_id(cx_prompts: Asking) -> None:
    """A decision names whom it was about, also where nobody is logged in."""
    cx_prompts.use(EFFORT)
    with cx.scope(anonymous="visitor-1", consent="granted"):
        with cx.interaction("checkout.pay"):
            pass
        assert cx.prompts.offer("effort")
    cx_prompts.assert_asked("effort", customer="visitor-1")


def test_a_slip_in_the_key_of_a_prompt_is_no_silent_pass(cx_prompts: Asking) -> None:
    """That nobody is asked by what does not exist says nothing."""
    cx_prompts.use(EFFORT)
    assert pay()
    with pytest.raises(ValueError, match="no prompt 'efort'; there are effort"):
        cx_prompts.assert_not_asked("efort")


def test_without_any_prompt_a_slip_is_named_so(cx_prompts: Asking) -> None:
    """There is nothing to choose from, and the message does not pretend."""
    with pytest.raises(ValueError, match="no prompt 'effort'; there are none"):
        cx_prompts.assert_not_asked("effort")
    with pytest.raises(
        cx.InvalidEventError, match="expected one of the configured, which are none"
    ):
        cx.prompts.offer("effort")


def test_a_prompt_of_the_application_is_known_before_it_is_offered(
    tmp_path: Path, cx_prompts: Asking
) -> None:
    """Who asks nobody at all passes, as before; the application may start in the test."""
    path = tmp_path / "cx.toml"
    path.write_text(TOML)
    cx.init("shop", collector="memory:", prompts=cx.PromptOptions(files=path))
    cx_prompts.assert_not_asked("easy")
