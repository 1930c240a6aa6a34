"""
What became of promises, against hand-computed cases.
"""

from __future__ import annotations

import itertools
from collections import Counter
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


@pytest.mark.parametrize("text", ["2026-05-04t11:00:00z", "2026-05-04T13:00:00.123456789123+02:00"])
def test_every_time_that_is_taken_can_be_read(facts, http, text):
    """What the standard allows in a time does not fail the pages that read it later."""
    event = {**facts.promise("p", due_at=text), "time": text}
    assert http.post("/events", json=event).json()["accepted"] == 1
    assert http.get("/?range=all").status_code == 200
    page = http.get("/customers/c1/journey").text
    assert "due</dt><dd><bdi>2026-05-04 11:00 UTC" in page.replace("<bdi>due</bdi>", "due")
    assert ">11:00</time>" in page


@pytest.mark.parametrize(
    ("delivered", "standing"),
    [("2026-05-10T23:59:59+02:00", "kept"), ("2026-05-11T00:00:00+02:00", "kept_late")],
)
def test_the_day_after_the_promised_one_is_late_from_its_first_moment(
    one, facts, delivered, standing
):
    """Imports that know days and no hours say midnight."""
    found = one(
        facts.promise("p", due_date="2026-05-10", where=VIENNA),
        facts.promise("p", "kept", at=datetime.fromisoformat(delivered)),
    )
    assert found.standing(0) == standing


def test_an_instant_itself_is_in_time(one, facts):
    """Due at eleven is kept at eleven."""
    found = one(
        facts.promise("p", due_at="2026-05-04T11:00:00Z"),
        facts.promise("p", "kept", at=T0 + timedelta(hours=1)),
    )
    assert found.standing(0) == "kept"


def test_figures_agree_with_every_promise_asked_alone(store, keep, facts, clock):
    """Counting by groups gives what asking each promise for its standing gives."""
    ends = [None, "kept", "broken", "expired", "cancelled", "paused", "at_risk", "revised"]
    dues = [{"due_at": "2026-05-04T10:00:30Z"}, {"due_at": "2026-05-09T10:00:00Z"}]
    for duty in ("deliver_by", "in_force_until"):
        for state, due, late in itertools.product(ends, dues, [None, 5]):
            if (duty, state) in {("deliver_by", "expired"), ("in_force_until", "broken")}:
                continue
            name = f"{duty}-{state}-{due['due_at']}-{late}"
            keep(facts.promise(name, duty=duty, **due))
            if state is not None:
                more = {"lateness_ms": late} if state == "kept" else {}
                keep(facts.promise(name, state, at=T0 + timedelta(seconds=20), **more))
    now = store.now()
    with store.reading() as db:
        every = promises(db).values()
        found = promise_figures(db, 0, now)
        recent = promise_figures(db, now, now)
    alone = Counter(
        "honoured" if one.duty == "in_force_until" and one.state == "kept" else one.standing(now)
        for one in every
    )
    ended = ("kept", "kept_late", "broken", "expired", "honoured", "cancelled")
    assert {name: getattr(found, name) for name in ended} == {name: alone[name] for name in ended}
    assert found.open == {name: n for name, n in alone.items() if name not in ended}
    assert {name: getattr(recent, name) for name in ended} == dict.fromkeys(ended, 0)
    assert recent.open == found.open


def test_overdue_list_holds_the_oldest_and_only_open_ones(store, keep, facts):
    """Ten of many, by due time; paused, ended and later ones are not among them."""
    for n in range(12):
        keep(facts.promise(f"p{n:02}", due_at=f"2026-05-04T09:{59 - n}:00Z"))
    for n, state in enumerate(("kept", "paused", "broken", "cancelled")):
        keep(facts.promise(f"p{n:02}", state))
    keep(facts.promise("later", due_at="2026-05-05T09:00:00Z"))
    with store.reading() as db:
        found = promise_figures(db, 0, store.now())
    assert [one.id for one in found.overdue] == [f"p{n:02}" for n in range(11, 3, -1)]
    assert found.open["overdue"] == 8


def test_promises_are_read_by_every_identifier_of_their_customer(store, keep, facts):
    """Made to a visit, kept for the known customer: both see it, and nobody else does."""
    keep(
        facts.promise("p", customer={"anonymous_id": "v"}, due_at="2026-05-04T11:00:00Z"),
        facts.promise("p", "kept", customer="c1"),
        facts.promise("q", customer="c2", due_at="2026-05-04T11:00:00Z"),
    )
    with store.reading() as db:
        assert list(promises(db, (("anonymous", "v"),))) == ["p"]
        assert list(promises(db, (("id", "c1"),))) == ["p"]
        assert list(promises(db, (("id", "c2"), ("id", "c1")))) == ["p", "q"]


def test_no_page_folds_what_it_does_not_show(store, keep, facts):
    """Reading and folding promises goes by indexes, whatever else is stored."""
    keep(*[facts.promise(f"p{n}", due_at="2026-05-04T11:00:00Z") for n in range(50)])
    plans = []
    with store.reading() as db:
        db.set_trace_callback(plans.append)
        promise_figures(db, 0, store.now())
        promises(db, (("id", "c1"),))
        db.set_trace_callback(None)
        steps = [row[3] for sql in plans for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert plans
    assert not [step for step in steps if "events" in step]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_what_was_made_and_kept_at_one_moment_is_kept(one, facts, names):
    """Imports that know the day say both with one time, and from two processes."""
    found = one(
        facts.promise("p", id=names[0], instance=names[0], seq=9, due_at="2026-05-04T11:00:00Z"),
        facts.promise("p", "kept", id=names[1], instance=names[1], seq=1),
    )
    assert found.standing(0) == "kept"
