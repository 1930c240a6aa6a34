"""
One destination, step by step: what is sent next and what becomes of it.
"""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxsdk._guard import Voice
from cxsdk.typing import Delivered, Hold, Partial, Refused, Retry, Split


def script(*results, then=None):
    rest = list(results)
    return lambda batch: rest.pop(0) if rest else (then or Delivered())


def test_delivered_is_acked(rig):
    """What the sink took is counted delivered, and nothing stays behind."""
    r = rig()
    names = r.emit(30)
    r.drive()
    assert r.sink.sent == names
    assert (r.counts.delivered, r.spool.pending("default")) == (30, 0)


def test_a_retry_is_the_same_batch(rig):
    """Every attempt has the same records and key, and a growing attempt number."""
    r = rig(script(Retry("x"), Retry("x"), Retry("x")))
    r.emit(10)
    r.drive(60)
    assert [batch.attempt for batch in r.sink.batches] == [1, 2, 3, 4]
    assert len({batch.key for batch in r.sink.batches}) == 1
    assert r.counts.delivered == 10
    assert r.notes["retries"] == 3


def test_keys_tell_batches_apart(rig):
    """Different records have different keys."""
    r = rig(max_batch_events=10)
    r.emit(50)
    r.drive()
    assert len({batch.key for batch in r.sink.batches}) == 5


def test_retry_after_is_a_minimum(rig):
    """A destination that asks for 100 seconds gets them, and at most a tenth more."""
    r = rig(script(Retry("x", after=100.0)))
    r.emit()
    r.drive(99.9)
    assert len(r.sink.batches) == 1
    r.drive(10.2)
    assert len(r.sink.batches) == 2


@pytest.mark.parametrize("after", [1e308, math.inf, 5000.0])
def test_retry_after_is_clamped(rig, after):
    """Nobody parks delivery for more than 15 minutes."""
    r = rig(script(Retry("x", after=after)))
    r.emit()
    r.drive(901)
    assert len(r.sink.batches) == 2


@pytest.mark.parametrize("after", [math.nan, -5.0])
def test_nonsense_from_a_sink_is_no_wait(rig, after):
    """A sink's nonsensical Retry.after does not stop delivery."""
    r = rig(script(Retry("x", after=after)))
    r.emit()
    r.drive(1)
    assert len(r.sink.batches) == 2


def test_vital_does_not_wait_behind_bulk(rig, batch_ids):
    """While a bulk batch waits for its retry, vital events go first."""
    r = rig(lambda batch: Retry("x") if batch.records[0].lane == "bulk" else Delivered())
    r.emit(5, "bulk")
    r.drive()
    vital = r.emit(5, "vital")
    r.drive(2)
    assert batch_ids(r.sink.batches[1]) == vital
    assert r.counts.delivered == 5


def test_vital_goes_first_and_bulk_is_not_starved(rig):
    """With both lanes full, about one batch in four is bulk."""
    r = rig(max_batch_events=10)
    r.emit(400, "vital")
    r.emit(400, "bulk")
    r.drive()
    lanes = [batch.records[0].lane for batch in r.sink.batches]
    assert lanes[:3] == ["vital"] * 3
    assert 9 <= lanes[:40].count("bulk") <= 11
    assert r.counts.delivered == 800


def test_a_batch_that_fails_alone_does_not_block_its_lane(rig):
    """One batch that breaks the server is retried ever more rarely; the others go on."""
    r = rig(
        lambda b: Retry("500") if b'"b0"' in b.records[0].payload else Delivered(),
        max_batch_events=10,
    )
    r.emit(200)
    r.drive(120)
    assert r.counts.delivered == 190
    broken = [b for b in r.sink.batches if b.records[0].payload.find(b'"b0"') >= 0]
    assert 3 <= len(broken) <= 25


def test_a_sink_that_raises_is_a_retry(rig, caplog, monkeypatch):
    """An exception from a sink is said once, counted, and nothing is lost."""
    calls = []

    def answer(batch):
        calls.append(1)
        if len(calls) < 4:
            raise ZeroDivisionError("s3cret")
        return Delivered()

    r = rig(answer)
    r.emit(3)
    monkeypatch.setattr("cxsdk.delivery.line.voice", Voice())
    r.drive(60)
    assert r.counts.delivered == 3
    assert r.notes["sink_errors"] == 3
    assert caplog.text.count("ZeroDivisionError") == 1
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("nonsense", [None, True, "ok", Delivered])
def test_a_sink_that_returns_nonsense_is_a_retry(rig, nonsense):
    """Only a SendResult counts as an answer."""
    r = rig(script(nonsense))
    r.emit()
    r.drive(5)
    assert r.counts.delivered == 1
    assert len(r.sink.batches) == 2


def test_partial_is_settled_per_event(rig):
    """Named refusals are buried, named retries come again, the rest is delivered."""
    r = rig(script(Partial(refused={0: "bad"}, retry=frozenset({1, 2}))))
    r.emit(30)
    r.drive(10)
    assert (r.counts.delivered, r.counts.dead_lettered) == (29, 1)
    assert len(r.sink.batches[1]) == 2


