"""
Answers: checked against their wording, taken once, kept before anybody is told so.
"""

from __future__ import annotations

import json
import threading

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts import Choice, Echo, FollowUp, Question, QuotaRule, ShowIf, umux_lite
from cxsdk.prompts.answers import check
from cxsdk.prompts.stores.memory import MemoryCapStore

CHOICES = [Choice(id="price", label="The price"), Choice(id="speed", label="The speed")]


def test_an_answer_becomes_feedback_about_that_interaction(rig):
    """Perception, tied to what happened, with everything that scores and weights need."""
    r = rig()
    offer = r.ask("checkout_effort")
    receipt = r.engine.submit(offer.token, {"effort": "6"})
    assert receipt.outcome == "accepted"
    assert receipt.complete
    (feedback,) = r.said("feedback")
    (done,) = r.said("interaction")
    assert feedback["feedback_id"] == receipt.feedback_id
    assert feedback["about"]["interaction_ids"] == [done["interaction_id"]]
    assert feedback["answers"] == [
        {
            "question": "effort",
            "dimension": "effort",
            "value": 6,
            "scale": {"min": 1, "max": 7, "better": "higher"},
        }
    ]
    assert feedback["prompt_id"] == "checkout_effort"
    assert feedback["offer_id"] == offer.offer_id
    assert feedback["instrument_version"] == offer.version
    assert feedback["stage"] == "experience"
    assert feedback["inclusion_probability"] == 1
    assert feedback["solicited"] is True
    assert feedback["complete"] is True
    (answered,) = r.said("prompt", "answered")
    assert answered["feedback_id"] == receipt.feedback_id


def test_the_same_answer_again_is_the_same_answer(rig):
    """A double click and a retried request are one event under one id."""
    r = rig()
    token = r.ask().token
    first = r.engine.submit(token, {"effort": 6})
    again = r.engine.submit(token, {"effort": 6})
    assert (first.outcome, again.outcome) == ("accepted", "same")
    assert first.feedback_id == again.feedback_id
    ids = {
        json.loads(e)["id"] for e in r.events if b".feedback." in e[:200] or b"feedback.given" in e
    }
    assert len(ids) == 1


def test_another_answer_is_a_conflict(rig):
    """The one that came first stands."""
    r = rig()
    token = r.ask().token
    r.engine.submit(token, {"effort": 6})
    assert r.engine.submit(token, {"effort": 1}).outcome == "conflict"
    assert r.engine.submit(token, {"effort": 1}).status == 409
    assert len(r.said("feedback")) == 1


def test_a_mind_may_change_where_that_is_allowed(rig, prompt):
    """Within the time a new answer supersedes the old one; after it there is a conflict."""
    r = rig(prompt(revise_for=600.0))
    token = r.ask().token
    first = r.engine.submit(token, {"effort": 6})
    r.turn(60)
    second = r.engine.submit(token, {"effort": 2})
    assert second.outcome == "revised"
    old, new = r.said("feedback")
    assert new["supersedes"] == old["feedback_id"] == first.feedback_id
    r.turn(600)
    assert r.engine.submit(token, {"effort": 7}).outcome == "conflict"


def test_too_late_is_gone(rig):
    """After the offer is over its token is worth nothing, and that is not told apart from none."""
    r = rig()
    token = r.ask().token
    r.turn(1801)
    receipt = r.engine.submit(token, {"effort": 6})
    assert (receipt.outcome, receipt.status, receipt.offer) == ("gone", 410, None)
    assert r.said("feedback") == []


def test_an_answer_over_quota_is_kept_and_flagged(rig, prompt):
    """Two offers were out when the quota shrank to one: the second answer is not thrown away."""
    store = MemoryCapStore(lambda: 0.0)
    r = rig(prompt(quotas=[QuotaRule(limit=2)]), store=store)
    one, two = r.ask(customer="c1"), r.ask(customer="c2")
    store._entries[two.offer_id].quotas = {"checkout_effort:all": 1}
    assert r.engine.submit(one.token, {"effort": 6})
    assert r.engine.submit(two.token, {"effort": 6})
    assert [f.get("over_quota", False) for f in r.said("feedback")] == [False, True]


