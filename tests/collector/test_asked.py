"""
What was asked and what became of it, and scores with their intervals, against hand-counted data.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from cxsdk.collector.overview import overview
from cxsdk.prompts import scores

T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
AGREE = {"min": 1, "max": 7, "better": "higher"}


@pytest.fixture
def figures(store):
    """
    The overview from a moment on.
    """

    def read(since=0):
        with store.reading() as db:
            return overview(db, since, store.now())

    return read


def lives(facts, *actions, prefix="o", **more):
    """
    One offer for each word, with all that happened to it: ``offered shown answered``.
    """
    return [
        facts.prompt(action, f"{prefix}{number}", **more)
        for number, words in enumerate(actions)
        for action in words.split()
    ]


# ---- rates --------------------------------------------------------------------------------


def test_rates_have_the_denominators_that_they_say(keep, facts, figures):
    """Ten offered, eight shown, five started; three answered, one in part, two closed, one lapsed."""
    keep(
        *lives(
            facts,
            *["offered shown started answered"] * 3,
            "offered shown started partial",
            "offered shown started dismissed",
            "offered shown dismissed",
            "offered shown lapsed",
            "offered shown",
            "offered",
            "offered",
        )
    )
    (one,) = figures().asked.prompts
    assert dict(one.rates.counts) == {
        "offered": 10,
        "shown": 8,
        "started": 5,
        "partial": 1,
        "complete": 3,
        "dismissed": 2,
        "lapsed": 1,
    }
    assert (one.rates.response.value, one.rates.response.n) == (37.5, 8)
    assert (one.rates.completion.value, one.rates.completion.n) == (60, 5)
    assert (one.rates.dismissal.value, one.rates.ignore.value) == (25, 12.5)
    assert one.rates.response == scores.rate(3, 8)
    assert one.open == 1


def test_an_offer_ends_once(keep, facts, figures):
    """An answer in part that was then given in full is one; one closed afterwards stays in part."""
    keep(
        *lives(
            facts,
            "offered shown partial answered",
            "offered shown partial dismissed",
            "offered shown partial lapsed",
        )
    )
    (one,) = figures().asked.prompts
    counts = one.rates.counts
    assert (counts["complete"], counts["partial"], counts["dismissed"], counts["lapsed"]) == (
        1,
        2,
        0,
        0,
    )
    assert one.open == 0


def test_what_was_never_seen_is_not_ignored(keep, facts, figures):
    """A reservation that lapsed unseen is no offer that was shown, and no refusal to answer."""
    events = lives(facts, "offered shown lapsed", "offered")
    keep(*events, facts.prompt("lapsed", "o1", reason="not_shown"))
    (one,) = figures().asked.prompts
    assert (one.rates.counts["shown"], one.rates.counts["lapsed"]) == (1, 1)
    assert (one.rates.ignore.value, one.rates.ignore.n) == (100, 1)


def test_a_letter_that_was_answered_was_seen(keep, facts, figures):
    """Nobody says `shown` of it, and the rate is not 2 of 0."""
    keep(*lives(facts, "offered answered", "offered answered"))
    (one,) = figures().asked.prompts
    assert (one.rates.response.value, one.rates.response.n) == (100, 2)
    assert one.rates.completion.n == 2


def test_prompts_are_counted_apart_and_only_in_the_range(keep, facts, figures):
    """The one most shown stands first; what was offered before the range is not there."""
    keep(
        *lives(facts, "offered shown", prompt="b"),
        *lives(facts, *["offered shown"] * 2, prompt="a", prefix="p"),
        *lives(facts, "offered shown", prompt="c", prefix="q", at=T0 - timedelta(days=9)),
    )
    found = figures(int(T0.timestamp()) * 1_000_000).asked.prompts
    assert [(one.name, one.rates.counts["shown"]) for one in found] == [("a", 2), ("b", 1)]


def test_answers_beyond_a_quota_are_flagged(keep, facts, figures):
    """They count like any other, and the page says how many there are."""
    told = {"prompt_id": "checkout_effort", "offer_id": "o0", "over_quota": True}
    keep(*lives(facts, "offered shown answered"), facts.score(5, **told), facts.score(4))
    found = figures()
    assert found.asked.prompts[0].over_quota == 1
    assert found.perception.scores[0].n == 2


def test_reasons_are_counted_by_prompt(keep, facts, figures):
    """An event may stand for several; the most frequent stand first, the rest are counted."""
    keep(
        *[facts.prompt("suppressed", reason="cap_global") for _ in "ab"],
        facts.prompt("suppressed", reason="not_sampled", offers=5),
        facts.prompt("suppressed", prompt="other", reason="cap_global"),
        *[facts.prompt("suppressed", prompt=f"p{n}", reason="x_rare") for n in range(20)],
    )
    found = figures().asked
    assert [(one.prompt, one.reason, one.n) for one in found.reasons[:3]] == [
        ("checkout_effort", "not_sampled", 5),
        ("checkout_effort", "cap_global", 2),
        ("other", "cap_global", 1),
    ]
    assert (len(found.reasons), found.more_reasons) == (12, 11)
    assert found.prompts == ()


# ---- scores -------------------------------------------------------------------------------


def test_each_instrument_has_its_score_with_interval_and_n(keep, facts, figures):
    """The same figures as the functions give, for the same answers."""
    keep(
        *[facts.score(value, "nps", 0, 10) for value in (10, 9, 8, 6)],
        *[facts.score(value) for value in (5, 4, 1)],
        *[facts.score(value, "ces", most=7) for value in (7, 5, 2)],
    )
    found = {one.question: one for one in figures().perception.scores}
    assert found["nps"].figure == scores.nps([10, 9, 8, 6])
    assert found["csat"].figure == scores.csat([5, 4, 1])
    assert found["ces"].figure == scores.ces([7, 5, 2])
    assert found["ces"].average == scores.mean([7, 5, 2], scale=(1, 7))


def test_a_question_of_a_prompt_is_known_by_its_dimension(keep, facts, figures):
    """The prompt names it as it likes; a rating of nothing known has a mean and no score."""
    scale = {"min": 0, "max": 10, "better": "higher"}
    answers = [
        {"question": "recommend", "value": 9, "scale": scale, "dimension": "loyalty"},
        {"question": "looks", "value": 3, "scale": scale},
    ]
    keep(facts.feedback(answers=answers, instrument="rating"))
    found = {one.question: one.instrument for one in figures().perception.scores}
    assert found == {"recommend": "nps", "looks": None}


def test_effort_on_a_reversed_scale_is_turned_round(keep, facts, figures):
    """Its mean stays as it was given; its score counts who found it easy."""
    scale = {"min": 1, "max": 7, "better": "lower"}
    keep(
        *[
            facts.feedback(answers=[{"question": "ces", "value": n, "scale": scale}])
            for n in (1, 1, 7)
        ]
    )
    (one,) = figures().perception.scores
    assert (one.mean, one.figure.value) == (3, pytest.approx(100 * 2 / 3))


def test_an_interaction_and_the_relationship_are_never_averaged(keep, facts, figures):
    """Two rows of one question; what is asked again later is in neither."""
    keep(
        facts.score(5, scope="transactional"),
        facts.score(1, scope="relational"),
        facts.score(2, scope="relational"),
        facts.score(1, scope="transactional", stage="recall", echo_of="x"),
    )
    found = [(one.scope, one.n, one.mean) for one in figures().perception.scores]
    assert found == [("relational", 2, 1.5), ("transactional", 1, 5)]


def test_weights_show_where_people_had_unequal_chances(keep, facts, figures):
    """Ten asked at 10 % beside ten of whom all were asked; none where it was the same for all."""
    keep(
        *[facts.score(5, inclusion_probability=0.1) for _ in range(10)],
        *[facts.score(1) for _ in range(10)],
        *[facts.score(9, "nps", 0, 10, inclusion_probability=0.5) for _ in range(3)],
    )
    found = {one.question: one for one in figures().perception.scores}
    assert found["csat"].figure.value == 50
    assert found["csat"].weighted.value == pytest.approx(100 * 100 / 110)
    assert found["nps"].weighted is None


def test_umux_lite_is_scored_from_both_questions(keep, facts, figures):
    """Beside the means of its halves; who answered one of them is not in it."""

    def told(**values):
        return facts.feedback(
            answers=[{"question": q, "value": v, "scale": AGREE} for q, v in values.items()]
        )

    keep(
        told(umux_capabilities=7, umux_ease=4),
        told(umux_capabilities=4, umux_ease=4),
        told(umux_capabilities=1),
    )
    found = {one.question: one for one in figures().perception.scores}
    assert found["umux_lite"].figure == scores.umux_lite([(7, 4), (4, 4)])
    assert (found["umux_capabilities"].n, found["umux_ease"].instrument) == (3, None)


# ---- experienced against remembered ---------------------------------------------------------


def test_pairs_reach_back_before_the_range(keep, facts, figures):
    """A recall of today is compared with what was said a month ago, as revised by then."""
    past = T0 - timedelta(days=30)
    keep(
        facts.score(2, feedback_id="f1", at=past),
        facts.score(4, feedback_id="f2", supersedes="f1", at=past),
        facts.score(5, feedback_id="f3", supersedes="f2", at=past),
        facts.score(3, stage="recall", echo_of="f1"),
        facts.score(3, stage="recall", echo_of="gone"),
        facts.score(1),
    )
    (one,) = figures(int(T0.timestamp()) * 1_000_000).asked.pairs
    assert (one.question, one.change.n, one.change.value) == ("csat", 1, -2)
    assert (one.experienced.value, one.remembered.value) == (5, 3)


# ---- the page -----------------------------------------------------------------------------


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("\u202f", " ")


def test_the_page_says_it_with_interval_and_base(http, facts):
    """Score, interval, n; rate, interval, denominator; over quota; change of pairs; reasons."""
    told = {"prompt_id": "checkout_effort", "offer_id": "o0", "feedback_id": "f1"}
    events = [
        *lives(facts, *["offered shown answered"] * 3, *["offered shown lapsed"] * 7),
        facts.score(6, "ces", 1, 7, **told, over_quota=True, scope="transactional"),
        facts.score(4, "ces", 1, 7, stage="recall", echo_of="f1"),
        facts.prompt("suppressed", reason="cap_global"),
    ]
    http.post("/events", json=events)
    text = text_of(http.get("/", params={"range": "all"}).text)
    for words in (
        "30 % 10 to 61 3 of 10 shown",
        "1 over quota",
        "70 % 39 to 90 7 of 10 shown",
        "CES transactional 100 % 17 to 100",
        "6.00 4.00 −2.00 −6.00 to +6.00 1 to 7",
        "cap global",
    ):
        assert words in text, words


def test_without_prompts_there_is_no_such_part(http, facts):
    """A service that asks nothing sees no empty tables."""
    http.post("/events", json=[facts.score(5)])
    assert 'id="asked"' not in http.get("/", params={"range": "all"}).text


def test_the_journey_flags_an_answer_beyond_the_quota(http, facts):
    """It is there, and says so."""
    told = {"prompt_id": "p", "offer_id": "o", "over_quota": True}
    http.post("/events", json=[facts.score(5, customer="anna", **told)])
    assert "over quota" in http.get("/customers/anna/journey").text
