"""
Who was affected: everyone who met it, each once, less those to whom it was made good.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from cxsdk.collector.queries import QueryError
from cxsdk.collector.questions.affected import COLUMNS, as_csv

T0 = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
VISIT = {"anonymous_id": "visit"}


def at(days):
    return T0 + timedelta(days=days)


# ---- what was met -------------------------------------------------------------------------


def test_each_customer_stands_once_with_times(keep, facts, ask, names):
    """A visit and its login are one; the latest first, with counts and denominators."""
    keep(
        facts.problem(VISIT, "defect", at=at(0)),
        facts.identity("identified", {"id": "anna", **VISIT}, at=at(1)),
        facts.problem("anna", "defect", at=at(2)),
        facts.problem("ben", "defect", at=at(1)),
        facts.problem("carl", "crash", at=at(1)),
        facts.problem(None, "defect", at=at(3)),
        facts.problem("anna", "defect", action="resolved", at=at(4)),
    )
    found = ask("affected", problem="defect")
    assert names(found) == ["anna", "ben"]
    anna = found["customers"][0]
    assert (anna["times"], anna["first"], anna["last"]) == (
        *(2, "2026-05-01T10:00:00.000000Z", "2026-05-03T10:00:00.000000Z"),
    )
    expected = {"events": 4, "without_customer": 1, "customers": 2, "left": 2, "made_good": 0}
    assert found["counts"].items() >= expected.items()
    assert found["filter"] == {"family": "problem", "problem": "defect"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"touchpoint": "repair.paid"}, ["failed", "paid"]),
        ({"touchpoint": "repair.paid", "outcome": "failure"}, ["failed"]),
        ({"outcome": "failure"}, ["failed"]),
        ({"ref": "lot:4711"}, ["paid"]),
        ({"family": "interaction", "since": "2026-05-02"}, ["failed"]),
        ({"family": "interaction", "until": "2026-05-02"}, ["paid"]),
        ({"type": "dev.cxsdk.interaction.started.v1"}, ["begun"]),
        ({"touchpoint": "no.such"}, []),
    ],
)
def test_contacts_are_chosen_by_what_they_were(keep, facts, ask, names, query, expected):
    """Touchpoint, outcome, a thing of one's own, a range; what only began is no contact."""
    lot = [{"type": "lot", "id": "4711"}, {"type": "order", "id": "A"}]
    keep(
        facts.interaction("paid", "repair.paid", refs=lot, at=at(0)),
        facts.interaction("failed", "repair.paid", outcome="failure", at=at(1)),
        facts.interaction("begun", "repair.paid", action="started", outcome=None, at=at(1)),
    )
    assert names(ask("affected", **query)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"outcome": "broken"}, ["broken"]),
        ({"outcome": "kept_late"}, ["tardy"]),
        ({"outcome": "late"}, ["broken", "tardy"]),
        ({"outcome": "overdue"}, ["open"]),
        ({"outcome": "late", "kind": "callback"}, []),
        ({"kind": "delivery"}, ["broken", "fine", "open", "tardy"]),
        ({"outcome": "broken", "ref": "order:A"}, ["broken"]),
        ({"outcome": "broken", "ref": "order:B"}, []),
        ({"outcome": "broken", "since": "2026-05-02", "until": "2026-05-03"}, ["broken"]),
        ({"outcome": "broken", "since": "2026-05-03"}, []),
    ],
)
def test_promises_are_chosen_by_how_they_stand(keep, facts, ask, names, query, expected):
    """Broken, kept late, either, overdue; met when they were late, not when somebody said so."""
    due = "2026-05-02T10:00:00Z"
    order = [{"type": "order", "id": "A"}]
    keep(
        facts.promise("1", customer="broken", due_at=due, refs=order, at=at(0)),
        facts.promise("1", "broken", customer="broken", at=at(2)),
        facts.promise("2", customer="tardy", due_at=due, at=at(0)),
        facts.promise("2", "kept", customer="tardy", at=at(2)),
        facts.promise("3", customer="fine", due_at=due, at=at(0)),
        facts.promise("3", "kept", customer="fine", at=at(0.5)),
        facts.promise("4", customer="open", due_at=due, at=at(0)),
        facts.promise("5", customer="w", kind="warranty", duty="in_force_until", due_at=due),
    )
    assert names(ask("affected", **query)) == expected


