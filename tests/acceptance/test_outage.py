"""
The collector is away, slow or rude; processes end in every way. The host is not slowed, nothing is
lost, and nobody else's events are touched.
"""

from __future__ import annotations

import os
import signal
import socket

import pytest

from cxsdk.testing import faults

BUDGET_S = 2.0
MARGIN_S = 1.0

EMIT_AND_END = """
    init()
    say(ids=count(50))
"""


@pytest.fixture
def black_hole():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


# ---- an outage that outlasts the process --------------------------------------------------


@pytest.mark.parametrize("trouble", ["down", "503", "429", "hang"])
def test_an_exit_beside_a_collector_that_is_away(start, deliver, collector, trouble):
    """A process whose whole life is an outage ends in its budget; the next one delivers all."""
    if trouble == "down":
        collector.stop()
    answers = {"429": faults.status(429, retry_after="30"), "hang": faults.hang()}
    collector.always = answers.get(trouble, faults.status(503))
    host = start(EMIT_AND_END, collector)
    ids = host.line()["ids"]
    ended = host.end()
    assert ended.code == 0, ended.err
    assert ended.seconds < BUDGET_S + MARGIN_S
    assert collector.ids == []
    collector.stop()
    collector.always = faults.ok()
    collector.start()
    assert deliver(collector) == {"offered": 0, "default": 0}
    assert sorted(collector.ids) == sorted(ids)


def test_an_exit_beside_a_black_hole(start, deliver, collector, black_hole):
    """A collector that takes connections and never answers costs the budget and no more."""
    port = black_hole.getsockname()[1]
    host = start(EMIT_AND_END, f"http://127.0.0.1:{port}")
    ids = host.line()["ids"]
    ended = host.end()
    assert ended.code == 0, ended.err
    assert ended.seconds < BUDGET_S + MARGIN_S
    black_hole.close()
    collector.stop()
    collector.port = port
    collector.start()
    assert deliver(collector) == {"offered": 0, "default": 0}
    assert sorted(collector.ids) == sorted(ids)


def test_an_exit_with_two_clients_has_one_budget(start, black_hole):
    """Two clients at two black holes end within one budget, not one after the other."""
    port = black_hole.getsockname()[1]
    host = start(
        """
        import cxsdk as cx
        init()
        other = cx.Client("other", collector=args["collector"], spool=cx.SpoolOptions(
            mode="mmap", directory=args["root"], min_free_bytes=0))
        emit(1)
        other.feedback(csat=1, customer="c1")
        say(up=True)
        """,
        f"http://127.0.0.1:{port}",
    )
    host.line()
    ended = host.end()
    assert ended.code == 0, ended.err
    assert ended.seconds < BUDGET_S + MARGIN_S


# ---- an outage inside the life of a process -----------------------------------------------

PACED = """
    import cxsdk as cx
    init()
    ids, costs = [], []
    begin = due = time.monotonic()
    while time.monotonic() < begin + args["seconds"]:
        before = time.perf_counter_ns()
        result = emit(len(costs))
        costs.append(time.perf_counter_ns() - before)
        ids.append(result.id)
        due += 0.002
        time.sleep(max(0.0, due - time.monotonic()))
    costs = sorted(costs[50:])
    report = client().flush(30)
    stats = client().stats()
    say(ids=ids, p99_us=costs[len(costs) * 99 // 100] / 1000, pending=report.pending,
        ledger=ledger(), attempts=stats["sinks"]["default"]["delivery"]["attempts"])
"""

TROUBLES = {
    "healthy": faults.ok,
    "500": lambda: faults.status(500),
    "429": lambda: faults.status(429, retry_after="1"),
    "503": lambda: faults.status(503),
    "hang": lambda: faults.hang(1.0),
    "mid_body": faults.close_mid_body,
    "reset": faults.reset,
}
p99s: dict[str, float] = {}


@pytest.mark.parametrize("trouble", list(TROUBLES))
def test_trouble_in_the_middle(run, collector, capsys, trouble):
    """A second of trouble: all arrives afterwards, once by id, and no call was held up."""
    collector.always = faults.for_seconds(1.0, TROUBLES[trouble]())
    said = run(PACED, collector, seconds=2.5, delivery={"linger": 0.1}).said
    p99s[trouble] = said["p99_us"]
    ratio = said["p99_us"] / p99s["healthy"] if "healthy" in p99s else 0.0
    with capsys.disabled():
        print(f"\n{trouble}: p99 {said['p99_us']:.0f} us, {ratio:.2f} of healthy")
    assert sorted(collector.ids) == sorted(said["ids"])
    assert said["pending"] == 0
    assert said["ledger"] == {"offered": 0, "default": 0}
    assert said["p99_us"] < 5000


# ---- whose events are whose ---------------------------------------------------------------

EMIT_AND_LOOK = """
    init()
    mine = count(5)
    client().warm_up()  # a whole round of the keeper, adoption included
    report = client().flush(10)
    say(ids=mine, pending=report.pending)
"""


