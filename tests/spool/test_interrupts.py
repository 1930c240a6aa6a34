"""
Exceptions and calls from inside an append: signal handlers, ``__del__``, logging.
"""

import dis
import gc
import logging
import signal
import sys
import threading

import pytest

from cxsdk.spool import directory, intake, segment, store
from cxsdk.testing.conformance.spool import alarms

INTERRUPTED = b"interrupted" + b"." * 500  # longer than all that follows, to leave debris


class ThrownError(Exception):
    pass


def places():
    """Every place of the append path where the interpreter may run a signal handler."""
    found = []
    for function in (
        intake.Intake.append,
        intake.Intake._append_slowly,
        intake.Intake._place,
        segment.FileSegment.put,
        segment._write_whole,
    ):
        code = function.__code__
        for instruction in dis.get_instructions(code):
            name = instruction.opname
            if name.startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
                found.append((code, instruction.offset))
    return found


def append_thrown_at(spool, code, offset, payload):
    """Append, with an exception thrown after the instruction at *offset* has run."""
    armed = [False]

    def local(frame, event, _):
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code is code:
            if armed[0]:
                armed[0] = False
                sys.settrace(None)
                raise ThrownError
            armed[0] = frame.f_lasti == offset
        return local

    def trace(frame, _, __):
        frame.f_trace_opcodes = True
        return local

    sys.settrace(trace)
    try:
        spool.append("bulk", payload, 0, bytes(8))
    finally:
        sys.settrace(None)


def test_an_exception_at_any_place_hides_nothing(bench, mode):
    """Thrown wherever a handler may run, it passes; no lock, flag or hole stays behind."""
    for code, offset in places():
        spool = bench.open(mode)
        spool.append("bulk", b"first", 0, bytes(8))
        thrown = False
        try:
            append_thrown_at(spool, code, offset, INTERRUPTED)
        except ThrownError:
            thrown = True
        assert spool._busy is False
        done = threading.Event()

        def later(spool=spool, done=done):
            spool.append("bulk", b"later", 0, bytes(8))
            done.set()

        threading.Thread(target=later, daemon=True).start()
        assert done.wait(10), (code.co_name, offset)
        spool.append("bulk", b"last", 0, bytes(8))
        counts = spool.counts("default")
        assert counts.balance() == 0
        assert bench.recount(spool) == (counts.spooled, 0)
        bench.crash(spool)
        heir = bench.open(mode)
        heir.maintain()
        found = bench.drain(heir)
        assert [each for each in found if not each.startswith(b"inter")] == [
            b"first",
            b"later",
            b"last",
        ], (code.co_name, offset)
        assert thrown or INTERRUPTED in found
        assert heir.counts("default").dropped == {}
        heir.maintain()
        heir.close()


def test_hundreds_of_real_signals(bench, mode):
    """A timer throws into appends hundreds of times; all that was accepted is there in order."""

    def throw(*_):
        raise ThrownError

    spool = bench.open(mode, segment_bytes=8192, max_segment_bytes=8192)
    accepted = []
    hits = number = 0
    with alarms(throw):
        while hits < 400:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00003 + (number % 13) * 0.000003)
                while True:
                    number += 1
                    spool.append("bulk", b"%d" % number, 0, bytes(8))
                    accepted.append(b"%d" % number)
            except ThrownError:
                hits += 1
    counts = spool.counts("default")
    assert counts.balance() == 0
    assert bench.recount(spool) == (counts.spooled, 0)
    bench.crash(spool)
    heir = bench.open(mode)
    heir.maintain()
    found = bench.drain(heir)
    assert found == sorted(found, key=int)
    assert len(found) == counts.accepted
    # A handler may run after the record was published and before the caller was told.
    assert set(accepted) <= set(found)
    assert len(found) - len(accepted) <= hits
    assert heir.counts("default").dropped == {}


def test_a_finalizer_appends_from_anywhere(bench, mode):
    """``__del__`` run by the collector in the middle of an append is taken in."""
    spool = bench.open(mode, segment_bytes=4096, max_segment_bytes=4096)
    finalized = []

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            payload = b"d%d" % len(finalized)
            finalized.append(payload)
            spool.append("bulk", payload, 0, bytes(8))

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(500):
            Cycle()
            spool.append("bulk", b"%d" % number, 0, bytes(8))
        gc.collect()
    finally:
        gc.set_threshold(*before)
    expected = [*finalized, *(b"%d" % number for number in range(500))]
    assert len(finalized) == 500
    assert sorted(bench.drain(spool)) == sorted(expected)


