"""
The sections of a customer's context: what the events of all their identifiers say.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest

from cxsdk.collector.context import SECTIONS, Wanted, read_context
from cxsdk.lookup.items import LISTS, RECORDS, Commitment, Consent

T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
VISIT = {"anonymous_id": "visit"}


def at(minutes):
    return T0 + timedelta(minutes=minutes)


@pytest.fixture
def context(store):
    """
    Read sections of a customer as plain values; None where nobody is known.
    """

    def read(customer="c1", *sections, space=None, **limits):
        with store.reading() as db:
            wanted = Wanted(sections or SECTIONS, limits)
            found = read_context(db, customer, space, wanted, store.now())
        return None if found is None else {n: value for n, (value, _) in found.sections.items()}

    return read


def test_every_section_fits_the_typed_items(keep, facts, context):
    """What the collector says is what `cxsdk.lookup.items` reads, without an unknown field."""
    keep(
        facts.identity("identified", {"id": "c1", **VISIT}, traits={"plan": "pro"}, at=at(0)),
        facts.interaction(VISIT, at=at(1), refs=[{"type": "order", "id": "A-1"}]),
        facts.problem(at=at(2)),
        facts.promise("p", due_date="2026-05-10", where={"tz": "Europe/Vienna"}, at=at(3)),
        facts.score(4, at=at(4)),
        facts.reaction(at=at(5)),
        facts.identity(
            "consent_changed", "c1", consent={"state": "granted", "purposes": ["ads"]}, at=at(6)
        ),
    )
    found = context()
    assert list(found) == list(SECTIONS)
    for name, kind in LISTS.items():
        assert len(found[name]) == 1
        assert found[name][0].keys() <= set(kind.__struct_fields__)
        msgspec.convert(found[name], list[kind])
    for name, kind in RECORDS.items():
        assert found[name].keys() <= set(kind.__struct_fields__)
        msgspec.convert(found[name], kind)
    assert found["interactions"][0]["refs"] == {"order": "A-1"}
    assert found["profile"] == {"attributes": {"plan": "pro"}}


def test_all_identifiers_are_followed_and_named(keep, facts, context):
    """The visit and the login are one: either asks for the same story, first and last seen."""
    keep(
        facts.interaction(VISIT, at=at(0)),
        facts.identity("identified", {"id": "c1", **VISIT}, at=at(1)),
        facts.identity("linked", "c1", {"id": "c0"}, at=at(2)),
        facts.interaction("c0", at=at(9)),
    )
    by_login, by_visit = context("c1"), context("visit")
    assert len(by_login["interactions"]) == 2
    assert by_visit["interactions"] == by_login["interactions"]
    assert by_login["identity"] == {
        "keys": [
            {"space": "id", "value": "c1"},
            {"space": "id", "value": "c0"},
            {"space": "anonymous", "value": "visit"},
        ],
        "canonical_id": "c0",
        "merged_from": ["c1"],
        "first_seen_at": "2026-05-04T10:00:00.000000Z",
        "last_seen_at": "2026-05-04T10:09:00.000000Z",
    }


def test_shared_device_is_followed_for_nobody(keep, facts, context):
    """What happened on a device that two customers claimed is in neither one's context."""
    keep(
        facts.interaction(VISIT),
        facts.identity("identified", {"id": "c1", **VISIT}, at=at(1)),
        facts.identity("identified", {"id": "c2", **VISIT}, at=at(2)),
    )
    assert context("c1", "interactions") == {"interactions": []}
    assert len(context("visit", "interactions")["interactions"]) == 1


def test_space_says_which_of_two_equal_ids_is_meant(keep, facts, context):
    """Without a space an id comes before an anonymous one; nobody by another space is nobody."""
    keep(facts.interaction("x", "by.id"), facts.interaction({"anonymous_id": "x"}, "by.visit"))

    def touchpoint(space=None):
        return context("x", "interactions", space=space)["interactions"][0]["touchpoint"]

    assert (touchpoint(), touchpoint("anonymous")) == ("by.id", "by.visit")
    assert context("x", space="account") is None
    assert context("nobody") is None


def test_lists_stand_newest_first_and_say_that_there_is_more(keep, facts, store):
    """The limit keeps the newest; one more than that is said as truncated."""
    keep(*(facts.interaction("c1", at=at(n), interaction_id=f"i{n}") for n in range(4)))
    with store.reading() as db:
        for limit, expected in ((2, (["i3", "i2"], True)), (4, (["i3", "i2", "i1", "i0"], False))):
            wanted = Wanted(("interactions",), {"interactions": limit})
            items, more = read_context(db, "c1", None, wanted, store.now()).sections["interactions"]
            assert ([one["id"] for one in items], more) == expected


def test_what_has_only_begun_is_no_interaction_yet(keep, facts, context):
    """An interaction that was started stands in the section once it is over."""
    keep(facts.interaction(interaction_id="i", action="started", outcome=None))
    assert context("c1", "interactions") == {"interactions": []}
    keep(facts.interaction(interaction_id="i", at=at(5)))
    assert [one["id"] for one in context("c1", "interactions")["interactions"]] == ["i"]


