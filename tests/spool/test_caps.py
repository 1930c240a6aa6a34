"""
Caps: what is given up, in which order, and how it is told.
"""

import pytest

from cxsdk._guard import Voice
from cxsdk.config import SpoolOptions
from cxsdk.spool import MemorySpool, _disk
from cxsdk.spool.buffer import MemorySegment
from cxsdk.spool.dead import Letter
from cxsdk.testing.clock import FakeClock
from cxsdk.typing import Kind

DAY = 86_400


def fill(spool, bench, count, lane="bulk", kind=0, size=100, label=b"i"):
    """Fill whole segments of five records each, sealed."""
    for number in range(count):
        spool.append(lane, b"%s%d" % (label, number) + b"." * size, kind, bytes(8))
    bench.clock.turn(301)
    spool.maintain()


def names(payloads):
    return [payload.rstrip(b".").decode() for payload in payloads]


def test_the_oldest_interactions_go_first(bench, mode):
    """Beyond the cap whole old segments go, and just as many as are needed."""
    spool = bench.open(mode, max_bytes=2500)
    for turn in range(5):
        fill(spool, bench, 5, label=b"abcde"[turn : turn + 1])
    bench.clock.turn(6)
    spool.maintain()
    assert spool.stats()["bytes"] <= 2500
    assert [names(shed.payloads) for shed in bench.sheds] == [
        [f"a{n}" for n in range(5)],
        [f"b{n}" for n in range(5)],
    ]
    counts = spool.counts("default")
    assert (counts.dropped, counts.balance()) == ({"cap": 10}, 0)
    assert names(bench.drain(spool)) == [f"{letter}{n}" for letter in "cde" for n in range(5)]


def test_vital_and_dearer_records_outlive_interactions(bench):
    """Vital first of all is last to go; of a shed segment only the class shed is lost."""
    spool = bench.open(max_bytes=1000)
    fill(spool, bench, 5, "vital", 3, label=b"v")
    for number in range(3):
        spool.append("bulk", b"p%d" % number + b"." * 100, 1, bytes(8))
    fill(spool, bench, 5, label=b"i")
    bench.clock.turn(6)
    spool.maintain()
    assert [names(shed.payloads) for shed in bench.sheds] == [[f"i{n}" for n in range(5)]]
    counts = spool.counts("default")
    assert (counts.accepted, counts.dropped, counts.balance()) == (13, {"cap": 5}, 0)
    assert bench.recount(spool) == (8, 0)
    assert sorted(names(bench.drain(spool))) == ["p0", "p1", "p2", "v0", "v1", "v2", "v3", "v4"]


def test_vital_goes_when_nothing_else_is_left(bench):
    """A cap that vital records alone exceed costs the oldest of them."""
    spool = bench.open(max_bytes=1500)
    for turn in range(3):
        fill(spool, bench, 5, "vital", 3, label=b"uvw"[turn : turn + 1])
    bench.clock.turn(6)
    spool.maintain()
    assert [names(shed.payloads) for shed in bench.sheds] == [[f"u{n}" for n in range(5)]]


def test_a_moved_record_is_not_sent_twice(bench):
    """A sink that had a record before it was moved does not get it again; the other one does."""
    spool = bench.open(max_bytes=400, sinks=("default", "second"))
    spool.append("bulk", b"prompt" + b"." * 100, 2, bytes(8))
    spool.append("bulk", b"inter" + b"." * 400, 0, bytes(8))
    spool.ack("default", spool.lease("default", "bulk", 1, 1000))
    bench.clock.turn(301)
    spool.maintain()
    bench.clock.turn(6)
    spool.maintain()
    assert names(bench.drain(spool)) == []
    assert names(bench.drain(spool, "second")) == ["prompt"]
    first, second = spool.counts("default"), spool.counts("second")
    assert (first.delivered, first.dropped, first.balance()) == (1, {"cap": 1}, 0)
    assert (second.delivered, second.dropped, second.balance()) == (1, {"cap": 1}, 0)


