"""
One client, several destinations: each at its own pace, with a place in the spool of its own.

One is well, one hangs, one refuses everything: the well one is never held up, the spool holds the
others' events up to its cap and no further, and a restart forgets nobody's place.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import cxsdk as cx
from cxsdk.testing import faults
from cxsdk.testing.faults import FaultCollector

AGES = 60.0
WELL, HANGS, REFUSES = "well", "hangs", "refuses"
SINKS = (WELL, HANGS, REFUSES)
CAP = 128 * 1024
SEGMENT = 16 * 1024


@pytest.fixture
def collectors():
    """One that is well, one that never answers, one that answers 401."""
    with (
        FaultCollector() as well,
        FaultCollector(faults.hang()) as hangs,
        FaultCollector(faults.status(401)) as refuses,
    ):
        yield {WELL: well, HANGS: hangs, REFUSES: refuses}


@pytest.fixture
def client(collectors, root):
    """A client of all three, with a spool of a size that a test can fill."""
    with cx.Client(
        "shop",
        collector={name: collectors[name].url for name in SINKS},
        spool=cx.SpoolOptions(
            mode="mmap",
            directory=root,
            min_free_bytes=0,
            max_bytes=CAP,
            segment_bytes=SEGMENT,
            max_segment_bytes=SEGMENT,
        ),
        delivery=cx.DeliveryOptions(linger=0.05),
    ) as made:
        yield made
        made.close(0)


def emit(client, count):
    return [client.record("a.b", customer=f"c{n % 7}").id for n in range(count)]


def eventually(condition, timeout=AGES):
    """Wait for something that other threads do."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.02)
    return True


def figures(client):
    """Return the figures of each sink, after a look that they balance."""
    sinks = client.stats()["sinks"]
    for sink in sinks.values():
        known = sum(sink[each] for each in ("delivered", "in_flight", "spooled", "dead_lettered"))
        assert sink["accepted"] + sink["adopted"] == known + sum(sink["dropped"].values())
    return sinks


def test_the_well_one_is_never_held_up(client, collectors):
    """Wave by wave it has everything while the others have nothing, and each says how it is."""
    ids = []
    for wave in range(1, 6):
        ids += emit(client, 40)
        assert collectors[WELL].wait_for(40 * wave, timeout=AGES)
    assert eventually(lambda: figures(client)[WELL]["delivered"] == 200)
    assert eventually(lambda: figures(client)[REFUSES]["delivery"]["holding"])
    sinks = figures(client)
    assert sorted(collectors[WELL].ids) == sorted(ids)
    assert collectors[WELL].duplicates == 0
    assert [sinks[name]["spooled"] + sinks[name]["in_flight"] for name in SINKS] == [0, 200, 200]
    assert [sinks[name]["dropped"] for name in SINKS] == [{}, {}, {}]
    assert sinks[WELL]["delivery"]["lag"] == 0
    assert sinks[HANGS]["delivery"]["lag"] > 0
    health = client.health()
    assert (health.status, health.sinks[WELL]) == ("holding", "ok")
    assert health.sinks[REFUSES].startswith("holding")


def test_each_catches_up_by_itself(client, collectors):
    """The one that refused gets all once it takes events again; the one that hangs holds on."""
    ids = emit(client, 60)
    assert eventually(lambda: figures(client)[REFUSES]["delivery"]["holding"])
    collectors[REFUSES].always = faults.ok()
    client._parts.delivery._lines[2].gate.holding = None  # as if the probe were due
    client._parts.delivery._lines[2].press()
    client.flush(1)
    assert collectors[REFUSES].wait_for(60, timeout=AGES)
    assert sorted(collectors[REFUSES].ids) == sorted(ids)
    assert collectors[HANGS].ids == []
    assert figures(client)[HANGS]["delivered"] == 0


