"""
The host is never broken: switches, weight, calls from inside calls, disks that fail.
"""

from __future__ import annotations

import os
import sys

import pytest

from cxsdk.testing import faults

# ---- switches -----------------------------------------------------------------------------

WATCHED = """
import sys, threading
touched = []


def watch(event, given):
    # What is opened for writing, or below the root in any way, and every new name on the disk.
    if event == "open" and isinstance(given[0], (str, bytes)):
        path, mode, flags = os.fsdecode(given[0]), given[1], given[2]
        if args["root"] in path or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            touched.append(path)
    elif event in {"os.mkdir", "os.rename", "os.link", "os.symlink", "socket.connect"}:
        touched.append(event)


sys.dont_write_bytecode = True
sys.addaudithook(watch)
"""


def seen(names):
    return f"[name for name in sys.modules if name.split('.')[0] in {names!r}]"


def test_disabled_touches_nothing(run, collector, root):
    """CXSDK_DISABLED=1: no file, no thread, no HTTP library, and the verbs say why."""
    said = run(
        WATCHED
        + f"""
import cxsdk as cx
init()
reasons = [emit(n).reason for n in range(4)]
say(reasons=reasons, touched=touched, threads=threading.active_count(),
    heavy={seen({"httpx", "httpcore", "tenacity"})}, flush=cx.flush().pending)
cx.close()
""",
        collector,
        env={"CXSDK_DISABLED": "1"},
    ).said
    assert said == {
        "reasons": ["disabled"] * 4,
        "touched": [],
        "threads": 1,
        "heavy": [],
        "flush": 0,
    }
    assert not root.exists()


def test_import_and_init_touch_nothing(run, collector, root):
    """Import and init open no file, start no thread and load neither models nor HTTP."""
    heavy = {"httpx", "httpcore", "tenacity"}
    said = run(
        WATCHED
        + f"""
import cxsdk as cx
models = ("cxsdk.events.model", "cxsdk.events.families", "cxsdk.events.blocks")
say(by_import={seen({*heavy, "ssl", "asyncio"})} + [n for n in sys.modules if n in models])
init()
say(touched=touched, threads=threading.active_count(), heavy={seen(heavy)})
""",
        collector,
    )
    assert said.out.splitlines()[0] == '{"by_import": []}'
    assert said.said == {"touched": [], "threads": 1, "heavy": []}
    assert not root.exists()


def test_leftovers_are_delivered_by_a_service_that_emits_nothing(run, collector):
    """After a start with leftovers one look drains them, with no event and no flush."""
    collector.stop()
    ids = run("init(); say(ids=count(30))", collector).said["ids"]
    collector.start()
    said = run(
        """
        init()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            sink = client().stats()["sinks"]["default"]
            if sink["adopted"] and not sink["spooled"] and not sink["in_flight"]:
                break
            time.sleep(0.05)
        say(adopted=sink["adopted"], delivered=sink["delivered"], ledger=ledger())
        """,
        collector,
    ).said
    assert (said["adopted"], said["delivered"]) == (30, 30)
    assert sorted(collector.ids) == sorted(ids)


@pytest.mark.parametrize("mode", ["mmap", "write", "memory", "off"])
def test_the_environment_decides_the_mode(run, collector, mode):
    """CXSDK_SPOOL_MODE wins over the argument."""
    said = run(
        """
        init(spool=__import__("cxsdk").SpoolOptions(
            mode=args["other"], directory=args["root"], min_free_bytes=0))
        results = [emit(n) for n in range(4)]
        say(level=client().stats()["spool"].get("level"), accepted=sum(map(bool, results)),
            durable=[r.durable for r in results if r], ledger=ledger())
        """,
        collector,
        env={"CXSDK_SPOOL_MODE": mode},
        other="memory" if mode == "mmap" else "mmap",
    ).said
    expected = {"mmap": (4, True), "write": (4, True), "memory": (4, False), "off": (0, None)}
    count, durable = expected[mode]
    assert said["accepted"] == count
    assert said["durable"] == [durable] * count
    if mode != "off":
        assert said["level"] == mode