def test_only_sinks_that_still_waited_count_a_loss(bench):
    """What a sink had acked is not dropped for it."""
    spool = bench.open(max_age=1000.0, sinks=("default", "second"))
    fill(spool, bench, 5)
    bench.drain(spool)
    bench.clock.turn(1000)
    spool.maintain()
    assert spool.counts("default").dropped == {}
    assert spool.counts("second").dropped == {"age": 5}
    assert [len(shed.payloads) for shed in bench.sheds] == [5]


def test_what_a_sink_of_others_loses_at_the_cap_is_told(bench):
    """A dearer record moves on for our own sink; that another one waited for it too is said."""
    spool = bench.open(sinks=("default", "audit"))
    for number in range(3):
        spool.append("bulk", b"i%d" % number, Kind.INTERACTION, bytes(8))
    spool.append("bulk", b"problem", Kind.PROBLEM, bytes(8))
    bench.crash(spool)
    heir = bench.open(max_bytes=1)
    heir.maintain()
    for _ in range(3):
        bench.clock.turn(60)
        heir.maintain()
    told = {(shed.sinks, names([payload])[0]) for shed in bench.sheds for payload in shed.payloads}
    assert (("audit",), "problem") in told
    assert {name for sinks, name in told if "audit" in sinks or not sinks} >= {"i0", "i1", "i2"}


def test_what_is_in_flight_is_not_shed(bench):
    """A segment with an open lease is passed over; the next one goes."""
    spool = bench.open(max_bytes=800)
    fill(spool, bench, 5, label=b"a")
    taken = spool.lease("default", "bulk", 1, 1000)
    fill(spool, bench, 5, label=b"b")
    assert [names(shed.payloads) for shed in bench.sheds] == [[f"b{n}" for n in range(5)]]
    spool.ack("default", taken)
    counts = spool.counts("default")
    assert (counts.delivered, counts.dropped, counts.balance()) == (1, {"cap": 5}, 0)


@pytest.mark.parametrize("jump", [-DAY, DAY, -20 * 365 * DAY, 20 * 365 * DAY])
def test_a_clock_that_jumps_expires_nothing(bench, jump):
    """Ages within a process do not follow the wall clock; nonsense ages are ignored."""
    spool = bench.open()
    fill(spool, bench, 5)
    bench.clock.wall += int(jump * 1e9)
    bench.clock.turn(10)
    spool.maintain()
    spool.append("bulk", b"later", 0, bytes(8))
    bench.crash(spool)
    heir = bench.open()
    heir.maintain()
    assert len(bench.drain(heir)) == 6
    assert bench.sheds == []


def test_adopted_segments_age_by_the_wall_clock(bench):
    """What a dead process left is given up when it is older than the age cap."""
    spool = bench.open()
    fill(spool, bench, 5)
    bench.crash(spool)
    bench.clock.turn(73 * 3600)
    heir = bench.open()
    heir.maintain()
    counts = heir.counts("default")
    assert (counts.adopted, counts.dropped, counts.balance()) == (5, {"age": 5}, 0)


def test_others_keep_their_room(bench, mode):
    """Below the floor of free space no segment is made: memory stands in."""
    spool = bench.open(mode, min_free_bytes=1 << 60)
    assert spool.append("bulk", b"x", 0, bytes(8)) is False
    assert bench.drain(spool) == [b"x"]


def test_dead_letters_are_capped(bench):
    """Beyond its caps of bytes and age the oldest file of dead letters goes."""
    spool = bench.open(dead_letter_age=1000.0)
    spool.append("bulk", b"{}", 0, bytes(8))
    spool.bury("default", spool.lease("default", "bulk", 1, 100)[0], "invalid", "no", 1)
    (path,) = bench.root.glob("shop/test/*/dead/*")
    bench.clock.turn(500)
    spool.maintain()
    assert path.exists()
    bench.clock.turn(600)
    spool.maintain()
    assert not path.exists()