def test_partial_answers_are_kept_and_completed(rig, prompt):
    """What was said before somebody left counts; saying the rest supersedes it."""
    questions = [Question(id="effort", kind="ces"), Question(id="why", kind="text", text="Why?")]
    r = rig(prompt(questions=questions))
    token = r.ask().token
    first = r.engine.submit(token, {"effort": 2}, partial=True)
    assert (first.outcome, first.complete) == ("accepted", False)
    second = r.engine.submit(token, {"effort": 2, "why": "slow"})
    assert (second.outcome, second.complete) == ("revised", True)
    assert [f["complete"] for f in r.said("feedback")] == [False, True]
    assert len(r.said("prompt", "partial")) == 1
    assert len(r.said("prompt", "answered")) == 1


def test_words_are_redacted_before_they_are_kept(rig, prompt):
    """An address in a comment never reaches the spool."""
    r = rig(prompt(questions=[Question(id="why", kind="text", text="Why?")]))
    r.engine.submit(r.ask().token, {"why": "write to jane@example.com"})
    assert b"jane@example.com" not in b"".join(r.events)
    assert "write to" in r.said("feedback")[0]["answers"][0]["text"]


def test_a_detractor_is_a_promise_to_keep(rig, prompt):
    """A low score makes a callback due, tied to the answer; a high one does not."""
    follow = FollowUp(when={"effort": {"lt": 4}}, within=86_400.0, owner="care-team")
    r = rig(prompt(follow_up=[follow]))
    r.engine.submit(r.ask(customer="c1").token, {"effort": 7})
    receipt = r.engine.submit(r.ask(customer="c2").token, {"effort": 1})
    (promise,) = r.said("commitment")
    assert promise["kind"] == "callback"
    assert promise["customer"] == {"id": "c2"}
    assert promise["about"]["event_ids"] == [receipt.feedback_id]
    assert promise["due_at"].startswith("2026-01-02T")
    assert promise["ext"]["app"]["owner"] == "care-team"


def test_a_store_that_is_down_says_try_again(rig):
    """Nothing is kept and nothing is lost: the same answer may come again."""

    class Flaky(MemoryCapStore):
        down = False

        def answer(self, *args, **how):
            if self.down:
                raise StoreUnavailableError("no route")
            return super().answer(*args, **how)

    store = Flaky()
    r = rig(store=store)
    token = r.ask().token
    store.down = True
    assert r.engine.submit(token, {"effort": 6}).status == 503
    store.down = False
    assert r.engine.submit(token, {"effort": 6}).outcome == "accepted"


def test_what_capture_could_not_keep_comes_again(rig, monkeypatch):
    """The store took it, the spool was full: 503, and the repeated answer is kept then."""
    from cxsdk.typing import Dropped

    r = rig()
    token = r.ask().token
    capture = r.client.capture()
    with monkeypatch.context() as patch:
        patch.setattr(capture, "fact", lambda *_: Dropped("spool_full"))
        assert r.engine.submit(token, {"effort": 6}).outcome == "unavailable"
    assert r.engine.submit(token, {"effort": 6}).outcome == "same"
    assert len(r.said("feedback")) == 1


def test_one_of_many_at_once_holds(rig):
    """Twenty different answers in the same moment: one is accepted."""
    r = rig()
    token = r.ask().token
    go = threading.Barrier(7)
    outcomes = []

    def answer(value):
        go.wait()
        outcomes.append(r.engine.submit(token, {"effort": value}).outcome)

    threads = [threading.Thread(target=answer, args=(n,)) for n in range(1, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("accepted") == 1
    assert outcomes.count("conflict") == 6


def test_started_means_seen_and_nothing_goes_back(rig):
    """States move forward only; each move is told once."""
    r = rig()
    token = r.ask().token
    assert r.engine.advance(token, "started")
    assert not r.engine.advance(token, "shown")
    assert not r.engine.advance(token, "started")
    assert r.engine.submit(token, {"effort": 6})
    assert not r.engine.advance(token, "dismissed")
    assert len(r.said("prompt", "started")) == 1
    assert r.said("prompt", "dismissed") == []


def test_a_dismissed_offer_takes_no_answer(rig):
    """No is no."""
    r = rig()
    token = r.ask().token
    r.engine.advance(token, "dismissed", reason="close")
    assert r.engine.submit(token, {"effort": 6}).outcome == "gone"


def test_a_dismissal_after_an_answer_in_part_names_it(rig, prompt):
    """It is no refusal to answer; one without an answer names none."""
    questions = [Question(id="effort", kind="ces"), Question(id="more", kind="thumbs")]
    r = rig(prompt(questions=questions))
    token = r.ask().token
    kept = r.engine.submit(token, {"effort": 6}, partial=True)
    assert (bool(kept), kept.complete) == (True, False)
    r.engine.advance(token, "dismissed", reason="close")
    r.engine.advance(r.ask(customer="c2").token, "dismissed", reason="close")
    first, other = r.said("prompt", "dismissed")
    assert first["feedback_id"] == kept.feedback_id
    assert "feedback_id" not in other


# ---- chat -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("nps", " 8 ", 8),
        ("nps", "8.", 8),
        ("thumbs", "👍", 1),
        ("thumbs", "Nein!", 0),
        ("versus_expectation", "much better", "much_better"),
        ("versus_expectation", "2", "worse"),
        ("yes_no_partly", "Partly", "partly"),
    ],
)
def test_a_line_of_chat_is_an_answer(rig, prompt, kind, said, value):
    """Numbers, words, thumbs and positions are understood."""
    r = rig(prompt(questions=[Question(id="q", kind=kind)], channels=["chat"]))
    receipt = r.engine.submit_text(r.ask(channel="chat").token, said)
    assert receipt.outcome == "accepted"
    assert r.said("feedback")[0]["answers"][0]["value"] == value


