"""
Threads that meet at the worst moment, each meeting arranged, not hoped for.
"""

import shutil
import threading
from collections import deque

import pytest

from cxsdk.errors import SpoolFullError, SpoolLockedError
from cxsdk.spool import _disk

NOBODY = bytes(8)


def in_thread(call):
    """Run *call* in another thread to its end; return its result or its exception."""
    result = []

    def run():
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return result[0]


def test_a_shut_segment_takes_nothing_although_a_sender_rearms_it(bench, monkeypatch):
    """A lease between shutting a full segment and its successor reopens no door to it."""
    spool = bench.open(segment_bytes=400, max_segment_bytes=400)
    spool.append("bulk", b"x" * 150, 0, NOBODY)
    real = spool._make_segment

    def make(track, need):
        spool._arm()  # what each lease of another thread ends with
        assert track.active.limit == -1
        spool._ring()
        assert track.active.limit == -1
        return real(track, need)

    monkeypatch.setattr(spool, "_make_segment", make)
    spool.append("bulk", b"y" * 250, 0, NOBODY)
    first, second = spool._bulk.segments
    assert second.first_seq == first.first_seq + first.mark[1]


def test_what_comes_while_a_lost_directory_is_replaced_is_kept(bench, monkeypatch):
    """Emitted and leased for while the mapped records move to a new directory: nothing is lost."""
    spool = bench.open()
    spool.append("bulk", b"before", 0, NOBODY)
    shutil.rmtree(bench.root)
    real = spool._move_all

    def move_all(segment):
        real(segment)
        spool._arm()
        in_thread(lambda: spool.append("bulk", b"meanwhile", 0, NOBODY))

    monkeypatch.setattr(spool, "_move_all", move_all)
    spool.maintain()
    counts = spool.counts("default")
    assert (counts.accepted, counts.dropped, counts.balance()) == (2, {}, 0)
    bench.crash(spool)
    heir = bench.open()
    heir.maintain()
    assert sorted(bench.drain(heir)) == [b"before", b"meanwhile"]


def test_what_another_thread_tells_first_harms_nobody(bench):
    """Two threads telling at once: a note that the other one took raises nothing into append."""

    class Stolen(deque):
        def popleft(self):
            taken = super().popleft()
            if not self:
                super().clear()
                taken()
                raise IndexError("pop from an empty deque")
            return taken

    spool = bench.open(segment_bytes=400, max_segment_bytes=400)
    spool._told = Stolen()
    for number in range(10):
        assert spool.append("bulk", b"%d" % number * 100, 0, NOBODY) is True
    assert bench.notes["segment_inline"] > 0
    assert spool.counts("default").accepted == 10


def test_a_record_set_aside_during_close_is_kept(bench, monkeypatch):
    """Set aside by a handler just when another thread closes: it is taken in first."""
    spool = bench.open()
    spool.append("bulk", b"first", 0, NOBODY)
    real = spool._return_to_disk

    def return_to_disk():
        real()
        spool._set_aside(spool._bulk, b"aside", 0, NOBODY)

    monkeypatch.setattr(spool, "_return_to_disk", return_to_disk)
    spool.close()
    counts = spool.counts("default")
    assert (counts.accepted, counts.balance()) == (2, 0)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [b"first", b"aside"]


def test_figures_can_be_read_whatever_was_left_aside(bench):
    """A record set aside too late is noted; reading the figures raises nothing."""
    spool = bench.open()
    spool.append("bulk", b"first", 0, NOBODY)
    spool.close()
    spool._aside.append((spool._bulk, b"late", 0, NOBODY))
    counts = spool.counts("default")
    assert (counts.accepted, counts.balance()) == (1, 0)
    spool.maintain()
    spool._tell()
    assert bench.notes["interrupted"] == 1