def test_whether_they_said_anything_since(keep, facts, ask):
    """Complaints, feedback, reactions and being asked, from when they first met it."""
    keep(
        *(facts.problem(who, "defect", at=at(1)) for who in ("a", "b", "c", "d")),
        facts.reaction("a", "complain", at=at(2)),
        facts.score(1, customer="b", at=at(2)),
        facts.score(1, customer="c", at=at(0)),
        facts.reaction("c", "cancel", at=at(2)),
        facts.prompt("offered", "o", customer={"id": "c"}, at=at(3)),
    )
    found = ask("affected", problem="defect")
    told = {
        one["customer"]["id"]: [
            name for name in ("complained", "feedback", "reacted", "asked") if one[name]
        ]
        for one in found["customers"]
    }
    assert told == {"a": ["complained"], "b": ["feedback"], "c": ["reacted", "asked"], "d": []}
    counts = {
        "customers": 4,
        "said_something": 2,
        "complained": 1,
        "gave_feedback": 1,
        "reacted": 1,
        "asked": 1,
    }
    assert found["counts"].items() >= counts.items()


def test_sampled_contacts_are_said(keep, facts, ask):
    """Where events stand for others, more customers met it than are known."""
    keep(facts.interaction("a", sampledrate=10), facts.interaction("b"))
    assert ask("affected", family="interaction")["counts"]["sampled"] == 1


# ---- made good ----------------------------------------------------------------------------


def good(facts, customer, about=None, *, state=None, days=3, **more):
    told = facts.promise(
        f"good-{customer}", customer=customer, kind="refund", due_at="2026-06-01T00:00:00Z",
        about=about, at=at(days), **more,
    )  # fmt: skip
    if state is None:
        return [told]
    return [told, facts.promise(f"good-{customer}", state, customer=customer, at=at(days + 1))]


@pytest.mark.parametrize(
    "about",
    [
        {"event_ids": ["e"]},
        {"refs": [{"type": "problem", "id": "p"}]},
        {"refs": [{"type": "event", "id": "e"}]},
    ],
)
def test_whoever_was_promised_something_about_it_is_left_out(keep, facts, ask, names, about):
    """By the event or by the thing; the denominators keep them, `all` shows them."""
    keep(facts.problem("a", "defect", id="e", problem_id="p", at=at(1)), *good(facts, "a", about))
    found = ask("affected", problem="defect")
    assert (names(found), found["counts"]["customers"], found["counts"]["made_good"]) == ([], 1, 1)
    (one,) = ask("affected", problem="defect", all=1)["customers"]
    assert one["made_good"] is True


def test_a_contact_that_refers_to_it_makes_it_good(keep, facts, ask, names):
    """An interaction with a ref of the problem, such as a free repair."""
    keep(
        facts.problem("a", "defect", problem_id="p", at=at(1)),
        facts.interaction("a", "repair.free", refs=[{"type": "problem", "id": "p"}], at=at(2)),
        facts.problem("b", "defect", problem_id="q", at=at(1)),
        facts.interaction("b", "repair.free", refs=[{"type": "order", "id": "q"}], at=at(2)),
    )
    assert names(ask("affected", problem="defect")) == ["b"]


@pytest.mark.parametrize("state", ["broken", "cancelled"])
def test_a_promise_that_was_not_held_made_nothing_good(keep, facts, ask, names, state):
    """Broken or cancelled, they are affected still; kept is made good."""
    keep(facts.problem("a", "defect", id="e", at=at(1)))
    keep(*good(facts, "a", {"event_ids": ["e"]}, state=state))
    assert names(ask("affected", problem="defect")) == ["a"]


def test_meeting_it_again_counts_again(keep, facts, ask, names):
    """Made good is what was met until then; what is left is what came after."""
    keep(
        facts.problem("a", "defect", id="e1", at=at(1)),
        *good(facts, "a", {"event_ids": ["e1"]}),
        facts.problem("a", "defect", id="e2", problem_id="p2", at=at(9)),
    )
    found = ask("affected", problem="defect")
    assert names(found) == ["a"]
    assert found["customers"][0]["times"] == 2
    assert found["customers"][0]["about"] == {
        "event_ids": ["e2"],
        "refs": [{"type": "problem", "id": "p2"}],
    }