def test_solved_problems_are_gone_until_they_come_back(keep, facts, context):
    """Resolved after encountered is gone; encountered after resolved is open; recovered is none."""
    keep(
        facts.problem(problem_id="open", at=at(1)),
        facts.problem(problem_id="solved", at=at(1)),
        facts.problem(problem_id="solved", action="resolved", at=at(2)),
        facts.problem(problem_id="again", at=at(1)),
        facts.problem(problem_id="again", action="resolved", at=at(2)),
        facts.problem(problem_id="again", at=at(3)),
        facts.problem(problem_id="recovered", recovered=True, at=at(4)),
    )
    assert [one["id"] for one in context("c1", "problems")["problems"]] == ["again", "open"]


def test_many_solved_problems_hide_no_open_one(keep, facts, context):
    """The limit counts what is shown, not what had to be looked at."""
    keep(facts.problem(problem_id="old", at=at(0)))
    keep(*(facts.problem(problem_id=f"r{n}", recovered=True, at=at(n)) for n in range(1, 9)))
    assert [one["id"] for one in context(problems=1)["problems"]] == ["old"]


def test_changed_mind_replaces_feedback(keep, facts, context):
    """A feedback that another supersedes is left out, whichever came first."""
    keep(
        facts.score(5, feedback_id="new", supersedes="old", at=at(1)),
        facts.score(1, feedback_id="old", at=at(2)),
    )
    found = context("c1", "feedback")["feedback"]
    assert [(one["id"], one["score"]) for one in found] == [("new", 5)]


def test_commitments_stand_by_urgency_then_the_latest_ended(keep, facts, context):
    """Overdue, open by due time, in force; then what ended, the last first."""
    keep(
        facts.promise("kept", due_at="2026-05-04T09:00:00Z", at=at(-99)),
        facts.promise("kept", "kept", at=at(-70)),
        facts.promise("broken", due_at="2026-05-04T09:00:00Z", at=at(-99)),
        facts.promise("broken", "broken", at=at(-60)),
        facts.promise("warranty", kind="warranty", duty="in_force_until", period="P2Y", at=at(-9)),
        facts.promise("later", due_at="2026-05-06T09:00:00Z", at=at(-9)),
        facts.promise("soon", due_at="2026-05-05T09:00:00Z", at=at(-9)),
        facts.promise("late", due_at="2026-05-04T09:30:00Z", at=at(-99)),
    )
    expected = ["late", "soon", "later", "warranty", "broken", "kept"]
    assert [one["id"] for one in context("c1", "commitments")["commitments"]] == expected
    assert [one["id"] for one in context(commitments=2)["commitments"]] == ["late", "soon"]


def test_commitment_says_what_was_said_last(keep, facts, context):
    """Kind and duty of making it, due time and state of revising it; a day gives way to an instant."""
    keep(
        facts.promise("p", due_date="2026-05-10", where={"tz": "Europe/Vienna"}),
        facts.promise("p", "revised", due_at="2026-05-12T10:00:00Z", at=at(5)),
    )
    (found,) = context("c1", "commitments")["commitments"]
    one = msgspec.convert(found, Commitment)
    assert (one.kind, one.duty, one.state) == ("delivery", "deliver_by", "revised")
    assert (one.due_at, one.due_date) == (datetime(2026, 5, 12, 10, tzinfo=UTC), None)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_latest_word_on_consent_holds_whatever_arrives_first(keep, facts, context, order):
    """Per purpose and in general, by when it was said."""
    said = [
        facts.identity("consent_changed", "c1", at=at(n), consent=consent)
        for n, consent in enumerate(
            [
                {"state": "granted"},
                {"state": "granted", "purposes": ["ads", "support"]},
                {"state": "denied", "purposes": ["ads"]},
            ]
        )
    ]
    for n in order:
        keep(said[n])
    found = msgspec.convert(context("c1", "consent")["consent"], Consent)
    assert [found.of(name) for name in ("ads", "support", "other")] == [
        *("denied", "granted", "granted")
    ]


def test_most_restrictive_word_of_all_identifiers_holds(keep, facts, context):
    """A no on the visit is a no of the customer, also a general one to a purpose granted later."""
    keep(
        facts.identity("identified", {"id": "c1", **VISIT}),
        facts.identity("consent_changed", VISIT, at=at(1), consent={"state": "denied"}),
        facts.identity(
            "consent_changed", "c1", at=at(2), consent={"state": "granted", "purposes": ["ads"]}
        ),
    )
    found = msgspec.convert(context("c1", "consent")["consent"], Consent)
    assert (found.of("ads"), found.of("other")) == ("denied", "denied")
    # Said with both identifiers, it is the latest word of both.
    both = {"state": "granted", "purposes": ["ads"]}
    keep(facts.identity("consent_changed", {"id": "c1", **VISIT}, at=at(3), consent=both))
    found = msgspec.convert(context("c1", "consent")["consent"], Consent)
    assert (found.of("ads"), found.of("other")) == ("granted", "denied")


def test_nothing_said_of_consent_and_profile_is_no_word(keep, facts, context):
    """Absent is not "no": the records are empty."""
    keep(facts.interaction())
    assert context("c1", "consent", "profile") == {"consent": {}, "profile": {}}


def test_traits_of_later_events_replace_single_ones(keep, facts, context):
    """The newer value of a trait wins, the others stay."""
    keep(
        facts.identity("identified", "c1", traits={"plan": "pro", "seats": 3}, at=at(5)),
        facts.identity("identified", "c1", traits={"plan": "free", "region": "at"}, at=at(1)),
    )
    expected = {"attributes": {"plan": "pro", "seats": 3, "region": "at"}}
    assert context("c1", "profile") == {"profile": expected}
