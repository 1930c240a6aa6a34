"""
Threads, flush and close: what a host sees.
"""

import asyncio
import os
import signal
import threading
import time

import pytest

from cxsdk.delivery.bell import Bell
from cxsdk.testing.clock import FakeClock
from cxsdk.testing.conformance.spool import alarms
from cxsdk.typing import Delivered, Hold, Retry

AGES = 30.0
"""Seconds that only a hang would take."""


class Stuck:
    """Hangs in its first send until told otherwise."""

    fingerprint = "stuck:"

    def __init__(self):
        self.entered = threading.Event()
        self.free = threading.Event()
        self.closed = threading.Event()

    def send(self, batch):
        self.entered.set()
        self.free.wait(AGES)
        return Delivered()

    def close(self):
        self.closed.set()


def ours():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("cxsdk-"))


def eventually(condition, timeout=5.0):
    """Wait for something another thread does, in small steps up to *timeout*."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.002)
    return True


def test_nothing_starts_by_itself(many, scripted):
    """Making a Delivery starts no thread; start makes one keeper and one sender per sink, once."""
    r = many(scripted(), scripted())
    assert ours() == []
    r.delivery.start()
    r.delivery.start()
    assert ours() == ["cxsdk-keeper", "cxsdk-send-default", "cxsdk-send-s1"]
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("cxsdk-"))
    r.delivery.close()
    assert ours() == []


def test_events_go_out_by_themselves(many, scripted):
    """Once started, a single event is delivered within linger and a tick, without a flush."""
    r = many(scripted(), linger=0.05)
    r.delivery.start()
    r.emit(1)
    assert eventually(lambda: r.counts.delivered == 1)


def test_flush_delivers_to_every_sink(many, scripted):
    """Flush returns when each sink has what was accepted before."""
    r = many(scripted(), scripted())
    r.emit(1200)
    report = r.delivery.flush(AGES)
    assert (report.delivered, report.pending, report.dropped, report.reason) == (2400, 0, 0, "")
    assert report.raise_for_error() is report


def test_flush_with_nothing_to_do_is_quick(many, scripted):
    """An empty flush waits for nobody."""
    r = many(scripted())
    assert r.delivery.flush(AGES).seconds < 5


def test_flush_cuts_a_back_off_short(many, scripted):
    """A batch that waits for its retry is tried at once."""
    answers = [Retry("x")]
    r = many(
        scripted(lambda b: answers.pop() if answers else Delivered()),
        retry_base=60,
        retry_cap=60,
        seed=2,
    )
    r.delivery.start()
    r.emit(100)
    assert eventually(lambda: r.line.gate.failures == 1)
    assert r.delivery.flush(AGES).pending == 0


def test_flush_does_not_wait_for_what_cannot_come(many, scripted):
    """On hold, or asked for time beyond the timeout, flush returns early and says why."""
    r = many(scripted(lambda b: Hold("http 401")))
    r.emit(3)
    report = r.delivery.flush(AGES)
    assert (report.pending, report.reason) == (3, "holding")
    assert report.seconds < 5
    r = many(scripted(lambda b: Retry("x", after=500)))
    r.emit(3)
    report = r.delivery.flush(AGES)
    assert (report.pending, report.reason) == (3, "retrying")
    assert report.seconds < 5


def test_flush_ends_at_its_timeout(many):
    """A sink that hangs costs the timeout and no more."""
    stuck = Stuck()
    r = many(stuck)
    r.emit(1)
    report = r.delivery.flush(0.2)
    stuck.free.set()
    assert (report.pending, report.reason) == (1, "timeout")
    assert 0.2 <= report.seconds < 5


def test_a_hanging_sink_stops_nobody_else(many, scripted):
    """Beside a sink that hangs, the other delivers and the keeper keeps house."""
    stuck = Stuck()
    r = many(scripted(), stuck, linger=0.05)
    chores = []
    r.spool.maintain = lambda: chores.append(1)
    r.delivery.start()
    r.emit(1)
    assert stuck.entered.wait(AGES)
    r.emit(500)
    assert eventually(lambda: r.spool.counts("default").delivered == 501)
    before = len(chores)
    assert eventually(lambda: len(chores) > before)
    stuck.free.set()


def test_close_delivers_and_stops(many, scripted):
    """Close delivers what is left, stops the threads and closes the sinks; twice is harmless."""
    r = many(scripted())
    r.delivery.start()
    r.emit(10)
    assert r.delivery.close(AGES).delivered == 10
    assert r.delivery.close(AGES).delivered == 0
    assert r.sink.closed == 1
    assert ours() == []
    assert r.delivery.health().status == "off"


def test_close_during_back_off(many, scripted):
    """A wait of minutes does not hold up an exit; what is left goes back to the spool."""
    r = many(scripted(lambda b: Retry("x", after=500)))
    r.delivery.start()
    r.emit(5)
    assert eventually(lambda: r.line.gate.failures == 1)
    report = r.delivery.close(AGES)
    assert report.seconds < 5
    assert (report.pending, r.counts.in_flight, r.counts.spooled) == (5, 0, 5)


def test_close_leaves_a_hanging_sink_behind(many):
    """Close ends at its timeout; when the sink comes back, its answer counts no more."""
    stuck = Stuck()
    r = many(stuck)
    r.delivery.start()
    r.emit(1)
    r.delivery.wake()
    assert stuck.entered.wait(AGES)
    report = r.delivery.close(0.2)
    assert report.pending == 1
    assert report.seconds < 5
    stuck.free.set()
    assert stuck.closed.wait(AGES)
    assert r.counts.delivered == 0


def test_close_tries_once_behind_an_open_breaker(many, scripted):
    """The last chance of a process is used, which a flush of a running one is not."""
    up = threading.Event()
    r = many(scripted(lambda b: Delivered() if up.is_set() else Retry("x")), retry_base=0.01)
    r.emit(3)
    r.line.press()
    while r.line.gate.breaker.state == "closed":
        r.line.gate._paused_until = 0.0
        for parcel in r.line.picker.shelf:
            parcel.due = 0.0
        r.line.turn()
    r.line.gate._paused_until = time.monotonic() + 600
    up.set()
    assert r.delivery.flush(0.3).delivered == 0
    assert r.delivery.close(AGES).delivered == 3


def test_close_without_threads_sends_by_itself(many, scripted, monkeypatch):
    """Where no thread can be started, flush and close send from the caller's thread."""

    def no_more(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    r = many(scripted(), scripted())
    r.emit(700)
    monkeypatch.setattr(threading.Thread, "start", no_more)
    r.delivery.start()
    assert r.delivery.health().status == "degraded"
    assert r.delivery.flush(AGES).delivered == 1400
    r.emit(5)
    assert r.delivery.close(AGES).delivered == 10
    assert r.sink.closed == 1


def test_close_starts_no_thread(many, scripted):
    """An exit hook may call close: it sends by itself if nothing was started."""
    r = many(scripted())
    r.emit(5)
    before = ours()
    report = r.delivery.close(AGES)
    assert report.delivered == 5
    assert before == ours() == []


def test_closing_here_ends_in_time(many, scripted):
    """Without threads, a destination that keeps failing costs the timeout at most."""
    r = many(scripted(lambda b: Retry("x")), retry_base=0.05, retry_cap=0.05)
    r.emit(5)
    report = r.delivery.close(0.3)
    assert report.pending == 5
    assert report.seconds < 5
    assert r.counts.spooled == 5


def test_close_tells_the_sink_how_long(many, scripted):
    """A sink that can be hurried is told how long the process still has."""
    sink = scripted()
    told = []
    sink.hurry = told.append
    r = many(sink)
    r.delivery.close(3.0)
    assert 2.0 < told[0] <= 3.0


def test_close_from_our_own_thread(many, scripted):
    """A sink that closes the client from inside send does not wait for itself."""
    done = threading.Event()

    def answer(batch):
        r.delivery.close(0.1)
        done.set()
        return Delivered()

    r = many(scripted(answer))
    r.delivery.start()
    r.emit(1)
    r.delivery.wake()
    assert done.wait(AGES)


def test_a_broken_spool_does_not_end_a_sender(many, scripted):
    """An exception from the spool is said, and the sender goes on."""
    r = many(scripted(), linger=0.05)
    real, broken = r.spool.lease, [1, 1]

    def lease(*args, **kwargs):
        if broken:
            broken.pop()
            raise OSError("disk")
        return real(*args, **kwargs)

    r.spool.lease = lease
    r.emit(3)
    assert r.delivery.flush(AGES).delivered == 3


def test_aflush_from_asyncio(many, scripted):
    """Aflush delivers without blocking the loop: other tasks go on meanwhile."""
    gate = threading.Event()

    def answer(batch):
        gate.wait(AGES)
        return Delivered()

    r = many(scripted(answer))
    r.emit(10)

    async def main():
        async def opener():
            gate.set()

        flushing = asyncio.create_task(r.delivery.aflush(AGES))
        await asyncio.sleep(0)
        await opener()
        return await flushing

    assert asyncio.run(main()).delivered == 10
    assert [t for t in threading.enumerate() if "asyncio" in t.name] == []


def test_aflush_ends_at_its_timeout(many):
    """A sink that hangs costs an awaiting task the timeout and no more."""
    stuck = Stuck()
    r = many(stuck)
    r.emit(1)
    report = asyncio.run(r.delivery.aflush(0.2))
    stuck.free.set()
    assert report.pending == 1
    assert report.seconds < 5


def test_aclose_from_asyncio(many, scripted):
    """Aclose delivers, stops the threads and closes the sinks."""
    r = many(scripted())
    r.delivery.start()
    r.emit(10)
    report = asyncio.run(r.delivery.aclose(AGES))
    assert report.delivered == 10
    assert ours() == []
    assert r.sink.closed == 1


def test_wake_never_blocks(many, scripted):
    """Ringing from a signal handler, in the middle of a ring, does not deadlock."""
    r = many(scripted())
    rings = []

    def handler(*_):
        rings.append(1)
        r.delivery.wake()

    with alarms(handler):
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while len(rings) < 50:
            r.delivery.wake()
    assert r.line.bell.is_set()


def test_pressure_sends_before_the_linger(many, scripted):
    """A spool that fills up does not wait for company."""
    r = many(scripted(), linger=500.0)
    r.delivery.start()
    r.emit(5)
    r.delivery.wake()
    assert eventually(lambda: r.counts.delivered == 5)


def test_abandon_in_a_child(many, scripted):
    """A forked child forgets everything at once, also with a lock held, and can close."""
    r = many(scripted())
    r.delivery.start()
    r.emit(3)
    with r.delivery._lock:
        child = os.fork()
        if not child:
            r.delivery.abandon()
            r.delivery.start()
            r.delivery.wake()
            fine = r.delivery.close(1).pending == 0 and r.delivery.stats() == {}
            os._exit(0 if fine and r.delivery.health().status == "off" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert r.delivery.flush(AGES).pending == 0


def test_no_sinks_is_off(many):
    """Without a destination there is nothing to do and nothing to wait for."""
    r = many()
    assert r.delivery.health().status == "off"
    assert r.delivery.flush(AGES).seconds < 5


def test_the_keeper_is_quiet_when_idle(many, scripted):
    """Idle: one look a second, chores every 30; busy: chores every second."""
    r = many(scripted(), clock=FakeClock())
    chores = []
    r.spool.maintain = lambda: chores.append(r.clock.monotonic())
    keeper = r.delivery._keeper
    keeper.step()
    for _ in range(20):
        r.clock.advance(1)
        keeper.step()
    start = len(chores)
    for _ in range(120):
        r.clock.advance(1)
        assert keeper.step() == 1.0
    assert len(chores) - start == 4
    r.emit(1)
    before = len(chores)
    for _ in range(10):
        r.clock.advance(1)
        keeper.step()
    assert len(chores) - before == 10


@pytest.mark.parametrize("rung", [True, False])
def test_a_bell_is_an_event(rung):
    """Bell behaves as an Event: set before or during the wait, and a timeout."""
    bell = Bell()
    if rung:
        bell.set()
        bell.set()
    assert bell.wait(0.01) is rung
    assert bell.is_set() is rung
    bell.clear()
    assert not bell.is_set()
    ringer = threading.Timer(0.01, bell.set)
    ringer.start()
    assert bell.wait(AGES)
    ringer.join()


def test_fake_clock_wakes_waiters():
    """A wait ends when its time has passed on the fake clock, or its signal is set."""
    clock = FakeClock()
    ends = []
    signal_one = threading.Event()
    threads = [
        threading.Thread(target=lambda: ends.append(clock.wait(threading.Event(), 3600))),
        threading.Thread(target=lambda: ends.append(clock.wait(signal_one, 3600))),
    ]
    for each in threads:
        each.start()
    assert eventually(lambda: clock.waiting == 2)
    signal_one.set()
    assert eventually(lambda: ends == [True])
    clock.advance(3600)
    for each in threads:
        each.join(AGES)
    assert ends == [True, False]
    with pytest.raises(ValueError, match="0 or more"):
        clock.advance(-1)
