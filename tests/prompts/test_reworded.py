"""
A prompt changes while offers are out: an answer is one to what was shown, and says so.
"""

from __future__ import annotations

import pytest

from cxsdk.prompts import Choice, Echo, FollowUp, Question, ShowIf
from cxsdk.prompts.wording import Wording

DAY = 86_400.0
OLD = [
    Question(
        id="speed",
        kind="single_choice",
        text="Was it fast, {name}?",
        choices=[Choice(id="fast", label="Fast"), Choice(id="slow", label="Slow")],
        shuffle=True,
    ),
    Question(
        id="why",
        kind="text",
        text="Why?",
        required=False,
        max_chars=10,
        show_if=ShowIf(question="speed", value=["slow"]),
    ),
]
NEW = [Question(id="effort", kind="ces"), Question(id="speed", kind="rating", text="How fast?")]
GERMAN = {
    "title": "Kurz",
    "questions": {"speed": {"text": "War es schnell, {name}?", "choices": {"slow": "Langsam"}}},
}


@pytest.fixture
def worded(rig, prompt):
    """Two workers: one has the prompt as it was, the other one as it is now."""

    def make(**more):
        shared = {"context_fields": ["name"], "locales": {"de": GERMAN}, **more}
        old = rig(prompt(questions=OLD, **shared))
        new = rig(prompt(questions=NEW, context_fields=[]), store=old.engine.store)
        new.engine.clock = old.engine.clock
        return old, new

    return make


def test_an_answer_is_checked_against_what_was_shown(worded):
    """After the deploy an open form is still answered as it was, and stamped with its version."""
    old, new = worded()
    offer = old.ask(context={"name": "Ann"})
    assert new.engine.submit(offer.token, {"effort": 5}).errors == {"": "unknown_question"}
    assert new.engine.submit(offer.token, {"speed": 5}).errors == {"speed": "choice"}
    given = {"speed": "slow", "why": "x" * 11}
    assert new.engine.submit(offer.token, given).errors == {"why": "too_long"}
    assert new.engine.submit(offer.token, {"speed": "slow", "why": "queue"})
    (told,) = new.said("feedback")
    assert told["instrument_version"] == offer.version
    assert told["instrument"] == "choice"
    assert [each["question"] for each in told["answers"]] == ["speed", "why"]
    assert new.ask(customer="c2").version != offer.version


def test_the_page_still_shows_what_was_offered(worded):
    """In the reader's language, with the values that texts show, in the same order."""
    old, new = worded()
    offer = old.ask(locale="de-AT", context={"name": "Ann"})
    found = new.engine.find(offer.token)
    assert found.version == offer.version
    for each in (offer, found):
        words = Wording(each.prompt, each.locale, each.context, each.offer_id)
        assert words.title == "Kurz"
        assert words.text(each.prompt.questions[0]) == "War es schnell, Ann?"
    first, second = (
        Wording(each.prompt, each.locale, each.context, each.offer_id).options(
            each.prompt.questions[0]
        )
        for each in (offer, found)
    )
    assert first == second
    assert ("slow", "Langsam") in first


def test_an_answer_in_a_worker_that_is_not_there_yet(worded):
    """The other way round, while a deploy rolls: the old worker takes the new form's answer."""
    old, new = worded()
    offer = new.ask()
    assert old.engine.submit(offer.token, {"effort": 5, "speed": 4})
    assert old.said("feedback")[0]["instrument_version"] == offer.version


def test_a_prompt_that_was_taken_out_takes_no_answer(rig, prompt):
    """Its offers are gone with it; nothing is raised."""
    old = rig(prompt("removed"))
    offer = old.ask()
    new = rig(prompt("other"), store=old.engine.store)
    new.engine.clock = old.engine.clock
    assert new.engine.submit(offer.token, {"effort": 5}).outcome == "gone"
    old.turn(1801)
    assert new.engine.sweep() == 1


def test_an_echo_asks_with_the_same_wording(rig, prompt):
    """Reworded in between, the two answers are still to one question."""
    old = rig(prompt(questions=OLD, echo=Echo(after=DAY), follow_up=[]))
    token = old.ask().token
    assert old.engine.submit(token, {"speed": "fast"})
    promise = FollowUp(when={"effort": {"lt": 3}}, within=DAY, owner="care")
    new = rig(
        prompt(questions=NEW, echo=Echo(after=DAY), follow_up=[promise]), store=old.engine.store
    )
    new.engine.clock = old.engine.clock
    old.turn(DAY + 1)
    again = new.ask(touchpoint="browse")
    assert (again.stage, again.version) == ("recall", old.engine.prompts["checkout_effort"].version)
    assert new.engine.submit(again.token, {"speed": "slow"})
    first, second = old.said("feedback")[0], new.said("feedback")[0]
    assert first["instrument_version"] == second["instrument_version"]


def test_an_offer_s_record_stays_small(rig, prompt):
    """One question in one language: the offer as a store keeps it is under a kilobyte."""
    r = rig(prompt(locales={"de": {"title": "x" * 400}}))
    offer = r.ask()
    assert len(r.engine.store.find(offer.offer_id).record) < 700
