"""
Hours without a collector, on a clock that runs faster.
"""

import itertools

import pytest

from cxsdk.typing import Delivered, Retry


class Flaky:
    """A destination that is up or down as the test says."""

    def __init__(self):
        self.up = False
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return Delivered() if self.up else Retry("http 503", uncertain=True)


def test_an_outage_of_an_hour(rig):
    """Few requests while it lasts, nothing lost, all there soon after, the breaker between."""
    flaky = Flaky()
    r = rig(flaky)
    r.live(3600, per_second=2)
    # 13 waits up to the cap of 60 s in the first ten minutes (mean 30 s), then 300 s (mean 150 s).
    assert flaky.calls <= 100
    assert r.delivery.health().status == "degraded"
    assert r.counts.delivered == 0
    probes = r.sink.batches[10:]
    assert {len(batch) for batch in probes} == {1}
    flaky.up = True
    r.live(400)
    assert r.delivery.health().status == "ok"
    assert r.counts.delivered >= 7200
    r.drive(10)
    assert r.counts.delivered == len(r.names)
    assert sorted(set(r.sink.sent)) == sorted(r.names)


def test_the_ramp_after_an_outage(rig):
    """The first batches after an outage are at least 100 ms apart."""
    flaky = Flaky()
    r = rig(flaky)
    r.emit(20_000)
    r.drive(300)
    flaky.up = True
    moments = []
    real = r.sink.answer
    r.sink.answer = lambda batch: (moments.append(r.clock.monotonic()), real(batch))[1]
    r.drive(400)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert min(gaps[:9]) >= 0.0999
    assert r.counts.delivered == 20_000


def test_a_flapping_destination_is_spared(rig):
    """Up for a minute, down for a minute, for hours: the retry budget keeps retries few."""
    flaky = Flaky()
    r = rig(flaky)
    for minute in range(120):
        flaky.up = minute % 2 == 0
        r.live(60)
    flaky.up = True
    r.live(700)
    assert r.counts.delivered >= len(r.names) - 2
    assert r.notes["retries"] <= r.line.attempts * 0.25


def test_the_wall_clock_may_jump(rig):
    """A wall clock a day off changes no wait."""
    flaky = Flaky()
    r = rig(flaky)
    r.emit(10)
    r.drive()
    before = r.line.next_at
    r.clock.jump(-86_400)
    r.clock.jump(2 * 86_400)
    r.drive()
    assert r.line.next_at == before
    assert flaky.calls == 1


@pytest.mark.parametrize("throttled", [True, False])
def test_throttling_keeps_the_batch(rig, throttled):
    """While throttled the same batch is tried, its key unchanged; in an outage probes are single."""
    r = rig(lambda b: Retry("x", throttled=throttled))
    r.emit(500)
    r.drive(1000)
    sizes = [len(batch) for batch in r.sink.batches]
    assert (1 in sizes) == (not throttled)
    assert r.delivery.health().status == ("ok" if throttled else "degraded")