def test_somebody_else_s_promise_makes_nothing_good(keep, facts, ask, names):
    """What is about another customer's event is theirs."""
    keep(
        facts.problem("a", "defect", id="e", at=at(1)),
        *good(facts, "b", {"event_ids": ["e"]}),
    )
    assert names(ask("affected", problem="defect")) == ["a"]


def test_a_promise_to_the_visit_is_one_to_the_customer(keep, facts, ask, names):
    """Made good under another identifier of the same person is made good."""
    keep(
        facts.identity("identified", {"id": "a", **VISIT}, at=at(0)),
        facts.problem("a", "defect", id="e", at=at(1)),
        facts.promise(
            "g",
            customer=VISIT,
            due_at="2026-06-01T00:00:00Z",
            about={"event_ids": ["e"]},
            at=at(2),
        ),
    )
    assert names(ask("affected", problem="defect")) == []


def test_what_was_said_before_it_happened_makes_nothing_good(keep, facts, ask, names):
    """A promise about a known problem does not cover the time that it came back."""
    about = {"refs": [{"type": "problem", "id": "p"}]}
    keep(*good(facts, "a", about, days=1), facts.problem("a", "defect", problem_id="p", at=at(2)))
    assert names(ask("affected", problem="defect")) == ["a"]


def test_a_second_paid_repair_does_not_make_the_first_good(keep, facts, ask):
    """What is itself among the things that were met is no remedy, whatever it refers to."""
    again = [{"type": "interaction", "id": "first"}]
    keep(
        facts.interaction("a", "repair.paid", interaction_id="first", at=at(1)),
        facts.interaction("a", "repair.paid", refs=again, at=at(2)),
    )
    (one,) = ask("affected", touchpoint="repair.paid")["customers"]
    assert (one["times"], one["made_good"], len(one["about"]["event_ids"])) == (2, False, 2)


def test_a_promise_is_met_once_however_often_it_was_revised(keep, facts, ask):
    """Of the events of a promise the one that made it counts."""
    keep(
        facts.promise("p", due_at="2026-05-09T10:00:00Z", at=at(0)),
        facts.promise("p", "revised", due_at="2026-05-10T10:00:00Z", kind="delivery", at=at(1)),
    )
    (one,) = ask("affected", kind="delivery")["customers"]
    assert one["times"] == 1


# ---- parameters, pages, CSV ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "query: expected one of"),
        ({"since": "2026-05-01"}, "query: expected one of"),
        ({"family": "loss"}, "family: expected one of"),
        ({"family": "interaction", "problem": "defect"}, "problem: expected with family problem"),
        ({"kind": "delivery", "outcome": "failure"}, "outcome: expected of commitments one of"),
        ({"family": "commitment", "outcome": "late", "touchpoint": "x"}, "outcome: expected of"),
        ({"type": "problem"}, "type: expected an event type"),
        ({"ref": "lot"}, "ref: expected TYPE:ID"),
        ({"problem": "x" * 501}, "problem: expected at most 500"),
        ({"problem": "x", "limit": "0"}, "limit: expected"),
        ({"problem": "x", "cursor": "e30="}, "cursor: expected"),
    ],
)
def test_wrong_parameters_are_named(ask, query, words):
    """The error begins with the parameter."""
    with pytest.raises(QueryError, match=f"^{words}"):
        ask("affected", **query)


def test_pages_hold_each_once(keep, facts, ask, names):
    """The cursor continues where the page ended, whatever was met at one moment."""
    keep(*(facts.problem(f"c{n}", "defect", at=at(n // 2)) for n in range(5)))
    seen, cursor = [], ""
    while cursor is not None:
        found = ask("affected", problem="defect", limit=2, cursor=cursor)
        seen += names(found)
        cursor = found["next"]
    assert seen == ["c4", "c2", "c3", "c0", "c1"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", " =1", "\uff1d1", 'a"b,c', "anna"])
def test_no_cell_is_a_formula(keep, facts, ask, name):
    """A spreadsheet shows the id; what would be a formula has a quote before it."""
    keep(facts.problem(name, "defect"))
    head, row = csv.reader(io.StringIO(as_csv(ask("affected", problem="defect")), newline=""))
    assert tuple(head) == COLUMNS
    assert row[1] == (name if name[0] == "a" else f"'{name}")
    assert row[2:] == ["1", *["2026-05-04T10:00:00.000000Z"] * 2, *["no"] * 5]
