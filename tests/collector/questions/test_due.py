"""
What is due: late by date and by instant, soon, and what is in force and ends.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cxsdk.collector.queries import QueryError

VIENNA = {"tz": "Europe/Vienna"}


@pytest.fixture
def promised(keep, facts):
    """
    Promises of each kind, of one customer; now is 10:01 UTC on 4 May 2026.
    """
    keep(
        facts.promise("late", due_at="2026-05-04T10:00:30Z"),
        facts.promise("later_today", due_at="2026-05-04T10:02:00Z"),
        facts.promise("yesterday", due_date="2026-05-03", where=VIENNA),
        facts.promise("today", due_date="2026-05-04", where=VIENNA),
        facts.promise("in_a_month", due_at="2026-06-04T00:00:00Z"),
        facts.promise("paused", due_at="2026-05-01T00:00:00Z"),
        facts.promise("paused", "paused"),
        facts.promise("kept", due_at="2026-05-01T00:00:00Z"),
        facts.promise("kept", "kept"),
        facts.promise("ends", kind="warranty", duty="in_force_until", due_date="2026-05-20", where=VIENNA),
        facts.promise("ended", kind="warranty", duty="in_force_until", due_date="2026-05-01", where=VIENNA),
        facts.promise("years", kind="warranty", duty="in_force_until", period="P2Y"),
    )  # fmt: skip


def stands(found):
    return [(one["commitment_id"], one["what"]) for one in found["items"]]


def test_the_longest_overdue_stand_first(promised, ask):
    """By date in its zone and by instant; a warranty past its end is nothing that is due."""
    found = ask("due")
    assert stands(found) == [
        ("yesterday", "overdue"),
        ("late", "overdue"),
        ("later_today", "due"),
        ("today", "due"),
        ("ends", "ending"),
    ]
    assert found["counts"] == {"overdue": 2, "due": 2, "ending": 1}
    assert found["items"][0]["due_at"] == "2026-05-03T22:00:00.000000Z"
    assert found["items"][0]["customer"] == {"space": "id", "id": "c1"}


def test_a_date_is_late_from_its_midnight_on(promised, ask, clock):
    """One second before midnight in Vienna it is due, at midnight it is overdue."""
    for moment, what in (("21:59:59", "due"), ("22:00:00", "overdue")):
        clock.moment = datetime.fromisoformat(f"2026-05-04T{moment}+00:00")
        assert dict(stands(ask("due")))["today"] == what


def test_days_say_how_far_ahead(promised, ask):
    """Promises and what is in force each have their own."""
    found = ask("due", days=60, warranty_days=1000, what="due")
    assert [name for name, _ in stands(found)] == ["later_today", "today", "in_a_month"]
    assert found["counts"] == {"overdue": 2, "due": 3, "ending": 2}
    assert stands(ask("due", warranty_days=1, what="ending")) == []


def test_pages_hold_each_once(promised, ask):
    """The cursor continues where the page ended."""
    seen, cursor = [], ""
    while cursor is not None:
        found = ask("due", limit=2, cursor=cursor)
        seen += stands(found)
        cursor = found["next"]
    assert seen == stands(ask("due"))


def test_customer_is_the_one_they_are_known_as(keep, facts, ask):
    """A promise to a visit that a customer claimed is a promise to that customer."""
    visit = {"anonymous_id": "v"}
    keep(
        facts.promise("p", customer=visit, due_at="2026-05-04T10:00:00Z"),
        facts.identity("identified", {"id": "c9", **visit}),
    )
    (one,) = ask("due")["items"]
    assert one["customer"] == {"space": "id", "id": "c9"}


@pytest.mark.parametrize(
    "query",
    [{"days": 0}, {"days": "x"}, {"what": "all"}, {"day": 1}, {"cursor": "?"}, {"limit": 1001}],
)
def test_wrong_parameters_are_named(promised, ask, query):
    """The error begins with the parameter."""
    with pytest.raises(QueryError, match=f"^{next(iter(query))}: expected"):
        ask("due", **query)


def test_moment_of_the_answer_is_the_clock_s(ask, clock):
    """An empty store answers, too."""
    clock.moment = datetime(2026, 7, 1, tzinfo=UTC)
    found = ask("due")
    assert (found["as_of"], found["items"]) == ("2026-07-01T00:00:00.000000Z", [])