def test_the_environment_decides_the_sample(run, collector):
    """CXSDK_INTERACTION_SAMPLE=0 drops interactions as sampled and nothing else."""
    said = run(
        """
        init()
        say(reasons=[getattr(emit(n), "reason", "accepted") for n in range(4)], ledger=ledger())
        """,
        collector,
        env={"CXSDK_INTERACTION_SAMPLE": "0"},
    ).said
    assert said["reasons"] == ["sampled", "accepted"] * 2
    assert said["ledger"] == {"offered": 0, "default": 0}


def test_an_off_file_stops_capture_and_lets_it_go_on(run, collector):
    """A file named OFF in the root switches a running service off, and its removal on again."""
    said = run(
        """
        from pathlib import Path

        def wait_for(taken):
            end = time.monotonic() + 45
            while bool(emit(1)) is not taken and time.monotonic() < end:
                time.sleep(0.05)
            return getattr(emit(1), "reason", "accepted")

        init()
        emit(1)
        off = Path(args["root"]) / "OFF"
        off.touch()
        first = wait_for(False)
        off.unlink()
        say(first=first, then=wait_for(True))
        """,
        collector,
    ).said
    assert said == {"first": "switched_off", "then": "accepted"}


def test_an_off_file_is_heeded_from_the_start(run, collector, root):
    """A service that starts with the OFF file there spools nothing."""
    root.mkdir(mode=0o700)
    (root / "OFF").touch()
    said = run(
        """
        init()
        client().warm_up()
        say(reasons=[getattr(emit(n), "reason", "accepted") for n in range(3)])
        """,
        collector,
    ).said
    assert said["reasons"] == ["switched_off"] * 3
    assert collector.ids == []


# ---- calls from inside calls --------------------------------------------------------------

REENTRANT = """
import cxsdk as cx, gc, logging, random, signal, sys, threading
accepted, inner, inside = [], [], [0]


def emit_inside(**more):
    # What a host does in a handler: an accepted event, and ones that are refused.
    if inside[0] > 3:
        return
    inside[0] += 1
    try:
        result = emit(len(inner), **more)
        if result:
            inner.append(result.id)
        cx.feedback(csat=4)
        cx.feedback(csat=77, customer="c1")
    finally:
        inside[0] -= 1


def work(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        result = emit(number)
        assert result, result
        accepted.append(result.id)
        if number % 7 == 0:
            assert not cx.feedback(csat=4)  # nobody to address
            assert not cx.feedback(csat=99, customer="c1")
        if number % 101 == 0:
            client().stats()
        if number % 997 == 0:
            client().flush(0.01)


def from_signals():
    init()
    signal.signal(signal.SIGALRM, lambda *_: emit_inside())
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    work(args["seconds"])
    signal.setitimer(signal.ITIMER_REAL, 0)


def from_del():
    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            emit_inside()

    init()
    gc.set_threshold(1)
    end = time.monotonic() + args["seconds"]
    while time.monotonic() < end:
        Cycle()
        work(0.005)
    gc.set_threshold(0)


def from_logging():
    class Handler(logging.Handler):
        def emit(self, record):
            emit_inside()

    logging.getLogger().addHandler(Handler())
    logging.getLogger().setLevel(logging.DEBUG)
    init()
    end = time.monotonic() + args["seconds"]
    while time.monotonic() < end:
        logging.getLogger("host").info("a line")
        work(0.005)


def from_listener():
    init(listeners=[lambda event: emit_inside()])
    work(args["seconds"])


def from_processor():
    def process(event):
        emit_inside()
        return event

    init(processors=[process])
    work(args["seconds"])


def from_everything():
    class Cycle:
        def __del__(self):
            emit_inside()

    def listen(event):
        Cycle().me = Cycle()

    # Without logging: a signal handler that logs while another thread's log handler emits is a
    # circle of two locks, of which only one is ours.
    init(listeners=[listen])
    signal.signal(signal.SIGALRM, lambda *_: emit_inside())
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    threads = [threading.Thread(target=work, args=(args["seconds"],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    work(args["seconds"])
    for thread in threads:
        thread.join()
    signal.setitimer(signal.ITIMER_REAL, 0)


sys.setswitchinterval(0.001)
globals()[args["way"]]()
inside[0] = 99
report = client().flush(30 + 3 * args["seconds"])
say(accepted=accepted + inner, inner=len(inner), pending=report.pending, ledger=ledger(),
    refused=client().stats()["refused"], stats=client().stats())
os._exit(0)
"""


