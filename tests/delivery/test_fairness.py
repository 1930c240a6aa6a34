"""
Who goes first: lanes, fresh events and backlog, retries within their budget.
"""

import json
import random

import pytest

from cxsdk.config import DeliveryOptions, SpoolOptions
from cxsdk.delivery import Delivery
from cxsdk.spool import open_spool
from cxsdk.testing.clock import FakeClock
from cxsdk.typing import Delivered, Retry
from tests.delivery.conftest import NOBODY, ScriptedSink, payload


@pytest.fixture
def heir(tmp_path):
    """A delivery whose spool has as much backlog of a dead process as fresh events."""
    made = []

    def spool(clock):
        made.append(
            open_spool(
                SpoolOptions(mode="mmap", directory=tmp_path / "root", min_free_bytes=0),
                service="shop",
                environment="test",
                fingerprints={"default": "x"},
                clock=clock,
            )
        )
        return made[-1]

    def fill(spool, lanes, prefix):
        for lane in lanes:
            for number in range(400):
                name = f"{prefix}-{lane}-{number}"
                spool.append(lane, payload(name), 3 if lane == "vital" else 0, NOBODY)

    def make(*lanes):
        clock = FakeClock()
        dead = spool(clock)
        fill(dead, lanes, "old")
        made.remove(dead)
        dead.abandon()
        live = spool(clock)
        live.maintain()
        fill(live, lanes, "new")
        sink = ScriptedSink()
        delivery = Delivery(
            live,
            {"default": sink},
            DeliveryOptions(max_batch_events=10),
            clock=clock,
            rng=random.Random(1),
        )
        (line,) = delivery._lines
        line.press()
        while line.turn() == 0:
            pass
        return sink

    yield make
    for each in made:
        each.close()


def kinds(batch):
    names = [json.loads(record.payload)["id"].rpartition("-")[0] for record in batch.records]
    assert len(set(names)) == 1
    return names[0]


@pytest.mark.parametrize("lane", ["vital", "bulk"])
def test_fresh_goes_before_backlog_three_to_one(heir, lane):
    """While there is both, every fourth batch is backlog; then the rest of it goes."""
    sent = [kinds(batch) for batch in heir(lane).batches]
    assert len(sent) == 80
    assert 10 <= sent[:40].count(f"old-{lane}") <= 11
    assert sent[60:] == [f"old-{lane}"] * 20


def test_backlog_of_bulk_is_not_starved_by_vital(heir):
    """With both lanes full of fresh events and backlog, each of the four gets its share."""
    sent = [kinds(batch) for batch in heir("vital", "bulk").batches]
    assert len(sent) == 160
    share = {kind: sent[:48].count(kind) for kind in set(sent)}
    assert share["new-vital"] > share["old-vital"] >= 8
    assert share["new-bulk"] > share["old-bulk"] >= 2


def test_the_budget_bounds_retries(rig):
    """A hundred retries are paid for; after that each waits half a minute at least."""
    r = rig(lambda batch: Retry("http 503"), retry_base=0.01, retry_cap=60.0)
    r.emit(1)
    line = r.line
    line.press()
    waits = []
    while len(waits) < 130:
        line.gate._paused_until = r.clock.monotonic()
        r.line.picker.shelf.bring_forward(r.clock.monotonic())
        line.gate.failures = 0  # so that the back-off alone would stay short
        assert line.turn() == 0
        waits.append(line.gate._paused_until - r.clock.monotonic())
    assert max(waits[:100]) < 1
    assert min(waits[100:]) >= 30
    assert r.delivery.stats()["default"]["budget"] == 0


def test_a_timeout_costs_twice(rig):
    """What may have arrived is retried half as often."""
    r = rig(lambda batch: Retry("timeout", uncertain=True))
    r.emit(1)
    r.drive()
    assert r.delivery.stats()["default"]["budget"] == 490


def test_half_open_asks_with_one_smallest_batch(rig):
    """After five failures a single event asks, and nothing else goes until it has its answer."""
    up = []
    r = rig(lambda batch: Delivered() if up else Retry("http 503"))
    r.emit(300)
    r.drive(200)
    assert r.line.gate.breaker.state == "open"
    before = len(r.sink.batches)
    r.clock.advance(60)
    assert r.line.turn() == 0
    assert len(r.sink.batches[before]) == 1
    assert r.line.turn() > 0
    up.append(True)
    r.clock.advance(120)
    r.line.turn()
    assert len(r.sink.batches[before + 1]) == 1
    assert r.line.gate.breaker.state == "closed"
    r.drive(60)
    assert r.counts.delivered == 300


@pytest.mark.parametrize("hours", [6])
def test_six_hours_without_a_destination(rig, hours):
    """At most 170 requests an outage of six hours may cost; all arrives, the oldest too."""
    up = []
    r = rig(lambda batch: Delivered() if up else Retry("http 503"))
    r.live(hours * 3600, per_second=1)
    assert len(r.sink.batches) <= 170
    assert r.counts.delivered == 0
    up.append(True)
    r.live(400, per_second=1)
    r.drive(60)
    assert sorted(set(r.sink.sent)) == sorted(r.names)
    assert r.counts.delivered == len(r.names)


def test_flapping_every_second(rig):
    """Up for a second, down for a second: nothing is lost, and failures keep to the budget."""
    up, failed = [True], []

    def answer(batch):
        if up[0]:
            return Delivered()
        failed.append(r.clock.monotonic())
        return Retry("http 503")

    r = rig(answer)
    for second in range(600):
        up[0] = second % 2 == 0
        r.live(1, per_second=20)
    up[0] = True
    r.live(120)
    r.drive(60)
    assert r.counts.delivered == len(r.names)
    # What 500 tokens and one for each success pay for, and one unpaid every half minute.
    assert len(failed) <= (500 + r.line.batches) / 5 + 600 / 30 + 1
