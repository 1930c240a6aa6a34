"""
Scores against hand-computed and published figures, and what holds of any answers.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from cxsdk.errors import InvalidEventError
from cxsdk.prompts.given import Given
from cxsdk.prompts.model import Sampling
from cxsdk.prompts.sampling import is_in
from cxsdk.prompts.scores import (
    DISPOSITIONS,
    ces,
    csat,
    mean,
    nps,
    pairs,
    rate,
    rates,
    umux_lite,
)

NPS_SCALE = {"min": 0, "max": 10, "better": "higher"}


def answer(question, value, low=1, high=5, better="higher", **more):
    scale = {"min": low, "max": high, "better": better}
    return {"question": question, "value": value, "scale": scale, **more}


def feedback(name, *answers, **more):
    """
    A whole event, as a collector has it.
    """
    data = {"feedback_id": name, "answers": list(answers), "source": "stated", **more}
    return {"type": "dev.cxsdk.feedback.given.v1", "id": name, "data": data}


def split(n, promoters=0.5, detractors=0.2):
    high, low = round(n * promoters), round(n * detractors)
    return [9] * high + [3] * low + [7] * (n - high - low)


# ---- nps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "margin"), [(50, 21.0), (100, 15.1), (400, 7.6), (1000, 4.8)])
def test_the_margin_of_an_nps_is_the_published_one(n, margin):
    """Half promoters, a fifth detractors: ±21.0, 15.1, 7.6 and 4.8 points at four sizes."""
    found = nps(split(n))
    assert (found.value, found.n) == (pytest.approx(30), n)
    assert (found.high - found.low) / 2 == pytest.approx(margin, abs=0.05)


def test_an_nps_is_what_one_counts_by_hand():
    """Of 10, 9, 8, 6 two promote, one detracts: 25; with 2.75 and 1.75 of 7 around 14.3 ± 57.9."""
    found = nps([10, 9, 8, 6])
    p, d = 2.75 / 7, 1.75 / 7
    half = 1.959964 * math.sqrt((p + d - (p - d) ** 2) / 7)
    assert found.value == pytest.approx(25)
    assert (found.low, found.high) == (
        pytest.approx(100 * (p - d - half)),
        pytest.approx(100 * (p - d + half)),
    )


@pytest.mark.parametrize(("low", "high"), [(0, 6), (7, 8), (9, 10)])
def test_the_borders_of_an_nps(low, high):
    """0 to 6 detract, 7 and 8 count for neither, 9 and 10 promote."""
    sign = {0: -100, 7: 0, 9: 100}[low]
    assert [nps([value]).value for value in (low, high)] == [sign, sign]


# ---- proportions --------------------------------------------------------------------------


def test_csat_is_the_share_of_the_top_two_boxes():
    """8 of 10 by adjusted Wald: 47.9 to 95.4, as the calculators of the textbook say."""
    found = csat([5] * 5 + [4] * 3 + [3, 1])
    assert (found.value, found.n) == (pytest.approx(80), 10)
    assert (found.low, found.high) == (pytest.approx(47.9, abs=0.05), pytest.approx(95.4, abs=0.05))


def test_ces_is_the_share_of_five_to_seven():
    """Of 7, 5, 4, 1 half found it easy."""
    assert (ces([7, 5, 4, 1]).value, ces([7, 5, 4, 1]).n) == (50.0, 4)


def test_a_scale_that_is_better_below_is_turned_round():
    """CES 1.0 asks how much effort it was: its 1 is our 7."""
    old = [feedback(f"f{n}", answer("ces", n, 1, 7, "lower")) for n in (1, 2, 6)]
    assert ces(old).value == pytest.approx(100 * 2 / 3)


# ---- means --------------------------------------------------------------------------------


def test_umux_lite_is_the_mean_of_both_questions():
    """7 and 7 are 100, 4 and 4 are 50, 1 and 1 are 0; the mean of three with its t interval."""
    found = umux_lite([(7, 7), (4, 4), (1, 1)])
    assert (found.value, found.n) == (pytest.approx(50), 3)
    assert (found.low, found.high) == (0, 100)  # t(2) = 4.303 · 50 / √3 is more than half of it


def test_a_t_interval_is_the_textbook_s():
    """Mean 5, s = 1 of nine answers, t(8) = 2.306: 5 ± 0.769."""
    found = mean([4, 4, 4, 5, 5, 5, 6, 6, 6], scale=(1, 7))
    s = math.sqrt(6 / 8)
    assert found.high - found.value == pytest.approx(2.306 * s / 3, rel=1e-3)


def test_who_answered_half_of_umux_lite_is_left_out():
    """Both questions make one score."""
    both = (answer("umux_capabilities", 7, 1, 7), answer("umux_ease", 4, 1, 7))
    found = umux_lite([feedback("f1", *both), feedback("f2", both[0])])
    assert (found.value, found.n) == (pytest.approx(75), 1)


def test_answers_that_agree_still_have_an_interval():
    """Two who both say 4 do not prove that everybody would."""
    found = mean([4, 4], scale=(1, 5))
    assert found.low < 4 < found.high
    assert mean([4], scale=(1, 5)) == type(found)(4, 1, 5, 1, effective_n=1.0)


# ---- what holds of any score --------------------------------------------------------------


@pytest.mark.parametrize("score", [nps, csat, ces, umux_lite])
def test_of_nobody_nothing_is_said(score):
    """No answer: no value, no ends, n = 0."""
    found = score([])
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


CASES = [(nps, 0, 10, -100), (csat, 1, 5, 0), (ces, 1, 7, 0)]
WHICH = pytest.mark.parametrize(
    ("score", "low", "high", "least"), CASES, ids=["nps", "csat", "ces"]
)


@WHICH
@drawn(data=st.data())
def test_an_interval_holds_its_value_and_stays_on_the_scale(score, low, high, least, data):
    """Low ≤ value ≤ high, and no end beyond what the score can be."""
    told = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=60))
    found = score(told)
    assert least <= found.low <= found.value <= found.high <= 100
    assert found.n == len(told)


@WHICH
@drawn(data=st.data())
def test_an_interval_shrinks_with_n(score, low, high, least, data):
    """The same answers twice as often leave the value and make the interval narrower."""
    told = data.draw(st.lists(st.integers(low, high), min_size=2, max_size=30))
    one, two = score(told), score(told * 2)
    assert two.value == pytest.approx(one.value)
    assert two.high - two.low < one.high - one.low


@drawn(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=40))
def test_umux_lite_stays_on_its_scale(told):
    """0 ≤ low ≤ value ≤ high ≤ 100."""
    found = umux_lite(told)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 100


@WHICH
@drawn(data=st.data())
def test_the_same_weight_for_all_is_no_weight(score, low, high, least, data):
    """One probability for everybody changes neither value nor interval."""
    told = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=30))
    share = data.draw(st.floats(0.01, 1))
    plain, weighed = score(told), score([Given(a, share) for a in told], weighted=True)
    assert weighed.value == pytest.approx(plain.value, abs=1e-6)
    assert (weighed.low, weighed.high) == (
        pytest.approx(plain.low, abs=1e-6),
        pytest.approx(plain.high, abs=1e-6),
    )
    assert weighed.effective_n == pytest.approx(len(told))


def test_counted_answers_are_the_same_as_listed_ones():
    """A histogram gives what its answers give."""
    assert nps([Given(9, count=50), Given(3, count=20), Given(7, count=30)]) == nps(split(100))


def test_weights_are_one_by_the_probability():
    """Ten at 10 % stand for a hundred: the share is theirs, and n is worth less by Kish."""
    told = [Given(5, 0.1, 10), Given(1, 1.0, 100)]
    found = csat(told, weighted=True)
    assert found.value == pytest.approx(50)
    assert found.n == 110
    assert found.effective_n == pytest.approx(200**2 / (10 * 100 + 100))
    assert csat(told).value == pytest.approx(100 * 10 / 110)
    plain = csat(told)
    assert found.high - found.low > plain.high - plain.low


# ---- what is read -------------------------------------------------------------------------


def test_events_data_answers_and_numbers_are_all_read():
    """An event, its data, an answer alone, a number."""
    event = feedback("f1", answer("nps", 10, 0, 10))
    told = [event, feedback("f2", answer("nps", 9, 0, 10))["data"], answer("nps", 8, 0, 10), 0]
    assert (nps(told).value, nps(told).n) == (pytest.approx(25), 4)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"source": "inferred"}, "a model's guess"),
        ({"stage": "recall"}, "the same customer a second time"),
    ],
)
def test_some_feedback_is_no_answer(more, why):
    """What was inferred, and what was asked again, is not scored."""
    assert nps([feedback("f1", answer("nps", 10, 0, 10), **more)]).n == 0, why


def test_a_changed_mind_counts_once():
    """What was superseded is out, in whatever order both come."""
    old = feedback("f1", answer("nps", 0, 0, 10))
    new = feedback("f2", answer("nps", 10, 0, 10), supersedes="f1")
    assert nps([old, new]) == nps([new, old]) == nps([10])


def test_skipped_questions_and_other_scales_are_no_answers():
    """Neither a skipped question nor a 5 on another scale is an nps."""
    told = [
        feedback("f1", {"question": "nps", "skipped": True}),
        feedback("f2", answer("nps", 5, 1, 5)),
        feedback("f3", answer("nps", "a lot", 0, 10)),
        {"type": "dev.cxsdk.prompt.shown.v1", "data": {"prompt_id": "p"}},
    ]
    assert nps(told).n == 0


def test_an_answer_is_known_by_question_dimension_or_instrument():
    """A prompt names its questions as it likes."""
    told = [
        feedback("f1", answer("would_you", 10, 0, 10, dimension="loyalty")),
        feedback("f2", answer("recommend", 10, 0, 10), instrument="nps"),
        feedback("f3", answer("easy", 10, 0, 10, dimension="effort"), instrument="nps"),
        feedback("f4", answer("other", 10, 0, 10), instrument="custom"),
    ]
    assert nps(told).n == 2
    assert nps(told, question="other").n == 1


def test_ease_of_umux_lite_is_no_ces():
    """It measures effort on 1 to 7, and half of another instrument."""
    assert ces([feedback("f1", answer("umux_ease", 7, 1, 7, dimension="effort"))]).n == 0


def test_the_probability_of_a_feedback_is_its_weight():
    """As the engine records it; where it says none, everybody was asked."""
    told = [
        feedback("f1", answer("csat", 5), inclusion_probability=0.25),
        feedback("f2", answer("csat", 1)),
    ]
    assert csat(told, weighted=True).value == pytest.approx(80)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (11, "nps: expected a number 0 to 10, got 11"),
        (True, "nps: expected a number 0 to 10, got True"),
        (float("nan"), "nps: expected a number 0 to 10, got nan"),
        ("9", "nps: expected a number 0 to 10, got '9'"),
        (Given(9, 0.0), "probability: expected above 0, to 1, got 0.0"),
        ({"data": 5}, "feedback: expected an event or its data, got dict"),
    ],
)
def test_what_is_no_answer_is_refused(told, words):
    """A caller's slip is named, not counted."""
    with pytest.raises(InvalidEventError, match=words.replace(".", r"\.")):
        nps([told])


