"""
Poisonous events are found and buried; a broken contract buries nothing.
"""

import json
import math
import random

import pytest

from cxsdk.typing import Delivered, Partial, Refused, Split


def names(batch):
    return [json.loads(record.payload)["id"] for record in batch.records]


def poisoned(bad):
    return lambda batch: Refused("http 400", "poison") if bad & set(names(batch)) else Delivered()


def grown(rig, answer, **options):
    """A rig whose batches have grown to 500."""
    r = rig(answer, **options)
    r.line.picker.sizer._soft = 500
    return r


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_only_the_poisonous_are_buried(rig, count, seed):
    """K of 500 cost at most 2k⌈log₂ 500⌉ + 1 requests, and only they become dead letters."""
    bad = {f"b{n}" for n in random.Random(seed).sample(range(500), count)}
    r = grown(rig, poisoned(bad))
    buried = []
    real = r.spool.bury
    r.spool.bury = lambda sink, record, *rest: (
        buried.append((record, rest)) or real(sink, record, *rest)
    )
    r.emit(500)
    r.drive(60)
    assert {json.loads(record.payload)["id"] for record, _ in buried} == bad
    assert {rest[:2] for _, rest in buried} == {("refused", "http 400 poison")}
    assert r.counts.delivered == 500 - count
    assert len(r.sink.batches) <= 2 * count * math.ceil(math.log2(500)) + 1


def test_too_many_are_a_broken_contract(rig):
    """More than a tenth refused: nothing is buried, and delivery holds."""
    bad = {f"b{n}" for n in range(0, 500, 4)}
    r = grown(rig, poisoned(bad))
    r.emit(500)
    r.drive(60)
    assert r.dead() == 0
    assert r.delivery.health().status == "holding"
    assert r.counts.spooled + r.counts.delivered == 500


@pytest.mark.parametrize("size", [1, 2, 100])
def test_three_whole_batches_are_a_broken_contract(rig, size):
    """A deploy that refuses everything drains no event into the dead letters."""
    r = rig(lambda batch: Refused("http 422", "unknown field"))
    for _ in range(5):
        r.emit(size)
        r.drive(30)
    assert r.dead() == 0
    assert r.delivery.health().status == "holding"
    assert "unknown field" in r.delivery.health().reason
    assert r.counts.spooled == 5 * size


def test_a_mended_contract_lets_everything_through(rig):
    """Probes ask with one refused event; once it is taken, all go."""
    deploy = {"broken": True}
    r = rig(lambda b: Refused("http 422") if deploy["broken"] else Delivered())
    r.emit(300)
    r.drive(1000)
    before = len(r.sink.batches)
    r.drive(3000)
    assert len(r.sink.batches) - before == 10
    deploy["broken"] = False
    r.drive(400)
    assert r.counts.delivered == 300
    assert r.dead() == 0


def test_a_broken_contract_per_event_holds_too(rig):
    """The same limit holds where a destination names the refused ones itself."""
    r = rig(lambda b: Partial(refused=dict.fromkeys(range(0, len(b), 2), "no")))
    r.emit(40)
    r.drive(10)
    assert r.dead() == 0
    assert r.delivery.health().status == "holding"
    assert r.counts.delivered == 20


def test_a_contract_that_was_mended_by_deploy_is_probed_with_a_suspect(rig):
    """An innocent event does not end the hold: the probe is one that was refused."""
    r = rig(lambda b: Partial(refused={n: "no" for n, x in enumerate(names(b)) if x[0] == "b"}))
    r.emit(40)
    r.drive(10)
    assert r.delivery.health().status == "holding"
    r.emit(5, prefix="good")
    r.drive(3000)
    assert r.dead() == 0
    assert r.delivery.health().status == "holding"


@pytest.mark.parametrize("seed", range(6))
def test_any_limit_is_found(rig, seed):
    """413 at a random size: all that fit arrive, the rest are too_large, at little extra cost."""
    rng = random.Random(seed)
    limit = rng.randrange(2_000, 60_000)
    sizes = [rng.choice([50, 400, 1500, 5000]) for _ in range(600)]

    def answer(batch):
        return Split("413") if len(batch.body()) > limit else Delivered()

    r = rig(answer)
    r.emit(5)
    for size in sizes:
        r.emit(1, pad=size)
    r.drive(600)
    small = [x for x in [0] * 5 + sizes if x + 90 <= limit]
    assert r.counts.delivered >= len(small) - 5
    assert r.counts.delivered + r.dead() == 605
    failed = r.notes.get("splits", 0)
    assert failed <= 2 * (len(r.sink.batches) - failed) + r.dead() * 12


def test_an_event_limit_is_remembered(rig):
    """A destination that takes 10 events gets batches of about 10 from then on."""
    r = rig(lambda b: Split("413") if len(b) > 10 else Delivered())
    r.emit(2000)
    r.drive(600)
    assert r.counts.delivered == 2000
    assert r.notes["splits"] <= 20


def test_everything_too_large_is_not_buried(rig):
    """A proxy that takes nothing at all is a broken contract, not a heap of dead letters."""
    r = rig(lambda b: Split("413"))
    for _ in range(5):
        r.emit(20)
        r.drive(60)
    assert r.dead() == 0
    assert r.delivery.health().status == "holding"


def test_many_too_large_ones_are_no_broken_contract(rig):
    """Refused for their size, by a sink that knows its limit: each is its own fault."""

    def answer(batch):
        large = [n for n, name in enumerate(names(batch)) if int(name[1:]) % 2]
        return Partial(refused=dict.fromkeys(large, "too_large: 9 bytes, takes 8"))

    r = grown(rig, answer)
    r.emit(100)
    r.drive(60)
    assert (r.counts.delivered, r.dead()) == (50, 50)
    assert r.delivery.health().status == "ok"


def test_a_hold_ends_although_the_probe_is_too_large(rig):
    """The size of the probing event says nothing about the contract."""
    state = {"broken": True}

    def answer(batch):
        if state["broken"]:
            return Refused("http 400", "no")
        large = [n for n, name in enumerate(names(batch)) if name == "b0"]
        return Partial(refused=dict.fromkeys(large, "too_large: 9 bytes, takes 8"))

    r = grown(rig, answer)
    r.emit(100)
    r.drive(60)
    assert r.delivery.health().status == "holding"
    state["broken"] = False
    r.drive(400)
    assert (r.counts.delivered, r.dead()) == (99, 1)
    assert r.delivery.health().status == "ok"


@pytest.mark.parametrize("unnamed", [1, 7, 50, 900])
def test_what_is_refused_without_a_name_is_counted(rig, unnamed):
    """The number is exact, nothing is sent again, and the ledger balances."""
    r = grown(rig, lambda batch: Partial(unnamed=unnamed, words="too old"))
    r.emit(50)
    r.drive(60)
    lost = min(unnamed, 50)
    assert r.counts.delivered == 50 - lost
    assert r.counts.dropped == {"rejected_unnamed": lost}
    assert r.notes["rejected_unnamed"] == lost
    assert len(r.sink.sent) == 50


def test_named_and_unnamed_together(rig):
    """A dead letter for the one, a count for the other."""
    first = iter([Partial(refused={0: "poison"}, unnamed=1, words="too old")])
    r = grown(rig, lambda batch: next(first, Delivered()))
    r.emit(50)
    r.drive(60)
    counts = r.counts
    assert (counts.delivered, counts.dead_lettered) == (48, 1)
    assert counts.dropped == {"rejected_unnamed": 1}