@pytest.mark.parametrize("said", ["eleven", "", "11", "8 or 9", "٨"])
def test_what_is_no_answer_is_said_so(rig, prompt, said):
    """The question stays open."""
    r = rig(prompt(questions=[Question(id="q", kind="nps")], channels=["chat"]))
    token = r.ask(channel="chat").token
    assert r.engine.submit_text(token, said).outcome == "invalid"
    assert r.engine.submit_text(token, "9").outcome == "accepted"


# ---- what a form may send -------------------------------------------------------------------


def questions(*more):
    return [
        Question(id="score", kind="nps"),
        Question(id="why", kind="single_choice", text="Why?", choices=CHOICES, allow_other=True),
        Question(
            id="which",
            kind="multi_choice",
            text="Which?",
            choices=CHOICES,
            required=False,
            show_if=ShowIf(question="score", op="at_most", value=6),
        ),
        Question(id="words", kind="text", text="More?", required=False, max_chars=20),
        *more,
    ]


GOOD = {"score": 9, "why": "price"}


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        (GOOD, {}),
        ({**GOOD, "score": "9"}, {}),
        ({**GOOD, "words": "x" * 20}, {}),
        ({**GOOD, "why": "other", "why_other": "the smell"}, {}),
        ({"score": 3, "why": "price", "which": ["price", "speed"]}, {}),
        ({**GOOD, "words": "=cmd|' /C calc'!A0"}, {}),
        ({}, {"score": "required", "why": "required"}),
        ({**GOOD, "score": 11}, {"score": "number"}),
        ({**GOOD, "score": -1}, {"score": "number"}),
        ({**GOOD, "score": 8.5}, {"score": "number"}),
        ({**GOOD, "score": True}, {"score": "number"}),
        ({**GOOD, "score": "٩"}, {"score": "number"}),
        ({**GOOD, "score": [9]}, {"score": "number"}),
        ({**GOOD, "score": {"$gt": 1}}, {"score": "number"}),
        ({**GOOD, "why": "rice"}, {"why": "choice"}),
        ({**GOOD, "why": ["price", "speed"]}, {"why": "choice"}),
        ({**GOOD, "why": 1}, {"why": "choice"}),
        ({"score": 3, "why": "price", "which": ["price", "price"]}, {"which": "choice"}),
        ({**GOOD, "words": "x" * 21}, {"words": "too_long"}),
        ({**GOOD, "words": 5}, {"words": "text"}),
        ({**GOOD, "customer": "c2"}, {"": "unknown_question"}),
        ({**GOOD, "offer_id": "x"}, {"": "unknown_question"}),
    ],
)
def test_each_field_is_checked(prompt, given, errors):
    """What is wrong is said by question and code; what is right passes."""
    found = check(prompt(questions=questions()), given, partial=False, lang="en")
    assert found.errors == errors


def test_what_was_not_asked_is_not_heard(prompt):
    """An answer to a question whose condition does not hold is left out."""
    given = {**GOOD, "which": ["price"]}
    found = check(prompt(questions=questions()), given, partial=False, lang="en")
    assert [each["question"] for each in found.wire] == ["score", "why"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("line\r\nbreak", "line\nbreak"),
        ("  \t ", None),
        ("<b>bold</b>", "<b>bold</b>"),
        ("a\ud800b", "ab"),
        ("é", "é"),
        ("😀 עברית", "😀 עברית"),
    ],
)
def test_words_are_text_and_stay_text(prompt, text, kept):
    """Control characters go; markup, emoji and right-to-left text stay what they are."""
    p = prompt(questions=[Question(id="q", kind="text", text="?", required=False)])
    found = check(p, {"q": text}, partial=True, lang="en")
    assert [each["text"] for each in found.wire] == ([kept] if kept else [])