# ---- rates --------------------------------------------------------------------------------


def test_rates_have_their_own_denominators():
    """Response, dismissal and ignore of those shown, completion of those who started."""
    counts = {"offered": 250, "shown": 200, "started": 80, "partial": 10, "complete": 60}
    found = rates({**counts, "dismissed": 40, "lapsed": 90})
    assert (found.shown.value, found.shown.n) == (80, 250)
    assert (found.response.value, found.response.n) == (30, 200)
    assert (found.response_with_partial.value, found.response_with_partial.n) == (35, 200)
    assert (found.completion.value, found.completion.n) == (75, 80)
    assert (found.dismissal.value, found.dismissal.n) == (20, 200)
    assert (found.ignore.value, found.ignore.n) == (45, 200)


def test_who_answered_was_shown_it_though_nobody_noted_that():
    """An answer by letter has no `shown`: no rate is above 100 %."""
    found = rates({"complete": 3, "dismissed": 1})
    assert dict(found.counts) == dict(zip(DISPOSITIONS, (4, 4, 3, 0, 3, 1, 0), strict=True))
    assert (found.response.value, found.completion.value) == (75, 100)


def test_without_a_denominator_there_is_no_rate():
    """Offered and never shown: nothing can be said of responses."""
    found = rates({"offered": 5})
    assert (found.response.value, found.response.n, found.shown.value) == (None, 0, 0)


