"""
What the engine tells, as the embedded collector and PostHog read it.
"""

from __future__ import annotations

import json

import pytest

from cxsdk.collector import Store
from cxsdk.collector.limits import Limits
from cxsdk.collector.overview import EVER, overview
from cxsdk.collector.row import judge
from cxsdk.events.mappings import posthog
from cxsdk.events.mappings._fact import read
from cxsdk.prompts import Echo, Question, QuotaRule, Sampling
from cxsdk.prompts.question import umux_lite as umux_questions
from cxsdk.prompts.scores import nps, pairs, umux_lite

DAY = 86_400.0
NPS = Question(id="recommend", kind="nps")


@pytest.fixture
def collected(tmp_path):
    """
    The overview of what came out of a rig, judged strictly.
    """

    def look(rig):
        store = Store(tmp_path / "collected.db")
        try:
            store.add([judge(event, Limits(), strict=True) for event in rig.events], [])
            with store.reading() as db:
                return overview(db, EVER, store.now())
        finally:
            store.close()

    return look


def test_a_life_of_offers_is_what_the_collector_counts(rig, prompt, collected):
    """Answered, closed, ignored, never seen, refused: each offer in its place."""
    r = rig(prompt(questions=[NPS], quotas=[QuotaRule(limit=1)]), suppressed_events=True)
    offers = [r.ask(customer="c0")]
    r.engine.advance(offers[0].token, "shown")
    assert r.engine.submit(offers[0].token, {"recommend": 9})
    assert not r.ask(customer="c1")
    found = collected(r)
    (one,) = found.asked.prompts
    assert (one.rates.response.value, one.rates.response.n, one.over_quota) == (100, 1, 0)
    assert [(each.reason, each.n) for each in found.asked.reasons] == [("quota_full", 1)]
    (score,) = found.perception.scores
    assert (score.question, score.scope, score.figure) == ("recommend", "transactional", nps([9]))


def test_what_was_not_answered_is_dismissed_or_ignored_or_unseen(rig, prompt, collected):
    """By the events of the engine's own sweep."""
    r = rig(prompt())
    closed, ignored, _unseen = [r.ask(customer=f"c{n}") for n in range(3)]
    r.engine.advance(closed.token, "shown")
    r.engine.advance(closed.token, "dismissed", reason="close")
    r.engine.advance(ignored.token, "shown")
    r.turn(3600)
    r.engine.sweep()
    (one,) = collected(r).asked.prompts
    counts = one.rates.counts
    assert (counts["offered"], counts["shown"], counts["dismissed"], counts["lapsed"]) == (
        3,
        2,
        1,
        1,
    )


def test_an_echo_makes_a_pair(rig, prompt, collected):
    """Ten right after, seven two weeks later: three less remembered, here and there."""
    r = rig(prompt(questions=[NPS], echo=Echo(after=14 * DAY), offer_ttl=DAY))
    assert r.engine.submit(r.ask().token, {"recommend": 10})
    r.turn(15 * DAY)
    assert r.engine.submit(r.ask(touchpoint="search").token, {"recommend": 7})
    (one,) = collected(r).asked.pairs
    assert (one.question, one.change.n, one.change.value) == ("recommend", 1, -3)
    assert pairs(map(json.loads, r.events)) == (one,)
    assert nps(map(json.loads, r.events)) == nps([10])


def test_scores_read_the_engine_s_events(rig, prompt):
    """UMUX-Lite by its two questions, with the inclusion probability as its weight."""
    r = rig(prompt(questions=umux_questions(), sampling=Sampling(rate=0.5)))
    while not (offer := r.ask(customer=f"c{r.clock.time_ns()}")):
        r.turn(1)
    assert r.engine.submit(offer.token, {"umux_capabilities": 7, "umux_ease": 4})
    found = umux_lite(map(json.loads, r.events), weighted=True)
    assert (found.value, found.n) == (pytest.approx(75), 1)
    (told,) = r.said("feedback")
    assert told["inclusion_probability"] == 0.5


def test_posthog_sees_a_survey(rig, prompt):
    """Shown, sent in part and whole, under one submission; the other one dismissed."""
    questions = [NPS, Question(id="why", kind="text", text="Why?", required=True)]
    r = rig(prompt(questions=questions))
    offer = r.ask()
    r.engine.advance(offer.token, "shown")
    assert r.engine.submit(offer.token, {"recommend": 9}, partial=True)
    assert r.engine.submit(offer.token, {"recommend": 9, "why": "schnell"})
    r.engine.advance(r.ask(customer="c2").token, "dismissed", reason="close")
    told = [posthog.capture(read(event)) for event in r.events]
    surveys = [one for one in told if one["event"].startswith("survey")]
    assert [one["event"] for one in surveys] == [
        "survey shown",
        "survey sent",
        "survey sent",
        "survey dismissed",
    ]
    shown, part, whole, dismissed = [one["properties"] for one in surveys]
    assert {one["$survey_id"] for one in (shown, part, whole, dismissed)} == {"checkout_effort"}
    assert {one["$survey_submission_id"] for one in (shown, part, whole)} == {offer.offer_id}
    assert (part["$survey_completed"], whole["$survey_completed"]) == (False, True)
    assert (whole["$survey_response_recommend"], whole["$survey_response_why"]) == ("9", "schnell")
    assert dismissed["$survey_partially_completed"] is False
