"""
Who may deliver what: locks, forks, several clients, other services.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from cxsdk.errors import SpoolCorruptError, SpoolLockedError
from cxsdk.spool import _disk

OWNER = textwrap.dedent(
    """
    import os, pathlib, sys, time
    from cxsdk._clock import SystemClock
    from cxsdk.config import SpoolOptions
    from cxsdk.spool import open_spool

    spool = open_spool(
        SpoolOptions(mode="mmap", directory=pathlib.Path(sys.argv[1]), min_free_bytes=0),
        service="shop", environment="test", fingerprints={"default": "here"},
        clock=SystemClock(),
    )
    for number in range(5):
        assert spool.append("bulk", b'{"n":%d}' % number, 0, bytes(8))
    if sys.argv[2] == "fork":
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, b"x")  # it never looks at the spool, and holds what it inherited
            time.sleep(60)
        os.read(read, 1)
        print(child, flush=True)
    else:
        print(0, flush=True)
    sys.stdin.read()
    """
)


@pytest.fixture
def owner(bench):
    started = []

    def start(how="plain"):
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(bench.root), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        child = int(process.stdout.readline())
        return process, child

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_live_directory_is_not_adopted(bench, owner):
    """While its owner lives, a directory is nobody else's, by scan or by hand."""
    owner()
    spool = bench.open()
    spool.maintain()
    assert spool.counts("default").adopted == 0
    (path,) = (bench.root / "shop" / "test").iterdir()
    with pytest.raises(SpoolLockedError):
        spool.adopt_directory(path, force=True)


def test_a_forked_child_does_not_keep_a_dead_owner_alive(bench, owner):
    """The owner killed, its directory is adopted although a child that it forked still runs."""
    process, child = owner("fork")
    try:
        spool = bench.open()
        spool.maintain()
        assert spool.counts("default").adopted == 0
        process.kill()
        process.wait()
        bench.clock.turn(60)
        spool.maintain()
        assert bench.drain(spool) == [b'{"n":%d}' % number for number in range(5)]
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_abandons_without_touching_the_parent(bench, mode):
    """After a fork the child forgets; the parent's files, lock and figures are as before."""
    spool = bench.open(mode)
    spool.append("bulk", b"parent", 0, bytes(8))
    child = os.fork()
    if child == 0:
        try:
            spool.abandon()
            fresh = bench.open(mode)
            fresh.append("bulk", b"child", 0, bytes(8))
            fresh.maintain()
            spool.close()
            ok = fresh.counts("default").adopted == 0
            os._exit(0 if ok else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    spool.append("bulk", b"later", 0, bytes(8))
    heir = bench.open(mode)
    heir.maintain()
    assert bench.drain(heir) == [b"child"]
    assert bench.drain(spool) == [b"parent", b"later"]


def test_abandon_takes_no_lock(bench):
    """A child can abandon a spool whose locks another thread of the parent held at the fork."""
    spool = bench.open()
    spool.append("bulk", b"x", 0, bytes(8))
    spool._lock.acquire()
    spool._book.acquire()
    spool._busy = True
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(10)
            spool.abandon()
            spool.counts("default")
            os._exit(0)
        except BaseException:
            os._exit(2)
    spool._busy = False
    spool._book.release()
    spool._lock.release()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_two_clients_of_one_process_share_a_root(bench, mode):
    """Neither adopts the other, and neither loses its lock by looking."""
    first, second = bench.open(mode), bench.open(mode)
    first.append("bulk", b"first", 0, bytes(8))
    second.append("bulk", b"second", 0, bytes(8))
    for _ in range(3):
        bench.clock.turn(60)
        first.maintain()
        second.maintain()
    probe = (
        "import sys, pathlib; from cxsdk.spool.directory import is_locked;"
        "sys.exit(not all(is_locked(p) for p in pathlib.Path(sys.argv[1]).iterdir()))"
    )
    folder = bench.root / "shop" / "test"
    assert len(list(folder.iterdir())) == 2
    assert subprocess.run([sys.executable, "-c", probe, str(folder)], check=False).returncode == 0
    assert (bench.drain(first), bench.drain(second)) == ([b"first"], [b"second"])


def test_after_close_the_other_client_takes_over(bench, mode):
    """What a closed client left is delivered by its neighbour."""
    first, second = bench.open(mode), bench.open(mode)
    first.append("vital", b"first", 3, bytes(8))
    first.close()
    second.maintain()
    assert bench.drain(second) == [b"first"]
    second.maintain()
    assert list((bench.root / "shop" / "test").iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        {"environment": "staging"},
        {"service": "billing"},
        {"sinks": {"default": "elsewhere"}},
        {"sinks": {"another": "here"}},
    ],
)
def test_strangers_are_left_alone(bench, other):
    """Another service's, environment's or destination's events are never adopted by a scan."""
    spool = bench.open()
    spool.append("bulk", b"mine", 0, bytes(8))
    spool.close()
    stranger = bench.open(**other)
    stranger.append("bulk", b"its own", 0, bytes(8))
    stranger.maintain()
    sink = next(iter(stranger.fingerprints))
    assert bench.drain(stranger, sink) == [b"its own"]
    (path,) = (bench.root / "shop" / "test").glob("*/*.seg")
    with pytest.raises(SpoolCorruptError):
        stranger.adopt_directory(path.parent)
    assert stranger.adopt_directory(path.parent, force=True) == 1
    assert bench.drain(stranger, sink) == [b"mine"]
    stranger.maintain()
    assert not path.parent.exists()


