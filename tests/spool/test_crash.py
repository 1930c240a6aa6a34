"""
Kill -9, at random and at the worst places: nothing acknowledged is lost.
"""

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
import time

import pytest

WRITER = textwrap.dedent(
    """
    import mmap, os, pathlib, struct, sys, threading
    from cxsdk._clock import SystemClock
    from cxsdk.config import SpoolOptions
    from cxsdk.spool import open_spool

    root, mode, board = sys.argv[1:]
    with open(board, "r+b") as file:
        acked = mmap.mmap(file.fileno(), 64)
    spool = open_spool(
        SpoolOptions(mode=mode, directory=pathlib.Path(root), min_free_bytes=0,
                     segment_bytes=16384, max_segment_bytes=65536),
        service="shop", environment="test", fingerprints={"default": "here"},
        clock=SystemClock(),
    )

    def write(thread):
        number = 0
        lane = "vital" if thread == 0 else "bulk"
        while True:
            number += 1
            payload = b'{"t":%d,"n":%d,"x":"%s"}' % (thread, number, b"y" * 200)
            if not spool.append(lane, payload, 0, bytes(8)):
                os._exit(3)
            acked[thread * 8:thread * 8 + 8] = struct.pack("<Q", number)

    for thread in range(4):
        threading.Thread(target=write, args=(thread,), daemon=True).start()
    print("go", flush=True)
    while True:
        spool.maintain()
    """
)


@pytest.mark.parametrize("mode", ["mmap", "write"])
def test_no_acknowledged_record_is_lost_by_a_kill(bench, tmp_path, mode):
    """Ten times: four threads append, the process is killed, the heir has all that was acked."""
    rand = random.Random(7)
    board = tmp_path / "board"
    total = 0
    for _ in range(10):
        board.write_bytes(bytes(64))
        with (
            board.open("r+b") as file,
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(bench.root), mode, str(board)],
                stdout=subprocess.PIPE,
            ) as process,
        ):
            acked = mmap.mmap(file.fileno(), 64)
            process.stdout.readline()
            while not acked[24:32].strip(b"\0") and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rand.uniform(0.001, 0.03))
            process.kill()
            assert process.wait() == -signal.SIGKILL
            wanted = struct.unpack("<4Q", acked[:32])
            acked.close()
        heir = bench.open(mode)
        heir.maintain()
        found = bench.drain(heir)
        assert found, (bench.notes, bench.sheds, heir.stats())
        numbers = [[] for _ in range(4)]
        for payload in found:
            thread, number = payload.split(b",")[:2]
            numbers[int(thread.split(b":")[1])].append(int(number.split(b":")[1]))
        for thread, last in enumerate(wanted):
            assert len(numbers[thread]) in {last, last + 1}
            assert numbers[thread] == list(range(1, len(numbers[thread]) + 1))
        assert heir.counts("default").dropped == {}
        assert heir.counts("default").balance() == 0
        total += sum(wanted)
        heir.close()
    assert total > 1000


STEPS = textwrap.dedent(
    """
    import os, pathlib, signal, sys
    from cxsdk._clock import SystemClock
    from cxsdk.config import SpoolOptions
    from cxsdk.spool import _disk, open_spool

    root, name, nth, after = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "after"
    real, calls = getattr(_disk, name), 0

    def call(*args):
        global calls
        calls += 1
        if calls != nth:
            return real(*args)
        if after:
            real(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(_disk, name, call)
    out = os.open(sys.argv[5], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    spool = open_spool(
        SpoolOptions(mode="mmap", directory=pathlib.Path(root), min_free_bytes=0,
                     segment_bytes=600, max_segment_bytes=600),
        service="shop", environment="test", fingerprints={"default": "here"},
        clock=SystemClock(),
    )
    spool.maintain()
    run = os.getpid()
    for number in range(40):
        if spool.append("bulk", b"%d-%d-%s" % (run, number, b"x" * 60), 0, bytes(8)):
            os.write(out, b"+%d-%d\\n" % (run, number))
        if number % 5 == 4:
            spool.maintain()
        if number % 4 == 3:
            records = spool.lease("default", "bulk", 3, 1000)
            for record in records:
                os.write(out, b"-%s\\n" % record.payload.rpartition(b"-")[0])
            spool.ack("default", records[1:])
            if records:
                spool.bury("default", records[0], "invalid", "no", 1)
    spool.close()
    """
)

POINTS = [
    *(("rename", nth) for nth in (1, 2, 4)),
    *(("truncate", nth) for nth in (1, 3)),
    *(("pwrite", nth) for nth in (1, 2, 3, 6, 9)),
    *(("unlink", nth) for nth in (1, 2, 3)),
    *(("create", nth) for nth in (1, 3, 5)),
    *(("fallocate", nth) for nth in (1, 3)),
    ("rmdir", 1),
    ("lock", 2),
]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_step_loses_nothing(bench, tmp_path, when):
    """Killed at a roll, seal, cursor, unlink, adoption or dead letter: all of it is found."""
    log = tmp_path / "log"
    for name, nth in POINTS:
        arguments = [str(bench.root), name, str(nth), when, str(log)]
        subprocess.run([sys.executable, "-c", STEPS, *arguments], check=False)
    heir = bench.open()
    found = set()
    for _ in range(2 * len(POINTS)):
        bench.clock.turn(60)
        heir.maintain()
        found.update(payload.rpartition(b"-")[0] for payload in bench.drain(heir))
    lines = log.read_bytes().splitlines()
    accepted = {line[1:] for line in lines if line.startswith(b"+")}
    handled = {line[1:] for line in lines if line.startswith(b"-")}
    assert len(accepted) > 100
    assert accepted <= found | handled
    assert heir.counts("default").dropped == {}
    assert heir.counts("default").balance() == 0
    assert heir.stats()["adopting"] == []


def test_the_kill_switch_of_this_file_works():
    """The harness can fail: a killed process ends by the signal."""
    ended = subprocess.run(
        [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert os.name == "posix"
