"""
A disk that refuses: the host never hears of it, and the figures stay true.
"""

import errno
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cxsdk.errors import SpoolFullError
from cxsdk.spool import _disk

CALLS = [name for name in _disk.__all__ if name not in {"close", "mounts"}]
FAULTS = (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EACCES, errno.EMFILE, errno.EROFS)


class Saboteur:
    """Lets the n-th call of the disk fail, and counts the calls."""

    def __init__(self, monkeypatch):
        self.calls = 0
        self.fatal = range(0)
        self.number = errno.EIO
        for name in CALLS:
            monkeypatch.setattr(_disk, name, self._wrap(name, getattr(_disk, name)))

    def _wrap(self, name, real):
        def call(*args):
            self.calls += 1
            if self.calls in self.fatal:
                if name == "pwrite" and self.number == "short":
                    fd, data, offset = args
                    return real(fd, data[: len(data) // 2], offset)
                if self.number != "short":
                    raise OSError(self.number, os.strerror(self.number))
            return real(*args)

        return call


def story(bench, mode, saboteur):
    """A life of two spools; returns what both leave in the books."""
    accepted = 0
    spool = bench.open(mode, segment_bytes=600, retry_disk_after=5.0, sinks=("default", "second"))
    figures = []
    for turn in range(4):
        for number in range(6):
            spool.append("bulk" if number % 3 else "vital", b"%d" % number * 40, 0, b"customer")
            accepted += 1
        spool.maintain()
        taken = spool.lease("default", "bulk", 3, 1000)
        spool.ack("default", taken[:1])
        spool.release("default", taken[1:2])
        for record in taken[2:]:
            spool.bury("default", record, "invalid", "no", 1)
        spool.ack("second", spool.lease("second", "vital", 5, 1000))
        if turn == 2:
            spool.erase(b"customer")
        bench.clock.turn(7)
        figures += [spool.counts("default"), spool.counts("second")]
    figures += [spool.counts("default"), spool.counts("second")]
    assert figures[-1].accepted == accepted
    fatal, saboteur.fatal = saboteur.fatal, range(0)
    calls = saboteur.calls
    assert bench.recount(spool) == (figures[-2].spooled, figures[-2].in_flight)
    saboteur.calls, saboteur.fatal = calls, fatal
    spool.close()
    heir = bench.open(mode, sinks=("default", "second"))
    heir.maintain()
    bench.clock.turn(60)
    heir.maintain()
    bench.drain(heir)
    bench.drain(heir, "second")
    heir.maintain()
    figures += [heir.counts("default"), heir.counts("second")]
    heir.close()
    return figures


@pytest.mark.parametrize("fault", [*FAULTS, "short"])
def test_any_one_call_may_fail(bench, mode, fault, monkeypatch):
    """Whichever call fails, no exception reaches the caller and every snapshot balances."""
    saboteur = Saboteur(monkeypatch)
    saboteur.number = fault
    # Every call with EIO, every second with short writes; the others are alike: every seventh.
    step = {errno.EIO: 1, "short": 2}.get(fault, 7)
    nth = 1
    while True:
        saboteur.calls, saboteur.fatal = 0, range(nth, nth + 1)
        figures = story(bench, mode, saboteur)
        assert [each.balance() for each in figures] == [0] * len(figures), nth
        shutil.rmtree(bench.root, ignore_errors=True)
        if saboteur.calls < nth:
            break
        nth += step
    assert nth > 100


@pytest.mark.parametrize("fault", FAULTS)
def test_everything_may_fail_from_some_call_on(bench, mode, fault, monkeypatch):
    """A disk that dies for good at any point is survived as well."""
    saboteur = Saboteur(monkeypatch)
    saboteur.number = fault
    for nth in range(1, 200, 19):
        saboteur.calls, saboteur.fatal = 0, range(nth, 1 << 40)
        figures = story(bench, mode, saboteur)
        assert [each.balance() for each in figures] == [0] * len(figures), nth
        saboteur.fatal = range(0)
        shutil.rmtree(bench.root, ignore_errors=True)


def test_memory_stands_in_and_hands_back(bench, mode, monkeypatch):
    """While the disk refuses, records are kept in memory; when it is back they move to it."""
    saboteur = Saboteur(monkeypatch)
    saboteur.number = errno.ENOSPC
    saboteur.fatal = range(1 << 40)
    spool = bench.open(mode, retry_disk_after=60)
    assert spool.append("bulk", b"a", 0, bytes(8)) is False
    assert (spool.level, spool.durable) == ("memory", False)
    saboteur.fatal = range(0)
    spool.maintain()
    assert spool.append("bulk", b"b", 0, bytes(8)) is False
    bench.clock.turn(61)
    spool.maintain()
    assert (spool.level, spool.durable) == (mode, True)
    assert spool.append("bulk", b"c", 0, bytes(8)) is True
    assert bench.notes["disk_failed"] == bench.notes["disk_back"] == 1
    counts = spool.counts("default")
    assert (counts.accepted, counts.spooled, counts.balance()) == (3, 3, 0)
    bench.crash(spool)
    heir = bench.open(mode)
    heir.maintain()
    assert sorted(bench.drain(heir)) == [b"a", b"b", b"c"]


def test_a_lease_from_memory_survives_the_move(bench, monkeypatch):
    """Records in flight while the others move to disk are settled as usual."""
    saboteur = Saboteur(monkeypatch)
    saboteur.fatal = range(1 << 40)
    spool = bench.open(retry_disk_after=60, sinks=("default", "second"))
    for number in range(4):
        spool.append("bulk", b"%d" % number, 0, bytes(8))
    taken = spool.lease("default", "bulk", 2, 100)
    saboteur.fatal = range(0)
    bench.clock.turn(61)
    spool.maintain()
    assert bench.recount(spool) == (2, 2)
    spool.release("default", taken[:1])
    spool.ack("default", taken[1:])
    assert sorted(bench.drain(spool)) == [b"0", b"2", b"3"]
    assert sorted(bench.drain(spool, "second")) == [b"0", b"1", b"2", b"3"]
    counts = spool.counts("default")
    assert (counts.accepted, counts.delivered, counts.balance()) == (4, 4, 0)


def test_the_bound_of_memory_holds_for_a_failed_disk(bench, monkeypatch):
    """Beyond the bound interactions go first, oldest first; the vital ones stay."""
    saboteur = Saboteur(monkeypatch)
    saboteur.fatal = range(1 << 40)
    spool = bench.open(memory_events=4)
    spool.append("bulk", b"i1", 0, bytes(8))
    spool.append("bulk", b"p1", 1, bytes(8))
    spool.append("bulk", b"i2", 0, bytes(8))
    for number in range(3):
        spool.append("vital", b"v%d" % number, 3, bytes(8))
    assert [(shed.reason, shed.payloads) for shed in bench.sheds] == [
        ("memory", (b"i1",)),
        ("memory", (b"i2",)),
    ]
    with pytest.raises(SpoolFullError):
        spool.append("bulk", b"i3", 0, bytes(8))
    spool.append("vital", b"v3", 3, bytes(8))
    with pytest.raises(SpoolFullError):
        spool.append("vital", b"v4", 3, bytes(8))
    counts = spool.counts("default")
    assert (counts.accepted, counts.dropped, counts.balance()) == (7, {"memory": 3}, 0)
    assert bench.drain(spool) == [b"v0", b"v1", b"v2", b"v3"]


def test_a_directory_deleted_live_is_replaced(bench, mode):
    """What is in the open segments moves to a new directory; what is gone is counted."""
    spool = bench.open(mode, segment_bytes=200, max_segment_bytes=200)
    for number in range(10):
        spool.append("bulk", b"%d" % number * 30, 0, bytes(8))
    spool.maintain()
    shutil.rmtree(bench.root)
    spool.maintain()
    spool.append("bulk", b"after", 0, bytes(8))
    counts = spool.counts("default")
    assert counts.balance() == 0
    assert counts.accepted == 11
    spooled = counts.spooled
    assert bench.notes["directory_lost"] == 1
    bench.crash(spool)
    heir = bench.open(mode)
    heir.maintain()
    found = bench.drain(heir)
    assert len(found) == spooled
    assert found[-1] == b"after" or b"after" in found
    assert sum(len(shed.payloads) for shed in bench.sheds) == 11 - spooled


LIMITED = textwrap.dedent(
    """
    import pathlib, resource, signal, sys, threading
    from cxsdk._clock import SystemClock
    from cxsdk.config import SpoolOptions
    from cxsdk.spool import open_spool

    kind, root, mode = sys.argv[1:]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if kind == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    spool = open_spool(
        SpoolOptions(mode=mode, directory=pathlib.Path(root), min_free_bytes=0,
                     segment_bytes=2048 if kind == "size" else 4096,
                     max_segment_bytes=1 << 20, memory_events=100_000),
        service="shop", environment="test", fingerprints={"default": "here"},
        clock=SystemClock(),
    )
    spool.append("vital", b"{}", 3, bytes(8))
    if kind == "files":
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 64))
    durable = [spool.append("bulk", b"x" * 100, 0, bytes(8)) for _ in range(2000)]
    spool.maintain()
    counts = spool.counts("default")
    assert counts.balance() == 0 and counts.spooled == 2001, counts
    assert not all(durable) and spool.level == "memory", spool.level
    if kind == "files":
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    got = 0
    for lane in ("vital", "bulk"):
        while records := spool.lease("default", lane, 100, 1 << 20):
            got += len(records)
            spool.ack("default", records)
    assert got == 2001, (got, spool.counts("default"))
    spool.close()
    print("well")
    """
)


@pytest.mark.parametrize("kind", ["size", "files"])
def test_limits_of_the_process_are_survived(bench, mode, kind):
    """A file size limit and a lack of descriptors end in memory, with nothing lost."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, kind, str(bench.root), mode],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout.strip(), ended.returncode) == ("well", 0), ended.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"cannot mount: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_survived(bench, mode, small_disk):
    """On a full file system there is no SIGBUS, memory takes over, and room brings disk back."""
    spool = bench.open(
        mode, directory=small_disk / "root", segment_bytes=65536, memory_events=100_000
    )
    blob = small_disk / "blob"
    blob.write_bytes(bytes(100_000))
    durable = [spool.append("bulk", b"x" * 200, 0, bytes(8)) for _ in range(2000)]
    assert durable[0] is True
    assert durable[-1] is False
    assert spool.counts("default").balance() == 0
    blob.unlink()
    assert len(bench.drain(spool)) == 2000
    bench.clock.turn(61)
    spool.maintain()
    bench.clock.turn(61)
    spool.maintain()
    assert spool.append("bulk", b"again", 0, bytes(8)) is True
    assert spool.stats()["volatile"] is True


def test_a_root_that_is_a_file_is_survived(bench):
    """A root that cannot be a directory means memory."""
    bench.root.write_text("no directory")
    spool = bench.open()
    assert spool.append("bulk", b"{}", 0, bytes(8)) is False
    spool.maintain()
    assert bench.drain(spool) == [b"{}"]


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_descriptors_stay_few(bench, mode):
    """In the steady state both lanes, their spares and the lock need no more than 8."""
    before = descriptors()
    spool = bench.open(mode, segment_bytes=4096, max_segment_bytes=4096)
    for number in range(500):
        spool.append("bulk" if number % 2 else "vital", b"x" * 100, 0, bytes(8))
        if number % 10 == 0:
            spool.maintain()
    spool.maintain()
    assert descriptors() - before <= 8
    spool.close()
    assert descriptors() == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 8


def test_a_spare_that_could_not_be_made_is_tried_again(bench, monkeypatch):
    """The level in force is right again once there is room, also if nothing more is emitted."""
    spool = bench.open(retry_disk_after=60)
    spool.append("bulk", b"x", 0, bytes(8))
    real = _disk.free_bytes
    monkeypatch.setattr(_disk, "free_bytes", lambda _: -1)
    spool.maintain()
    assert spool.level == "memory"
    monkeypatch.setattr(_disk, "free_bytes", real)
    spool.maintain()
    assert spool.level == "memory"
    bench.clock.turn(61)
    spool.maintain()
    assert (spool.level, spool.durable) == ("mmap", True)


def test_close_asks_a_failed_disk_once_more(bench, monkeypatch):
    """What memory held for a disk that is well again is there for the next process."""
    saboteur = Saboteur(monkeypatch)
    saboteur.fatal = range(1 << 40)
    spool = bench.open(retry_disk_after=60)
    assert spool.append("bulk", b"kept", 0, bytes(8)) is False
    saboteur.fatal = range(0)
    spool.close()
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [b"kept"]


def test_what_a_power_cut_must_not_take_is_synced(bench, mode, monkeypatch):
    """A second after it came, everything is synced: full and sealed segments, and the manifest."""
    synced = {}
    real = _disk.sync

    def sync(path):
        real(path)
        synced[path.stem] = path.stat().st_size

    monkeypatch.setattr(_disk, "sync", sync)
    spool = bench.open(mode, segment_bytes=600, max_segment_bytes=600)
    for number in range(40):
        spool.append("bulk", b"%d" % number * 30, 0, bytes(8))
    spool.append("vital", b"x", 3, bytes(8))
    bench.clock.turn(1)
    spool.maintain()
    segments = spool._all_segments()
    assert len(segments) > 3
    assert all(each.synced >= each.mark[0] for each in segments)
    assert {each.path.stem for each in segments} | {"manifest"} == set(synced)
    synced.clear()
    bench.clock.turn(1)
    spool.maintain()
    assert synced == {}


def test_sync_may_be_left_to_the_kernel(bench, monkeypatch):
    """With sync="never" nothing is synced."""
    calls = []
    monkeypatch.setattr(_disk, "sync", calls.append)
    spool = bench.open(sync="never")
    spool.append("bulk", b"x", 0, bytes(8))
    bench.clock.turn(5)
    spool.maintain()
    assert calls == []


@pytest.mark.parametrize(("kind", "backlog"), [("ext4", 0), ("overlay", 2), ("tmpfs", 2)])
def test_what_dies_with_the_container_is_in_the_figures(bench, monkeypatch, kind, backlog):
    """On overlay and tmpfs the backlog is volatile, and the figures say how much there is."""
    monkeypatch.setattr("cxsdk.spool.directory.file_system", lambda _: kind)
    spool = bench.open(sinks=("default", "slow"))
    for _ in range(2):
        spool.append("bulk", b"x", 0, bytes(8))
    bench.drain(spool)
    assert spool.stats()["volatile_backlog"] == backlog
    assert spool.stats()["volatile"] is bool(backlog)


def test_a_backlog_in_memory_is_volatile(bench):
    """So it is in the memory spool."""
    spool = bench.open("memory")
    spool.append("bulk", b"x", 0, bytes(8))
    assert spool.stats()["volatile_backlog"] == 1
