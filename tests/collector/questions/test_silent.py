"""
Who is silent: each promise failed them, and they said nothing since.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cxsdk.collector.queries import QueryError

T0 = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
DUE = "2026-05-02T10:00:00Z"


def at(days):
    return T0 + timedelta(days=days)


@pytest.fixture
def promise(facts):
    """
    Build a promise that is due on day 1 and ends as said on day 2.
    """

    def build(customer, state="broken", **more):
        name = f"{next(facts.count)}"
        made = facts.promise(name, customer=customer, due_at=DUE, at=at(0), **more)
        return [made, facts.promise(name, state, customer=customer, at=at(2))]

    return build


def counts(found):
    return tuple(found["counts"][name] for name in ("judged", "all_failed", "silent"))


def test_silent_are_those_whom_every_promise_failed(keep, promise, ask, names):
    """Broken or kept late each time; one kept in time makes it no every time."""
    keep(
        *promise("broken"),
        *promise("both"), *promise("both", "kept"),
        *promise("kept_late", "kept"),
    )  # fmt: skip
    found = ask("silent")
    assert names(found) == ["both", "broken", "kept_late"]
    assert counts(found) == (3, 3, 3)
    assert found["customers"][0] == {
        "customer": {"space": "id", "id": "both"},
        "promises": 2,
        "broken": 1,
        "kept_late": 1,
        "first": "2026-05-02T10:00:00.000000Z",
        "last": "2026-05-03T10:00:00.000000Z",
        "asked": False,
        "reacted": False,
    }
    strict = ask("silent", only="broken")
    assert (names(strict), counts(strict)) == (["broken"], (3, 1, 1))


def test_kept_in_time_or_not_judged_is_no_failure(keep, facts, promise, ask):
    """Cancelled and open promises and warranties are not judged."""
    keep(
        facts.promise("t", customer="in_time", due_at="2026-05-09T10:00:00Z", at=at(0)),
        facts.promise("t", "kept", customer="in_time", at=at(2)),
        *promise("cancelled", "cancelled"),
        facts.promise("o", customer="open", due_at=DUE, at=at(0)),
        facts.promise("w", customer="w", due_at=DUE, duty="in_force_until", kind="warranty"),
        facts.promise("w", "expired", customer="w", at=at(2)),
    )
    assert counts(ask("silent")) == (1, 0, 0)


@pytest.mark.parametrize(
    ("said", "is_silent"),
    [
        (lambda facts: facts.score(1, customer="c", at=at(3)), False),
        (lambda facts: facts.score(1, customer="c", at=at(1)), False),
        (lambda facts: facts.score(1, customer="c", at=at(0)), True),
        (lambda facts: facts.score(1, customer="c", at=at(3), source="inferred"), True),
        (lambda facts: facts.reaction("c", "complain", at=at(3)), False),
        (lambda facts: facts.reaction("c", "escalate", at=at(3)), False),
        (lambda facts: facts.reaction("c", "cancel", at=at(3)), True),
        (lambda facts: facts.problem("c", at=at(3)), True),
        (
            lambda facts: facts.problem("c", at=at(3), reported_by={"kind": "customer"}),
            False,
        ),
        (lambda facts: facts.interaction("c", at=at(3)), True),
    ],
)
def test_what_breaks_the_silence(keep, facts, promise, ask, said, is_silent):
    """A word of their own, since the promise was due; what they did, or we noticed, is none."""
    keep(*promise("c"), said(facts))
    assert counts(ask("silent")) == (1, 1, int(is_silent))


def test_a_word_on_another_device_counts(keep, facts, promise, ask):
    """All identifiers of the person are listened to."""
    visit = {"anonymous_id": "v"}
    keep(
        *promise("c"),
        facts.identity("identified", {"id": "c", **visit}),
        facts.score(1, customer=visit, at=at(3)),
    )
    assert counts(ask("silent")) == (1, 1, 0)


def test_asked_and_reacted_are_said(keep, facts, promise, ask):
    """Who was never asked could not answer: the count of these is there."""
    keep(
        *promise("asked"),
        facts.prompt("offered", "o", customer={"id": "asked"}, at=at(3)),
        *promise("passed_over"),
        facts.prompt("suppressed", customer={"id": "passed_over"}, reason="cap", at=at(3)),
        facts.reaction("passed_over", "cancel", at=at(3)),
    )
    found = ask("silent")
    told = {one["customer"]["id"]: (one["asked"], one["reacted"]) for one in found["customers"]}
    assert told == {"asked": (True, False), "passed_over": (False, True)}
    assert found["counts"]["never_asked"] == 1


def test_range_and_kind_choose_the_promises(keep, promise, ask, names):
    """By when they ended; a day begins at midnight UTC."""
    keep(*promise("a"), *promise("b", kind="callback"))
    assert names(ask("silent", kind="callback")) == ["b"]
    assert names(ask("silent", since="2026-05-03")) == ["a", "b"]
    assert names(ask("silent", since="2026-05-04")) == []
    assert names(ask("silent", until="2026-05-03T10:00:00Z")) == []


def test_pages_hold_each_once(keep, promise, ask, names):
    """The cursor continues where the page ended."""
    for n in range(5):
        keep(*promise(f"c{n}"))
    seen, cursor = [], ""
    while cursor is not None:
        found = ask("silent", limit=2, cursor=cursor)
        seen += names(found)
        cursor = found["next"]
    assert seen == [f"c{n}" for n in range(5)]


@pytest.mark.parametrize(
    "query", [{"only": "kept"}, {"since": "soon"}, {"until": "2026-05-01T00:00"}]
)
def test_wrong_parameters_are_named(ask, query):
    """The error begins with the parameter."""
    with pytest.raises(QueryError, match=f"^{next(iter(query))}: expected"):
        ask("silent", **query)