@pytest.mark.parametrize("counts", [{"answered": 1}, {"shown": -1}])
def test_counts_that_are_none_are_refused(counts):
    """A disposition that does not exist, and less than nothing."""
    with pytest.raises(ValueError, match="counts: expected numbers from 0 of offered"):
        rates(counts)


@drawn(st.dictionaries(st.sampled_from(DISPOSITIONS), st.integers(0, 10**6)))
def test_rates_are_shares(counts):
    """Whatever is counted, every rate is 0 to 100 % of a denominator that holds it."""
    found = rates(counts)
    for one in (found.shown, found.response_with_partial, found.completion, found.ignore):
        assert one.n == 0 or 0 <= one.low <= one.value <= one.high <= 100


def test_a_rate_of_zero_still_has_an_upper_end():
    """Nobody of ten dismissed it: up to a third might."""
    assert rate(0, 10).low == 0
    assert rate(0, 10).high == pytest.approx(32.1, abs=0.1)


# ---- experienced against remembered ---------------------------------------------------------


def asked_twice(number, then, now, question="csat"):
    return [
        feedback(f"f{number}", answer(question, then), stage="experience"),
        feedback(f"r{number}", answer(question, now), stage="recall", echo_of=f"f{number}"),
    ]


def test_pairs_are_two_answers_of_one_customer():
    """Three who remember it worse by 1, 0 and 2: -1 on average; whoever answered once is out."""
    told = [*asked_twice(1, 4, 3), *asked_twice(2, 3, 3), *asked_twice(3, 5, 3)]
    told += [feedback("f9", answer("csat", 5), stage="experience")]
    told += [feedback("r8", answer("csat", 1), stage="recall", echo_of="gone")]
    (found,) = pairs(told)
    assert (found.question, found.scale, found.change.n) == ("csat", (1, 5), 3)
    assert (found.experienced.value, found.remembered.value) == (4, 3)
    assert found.change.value == pytest.approx(-1)
    assert found.change.low == pytest.approx(-1 - 4.303 / math.sqrt(3), abs=1e-3)