@pytest.mark.parametrize(
    "way",
    [
        "from_signals",
        "from_del",
        "from_logging",
        "from_listener",
        "from_processor",
        "from_everything",
    ],
)
def test_emits_from_inside_an_emit(run, collector, way):
    """
    No deadlock, and every event is accounted for, taken or refused.

    A million events and more: ``CXSDK_STORM_SECONDS=60``.
    """
    seconds = float(os.environ.get("CXSDK_STORM_SECONDS", "2"))
    said = run(REENTRANT, collector, within=30 + 10 * seconds, way=way, seconds=seconds).said
    assert said["inner"] > 20
    assert said["pending"] == 0
    assert said["ledger"] == {"offered": 0, "default": 0}, said["stats"]
    assert {"no_customer"} <= said["refused"].keys()
    assert sorted(set(said["accepted"]) - set(collector.ids)) == []
    assert len(said["accepted"]) == len(set(said["accepted"]))


def test_our_own_requests_make_no_events(run, collector):
    """With the root logger at DEBUG and a handler that emits, delivery causes no event."""
    said = run(
        """
        import logging, cxsdk as cx

        class Handler(logging.Handler):
            def emit(self, record):
                lines.append((record.name, record.getMessage()))
                cx.feedback(csat=1, customer="logged")

        lines = []
        init()
        logging.getLogger().addHandler(Handler())
        logging.getLogger().setLevel(logging.DEBUG)
        ids = count(50)
        for _ in range(5):
            client().flush(10)
        say(ids=ids, lines=lines, ledger=ledger())
        """,
        collector,
    ).said
    assert said["lines"] == []
    assert sorted(collector.ids) == sorted(said["ids"])


def test_an_instrumented_host_sees_its_own_requests_only(run, collector):
    """Under OpenTelemetry's httpx instrumentation ten thousand events make no span and no event."""
    said = run(
        """
        import logging, httpx, cxsdk as cx
        from opentelemetry import trace
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        class Handler(logging.Handler):
            def emit(self, record):
                lines.append((record.name, record.getMessage()))
                cx.feedback(csat=1, customer="logged")

        lines, spans = [], InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        trace.set_tracer_provider(provider)
        HTTPXClientInstrumentor().instrument()
        httpx.get(args["collector"] + "/mine")  # the instrumentation is alive
        init()
        logging.getLogger().addHandler(Handler())
        logging.getLogger().setLevel(logging.DEBUG)
        ids = count(10_000)
        report = client().flush(30)
        say(ids=ids, lines=lines, spans=[span.name for span in spans.get_finished_spans()],
            pending=report.pending, ledger=ledger())
        """,
        collector,
    ).said
    assert (said["spans"], said["lines"], said["pending"]) == (["GET"], [], 0)
    assert said["ledger"] == {"offered": 0, "default": 0}
    assert sorted(collector.ids) == sorted(said["ids"])


# ---- secrets ------------------------------------------------------------------------------

CANARIES = {
    "api_key": "canary-api-key-8c1f",
    "key": "canary-privacy-key-0123456789",
    "customer": "canary-customer-77",
    "mail": "canary.person@example.org",
    "card": "4111 1111 1111 1111",
    "session": "canary-session-cookie-5a",
}


