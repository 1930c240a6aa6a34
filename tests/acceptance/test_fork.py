"""
A fork in every state: ids never repeat, both sides' events arrive once, nobody waits for a lock.
"""

from __future__ import annotations

import collections

import pytest

from tests.acceptance.host import Board

GUARD_S = 20

FAMILY = """
import cxsdk as cx, ctypes, signal, threading
from host import Board

board = Board(args["board"], args["rows"])
children = []


def fork():
    if args["hooks"] == "run":
        return os.fork()
    if client():
        # A thread that waits for the GIL when C code forks hangs the child's interpreter, with or
        # without this library: let ours finish what they do first.
        client().flush(10)
    return ctypes.PyDLL(None).fork()


def add(results, row):
    for result in results:
        assert result, result
        board.add(result.id, row)


def some(row, number=20):
    add([emit(n) for n in range(number)], row)


def child(row):
    # A deadlock in a child must end the test, not outlive it.
    signal.alarm(args["guard"])
    some(row)
    if args["end"] == "os._exit":
        os._exit(0)
    raise SystemExit(0)


def bear(row, body=child):
    pid = fork()
    if pid == 0:
        body(row)
        os._exit(99)
    children.append(pid)


def wait():
    for pid in children:
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
    children.clear()


def before_init():
    bear(1, lambda row: (init(), child(row)))
    init()


def before_first_emit():
    init()
    bear(1)


def running():
    init()
    some(0)
    client().flush(10)
    some(0)
    bear(1)


def siblings():
    init()
    some(0)
    for row in range(1, args["rows"]):
        bear(row)


def inside_emit():
    init()
    stop = threading.Event()

    def work():
        number = 0
        while not stop.is_set() and number < 2000:
            add([emit(number)], 0)
            number += 1

    thread = threading.Thread(target=work)
    thread.start()
    while not board.names()[0]:
        pass
    for row in range(2, args["rows"]):
        bear(row)
    stop.set()
    thread.join()


def inside_refusal():
    # What is refused is counted and logged: locks that an accepted event never meets.
    init()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            cx.feedback(csat=4)
            cx.feedback(csat=99, customer="c1")

    def refused_child(row):
        assert not cx.feedback(csat=4)
        assert not cx.feedback(csat=99, customer="c1")
        child(row)

    thread = threading.Thread(target=work)
    thread.start()
    for row in range(2, args["rows"]):
        bear(row, refused_child)
    stop.set()
    thread.join()


def inside_interaction():
    init()
    some(0)
    read, write = os.pipe()
    contact = cx.interaction("fork.open", customer="c1")
    with contact:
        pid = fork()
        if pid == 0:
            signal.alarm(args["guard"])
            add([emit(1)] if args["early"] else [], 1)
            os.read(read, 1)  # until the parent has emitted more
        else:
            some(0)
            os.write(write, b"x")
    if pid == 0:
        result = contact.result
        if result:
            board.add(result.id, 1)
        child(1)
    children.append(pid)
    wait()
    add([contact.result], 0)


def fork_of_a_fork():
    init()
    some(0)

    def middle(row):
        some(row)
        children.clear()
        bear(row + 1)
        wait()
        child(row)

    bear(1, middle)


def threads_first():
    # The first emits of a child come from many threads at once.
    init()
    some(0)

    def crowd(row):
        signal.alarm(args["guard"])
        gate = threading.Barrier(6)

        def work(mine):
            gate.wait()
            some(mine)

        threads = [threading.Thread(target=work, args=(row + n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger() == {"offered": 0, "default": 0}, (ledger(), client().stats())
        child(row)

    bear(1, crowd)


globals()[args["state"]]()
some(0)
wait()
report = client().flush(10)
assert ledger() == {"offered": 0, "default": 0}, ledger()
say(pending=report.pending, report=str(report), stats=client().stats()["sinks"])
"""

STATES = [
    "before_init",
    "before_first_emit",
    "running",
    "siblings",
    "inside_emit",
    "inside_refusal",
    "inside_interaction",
    "fork_of_a_fork",
    "threads_first",
]
ROWS = 8


def family(run, deliver, collector, tmp_path, state, end, hooks="run", early=False):
    """Run a family of processes; return the ids that each row of it was given."""
    board = Board(tmp_path / "board", ROWS)
    said = run(
        FAMILY,
        collector,
        within=2 * GUARD_S,
        board=str(board.path),
        rows=ROWS,
        state=state,
        end=end,
        hooks=hooks,
        early=early,
        guard=GUARD_S,
    ).said
    assert said["pending"] == 0, said
    deliver(collector)
    return Board(board.path, ROWS).names()


def check(rows, collector):
    """What holds for every family."""
    given = [name for row in rows for name in row]
    assert len(given) == len(set(given)), "an id repeats"
    assert sorted(set(given) - set(collector.ids)) == []
    assert {name: count for name, count in collector.times.items() if count > 1} == {}
    seqs = collections.defaultdict(list)
    for event in collector.accepted.values():
        sdk = event["data"]["sdk"]
        seqs[sdk["instance"], sdk["lane"]].append(sdk["seq"])
    for numbers in seqs.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("end", ["exit", "os._exit"])
@pytest.mark.parametrize("state", STATES)
def test_a_fork_in_any_state(run, deliver, collector, tmp_path, state, end):
    """Parent's and child's events arrive once each, under ids of their own, in bounded time."""
    rows = family(run, deliver, collector, tmp_path, state, end)
    check(rows, collector)
    assert all(rows[row] for row in (0, 1) if state not in {"inside_emit", "inside_refusal"})


@pytest.mark.parametrize("state", ["before_first_emit", "running", "siblings", "fork_of_a_fork"])
def test_a_fork_by_c_code(run, deliver, collector, tmp_path, state):
    """A fork that runs no hook, as uWSGI's, is seen as well."""
    rows = family(run, deliver, collector, tmp_path, state, "os._exit", hooks="none")
    check(rows, collector)


@pytest.mark.parametrize("early", [False, True])
def test_an_interaction_open_at_the_fork(run, deliver, collector, tmp_path, early):
    """Both sides leave the block: neither writes into the other's files nor uses its id."""
    rows = family(run, deliver, collector, tmp_path, "inside_interaction", "os._exit", early=early)
    check(rows, collector)


def test_each_process_is_an_instance(run, deliver, collector, tmp_path):
    """Siblings of one parent have an ``sdk.instance`` each."""
    rows = family(run, deliver, collector, tmp_path, "siblings", "exit")
    instances = [
        {collector.accepted[name]["data"]["sdk"]["instance"] for name in row} for row in rows
    ]
    assert [len(each) for each in instances] == [1] * ROWS
    assert len(set.union(*instances)) == ROWS