def test_an_unknown_sink_keeps_its_events(bench):
    """A sink that is gone from the settings keeps what it has to get, and is reported."""
    spool = bench.open(sinks=("default", "audit"))
    spool.append("bulk", b"both", 0, bytes(8))
    spool.close()
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [b"both"]
    heir.maintain()
    assert heir.stats()["unknown_sinks"] == {"audit": 1}
    heir.close()
    back = bench.open(sinks=("default", "audit"))
    back.maintain()
    assert bench.drain(back, "audit") == [b"both"]
    assert bench.drain(back) == []


def test_a_new_sink_starts_from_now(bench):
    """A sink that was not there gets nothing of what was spooled before it."""
    spool = bench.open()
    spool.append("bulk", b"old", 0, bytes(8))
    spool.close()
    heir = bench.open(sinks=("default", "fresh"))
    heir.maintain()
    heir.append("bulk", b"new", 0, bytes(8))
    assert bench.drain(heir, "fresh") == [b"new"]
    assert sorted(bench.drain(heir)) == [b"new", b"old"]


def test_a_new_sink_may_get_all_that_is_retained(bench):
    """By the option it gets what others have had too, once, also over another crash."""
    spool = bench.open()
    for number in range(6):
        spool.append("bulk", b"%d" % number, 0, bytes(8))
    spool.ack("default", spool.lease("default", "bulk", 2, 1000))
    bench.crash(spool)
    heir = bench.open(sinks=("default", "fresh"), new_sinks="retained")
    heir.maintain()
    taken = heir.lease("fresh", "bulk", 4, 1000)
    assert [record.payload for record in taken] == [b"0", b"1", b"2", b"3"]
    heir.ack("fresh", taken)
    assert all(heir.counts(sink).balance() == 0 for sink in ("default", "fresh"))
    bench.crash(heir)
    last = bench.open(sinks=("default", "fresh"), new_sinks="retained")
    last.maintain()
    assert bench.drain(last, "fresh") == [b"4", b"5"]
    assert bench.drain(last) == [b"2", b"3", b"4", b"5"]
    last.maintain()
    assert all(last.counts(sink).balance() == 0 for sink in ("default", "fresh"))