def test_secrets_stay_inside(run, collector, root, tmp_path):
    """Keys, customer ids and personal data in free text are in no log, file, letter or repr."""
    collector.always = faults.refuse_batches_with(lambda _: True)
    ended = run(
        """
        import logging, cxsdk as cx
        logging.basicConfig(level=logging.DEBUG)
        secret = args["canaries"]
        init(api_key=secret["api_key"], privacy=cx.PrivacyOptions(key=secret["key"].encode()))
        text = f"mail {secret['mail']} or charge {secret['card']}"
        with cx.scope(customer=secret["customer"], session=secret["session"]):
            for n in range(5):
                cx.feedback(csat=2, text=text, attributes={"note": text, "password": "hunter2"})
                with cx.interaction("a.b") as contact:
                    contact.attributes["note"] = text
                    shown = repr(contact)
                cx.feedback(csat=99, text=text)
        client().flush(3)
        say(shown=[shown, repr(client()), repr(client().settings), str(client().stats()),
            repr(cx.health())])
        os.kill(os.getpid(), 9) if args["kill"] else None
        """,
        collector,
        canaries=CANARIES,
        kill=False,
    )
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"feedback" in kept, "nothing is kept that could be searched"
    wire = b"".join(request.body for request in collector.requests)
    for name, canary in CANARIES.items():
        found = {
            "log": canary in ended.err,
            "said": canary in ended.out,
            "spool": canary.encode() in kept,
            "wire": canary.encode() in wire,
        }
        assert found == dict.fromkeys(found, False), name
    assert b"hunter2" not in kept + wire


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_tight(run, collector, root, umask):
    """Directories are 0700 and files 0600 under any umask."""
    collector.stop()
    run(
        """
        os.umask(args["umask"])
        init()
        count(20)
        client().flush(0.1)
        """,
        collector,
        umask=umask,
    )
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in root.rglob("*")}
    wanted = {path.name: "0o700" if path.is_dir() else "0o600" for path in [root, *root.rglob("*")]}
    assert {root.name: oct(root.stat().st_mode & 0o777), **modes} == wanted
    assert any(name.endswith(".seg") for name in modes)


def test_a_symlinked_root_is_refused(run, collector, root, tmp_path):
    """Memory stands in for a root that is a link, with one warning; the target stays empty."""
    target = tmp_path / "target"
    target.mkdir()
    root.symlink_to(target)
    ended = run(
        """
        import logging
        logging.basicConfig(level=logging.WARNING)
        init()
        results = [emit(n) for n in range(50)]
        say(accepted=sum(map(bool, results)), durable=sum(r.durable for r in results),
            pending=client().flush(10).pending, ledger=ledger())
        """,
        collector,
    )
    assert (ended.said["accepted"], ended.said["durable"]) == (50, 0)
    assert ended.said["pending"] == 0
    assert list(target.iterdir()) == []
    assert ended.err.count("the spool's disk refuses") == 1


# ---- disks --------------------------------------------------------------------------------

FAULTY = """
import cxsdk as cx, errno, resource, shutil, threading
from pathlib import Path
root = Path(args["root"])
small = {"segment_bytes": 8192, "max_segment_bytes": 8192, "retry_disk_after": 0.2}


def level():
    return client().stats()["spool"]["level"]


def until(wanted, number):
    # Emits go on while the disk fails and while it comes back.
    end = time.monotonic() + 30
    taken = []
    while time.monotonic() < end:
        taken += count(20, number)
        if level() == wanted:
            return taken
        time.sleep(0.02)
    raise AssertionError((wanted, client().stats()))


def limit_file_size():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def no_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def no_room():
    # A file system without room: the library leaves 2**60 bytes of it to others.
    import os as real
    found = real.statvfs
    real.statvfs = lambda path: type("Full", (), {"f_bavail": 0, "f_frsize": 4096})()
    return lambda: setattr(real, "statvfs", found)


init(spool=cx.SpoolOptions(mode="mmap", directory=root, min_free_bytes=args["free"], **small))
ids = count(10)
if args["first"] == "warm":
    client().warm_up()
balances = [ledger()]
restore = globals()[args["fault"]]()
ids += until("memory", 100)
balances.append(ledger())
restore()
ids += until("mmap", 10_000)
balances.append(ledger())
report = client().flush(20)
balances.append(ledger())
sink = client().stats()["sinks"]["default"]
say(ids=ids, pending=report.pending, balances=balances, dropped=sink["dropped"])
"""


