"""
Spool, delivery and HTTP sink together, against a collector that misbehaves.
"""

import pytest

from cxsdk.sinks.http import HttpSink
from cxsdk.testing import faults

AGES = 30.0


@pytest.fixture
def shop(many, collector):
    """A delivery to the collector, impatient enough for a test."""

    def make(**options):
        settings = {"linger": 0.05, "retry_base": 0.02, "retry_cap": 0.1, **options}
        return many(HttpSink(collector.url, timeout=1.0), **settings)

    return make


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(503, retry_after="0"),
        faults.status(429, retry_after="0.1"),
        faults.hang(0.05),
        faults.reset(),
        faults.close_mid_body(),
        faults.drop_response_after_accept(),
        faults.raw(b"what?"),
    ],
)
def test_nothing_is_lost(shop, collector, fault):
    """After two faults of any transient kind everything arrives, and is counted once."""
    collector.script(fault, fault)
    r = shop()
    names = r.emit(60)
    assert r.delivery.flush(AGES).delivered == 60
    assert sorted(collector.ids) == sorted(names)
    assert r.counts.delivered == 60


def test_a_lost_answer_gives_duplicates_of_the_same_ids(shop, collector):
    """Accepted but not acked: the same batch comes again, with the same ids and key."""
    collector.script(faults.drop_response_after_accept())
    r = shop()
    names = r.emit(40)
    assert r.delivery.flush(AGES).delivered == 40
    first, second = collector.requests[:2]
    assert first.ids == second.ids == names
    assert first.wire_bytes == second.wire_bytes
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert collector.duplicates == 40
    assert sorted(collector.ids) == sorted(names)


def test_a_collector_that_goes_and_comes(shop, collector):
    """Events emitted while it is down arrive after it is back on its port."""
    r = shop()
    r.emit(10)
    assert r.delivery.flush(AGES).pending == 0
    collector.stop()
    r.emit(20)
    r.delivery.flush(0.2)
    assert r.spool.pending("default") == 20
    collector.start()
    assert collector.wait_for(30, AGES)
    assert r.delivery.flush(AGES).pending == 0
    assert sorted(collector.ids) == sorted(r.names)


def test_an_outage_by_the_clock(shop, collector):
    """Half a second of 503 with everything else as usual loses nothing."""
    collector.always = faults.for_seconds(0.5, faults.status(503))
    r = shop()
    r.emit(300)
    assert r.delivery.flush(AGES).pending == 0
    assert len(collector.ids) == 300
    assert collector.duplicates == 0


def test_rejected_ids_become_dead_letters(shop, collector):
    """What our collector rejects by id is buried, the rest of the batch is delivered."""
    collector.always = faults.reject_ids(lambda name: name in {"b3", "b17"})
    r = shop()
    r.emit(50)
    report = r.delivery.flush(AGES)
    assert (report.delivered, report.dropped) == (48, 2)


def test_poison_over_the_wire(shop, collector):
    """A collector that refuses whole batches gets every event but the poisonous one."""
    collector.always = faults.refuse_batches_with(lambda name: name == "b31")
    r = shop()
    r.emit(50)
    report = r.delivery.flush(AGES)
    assert (report.delivered, report.dropped) == (49, 1)
    assert "b31" not in collector.ids


def test_multi_status_over_the_wire(shop, collector):
    """207: refused ones are buried, 503 ones come again until they are taken."""
    tries = {}

    def choose(name):
        tries[name] = tries.get(name, 0) + 1
        if name == "b5":
            return 422
        return 503 if name in {"b1", "b2"} and tries[name] < 3 else 201

    collector.always = faults.per_event(choose)
    r = shop()
    r.emit(50)
    report = r.delivery.flush(AGES)
    assert (report.delivered, report.dropped, report.pending) == (49, 1, 0)


@pytest.mark.parametrize("limit", [faults.max_events(10), faults.max_body(3000)])
def test_413_over_the_wire(shop, collector, limit):
    """A limit in events or bytes is found and kept to."""
    collector.always = limit
    r = shop()
    r.emit(500)
    assert r.delivery.flush(AGES).delivered == 500
    refused = r.notes["splits"]
    assert refused <= 12


@pytest.mark.parametrize(
    "fault",
    [
        faults.html_login(),
        faults.redirect("http://127.0.0.1:1/"),
        faults.status(404),
        faults.status(401),
    ],
)
def test_what_needs_a_person_holds(shop, collector, fault):
    """Hold: one request, everything kept, and the report says so."""
    collector.always = fault
    r = shop()
    r.emit(20)
    report = r.delivery.flush(AGES)
    assert (report.pending, report.reason) == (20, "holding")
    assert len(collector.requests) == 1
    assert r.counts.spooled == 20


def test_an_exit_beside_a_slow_collector(shop, collector):
    """Close with half a second left ends about then, although the collector drips."""
    collector.always = faults.slow(2)
    r = shop()
    r.delivery.start()
    r.emit(5)
    report = r.delivery.close(0.5)
    assert report.seconds < 5
    assert report.pending == 5