def test_what_is_retained_for_a_new_sink_outlives_a_step_back(bench):
    """A release without it leaves what is its; the next one with it goes on."""
    spool = bench.open()
    spool.append("bulk", b"old", 0, bytes(8))
    bench.crash(spool)
    heir = bench.open(sinks=("default", "fresh"), new_sinks="retained")
    heir.maintain()
    bench.crash(heir)
    back = bench.open()
    back.maintain()
    assert bench.drain(back) == [b"old"]
    back.maintain()
    back.close()
    again = bench.open(sinks=("default", "fresh"))
    again.maintain()
    assert bench.drain(again, "fresh") == [b"old"]


def test_what_was_acked_is_not_sent_again_after_a_crash(bench, mode):
    """The cursor of each sink survives; only what was in flight comes again."""
    spool = bench.open(mode, sinks=("default", "second"))
    for number in range(10):
        spool.append("bulk", b"%d" % number, 0, bytes(8))
    taken = spool.lease("default", "bulk", 6, 1000)
    spool.ack("default", taken[:3])
    spool.ack("second", spool.lease("second", "bulk", 9, 1000))
    bench.crash(spool)
    heir = bench.open(mode, sinks=("default", "second"))
    heir.maintain()
    assert bench.drain(heir) == [b"%d" % number for number in range(3, 10)]
    assert bench.drain(heir, "second") == [b"9"]


def test_out_of_order_acks_hold_the_cursor(bench):
    """A record in the middle that was not acked is not skipped by a crash."""
    spool = bench.open()
    for number in range(6):
        spool.append("bulk", b"%d" % number, 0, bytes(8))
    taken = spool.lease("default", "bulk", 6, 1000)
    spool.ack("default", [taken[0], taken[2], taken[5]])
    bench.crash(spool)
    heir = bench.open()
    heir.maintain()
    assert bench.drain(heir) == [b"1", b"2", b"3", b"4", b"5"]


def test_dead_letters_outlive_their_owner(bench):
    """The heir takes the dead letters over, and the empty directory goes."""
    spool = bench.open()
    spool.append("bulk", b'{"id":"1"}', 0, bytes(8))
    (record,) = spool.lease("default", "bulk", 1, 100)
    spool.bury("default", record, "invalid", "é" * 600, 4)
    bench.crash(spool)
    heir = bench.open()
    heir.maintain()
    (letters,) = bench.root.glob("shop/test/*/dead/*.jsonl")
    (line,) = letters.read_text().splitlines()
    letter = json.loads(line)
    assert letter["event"] == {"id": "1"}
    assert (letter["reason"], letter["attempts"], letter["sink"]) == ("invalid", 4, "default")
    assert len(letter["detail"].encode()) <= 512
    assert letters.parent.parent == heir._home.path


def test_half_made_directories_are_swept(bench):
    """What a process left that died before it had named its directory goes, but no young one."""
    stale = bench.root / "shop" / "test" / ".new-0190"
    stale.mkdir(parents=True)
    (stale / "lock").touch(mode=0o600)
    bench.open().maintain()
    assert stale.exists()
    os.utime(stale, (1, 1))
    bench.open().maintain()
    assert not stale.exists()


def test_nothing_touches_the_disk_before_the_first_append(bench):
    """Opening a spool and asking for leftovers makes no directory."""
    spool = bench.open()
    assert spool.leftovers() is False
    spool.maintain()
    assert not bench.root.exists()


def test_a_clean_end_leaves_nothing(bench, mode):
    """When all was delivered, closing removes the directory."""
    spool = bench.open(mode)
    spool.append("bulk", b"x", 0, bytes(8))
    bench.drain(spool)
    spool.close()
    assert list(bench.root.rglob("*.*")) == []
    assert bench.open(mode).leftovers() is False


def test_what_only_an_unknown_sink_waits_for_ends_at_its_age(bench):
    """At the age cap it is given up, told, and its directory goes."""
    spool = bench.open(sinks=("default", "audit"))
    spool.append("bulk", b"both", 0, bytes(8))
    bench.drain(spool)
    spool.close()
    (path,) = (bench.root / "shop" / "test").iterdir()
    heir = bench.open()
    heir.maintain()
    assert path.exists()
    for file in path.iterdir():
        os.utime(file, ns=(bench.clock.wall, bench.clock.wall))
    bench.clock.turn(71 * 3600)
    heir.maintain()
    assert path.exists()
    bench.clock.turn(2 * 3600)
    heir.maintain()
    assert not path.exists()
    assert [(shed.reason, shed.payloads) for shed in bench.sheds] == [("age", (b"both",))]
    bench.clock.turn(60)
    heir.maintain()
    assert heir.stats()["unknown_sinks"] == {}