@pytest.mark.parametrize("first", ["warm", "cold"])
@pytest.mark.parametrize("fault", ["limit_file_size", "no_descriptors", "no_room"])
def test_a_disk_that_fails_and_comes_back(run, collector, fault, first):
    """Memory stands in, nothing reaches the host, the ledger holds, and the disk is used again."""
    free = 1 if fault == "no_room" else 0
    said = run(FAULTY, collector, fault=fault, first=first, free=free).said
    assert said["balances"] == [{"offered": 0, "default": 0}] * 4
    assert said["pending"] == 0
    assert said["dropped"] == {}
    assert sorted(collector.ids) == sorted(said["ids"])


@pytest.mark.parametrize("fault", ["read_only", "a_file", "missing_parent"])
def test_a_root_that_cannot_be_used(run, collector, root, fault):
    """Where no directory can be made, events are kept in memory and delivered from there."""
    parent = root.parent / "parent"
    if fault == "a_file":
        parent.write_text("no directory")
    elif fault == "read_only":
        parent = type(root)("/proc/self/no")
    ended = run(
        """
        init(spool=__import__("cxsdk").SpoolOptions(mode="mmap", directory=args["where"]))
        results = [emit(n) for n in range(50)]
        say(durable={r.durable for r in results}, ids=[r.id for r in results],
            pending=client().flush(10).pending, ledger=ledger())
        """.replace("{r.durable for r in results}", "sorted({r.durable for r in results})"),
        collector,
        where=str(parent / "deep" / "root"),
    )
    assert ended.said["durable"] == [fault == "missing_parent"]
    assert ended.said["ledger"] == {"offered": 0, "default": 0}
    assert sorted(collector.ids) == sorted(ended.said["ids"])


def test_a_directory_deleted_live(run, collector):
    """Its events that are still mapped move to a new one; what is gone is counted."""
    said = run(
        """
        import shutil
        init(spool=__import__("cxsdk").SpoolOptions(mode="mmap", directory=args["root"],
            min_free_bytes=0, segment_bytes=8192, max_segment_bytes=8192, retry_disk_after=0.2))
        ids = count(100)
        while __import__("pathlib").Path(args["root"]).exists():
            shutil.rmtree(args["root"], ignore_errors=True)  # the keeper may write meanwhile
        ids += count(100, 100)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            stats = client().stats()
            if stats["noted"].get("directory_lost") and stats["spool"]["level"] == "mmap":
                break
            ids += count(1, 5000)
            time.sleep(0.02)
        ids += count(100, 7000)
        pending = client().flush(20).pending
        stats = client().stats()
        say(ids=ids, lost=sum(stats["sinks"]["default"]["dropped"].values()), pending=pending,
            delivered=stats["sinks"]["default"]["delivered"], ledger=ledger(),
            noted=stats["noted"].get("directory_lost"), level=stats["spool"]["level"])
        """,
        collector,
        delivery={"linger": 5.0},
    ).said
    assert said["noted"] == 1
    assert said["level"] == "mmap"
    assert said["pending"] == 0
    assert said["ledger"] == {"offered": 0, "default": 0}
    losses = sum(
        event["type"].endswith("loss.recorded.v1") for event in collector.accepted.values()
    )
    missing = set(said["ids"]) - set(collector.ids)
    assert len(missing) == said["lost"]
    assert said["delivered"] == len(said["ids"]) - len(missing) + losses


# ---- ends and figures ---------------------------------------------------------------------


def test_after_close(run, collector):
    """Events after close are dropped as closed, and that is said once."""
    ended = run(
        """
        import logging, cxsdk as cx
        logging.basicConfig(level=logging.WARNING)
        init()
        emit(1)
        cx.close()
        cx.close()
        say(reasons=[emit(n).reason for n in range(6)], pending=cx.flush(1).pending,
            health=cx.health().status)
        """,
        collector,
    )
    assert ended.said == {"reasons": ["closed"] * 6, "pending": 0, "health": "off"}
    assert ended.err.count("after close()") == 1


