"""
The closing count: the last events of a process are missed too when they never come.
"""

from __future__ import annotations

import pytest

import cxsdk as cx
from cxsdk.collector import Collector, Store
from cxsdk.collector.overview import overview
from cxsdk.collector.row import Closing


def gaps(store):
    with store.reading() as db:
        return {
            (gap.instance, gap.lane): (gap.high, gap.missing, gap.unaccounted)
            for gap in overview(db, 0, store.now()).record.gaps
        }


@pytest.mark.parametrize(
    ("header", "lanes"),
    [
        ("ab; bulk=40; vital=3", (("bulk", 40), ("vital", 3))),
        ("ab; vital=3", (("vital", 3),)),
        ("ab; bulk=0; vital=3; other=9", (("vital", 3),)),
        (f"ab; bulk={2**70}; vital=3", (("vital", 3),)),
        ("ab; bulk=-1; vital=3; bulk=x; bulk", (("vital", 3),)),
        ("ab; bulk=٤; vital=3", (("vital", 3),)),
    ],
)
def test_what_makes_sense_of_it_counts(header, lanes):
    """Lanes by their names with numbers that can be; the rest is passed over."""
    assert Closing.read(header) == Closing("ab", lanes)


@pytest.mark.parametrize("header", ["", ";", "; bulk=4", "ab", "ab; bulk=0", "ab; bulk", "=;=;="])
def test_nonsense_says_nothing(header):
    """No instance or no number: as if there were no header."""
    assert Closing.read(header) is None


def test_the_end_of_a_lane_is_missed(http, store, facts):
    """Of 40 numbered events 3 came, of another lane none: 37 and 2 are missing."""
    sent = [facts.interaction(seq=n) for n in (1, 2, 3)]
    http.post("/events", json=sent, headers={"CXSDK-Closing-Count": "p1; bulk=40; vital=2"})
    assert gaps(store) == {("p1", "bulk"): (40, 37, 37), ("p1", "vital"): (2, 2, 2)}


def test_what_comes_later_fills_it(http, store, facts):
    """The next process delivers the rest, and nothing is missing any more."""
    header = {"CXSDK-Closing-Count": "p1; bulk=4; vital=1"}
    http.post("/events", json=[facts.interaction(seq=1)], headers=header)
    http.post("/events", json=[facts.interaction(seq=n) for n in (2, 3, 4)])
    http.post("/events", json=[facts.reaction(seq=1)], headers=header)
    assert gaps(store) == {}


def test_a_smaller_count_takes_nothing_back(http, store, facts):
    """An event that was numbered while the count was taken stays counted."""
    header = {"CXSDK-Closing-Count": "p1; bulk=2"}
    http.post("/events", json=[facts.interaction(seq=n) for n in (1, 2, 3)], headers=header)
    assert gaps(store) == {}


def test_a_client_that_ends_too_early_says_how_many_there_were(tmp_path):
    """What it had no time to send, and nobody kept, is unaccounted for at the collector."""
    with Collector(tmp_path / "c.db") as collector:
        client = cx.Client(
            "shop",
            collector=collector.url,
            spool=cx.SpoolOptions(mode="memory"),
            delivery=cx.DeliveryOptions(max_batch_events=10, max_events_per_second=20.0),
        )
        with client.scope(customer="c1"):
            for _ in range(60):
                with client.interaction("checkout.pay"):
                    pass
            client.feedback(csat=4)
        report = client.close(0.5)
    store = Store(tmp_path / "c.db")
    with store.reading() as db:
        (stored,) = db.execute("SELECT count(*) FROM events").fetchone()
        record = overview(db, 0, store.now()).record
    store.close()
    assert report.pending == 61 - stored > 0
    assert record.unaccounted == report.pending