def test_two_clients_of_a_process_do_not_adopt_the_same_directory(bench, monkeypatch):
    """Both look at a dead owner's lock at the same moment: one gets it, also within a process."""
    dead = bench.open()
    dead.append("bulk", b"one", 0, NOBODY)
    bench.crash(dead)
    first, second = bench.open(), bench.open()
    (path,) = (bench.root / "shop" / "test").iterdir()
    real = _disk.lock
    inner = []

    def lock(fd):
        # POSIX grants a lock again to the process that has it.
        monkeypatch.setattr(_disk, "lock", real)
        inner.append(in_thread(lambda: second.adopt_directory(path)))
        real(fd)

    monkeypatch.setattr(_disk, "lock", lock)
    assert first.adopt_directory(path) == 1
    assert isinstance(inner[0], SpoolLockedError)
    assert (first.counts("default").adopted, second.counts("default").adopted) == (1, 0)
    assert bench.drain(first) == [b"one"]
    first.maintain()


def test_a_look_at_a_lock_does_not_lose_it(bench, monkeypatch):
    """Closing a descriptor of a lock file loses the lock: a look in the same process waits not."""
    from cxsdk.spool import directory

    dead = bench.open()
    dead.append("bulk", b"one", 0, NOBODY)
    bench.crash(dead)
    heir = bench.open()
    (path,) = (bench.root / "shop" / "test").iterdir()
    real = _disk.lock
    looks = []

    def lock(fd):
        monkeypatch.setattr(_disk, "lock", real)
        real(fd)
        looks.append(in_thread(lambda: directory.is_locked(path)))

    monkeypatch.setattr(_disk, "lock", lock)
    heir.adopt_directory(path)
    assert looks == [True]


def test_nothing_is_adopted_or_made_after_close(bench, monkeypatch):
    """A keeper that close overtook takes no directory that nobody would give back."""
    dead = bench.open()
    dead.append("bulk", b"left", 0, NOBODY)
    bench.crash(dead)
    spool = bench.open()
    spool.append("bulk", b"mine", 0, NOBODY)
    # The keeper's round is under way when another thread closes.
    monkeypatch.setattr(spool, "_look_at_switch", spool.close)
    spool.maintain()
    heir = bench.open()
    heir.maintain()
    assert sorted(bench.drain(heir)) == [b"left", b"mine"]
    assert spool.stats()["adopting"] == []


def test_no_spare_is_made_after_close(bench, monkeypatch):
    """Nor does it make a directory of its own again."""
    spool = bench.open()
    spool.append("bulk", b"mine", 0, NOBODY)
    bench.drain(spool)
    real = spool._making

    class Late:
        """The keeper gets this lock after close was through."""

        def __enter__(self):
            monkeypatch.setattr(spool, "_making", real)
            spool.close()
            real.acquire()

        def __exit__(self, *_):
            real.release()

    monkeypatch.setattr(spool, "_making", Late())
    spool._make_spares()
    assert list((bench.root / "shop" / "test").iterdir()) == []


def test_a_full_memory_does_not_wait_for_a_slow_disk(bench):
    """While another thread holds the books over a slow disk, an emit is refused, not held up."""
    spool = bench.open("memory", memory_events=4)
    for number in range(4):
        spool.append("bulk", b"%d" % number, 0, NOBODY)
    with spool._book:
        refused = in_thread(lambda: spool.append("bulk", b"4", 0, NOBODY))
    assert isinstance(refused, SpoolFullError)
    assert spool.append("bulk", b"5", 0, NOBODY) is False
    assert spool.counts("default").balance() == 0


def test_a_seal_that_is_interrupted_loses_no_file(bench, monkeypatch):
    """An exception thrown around the renaming of a sealed segment leaves it to be found."""

    class ThrownError(Exception):
        pass

    real = _disk.rename

    def rename(source, target):
        real(source, target)
        if str(target).endswith(".seg"):
            raise ThrownError

    spool = bench.open()
    spool.append("bulk", b"kept", 0, NOBODY)
    monkeypatch.setattr(_disk, "rename", rename)
    bench.clock.turn(301)
    with pytest.raises(ThrownError):
        spool.maintain()
    monkeypatch.setattr(_disk, "rename", real)
    assert bench.drain(spool) == [b"kept"]
    counts = spool.counts("default")
    assert (counts.delivered, counts.dropped, counts.balance()) == (1, {}, 0)
    assert list(bench.root.rglob("*.seg")) == []