def test_init_twice(run, collector):
    """The second init closes the first client with a warning; nothing of either is lost."""
    ended = run(
        """
        __import__("logging").basicConfig()
        init()
        ids = count(20)
        init()
        ids += count(20)
        say(ids=ids, pending=client().flush(10).pending, ledger=ledger())
        """,
        collector,
    )
    assert ended.err.count("init ran again") == 1
    assert sorted(collector.ids) == sorted(ended.said["ids"])


@pytest.mark.parametrize("rude", [False, True])
def test_no_exception_of_ours_reaches_the_host(run, collector, rude):
    """Nonsense in any argument of any verb is refused, counted, and no more than that."""
    said = run(
        """
        import cxsdk as cx

        class Rude:
            def __str__(self):
                raise ValueError("the host's own")

            __repr__ = __hash__ = __bool__ = __len__ = __iter__ = __eq__ = __str__

        init()
        nonsense = [object(), b"bytes", "\\ud800", float("nan"), 10 ** 400, [], {},
            ["x"] * 5, "x" * 100_000, lambda: 0, -1, True]
        if args["rude"]:
            nonsense = [Rude()]
        calls = 0
        for each in nonsense:
            for call in (
                lambda: cx.feedback(csat=each, customer="c1"),
                lambda: cx.feedback(csat=4, customer=each),
                lambda: cx.feedback(csat=4, customer="c1", text=each),
                lambda: cx.feedback(csat=4, customer="c1", attributes={"a": each}),
                lambda: cx.feedback(csat=4, customer="c1", attributes=each),
                lambda: cx.feedback(csat=4, customer="c1", refs={"order": each}),
                lambda: cx.feedback(csat=4, customer="c1", about=each),
                lambda: cx.feedback(csat=4, customer="c1", at=each),
                lambda: cx.feedback(csat=4, customer="c1", key=each),
                lambda: cx.reaction(each, customer="c1"),
                lambda: cx.record(each, customer="c1"),
                lambda: cx.record("a.b", customer="c1", value=each),
                lambda: cx.record("a.b", customer="c1", wait=each),
                lambda: cx.problem(each, customer="c1"),
                lambda: cx.promise(each, key="k", customer="c1"),
                lambda: cx.identify(each),
            ):
                call()
                calls += 1
            with cx.interaction(each, customer=each) as contact:
                contact.outcome = each
                contact.goal_met = each
                contact.reason = each
                contact.attributes = each
                contact.refs = each
                contact.unheard_of = each
            with cx.interaction("a.b", customer="c1") as contact:
                contact.attributes["a"] = each
                contact.refs["order"] = each
            with cx.scope(customer=each, session=each, channel=each):
                cx.feedback(csat=4)
        say(ledger=ledger(), pending=client().flush(10).pending)
        """,
        collector,
        rude=rude,
    ).said
    assert said == {"ledger": {"offered": 0, "default": 0}, "pending": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_it_takes_of_the_host(run, collector):
    """At most 8 descriptors, one keeper, one sender, and about one wake-up a second when idle."""
    said = run(
        """
        import threading

        def descriptors():
            return len(os.listdir("/proc/self/fd"))

        def switches():
            # Of our threads only; the main one sleeps in this very measurement.
            total = 0
            for task in os.listdir("/proc/self/task"):
                if int(task) != os.getpid():
                    status = open(f"/proc/self/task/{task}/status").read()
                    total += int(status.split("\\nvoluntary_ctxt_switches:")[1].split()[0])
            return total

        before = descriptors()
        init()
        ids = count(400)
        client().flush(10)
        used = descriptors() - before
        ids += count(3000, 400)
        client().flush(20)
        most = max(used, descriptors() - before)
        names = sorted(t.name for t in threading.enumerate() if t.name.startswith("cxsdk"))
        time.sleep(6)  # the keeper looks more often for five seconds after the last event
        start, switched = time.monotonic(), switches()
        time.sleep(5)
        rate = (switches() - switched) / (time.monotonic() - start)
        say(fds=most, names=names, rate=rate)
        """,
        collector,
        delivery={"linger": 0.1},
    ).said
    assert said["names"] == ["cxsdk-keeper", "cxsdk-send-default"]
    assert said["fds"] <= 8
    assert said["rate"] <= 3.0