def test_umux_lite_is_two_questions(prompt):
    """Both on seven points, as its authors have it."""
    p = prompt(questions=umux_lite(product="The shop"), instrument="umux_lite")
    found = check(p, {"umux_capabilities": 6, "umux_ease": 7}, partial=False, lang="en")
    assert [each["value"] for each in found.wire] == [6, 7]
    assert p.told_instrument == "umux_lite"


# ---- over time --------------------------------------------------------------------------------


def test_a_part_that_comes_late_takes_nothing_away(rig, prompt):
    """What a form saved on the way overtakes nothing, also where a mind may change."""
    questions = [Question(id="effort", kind="ces"), Question(id="why", kind="text", text="Why?")]
    r = rig(prompt(questions=questions, revise_for=600.0))
    token = r.ask().token
    assert r.engine.submit(token, {"effort": 2, "why": "slow"})
    assert r.engine.submit(token, {"effort": 2}, partial=True).outcome == "conflict"
    assert [f["complete"] for f in r.said("feedback")] == [True]


def test_a_mind_may_change_after_the_offer_is_over(rig, prompt):
    """The time to revise counts from the answer, not from the end of the offer."""
    r = rig(prompt(revise_for=86_400.0))
    token = r.ask().token
    assert r.engine.submit(token, {"effort": 6})
    r.turn(80_000)
    assert r.engine.submit(token, {"effort": 2}).outcome == "revised"
    late = r.ask(customer="c2").token
    r.turn(1801)
    assert r.engine.submit(late, {"effort": 2}).outcome == "gone"


def test_the_store_s_clock_decides_and_not_a_worker_s(rig):
    """A host two minutes ahead of the store takes an answer that is in time."""
    r = rig()
    ahead = rig(store=r.engine.store)
    token = r.ask().token
    r.turn(1700)
    ahead.turn(1820)
    assert ahead.engine.submit(token, {"effort": 6}).outcome == "accepted"


def test_a_retried_answer_is_the_same_in_another_process(rig, prompt):
    """After a restart the same body is the same answer: one feedback, one promise, one echo."""
    promise = FollowUp(when={"effort": {"lt": 4}}, within=3600.0, owner="care")
    make = {"follow_up": [promise], "echo": Echo(after=3600.0), "revise_for": 600.0}
    r = rig(prompt(**make))
    token = r.ask().token
    first = r.engine.submit(token, {"effort": 2})
    other = rig(prompt(**make), store=r.engine.store)
    other.engine.clock = r.engine.clock
    again = other.engine.submit(token, {"effort": 2})
    better = other.engine.submit(token, {"effort": 7})
    assert (first.outcome, again.outcome, better.outcome) == ("accepted", "same", "revised")
    assert r.engine.store.counts()["due"] == 1
    events = [json.loads(each) for each in (*r.events, *other.events)]

    def ids(kind):
        return {each["id"] for each in events if f".{kind}." in each["type"]}

    assert len(ids("feedback.given")) == 2
    assert len(ids("prompt.answered")) == 1
    # A promise once made is kept, also to who thinks better of us by now.
    assert len(ids("commitment.made")) == 1


def test_who_withdraws_between_offer_and_answer_is_not_said_to_consent(rig):
    """What they tell us is kept, under the consent that is in force."""
    r = rig()
    token = r.ask(consent="granted").token
    capture = r.client._parts.capture
    capture.customers.remember_consent(capture.known(("c1", None, None, None)), "denied")
    assert r.engine.submit(token, {"effort": 6})
    assert r.said("feedback")[0]["consent"]["state"] == "denied"


def test_switched_off_takes_no_answer(rig):
    """What would not be kept is not taken: the same answer counts when capture is on again."""
    r = rig()
    token = r.ask().token
    capture, r.client._capture = r.client._capture, None
    assert r.engine.submit(token, {"effort": 6}).outcome == "unavailable"
    assert r.engine.store.find(r.engine.find(token).offer_id).state == "reserved"
    r.client._capture = capture
    assert r.engine.submit(token, {"effort": 6}).outcome == "accepted"