def test_segments_grow_and_have_spares(bench):
    """Segments double up to the largest size, and the keeper's spare spares the appender."""
    spool = bench.open(segment_bytes=1000, max_segment_bytes=4000)
    for number in range(300):
        spool.append("bulk", b"%d" % number * 20, 0, bytes(8))
        spool.maintain()
    assert bench.notes["segment_inline"] == 0
    sizes = [each.size for each in spool._bulk.segments]
    assert sizes[:3] == [1000, 2000, 4000]
    assert set(sizes[3:]) == {4000}


def test_without_a_keeper_segments_are_made_inline(bench):
    """A roll without a spare is counted, and full segments do not pile up mapped."""
    spool = bench.open(segment_bytes=500, max_segment_bytes=500)
    for number in range(100):
        spool.append("bulk", b"%d" % number * 30, 0, bytes(8))
    assert bench.notes["segment_inline"] > 5
    assert sum(each.view is not None for each in spool._bulk.segments) <= 5
    assert len(bench.drain(spool)) == 100


def test_the_off_switch_is_seen(bench):
    """A file named OFF in the root is seen by the keeper's next look, and so is its absence."""
    spool = bench.open()
    spool.append("bulk", b"x", 0, bytes(8))
    (bench.root / "OFF").touch()
    assert spool.switched_off() is False
    spool.maintain()
    assert spool.switched_off() is True
    (bench.root / "OFF").unlink()
    bench.clock.turn(3)
    spool.maintain()
    assert spool.switched_off() is False


def test_nothing_is_told_under_a_lock(bench):
    """Notes and sheds leave the room when no lock is held, also those of moving and shedding."""
    held = []

    def look(*_):
        held.append(spool._book._is_owned() or spool._making._is_owned())

    bench.note = look
    spool = bench.open(max_bytes=400, segment_bytes=400, max_segment_bytes=400, on_shed=look)
    for number in range(30):
        spool.append("bulk", b"." * 100, number % 2, bytes(8))
    bench.clock.turn(301)
    spool.maintain()
    assert len(held) > 5
    assert not any(held)