def test_the_spool_holds_the_dead_ones_events_up_to_its_cap(
    client, collectors, root, caplog, monkeypatch, capsys
):
    """Beyond it the oldest go, for those only that lack them: counted, written down, laid to one."""
    emitted = 0
    while sum(figures(client)[HANGS]["dropped"].values()) < 300:
        emit(client, 100)
        emitted += 100
        assert emitted < 20_000
        assert eventually(lambda: figures(client)[WELL]["spooled"] == 0)
        client._parts.spool.maintain()
    sinks = figures(client)
    assert sinks[WELL]["dropped"] == {}
    for name in (HANGS, REFUSES):
        assert sinks[name]["dropped"].keys() == {"cap"}
    open_segments = 2 * 2 * SEGMENT  # in each lane an active one and a spare
    assert eventually(lambda: client._parts.spool.maintain() or _bytes(root, "*.seg") <= CAP)
    assert _bytes(root, "*.open") <= open_segments
    # The well one has every event, and a record of what the others lost.
    client.flush(1)
    assert eventually(lambda: figures(client)[WELL]["spooled"] == 0)
    told = [e for e in collectors[WELL].accepted.values() if "loss" in e["type"]]
    assert len(collectors[WELL].accepted) - len(told) == emitted
    lost = {HANGS: 0, REFUSES: 0}
    for record in told:
        assert record["data"]["reason"] == "cap"
        lost[record["data"]["sink"]] += record["data"]["count"]
    assert lost == {name: figures(client)[name]["dropped"]["cap"] for name in lost}
    laggard = client.stats()["spool"]["laggard"]
    assert laggard in lost
    assert f"sink {laggard!r} is behind" in caplog.text
    assert _doctor(root, monkeypatch, capsys).startswith("spool")


def _bytes(root, pattern):
    total = 0
    for path in root.rglob(pattern):
        with contextlib.suppress(FileNotFoundError):  # the keeper is at work
            total += path.stat().st_size
    return total


def _doctor(root, monkeypatch, capsys):
    from cxsdk.cli import main

    for name in [name for name in os.environ if name.startswith("CXSDK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CXSDK_SPOOL_DIR", str(root))
    monkeypatch.setenv("CXSDK_SPOOL_MAX_BYTES", str(CAP))
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    (named,) = [each for each in found if "has most to get" in each["words"]]
    assert "'hangs'" in named["words"] or "'refuses'" in named["words"]
    return named["subject"]


LIFE = """
import json, os, sys
import cxsdk as cx

root, end, count, urls = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
client = cx.Client("shop", collector=urls, delivery=cx.DeliveryOptions(linger=0.05),
                   spool=cx.SpoolOptions(mode="mmap", directory=root, min_free_bytes=0))
ids = [client.record("a.b", customer="c").id for _ in range(count)]
client.warm_up()
print(json.dumps(ids), flush=True)
sys.stdin.readline()
if end == "close":
    client.close(1)
else:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_restart_keeps_each_place(collectors, root, end):
    """After a close or a kill the next process sends to each what that one lacks, and no more."""
    urls = {name: collectors[name].url for name in SINKS}

    def live(count, until):
        command = [sys.executable, "-c", LIFE, str(root), end, str(count), json.dumps(urls)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            ids = json.loads(process.stdout.readline())
            assert until()
            process.communicate("\n", timeout=AGES)
        return ids

    def has(name, count):
        return lambda: collectors[name].wait_for(count, timeout=AGES)

    first = live(50, has(WELL, 50))
    # What the well one has acknowledged is on record once the answer was read.
    second = live(30, has(WELL, 80))
    collectors[REFUSES].always = faults.ok()
    third = live(0, has(REFUSES, 80))
    collectors[HANGS].stop()
    collectors[HANGS].always = faults.ok()
    collectors[HANGS].start()
    live(0, has(HANGS, 80))
    for name in SINKS:
        assert sorted(collectors[name].ids) == sorted(first + second + third)
    if end == "close":
        assert [collectors[name].duplicates for name in SINKS] == [0, 0, 0]