def test_indices_out_of_range_are_nobodys(rig):
    """A sink that names events which were not there changes nothing."""
    r = rig(script(Partial(refused={99: "x", -1: "x"}, retry=frozenset({55}))))
    r.emit(3)
    r.drive()
    assert r.counts.delivered == 3


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from("ddddddddrx"), min_size=20, max_size=60), st.integers(0, 3))
def test_partial_mixes_conserve_events(rig, fates, rounds):
    """Whatever a destination says per event, every event ends up in one place and one only."""
    left = {"rounds": rounds}

    def answer(batch):
        picked = {
            n: fates[int(json.loads(x.payload)["id"][1:])] for n, x in enumerate(batch.records)
        }
        again = {n for n, fate in picked.items() if fate == "r"} if left["rounds"] else set()
        left["rounds"] -= 1 if left["rounds"] else 0
        return Partial(
            refused={n: "bad" for n, fate in picked.items() if fate == "x"}, retry=frozenset(again)
        )

    r = rig(answer)
    r.emit(len(fates))
    r.drive(250)
    counts = r.counts
    assert counts.delivered + counts.dead_lettered + r.spool.pending("default") == len(fates)
    bad = fates.count("x")
    if bad <= 2:
        assert (counts.dead_lettered, counts.delivered) == (bad, len(fates) - bad)


def test_hold_stops_everything_and_drops_nothing(rig):
    """401: one attempt, said loudly, everything back in the spool, probes from 1 to 15 minutes."""
    r = rig(lambda b: Hold("http 401", probe_after=60.0, backoff_to=900.0))
    r.emit(100)
    r.drive(3600)
    times = 1 + len([60, 120, 240, 480, 900, 900, 900])
    assert len(r.sink.batches) in {times, times - 1}
    assert r.counts.spooled == 100
    assert [len(b) for b in r.sink.batches[1:]] == [1] * (len(r.sink.batches) - 1)
    assert r.delivery.health().status == "holding"
    assert "http 401" in r.delivery.health().reason


def test_a_hold_ends_with_a_good_probe(rig):
    """Once a probe is taken, everything goes."""
    r = rig(script(Hold("http 404")))
    r.emit(100)
    r.drive(299)
    assert r.counts.delivered == 0
    r.drive(30)
    assert r.counts.delivered == 100
    assert r.delivery.health().status == "ok"


def test_erased_while_waiting_is_not_sent(rig):
    """A customer erased during a long wait is not in the next attempt."""
    r = rig(script(Retry("x", after=60.0)))
    r.emit(3)
    r.emit(2, tag=b"customer")
    r.drive()
    r.spool.erase(b"customer")
    r.drive(70)
    assert [len(b) for b in r.sink.batches] == [5, 3]
    assert r.counts.delivered == 3
    assert r.counts.dropped == {"erased": 2}


def test_linger_waits_for_company(rig):
    """A few events wait for the linger time; a full batch does not."""
    r = rig(linger=1.0)
    r.emit(3)
    wait = r.line.turn()
    assert 0 < wait <= 1.0
    r.clock.advance(1.0)
    r.line.turn()
    assert len(r.sink.batches) == 1
    r.emit(60)
    r.line.turn()
    assert len(r.sink.batches) == 2


def test_batches_grow_under_backlog(rig):
    """The first batch is small, the following ones double up to the limit."""
    r = rig(max_batch_events=500)
    r.emit(3000)
    r.drive()
    sizes = [len(batch) for batch in r.sink.batches]
    assert sizes[:5] == [50, 100, 200, 400, 500]


def test_batches_keep_the_byte_limit(rig):
    """No batch of several events is larger than max_batch_bytes."""
    r = rig(max_batch_bytes=20_000)
    r.emit(200, pad=900)
    r.drive()
    assert max(sum(len(x.payload) for x in b.records) for b in r.sink.batches) <= 20_000


def test_stats_tell_the_figures(rig):
    """Breaker, error, counts and waits are there for a dashboard."""
    r = rig(script(Retry("http 503")))
    r.emit(10)
    r.drive()
    stats = r.delivery.stats()["default"]
    assert stats["last_error"] == "http 503"
    assert stats["next_attempt"] > 0
    assert (stats["attempts"], stats["breaker"], stats["budget"]) == (1, "closed", 495)
    r.drive(5)
    assert r.delivery.stats()["default"]["batches"] == 1


def test_put_back_returns_what_waits(rig):
    """At close, what waits for a retry goes back to the spool and is leased to the next owner."""
    r = rig(lambda b: Retry("x", after=100))
    r.emit(10)
    r.drive()
    assert r.counts.in_flight == 10
    r.delivery.close(0)
    assert (r.counts.in_flight, r.counts.spooled) == (0, 10)


def test_refusals_without_any_success_are_kept(rig):
    """One refused batch of one event may be anybody's fault: it is buried once another is taken."""
    r = rig(script(Refused("http 400", "no")))
    r.emit(1)
    r.drive()
    assert r.dead() == 0
    r.emit(1)
    r.drive()
    assert (r.dead(), r.counts.delivered) == (1, 1)


def test_a_split_single_is_too_large(rig):
    """A single event that is too large is buried, the others are delivered."""
    r = rig(lambda b: Split("413") if any(len(x.payload) > 500 for x in b.records) else Delivered())
    r.emit(20)
    r.emit(1, pad=1000)
    r.emit(20)
    r.drive()
    assert (r.counts.delivered, r.dead()) == (40, 1)