def test_shedding_in_memory_looks_at_what_is_in_flight_once_a_pass(monkeypatch):
    """A full memory beside a sink that holds a batch costs a pass per 64th, not one per record."""
    spool = MemorySpool(
        SpoolOptions(mode="memory", memory_events=1000),
        FakeClock(),
        ("default",),
        on_shed=lambda _: None,
        note=lambda *_: None,
        on_pressure=lambda: None,
    )
    looks = []
    look = MemorySegment._in_flight
    monkeypatch.setattr(
        MemorySegment, "_in_flight", lambda self, place: looks.append(1) or look(self, place)
    )
    for _ in range(1000):
        spool.append("bulk", b"{}", Kind.INTERACTION, bytes(8))
    assert len(spool.lease("default", "bulk", 50, 10**6)) == 50
    for _ in range(5000):
        spool.append("bulk", b"{}", Kind.INTERACTION, bytes(8))
    dropped = spool.counts("default").dropped["memory"]
    assert dropped >= 5000
    passes = dropped / (1000 // 64)
    assert len(looks) <= dropped + 60 * (passes + 1)


@pytest.mark.parametrize("broken", ["gone", "unreadable"])
def test_a_segment_that_cannot_be_read_does_not_stop_the_caps(bench, monkeypatch, broken):
    """The others are given up all the same, and a file that is gone is counted."""
    spool = bench.open(max_age=1000.0)
    fill(spool, bench, 5, label=b"a")
    fill(spool, bench, 5, label=b"b")
    first = spool._bulk.segments[0]
    if broken == "gone":
        first.path.unlink()
    else:
        real = _disk.open_read

        def open_read(path):
            if path == first.path:
                raise OSError("unreadable")
            return real(path)

        monkeypatch.setattr(_disk, "open_read", open_read)
    bench.clock.turn(1000)
    spool.maintain()
    counts = spool.counts("default")
    lost = {"age": 5, "disk": 5} if broken == "gone" else {"age": 5}
    assert (counts.dropped, counts.balance()) == (lost, 0)
    assert counts.spooled == 10 - sum(lost.values())


def test_the_laggard_is_named_at_the_cap(bench, caplog, monkeypatch):
    """Whose fault it is that events are given up stands in the log and in the figures."""
    monkeypatch.setattr("cxsdk.spool.caps.voice", Voice())
    spool = bench.open(max_bytes=1500, sinks=("default", "slow"))
    for _ in range(3):
        fill(spool, bench, 5)
        bench.drain(spool)
    bench.clock.turn(6)
    spool.maintain()
    assert spool.stats()["laggard"] == "slow"
    assert "sink 'slow' is behind by 15 events" in caplog.text
    assert spool.counts("default").dropped == {}


def test_vital_keeps_its_events_beside_interactions_of_any_age(bench):
    """Interactions go before vital ones although these are older."""
    spool = bench.open(max_bytes=1500)
    fill(spool, bench, 5, "vital", 3, label=b"v")
    for turn in range(3):
        fill(spool, bench, 5, label=b"abc"[turn : turn + 1])
    bench.clock.turn(6)
    spool.maintain()
    assert [name[0] for shed in bench.sheds for name in names(shed.payloads)] == ["a"] * 5 + [
        "b"
    ] * 5


def test_the_cap_holds_at_ten_times_its_size(bench, mode):
    """However much comes in without a sink, the root is never above the cap by a segment."""
    spool = bench.open(mode, max_bytes=20_000, segment_bytes=2000, max_segment_bytes=2000)
    most = 0
    for number in range(2000):
        spool.append("bulk", b"%04d" % number + b"." * 70, 0, bytes(8))
        if number % 15 == 14:
            spool.maintain()
            sealed = sum(path.stat().st_size for path in bench.root.rglob("*.seg"))
            most = max(most, sealed)
    assert most <= 22_000
    left = bench.drain(spool)
    assert left == [b"%04d" % n + b"." * 70 for n in range(2000 - len(left), 2000)]
    counts = spool.counts("default")
    assert counts.dropped["cap"] + len(left) == 2000
    assert counts.balance() == 0


def test_dead_letters_keep_to_one_file_when_the_clock_goes_back(bench):
    """A clock set back by a day does not make a file for each letter."""
    spool = bench.open()

    def bury():
        spool.append("bulk", b'{"x":"%s"}' % (b"x" * 400_000), 0, bytes(8))
        (record,) = spool.lease("default", "bulk", 1, 1 << 20)
        spool.bury("default", record, "invalid", "no", 1)

    for _ in range(3):
        bury()
    bench.clock.wall -= DAY * 10**9
    for _ in range(6):
        bury()
    files = list(bench.root.glob("shop/test/*/dead/*"))
    assert len(files) == 5
    assert sum(path.read_bytes().count(b"\n") for path in files) == 9


def test_dead_letters_that_no_disk_takes_are_counted(bench, monkeypatch):
    """Beyond the thousand that memory holds, the oldest go, and that is noted."""
    spool = bench.open()
    monkeypatch.setattr(_disk, "mkdir", lambda *_: (_ for _ in ()).throw(OSError("no")))
    spool._dead.directory = bench.root / "dead"
    about = Letter(
        sink="default",
        reason="x",
        detail="",
        attempts=1,
        tag=bytes(8),
        consent_only=False,
        first_ns=1,
    )
    for _ in range(1003):
        spool._dead.bury(b"{}", about)
    spool.maintain()
    assert bench.notes["dead_letters_lost"] == 3


def test_letters_are_written_by_one_thread_at_a_time(bench, monkeypatch):
    """The keeper's retry and a sender's new letter meet: each letter is there once."""
    spool = bench.open()
    spool.append("bulk", b"{}", 0, bytes(8))
    real = _disk.pwrite
    held = []

    def pwrite(*args):
        held.append(spool._book._is_owned())
        return real(*args)

    spool._dead.directory = spool._home.path / "dead"
    spool._dead._held.append(b"{}\n")
    monkeypatch.setattr(_disk, "pwrite", pwrite)
    spool._flush_dead()
    assert held == [True]
    assert not spool._dead._held