def test_a_look_that_fails_gives_the_lock_back(bench, monkeypatch):
    """An error right after the lock was taken leaves the directory to the next look."""
    dead = bench.open()
    dead.append("bulk", b"left", 0, bytes(8))
    bench.crash(dead)
    heir = bench.open()
    (path,) = (bench.root / "shop" / "test").iterdir()
    real = _disk.names

    def names(folder):
        if folder == path:
            raise OSError(errno.EMFILE, "too many open files")
        return real(folder)

    monkeypatch.setattr(_disk, "names", names)
    heir.maintain()
    monkeypatch.setattr(_disk, "names", real)
    assert heir.counts("default").adopted == 0
    bench.clock.turn(60)
    heir.maintain()
    assert bench.drain(heir) == [b"left"]


def test_a_segment_that_could_not_be_read_is_tried_again(bench, monkeypatch):
    """A passing error of the disk strands nothing until the next restart."""
    dead = bench.open()
    dead.append("bulk", b"bulk", 0, bytes(8))
    dead.append("vital", b"vital", 3, bytes(8))
    dead.close()
    heir = bench.open()
    real = _disk.open_read

    def open_read(path):
        if path.name.endswith(".vital.seg"):
            raise OSError(errno.EIO, "a passing error")
        return real(path)

    monkeypatch.setattr(_disk, "open_read", open_read)
    heir.maintain()
    assert bench.drain(heir) == [b"bulk"]
    heir.maintain()
    monkeypatch.setattr(_disk, "open_read", real)
    bench.clock.turn(400)
    heir.maintain()
    assert bench.drain(heir) == [b"vital"]
    heir.maintain()
    assert list((bench.root / "shop" / "test").iterdir()) == []


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_while_a_directory_is_removed_leaves_nothing_for_ever(bench, monkeypatch, nth):
    """Whatever is left of it is swept; no start finds leftovers in it again and again."""

    class KilledError(BaseException):
        pass

    spool = bench.open()
    spool.append("bulk", b"x", 0, bytes(8))
    bench.drain(spool)
    spool._seal_due()
    bench.clock.turn(301)
    spool.maintain()
    calls = []

    def dying(real):
        def call(path):
            calls.append(path)
            if len(calls) >= nth:
                raise KilledError
            real(path)

        return call

    for name in ("unlink", "rmdir"):
        monkeypatch.setattr(_disk, name, dying(getattr(_disk, name)))
    with pytest.raises(KilledError):
        spool._home.remove()
    monkeypatch.undo()
    bench.crash(spool)
    for path in (bench.root / "shop" / "test").iterdir():
        os.utime(path, (1, 1))
    heir = bench.open()
    heir.maintain()
    bench.drain(heir)
    heir.maintain()
    assert bench.open().leftovers() is False
    assert list((bench.root / "shop" / "test").iterdir()) == []


def test_the_books_are_right_after_an_adopted_directory_was_given_back(bench):
    """Closed before all was delivered: what goes back is not ours any more, in flight or not."""
    dead = bench.open()
    for number in range(9):
        dead.append("bulk", b"%d" % number, 0, bytes(8))
    bench.crash(dead)
    heir = bench.open()
    heir.maintain()
    taken = heir.lease("default", "bulk", 5, 1000)
    heir.ack("default", taken[:3])
    heir.close()
    heir.ack("default", taken[3:])
    counts = heir.counts("default")
    assert (counts.adopted, counts.delivered, counts.in_flight, counts.balance()) == (3, 3, 0, 0)
    after = bench.open()
    after.maintain()
    assert bench.drain(after) == [b"%d" % number for number in range(3, 9)]