def test_a_pair_may_compare_with_expectations():
    """Words from much worse to much better are -2 to 2."""
    first = {"question": "versus", "value": "better"}
    again = {"question": "versus", "value": "much_worse"}
    (found,) = pairs([feedback("f", first), feedback("r", again, stage="recall", echo_of="f")])
    assert (found.scale, found.change.value, found.change.n) == ((-2, 2), -3, 1)


def test_a_pair_is_of_what_holds():
    """The first answer was revised: the recall goes with the revision."""
    told = asked_twice(1, 1, 5)
    told.append(feedback("f1b", answer("csat", 4), supersedes="f1"))
    (found,) = pairs(told)
    assert found.change.value == 1


def test_questions_are_never_mixed():
    """Each question and scale has pairs of its own; without a recall there is none."""
    told = [*asked_twice(1, 4, 3), *asked_twice(2, 1, 5, "other")]
    assert [(one.question, one.change.n) for one in pairs(told)] == [("csat", 1), ("other", 1)]
    assert pairs(told[:1]) == ()


# ---- sampling -----------------------------------------------------------------------------


def test_one_in_ten_is_one_in_ten_however_often_they_come():
    """
    Of 100,000 customers with 20 triggers each 10 % ± 0.3 % are ever asked, not 88 %; weights by
    inclusion probability give back the mean of the population, though frequent buyers are
    sampled ten times as often.
    """
    rare, often = Sampling(rate=0.1), Sampling(rate=1.0)
    dice = random.Random(4)
    ever, told, truth = 0, [], []
    for number in range(100_000):
        unit = f"c-{number:024x}"
        ever += any(is_in(rare, "checkout_effort", unit, 86_400.0 * day) for day in range(20))
        is_frequent = number % 10 == 0
        outcome = min(5, max(1, round(dice.gauss(4.5 if is_frequent else 3.0, 1.0))))
        truth.append(outcome)
        sampling = often if is_frequent else rare
        if is_in(sampling, "checkout_effort", unit, 0.0):
            told.append(Given(outcome, sampling.rate))
    assert ever / 100_000 == pytest.approx(0.1, abs=0.003)
    population = sum(truth) / len(truth)
    weighed = mean(told, scale=(1, 5), weighted=True)
    plain = mean(told, scale=(1, 5))
    assert weighed.value == pytest.approx(population, abs=0.03)
    assert weighed.low < population < weighed.high
    assert not plain.low < population < plain.high
    assert weighed.effective_n < weighed.n


def test_scores_import_nothing_heavy():
    """The collector may import them without the packages that sign tokens and render forms."""
    code = "import sys, cxsdk.prompts.scores; print({'itsdangerous', 'jinja2'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
