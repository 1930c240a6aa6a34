"""
A signal handler that raises, as worker timeouts do, in the middle of our code.

The host gets its own exception, nothing that was accepted is lost, no lock stays held.
"""

from __future__ import annotations

import pytest

from tests.acceptance.host import Board

STORM = """
import cxsdk as cx, random, signal, threading
from host import Board


class HostTimeout(Exception):
    pass


def on_alarm(number, frame):
    raise HostTimeout


def storm(seconds):
    # Each alarm is aimed anew, at up to 2 ms from now, so that it falls anywhere.
    rand = random.Random(args["seed"])
    board = Board(args["board"], 1, 60_000)
    figures = {"interrupted": 0, "calls": 0, "open": 0}
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end and number < 50_000:
        number += 1
        try:
            signal.setitimer(signal.ITIMER_REAL, rand.uniform(1e-5, args["longest"]))
            for _ in range(5):
                figures["calls"] += 1
                result = emit(number)
                name = result.id if result else None
                if name:
                    board.add(name)
        except HostTimeout as error:
            assert error.__cause__ is None
            assert type(error) is HostTimeout
            figures["interrupted"] += 1
        finally:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
            except HostTimeout:
                pass
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    return figures


def other_thread_gets_through():
    # A lock left held by the main thread would stop everyone else.
    got = []
    thread = threading.Thread(target=lambda: got.extend(count(2)))
    thread.start()
    thread.join(20)
    return got
"""

ENDS = {
    "flush": """
report = client().flush(20)
say(**figures, pending=report.pending, after=after, ledger=ledger(),
    threads=sorted(t.name for t in threading.enumerate() if t.name.startswith("cxsdk")))
""",
    "kill": """
say(**figures, after=after)
os.kill(os.getpid(), 9)
""",
}


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("longest", [0.0003, 0.002])
def test_exceptions_thrown_into_verbs(start, deliver, collector, tmp_path, end, longest):
    """Timeouts thrown anywhere reach the host as they are; all that was accepted arrives."""
    board = tmp_path / "board"
    Board(board, 1, 60_000)
    host = start(
        STORM
        + """
init()
# An exception thrown into an import leaves the interpreter's own import lock held, whoever
# imports: what the first events import is imported before the storm.
warm = count(4)
client().flush(10)
signal.signal(signal.SIGALRM, on_alarm)
figures = storm(2.5)
after = other_thread_gets_through()
"""
        + ENDS[end],
        collector,
        board=str(board),
        seed=11,
        longest=longest,
    )
    said = host.line()
    host.end()
    accepted = {*Board(board, 1, 60_000).names()[0], *said["after"]}
    assert said["interrupted"] > 50, said
    assert len(said["after"]) == 2
    if end == "flush":
        assert said["pending"] == 0
        assert said["ledger"]["default"] == 0
        # Offered, interrupted before anything else was counted.
        assert 0 <= said["ledger"]["offered"] <= said["interrupted"]
        assert said["threads"] == ["cxsdk-keeper", "cxsdk-send-default"]
    deliver(collector)
    assert sorted(accepted - set(collector.ids)) == []


FIRST = """
import cxsdk as cx, random, signal, threading


class HostTimeout(Exception):
    pass


def on_alarm(number, frame):
    raise HostTimeout


def make(number):
    return cx.Client("shop", collector=args["collector"], environment="e%d" % number,
        delivery=cx.DeliveryOptions(linger=0.05),
        spool=cx.SpoolOptions(mode="mmap", directory=args["root"], min_free_bytes=0))


def missing():
    # No flush: the threads that the first event should have started must deliver.
    return [n for n, each in enumerate(made) if each.stats()["sinks"]["default"]["spooled"]]


signal.signal(signal.SIGALRM, on_alarm)
rand = random.Random(args["seed"])
costs = []
for number in range(5):
    with make(number) as warm:
        before = time.perf_counter()
        warm.feedback(csat=4, customer="c1")
        costs.append(time.perf_counter() - before)
longest = sorted(costs)[2] * 1.3
figures = {"interrupted": 0, "silent": [], "threads": 0, "unbalanced": 0}
ids = []
for batch in range(args["batches"]):
    made = [make(1000 + batch * 100 + n) for n in range(30)]
    for each in made:
        try:
            signal.setitimer(signal.ITIMER_REAL, rand.uniform(1e-5, longest))
            each.feedback(csat=4, customer="c1")
            signal.setitimer(signal.ITIMER_REAL, 0)
        except HostTimeout:
            figures["interrupted"] += 1
    ids += [each.feedback(csat=5, customer="c1").id for each in made]
    end = time.monotonic() + 15
    while missing() and time.monotonic() < end:
        time.sleep(0.05)
    # One that was interrupted while it began is listed for good, but does not live.
    names = [thread.name for thread in threading.enumerate() if thread.is_alive()]
    figures["silent"] += missing()
    figures["threads"] += names.count("cxsdk-keeper") + names.count("cxsdk-send-default")
    for each in made:
        each.close(1)
say(**figures, ids=ids)
"""


def test_an_exception_thrown_into_the_very_first_event(run, collector):
    """Thrown anywhere into the first event, delivery starts all the same, and once."""
    said = run(FIRST, collector, seed=5, batches=6).said
    assert said["interrupted"] > 30, said
    assert said["silent"] == []
    assert said["threads"] == 6 * 30 * 2
    assert sorted(set(said["ids"]) - set(collector.ids)) == []
