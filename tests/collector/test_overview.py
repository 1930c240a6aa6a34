"""
The figures of the overview, each against hand-computed data.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cxsdk.collector import Store
from cxsdk.collector.overview import EVER, overview
from cxsdk.collector.row import Refusal

T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def micros(moment):
    return int(moment.timestamp() * 1_000_000)


@pytest.fixture
def figures(store):
    """
    The overview from a moment on.
    """

    def read(since=0):
        with store.reading() as db:
            return overview(db, since, store.now())

    return read


def test_volume_counts_completed_interactions(keep, facts, figures):
    """Begun interactions and other families are no contacts; a sampled one stands for ten."""
    keep(
        facts.interaction("c1", "search", where={"channel": "web", "stage": "discover"}),
        facts.interaction("c1", "search", sampledrate=10),
        facts.interaction(
            "c2", None, where={"channel": "store", "touchpoint": None, "stage": None}
        ),
        facts.interaction("c3", action="started"),
        facts.reaction("c4"),
    )
    found = figures()
    assert (found.interactions, found.estimated, found.customers) == (3, 12, 2)
    assert [(one.name, one.n) for one in found.touchpoints] == [("search", 2), (None, 1)]
    assert [(one.label, one.n, one.estimated) for one in found.by_channel] == [
        ("web", 2, 11),
        ("store", 1, 1),
    ]
    assert {one.label: one.n for one in found.by_stage} == {None: 1, "discover": 1, "order": 1}


def test_unknown_and_absent_stand_outside_the_shares(keep, facts, figures):
    """Of 3 known outcomes 2 are success; 1 unknown and 2 not said are beside them, not zero."""
    for outcome in ["success", "success", "failure", "unknown", None, None]:
        keep(facts.interaction(outcome=outcome, goal_met=None))
    found = figures()
    assert (found.outcome.n, found.outcome.unknown, found.outcome.absent) == (3, 1, 2)
    assert found.outcome.share("success") == pytest.approx(2 / 3)
    assert (found.goal.n, found.goal.absent, found.goal.share("yes")) == (0, 6, None)


def test_range_goes_by_when_it_happened(keep, facts, figures, store):
    """An event before the range is not counted, one on its first moment is."""
    keep(facts.interaction(at=T0), facts.interaction(at=T0 - timedelta(microseconds=1)))
    assert figures(int(T0.timestamp()) * 1_000_000).interactions == 1


def test_versus_expectation_counts_what_was_stated(keep, facts, figures):
    """Inferred feedback is counted apart, who did not compare is no zero, a replaced answer is out."""
    keep(
        facts.feedback(versus="worse", feedback_id="first"),
        facts.feedback(versus="better", supersedes="first"),
        facts.feedback(versus="as_expected"),
        facts.feedback(versus="better", source="inferred"),
        facts.score(4),
    )
    found = figures().perception
    assert found.versus == {
        "much_worse": 0,
        "worse": 0,
        "as_expected": 1,
        "better": 1,
        "much_better": 0,
    }
    assert (found.versus_n, found.versus_absent, found.versus_other) == (2, 1, 0)
    assert (found.stated, found.inferred, found.superseded) == (3, 1, 1)


def test_means_come_with_their_n_and_scale(keep, facts, figures):
    """Scores of another question or scale are never averaged together."""
    for value in (5, 4, 3):
        keep(facts.score(value))
    keep(facts.score(7, most=7), facts.score(2, instrument="ces", most=7))
    for value in (10, 9, 8, 6):
        keep(facts.score(value, "nps", 0, 10))
    found = {(one.question, one.most): one for one in figures().perception.scores}
    assert (found["csat", 5].mean, found["csat", 5].n) == (4.0, 3)
    assert (found["csat", 7].mean, found["csat", 7].n) == (7.0, 1)
    assert (found["ces", 7].mean, found["ces", 7].n) == (2.0, 1)
    assert (found["nps", 10].mean, found["nps", 10].n) == (8.25, 4)
    assert found["nps", 10].nps == 25.0
    assert found["csat", 5].nps is None


def test_scores_go_by_question_whatever_was_asked_beside_it(keep, facts, figures):
    """A csat given alone and one beside a comparison are one row of two answers."""
    scale = {"min": 1, "max": 5, "better": "higher"}
    csat = {"question": "csat", "value": 5, "scale": scale}
    keep(
        facts.score(3),
        facts.feedback(
            versus="better",
            instrument="versus_expectation",
            answers=[{"question": "versus_expectation", "value": "better"}, csat],
        ),
    )
    (score,) = figures().perception.scores
    assert (score.question, score.n, score.mean) == ("csat", 2, 4.0)


def test_nps_is_known_by_question_or_instrument(keep, facts, figures):
    """Whoever names the question otherwise under the instrument still has a net score."""
    scale = {"min": 0, "max": 10, "better": "higher"}
    told = [{"question": "would_recommend", "value": 10, "scale": scale}]
    keep(
        facts.score(9, "nps", 0, 10),
        facts.feedback(answers=told, instrument="nps"),
        facts.feedback(answers=[{**told[0], "question": "other"}], instrument="custom"),
    )
    found = {one.question: one.nps for one in figures().perception.scores}
    assert found == {"nps": 100.0, "would_recommend": 100.0, "other": None}


def test_visit_and_login_are_one_customer(keep, facts, figures):
    """Counted are people: anna under three identifiers, ben, a visit of nobody known."""
    anna = {"id": "anna"}
    keep(
        facts.interaction({"anonymous_id": "v1"}),
        facts.identity("identified", {**anna, "anonymous_id": "v1"}),
        facts.interaction(anna),
        facts.interaction("anna-old"),
        facts.identity("linked", anna, "anna-old"),
        facts.interaction("ben"),
        facts.interaction({"anonymous_id": "v2"}),
        facts.reaction({"anonymous_id": "v1"}),
        facts.reaction("anna-old"),
    )
    found = figures()
    (renewed,) = found.perception.reactions
    assert (found.customers, found.perception.exposed) == (3, 3)
    assert (renewed.n, renewed.customers, renewed.exposed) == (2, 1, 1)


def test_reactions_name_customers_and_evidence(keep, facts, figures):
    """Three renewals of two customers, one of whom is among the two who had a contact."""
    keep(
        facts.reaction("c1"),
        facts.reaction("c1", evidence="declared"),
        facts.reaction("c2", evidence="inferred"),
        facts.interaction("c1"),
        facts.interaction("c3"),
    )
    found = figures().perception
    (renewed,) = found.reactions
    assert (renewed.n, renewed.customers, renewed.exposed, found.exposed) == (3, 2, 1, 2)
    assert (renewed.observed, renewed.declared, renewed.inferred) == (1, 1, 1)


def test_problems_count_what_customers_saw(keep, facts, figures):
    """A problem with a count stands for that many."""
    keep(facts.problem(), facts.problem(count=3, user_visible=False), facts.problem(problem="slow"))
    assert figures().problems == (("error", 4, 1), ("slow", 1, 1))


def test_delay_is_by_nearest_rank(keep, facts, figures, clock):
    """Of delays 1 to 20 s half came within 10, 95 in a hundred within 19, the last at 20."""
    clock.moment = T0
    keep(*[facts.interaction(at=T0 - timedelta(seconds=n)) for n in range(1, 21)])
    delay = figures().record.delay
    assert (delay.n, delay.p50, delay.p95, delay.most) == (20, 10.0, 19.0, 20.0)


def test_gaps_less_what_a_loss_record_names(keep, facts, figures):
    """Of seq 1, 2, 6 and 9 five are missing, 3 were declared lost; the other lane is whole."""
    keep(*[facts.interaction(seq=n) for n in (9, 1, 6, 2)])
    keep(facts.reaction(seq=1), facts.loss(3, seq=2), facts.interaction(instance="p2", seq=7))
    found = figures().record
    (gap,) = found.gaps
    assert (gap.instance, gap.lane, gap.missing, gap.covered, gap.unaccounted) == (
        "p1",
        "bulk",
        5,
        3,
        2,
    )
    assert (found.lost, found.unaccounted, found.lanes) == (3, 2, 3)


def test_more_declared_lost_than_missing_hides_nothing_else(keep, facts, figures):
    """A loss of one producer never covers the gap of another."""
    keep(facts.interaction(seq=1), facts.interaction(seq=3), facts.loss(50, instance="p2", seq=1))
    assert figures().record.unaccounted == 1


def test_what_another_destination_lost_is_not_missing_here(keep, facts, figures):
    """A loss that names a sink counts only as far as events are missing here."""
    keep(
        facts.interaction(seq=1),
        facts.interaction(seq=4),
        facts.loss(9, seq=1, sink="lake"),
        facts.loss(1, seq=2),
    )
    found = figures().record
    assert (found.lost, found.unaccounted) == (2, 0)
    (gap,) = found.gaps
    assert (gap.missing, gap.covered, gap.by_sink) == (2, 2, 1)
    assert {(lost.count, lost.sink) for lost in found.losses} == {(9, "lake"), (1, None)}


def test_refusals_say_when_they_are_not_all(tmp_path, clock):
    """Once old refusals were let go the number is a lower bound."""
    store = Store(tmp_path / "x.db", refusals_kept=2, clock=clock)
    for name in "ab":
        store.add([], [Refusal(name, None, "invalid", "why")])
    with store.reading() as db:
        first = overview(db, 0, 0).record
    store.add([], [Refusal("c", None, "conflict", "other")])
    with store.reading() as db:
        then = overview(db, 0, 0).record
    store.close()
    assert (first.refused, first.refused_at_least) == (2, False)
    assert (then.refused, then.refused_at_least) == (2, True)
    assert then.by_reason == (("conflict", "other", 1), ("invalid", "why", 1))


def test_duplicates_change_no_figure(keep, facts, figures):
    """The same events a second time leave every figure as it was."""
    every = [
        facts.interaction(seq=1),
        facts.score(3),
        facts.reaction(),
        facts.promise("p", due_at="2026-05-04T11:00:00Z"),
        facts.loss(2, seq=1),
    ]
    keep(*every)
    first = figures()
    keep(*every)
    assert figures() == first


def test_lag_begins_when_something_was_told(keep, facts, figures, clock):
    """An import of last year that arrives at once is no late delivery; it is told later."""
    clock.moment = T0 + timedelta(seconds=2)
    told = T0.strftime("%Y-%m-%dT%H:%M:%SZ")
    keep(
        facts.interaction(at=T0 - timedelta(days=300), recordedtime=told),
        facts.interaction(at=T0 - timedelta(seconds=1)),
    )
    delay = figures().record.delay
    assert (delay.n, delay.p50, delay.most, delay.told_later) == (2, 2.0, 3.0, 1)


def test_a_refused_event_is_missing_once(http, facts):
    """It was sent three times and its number did arrive: one event is missing, not four."""
    bad = facts.interaction(seq=2, direction="sideways")
    for _ in range(3):
        http.post("/events", json=[facts.interaction(seq=1), bad, facts.interaction(seq=3)])
    page = http.get("/", params={"range": "all"}).text
    assert "1 refused, 0 lost, 0 unaccounted for" in page


def test_a_refused_event_that_is_taken_later_hides_no_gap(store, keep, facts):
    """Its number counts once; the one that never came stays missing."""
    place = {"instance": "p1", "lane": "bulk", "seq": 2}
    for _ in range(2):
        store.add([], [Refusal("a", None, "invalid", "why", **place)])
    keep(facts.interaction(seq=1), facts.interaction(id="a", seq=2), facts.interaction(seq=4))
    keep(facts.interaction(id="a", seq=2))
    with store.reading() as db:
        found = overview(db, 0, store.now()).record
    assert (found.refused, found.unaccounted) == (1, 1)


@pytest.mark.parametrize(
    "sdk",
    [
        {"instance": "p1", "lane": ["bulk"], "seq": 2},
        {"instance": 5, "lane": "bulk", "seq": 2},
        {"instance": "p1", "lane": "bulk", "seq": True},
        {"instance": "p1", "lane": "bulk", "seq": 2**70},
        {"instance": "p1", "lane": "bulk", "seq": -1},
        "sdk",
        None,
    ],
)
def test_refused_events_with_a_strange_sender_are_refused_all_the_same(http, facts, sdk):
    """Whoever sent it, it stands among the refused; too long ones too."""
    bad = facts.interaction(direction="sideways")
    bad["data"]["sdk"] = sdk
    long = {**bad, "id": "long", "x": "y" * 70_000}
    answer = http.post("/events", json=[bad, long, {"id": "flat", "data": 5}]).json()
    assert [one["id"] for one in answer["rejected"]] == [bad["id"], "long", "flat"]


def test_events_of_the_future_are_said(keep, facts, figures):
    """Each range counts them, so the page says that they are there."""
    keep(facts.interaction(at=T0 + timedelta(days=400)), facts.interaction())
    found = figures()
    assert (found.interactions, found.record.ahead) == (2, 1)


def test_courses_hold_every_event_of_the_range_once(keep, facts, store):
    """Bars of a length people count in, up to now; what is dated later is in the last one."""
    keep(
        facts.interaction(at=T0 - timedelta(hours=23, minutes=58)),
        facts.interaction(at=T0 - timedelta(hours=25)),
        facts.interaction(at=T0),
        facts.interaction(at=T0 + timedelta(days=9)),
        facts.interaction(at=T0, action="started"),
        facts.reaction(at=T0 - timedelta(hours=2)),
    )
    now = store.now()
    with store.reading() as db:
        found = overview(db, now - 86_400_000_000, now)
        ever = overview(db, EVER, now)
    contacts, feedback, reactions = (one.counts for one in found.courses)
    assert (found.step, len(contacts)) == (3_600_000_000, 24)
    assert contacts == (1, *[0] * 22, 2)
    assert (sum(feedback), reactions.index(1)) == (0, 21)
    assert found.events == 5
    assert sum(ever.courses[0].counts) == 4
    assert ever.start <= micros(T0 - timedelta(hours=25)) < ever.start + ever.step


def test_an_empty_store_has_an_overview(store):
    """Nothing stored is no failure, whatever the range."""
    with store.reading() as db:
        assert overview(db, EVER, store.now()).courses[0].most == 0