def test_an_append_inside_of_the_lock_waits_for_nobody_who_makes_room(bench, mode, monkeypatch):
    """A handler that runs right after the lock was taken, while another thread rolls, is taken in."""
    spool = bench.open(mode, segment_bytes=4096, max_segment_bytes=4096)
    payload = b"x" * 1500
    spool.append("bulk", payload, 0, bytes(8))
    spool.append("bulk", payload, 0, bytes(8))
    is_making, may_go_on = threading.Event(), threading.Event()
    make = spool._make_segment

    def slow(*given):
        is_making.set()
        assert may_go_on.wait(10)
        return make(*given)

    monkeypatch.setattr(spool, "_make_segment", slow)
    monkeypatch.setattr(spool, "_take_spare", lambda *_: None)
    rolling = threading.Thread(target=spool.append, args=("bulk", b"r" * 1500, 0, bytes(8)))
    rolling.start()
    assert is_making.wait(10)

    def interrupted():
        with spool._lock:  # as an append has it before it says that it is busy
            may_go_on.set()
            spool.append("bulk", b"i" * 1500, 0, bytes(8))

    inside = threading.Thread(target=interrupted, daemon=True)
    inside.start()
    inside.join(10)
    assert not inside.is_alive()
    rolling.join(10)
    assert sorted(each[:1] for each in bench.drain(spool)) == [b"i", b"r", b"x", b"x"]


def test_a_log_handler_appends_while_the_disk_fails(bench):
    """The warning about a failed disk reaches a handler that appends: no deadlock, nothing lost."""
    bench.root.write_text("no directory")
    spool = bench.open()

    class Handler(logging.Handler):
        def emit(self, record):
            spool.append("vital", b"logged", 3, bytes(8))

    from cxsdk import _guard

    _guard.voice._seen.clear()
    handler = Handler()
    logging.getLogger("cxsdk").addHandler(handler)
    try:
        assert spool.append("bulk", b"x", 0, bytes(8)) is False
        assert spool.append("bulk", b"y", 0, bytes(8)) is False
    finally:
        logging.getLogger("cxsdk").removeHandler(handler)
    assert bench.drain(spool) == [b"logged", b"x", b"y"]


def test_callbacks_run_outside_all_locks(bench):
    """What a shed callback appends, also from another thread, goes through."""
    kept = []

    def on_shed(shed):
        thread = threading.Thread(
            target=lambda: kept.append(spool.append("vital", b"loss", 3, bytes(8))), daemon=True
        )
        thread.start()
        thread.join(10)
        assert not thread.is_alive()

    spool = bench.open("memory", memory_events=64, on_shed=on_shed)
    for number in range(100):
        spool.append("bulk", b"%d" % number, 0, bytes(8))
    assert len(kept) >= 9
    assert spool.counts("default").balance() == 0


@pytest.mark.parametrize("mode", ["mmap", "write", "memory"])
def test_pressure_is_told_once_until_the_next_lease(bench, mode):
    """The bell rings at 500 records, then not before somebody leased."""
    spool = bench.open(mode)
    for _ in range(500):
        spool.append("bulk", b"x", 0, bytes(8))
    assert bench.rings == 0 + (mode != "mmap")
    for _ in range(1500):
        spool.append("bulk", b"x", 0, bytes(8))
    assert bench.rings == 1
    spool.lease("default", "bulk", 1, 100)
    for _ in range(2000):
        spool.append("bulk", b"x", 0, bytes(8))
    assert bench.rings == 2


def test_pressure_is_told_by_size_too(bench):
    """The bell rings at 256 KiB of large records."""
    spool = bench.open(segment_bytes=1 << 20)
    for _ in range(20):
        spool.append("bulk", b"x" * 16000, 0, bytes(8))
    assert bench.rings == 1


def roll_places():
    """Every place on the way to a new segment where the interpreter may run a signal handler."""
    found = []
    for function in (
        intake.Intake._make_room,
        intake.Intake._shut,
        intake.Intake._take_spare,
        intake.Intake._install,
        intake.Intake._tell,
        store.Store._make_segment,
        store.Store._file_segment,
        store.Store._open_home,
        store.Store._begin,
        store.Store._after_roll,
        store.Store._seal_full,
        segment.FileSegment.make,
        segment.FileSegment.begin,
        segment.FileSegment.seal,
        directory.create,
    ):
        code = function.__code__
        found += [
            (code, each.offset)
            for each in dis.get_instructions(code)
            if each.opname.startswith(("CALL", "RESUME", "JUMP_BACKWARD"))
        ]
    return found


def test_an_exception_on_the_way_to_a_new_segment_loses_nothing(bench, mode):
    """Thrown at any place of a roll or a seal on the host's thread: all that was accepted is there."""
    thrown = 0
    for code, offset in roll_places():
        spool = bench.open(mode, segment_bytes=600, max_segment_bytes=600)
        accepted = []
        hit = 0
        for number in range(12):
            payload = b"%02d" % number + b"." * 400  # one to a segment: each append rolls
            try:
                if number in {0, 8}:
                    append_thrown_at(spool, code, offset, payload)
                else:
                    spool.append("bulk", payload, 0, bytes(8))
                accepted.append(payload)
            except ThrownError:
                hit += 1
        thrown += bool(hit)
        place = (code.co_name, offset)
        counts = spool.counts("default")
        assert counts.balance() == 0, place
        assert len(accepted) <= counts.accepted <= len(accepted) + hit, place
        spool.close()
        heir = bench.open(mode)
        bench.clock.turn(60)
        heir.maintain()
        found = bench.drain(heir)
        assert set(accepted) <= set(found), place
        assert len(found) == len(set(found)) == counts.accepted, place
        assert heir.counts("default").dropped == {}, place
        for _ in range(3):
            bench.clock.turn(60)
            heir.maintain()
        heir.close()
    assert thrown > 60
