"""
What became of promises, against hand-computed cases.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import json

from cxsdk.collector import Limits, Store
from cxsdk.collector.row import judge
from cxsdk.collector.standings import promise_figures, promises

T0 = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
VIENNA = {"tz": "Europe/Vienna"}


def micros(text):
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.fixture
def one(store, keep):
    """
    Keep the events of one promise and return what became of it.
    """

    def fold(*events):
        keep(*events)
        with store.reading() as db:
            (found,) = promises(db).values()
        return found

    return fold


@pytest.mark.parametrize(
    ("day", "midnight"),
    [
        ("2026-05-10", "2026-05-11T00:00:00+02:00"),
        ("2026-03-29", "2026-03-30T00:00:00+02:00"),
        ("2026-10-25", "2026-10-26T00:00:00+01:00"),
        ("2026-01-31", "2026-02-01T00:00:00+01:00"),
    ],
)
def test_due_date_ends_at_midnight_of_its_zone(one, facts, day, midnight):
    """A date in Vienna is kept until its local midnight, also on days of 23 and 25 hours."""
    found = one(facts.promise("p", due_date=day, where=VIENNA))
    assert found.standing(micros(midnight) - 1) == "open"
    assert found.standing(micros(midnight)) == "overdue"


@pytest.mark.parametrize(
    ("due", "moment"),
    [
        ({"due_at": "2026-05-10T12:00:00Z"}, "2026-05-10T12:00:00Z"),
        (
            {"window": {"from": "2026-05-10T08:00:00Z", "to": "2026-05-10T10:00:00Z"}},
            "2026-05-10T10:00:00Z",
        ),
        ({"period": "P3D"}, "2026-05-07T10:00:00Z"),
        ({"period": "PT90M"}, "2026-05-04T11:30:00Z"),
        ({"period": "P1M", "made_at": "2026-01-31T10:00:00Z"}, "2026-02-28T10:00:00Z"),
        (
            {"period": "P1D", "made_at": "2026-03-28T11:00:00Z", "where": VIENNA},
            "2026-03-29T10:00:00Z",
        ),
    ],
)
def test_every_way_to_promise_has_its_instant(one, facts, due, moment):
    """Instants, windows and periods, calendar days across a change of the clock included."""
    assert one(facts.promise("p", **due)).due == micros(moment)


def test_what_cannot_be_computed_is_not_overdue(one, facts):
    """An unknown zone gives no due time, so nothing is claimed."""
    found = one(facts.promise("p", due_date="2020-01-01", where={"tz": "Mars/Olympus"}))
    assert (found.due, found.standing(micros("2026-05-04T10:00:00Z"))) == (None, "open")


def test_what_is_in_force_ends_and_is_never_broken(one, facts):
    """A warranty past its end is over; it is neither overdue nor broken."""
    found = one(facts.promise("p", duty="in_force_until", due_date="2026-05-10", where=VIENNA))
    assert found.standing(micros("2026-05-10T12:00:00Z")) == "in_force"
    assert found.standing(micros("2026-05-11T12:00:00Z")) == "over"


def test_paused_promises_do_not_run_late(one, facts):
    """A paused promise is not overdue."""
    found = one(
        facts.promise("p", due_at="2026-05-04T11:00:00Z"),
        facts.promise("p", "paused", at=T0 + timedelta(minutes=5)),
    )
    assert found.standing(micros("2026-05-05T00:00:00Z")) == "paused"


def test_result_does_not_depend_on_the_order_of_arrival(tmp_path, facts):
    """Made, revised and kept give one result in all six orders, and so do ties by seq."""
    said = [
        facts.promise("p", due_at="2026-05-04T11:00:00Z", seq=1),
        facts.promise("p", "revised", due_at="2026-05-04T13:00:00Z", seq=2),
        facts.promise("p", "kept", at=T0 + timedelta(hours=2), seq=3),
    ]
    results = set()
    for number, order in enumerate(itertools.permutations(said)):
        store = Store(tmp_path / f"{number}.db")
        for event in order:
            store.add([judge(json.encode(event), Limits(), strict=False)])
        with store.reading() as db:
            (found,) = promises(db).values()
        results.add((found.standing(0), found.due, found.kind, found.made))
        store.close()
    assert results == {
        ("kept", micros("2026-05-04T13:00:00Z"), "delivery", micros("2026-05-04T10:00:00Z"))
    }


def test_kept_after_it_was_due_is_kept_late(one, facts):
    """Lateness is what was said, else what the times say."""
    found = one(
        facts.promise("p", due_at="2026-05-04T11:00:00Z"),
        facts.promise("p", "kept", at=T0 + timedelta(hours=2)),
    )
    assert found.standing(0) == "kept_late"


def test_kept_rate_stands_on_deliveries_that_ended(store, keep, facts, clock):
    """Of 2 in time, 1 late and 1 broken half is kept; expired, cancelled, in force do not count."""
    later = "2026-05-04T18:00:00Z"
    for name, states in {
        "a": ["kept"],
        "b": ["kept"],
        "c": ["broken"],
        "d": ["cancelled"],
        "e": ["expired"],
        "f": [],
        "g": ["at_risk"],
    }.items():
        keep(facts.promise(name, due_at=later))
        for state in states:
            keep(facts.promise(name, state, at=T0 + timedelta(minutes=1)))
    keep(
        facts.promise("late", due_at=later),
        facts.promise("late", "kept", at=T0 + timedelta(minutes=1), lateness_ms=5),
        facts.promise("gone", due_at="2026-05-04T10:00:30Z"),
        facts.promise("w", duty="in_force_until", due_at=later),
        facts.promise("v", duty="in_force_until", due_at=later),
        facts.promise("v", "kept", at=T0 + timedelta(minutes=1)),
        facts.promise("x", duty="in_force_until", due_at="2026-05-04T10:00:30Z"),
    )
    with store.reading() as db:
        found = promise_figures(db, 0, store.now())
    assert (found.kept, found.kept_late, found.broken, found.judged) == (2, 1, 1, 4)
    assert found.kept_rate == 0.5
    assert (found.expired, found.cancelled, found.honoured) == (1, 1, 1)
    assert found.open == {"overdue": 1, "at_risk": 1, "open": 1, "in_force": 1, "over": 1}
    assert [one.id for one in found.overdue] == ["gone"]