@pytest.mark.parametrize("other", ["environment", "service", "destination"])
def test_nobody_else_delivers_it(run, deliver, collector, other):
    """What one environment, service or destination left is not delivered by another one."""
    collector.stop()
    left = run(EMIT_AND_END, collector, environment="production").said["ids"]
    collector.start()
    with faults.FaultCollector() as elsewhere:
        target = elsewhere if other == "destination" else collector
        given = {"environment": "production"}
        if other != "destination":
            given[other] = "staging"
        said = run(EMIT_AND_LOOK, target, **given).said
        assert said["pending"] == 0
        assert sorted(target.ids) == sorted(said["ids"])
    deliver(collector, environment="production")
    assert sorted(set(collector.ids) - set(said["ids"])) == sorted(left)


# ---- ends of a process --------------------------------------------------------------------

ENDS = {
    "os._exit": "os._exit(0)",
    "sigkill": "os.kill(os.getpid(), 9)",
    "abort": "os.abort()",
    "exception": "raise RuntimeError('the host is broken')",
    "sys.exit": "raise SystemExit(3)",
    "sigterm": "os.kill(os.getpid(), 15)",
    "sigint": "os.kill(os.getpid(), 2); time.sleep(20)",
}


@pytest.mark.parametrize("end", list(ENDS))
def test_every_end_keeps_what_was_accepted(start, deliver, collector, end):
    """However the process ends, everything accepted arrives, by itself or by the next one."""
    host = start(EMIT_AND_END + "    " + ENDS[end], collector, delivery={"linger": 60.0})
    ids = host.line()["ids"]
    host.end()
    # Python runs its exit hooks after these, and they deliver.
    by_itself = end in {"exception", "sys.exit", "sigint"}
    assert sorted(collector.ids) == (sorted(ids) if by_itself else [])
    deliver(collector)
    assert sorted(collector.ids) == sorted(ids)
    assert collector.duplicates == 0


@pytest.mark.parametrize("before", ["default", "handler"])
def test_sigterm_drains_when_asked(start, collector, before):
    """With drain_on_sigterm the process delivers first, then does what SIGTERM did before."""
    host = start(
        """
        import signal, cxsdk as cx
        if args["before"] == "handler":
            signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        init()
        cx.drain_on_sigterm()
        say(ids=count(50))
        time.sleep(30)
        """,
        collector,
        before=before,
        delivery={"linger": 60.0},
    )
    ids = host.line()["ids"]
    host.process.send_signal(signal.SIGTERM)
    ended = host.end()
    assert ended.code == (7 if before == "handler" else -signal.SIGTERM), ended.err
    assert sorted(collector.ids) == sorted(ids)


def test_sigterm_in_a_black_hole_is_bounded(start, black_hole):
    """A drain at SIGTERM beside a collector that never answers keeps the budget."""
    host = start(
        """
        import cxsdk as cx
        init()
        cx.drain_on_sigterm()
        count(50)
        say(up=True)
        time.sleep(30)
        """,
        f"http://127.0.0.1:{black_hole.getsockname()[1]}",
    )
    host.line()
    host.process.send_signal(signal.SIGTERM)
    ended = host.end()
    assert ended.code == -signal.SIGTERM, ended.err
    assert ended.seconds < BUDGET_S + 0.5 + MARGIN_S


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_deliver_at_their_end(run, collector, method):
    """Such a child skips atexit, and still delivers before it ends."""
    said = run(
        """
        import multiprocessing

        def work(queue):
            if args["method"] != "fork":
                init()
            queue.put(count(20))

        if __name__ == "__main__":
            init()
            mine = count(10)
            context = multiprocessing.get_context(args["method"])
            queue = context.SimpleQueue()
            child = context.Process(target=work, args=(queue,))
            child.start()
            theirs = queue.get()
            child.join()
            say(mine=mine, theirs=theirs, code=child.exitcode)
            os._exit(0)
        """,
        collector,
        method=method,
        delivery={"linger": 60.0},
    ).said
    assert said["code"] == 0
    assert sorted(collector.ids) == sorted(said["theirs"])


def test_an_asgi_server_drains_in_its_lifespan(start, collector, free_port):
    """Under uvicorn, SIGTERM skips atexit; the lifespan delivers."""
    pytest.importorskip("uvicorn")
    host = start(
        """
        import cxsdk as cx, threading, urllib.request, uvicorn
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        async def page(request):
            return JSONResponse(count(5))

        init()
        app = Starlette(routes=[Route("/", page)], lifespan=cx.lifespan)

        class Server(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                threading.Thread(target=ask, daemon=True).start()

        def ask():
            with urllib.request.urlopen("http://127.0.0.1:%d/" % args["port"]) as answer:
                say(ids=json.load(answer))

        Server(uvicorn.Config(app, port=args["port"], log_config=None)).run()
        """,
        collector,
        port=free_port,
        delivery={"linger": 60.0},
    )
    ids = host.line()["ids"]
    os.kill(host.process.pid, signal.SIGTERM)
    host.end()
    assert sorted(collector.ids) == sorted(ids)
