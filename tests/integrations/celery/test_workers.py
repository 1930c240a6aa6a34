"""
Real workers on real brokers, killed and ended; what they said is counted in a real collector.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery

import cxsdk as cx
from cxsdk.collector import Collector
from cxsdk.integrations.celery import CX
from cxsdk.pipeline.customers import Customers
from tests.acceptance.kill import environment
from tests.integrations.celery.brokers import is_there, rabbitmq, redis
from tests.integrations.celery.conftest import KEY
from tests.lifecycle.conftest import missing
from tests.lifecycle.life import free_port, until

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture(scope="module")
def on_redis(tmp_path_factory):
    """A Redis of our own."""
    with redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def on_rabbitmq(tmp_path_factory):
    """A RabbitMQ of our own."""
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


class House:
    """
    One team's web service (this process), its workers, and the collector of both.
    """

    def __init__(self, folder, broker, collector, name):
        self.folder, self.broker, self.collector = folder, broker, collector
        self.queue = name
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.running = []
        self.app = Celery("web", broker=broker)
        self.app.conf.task_default_queue = name
        self.installed = CX(self.app)
        self.again = self.conflicts = 0
        add = collector.store.add

        def counting(*args):
            done = add(*args)
            self.again += done.duplicate
            self.conflicts += len(done.conflicts)
            return done

        collector.store.add = counting

    def environ(self, **more):
        """Return what a worker finds in its environment."""
        given = {
            "PYTHONPATH": os.pathsep.join((str(HERE), str(ROOT))),
            "CXSDK_SERVICE": "jobs",
            "CXSDK_COLLECTOR": self.collector.url,
            "CXSDK_KEY": KEY.decode(),
            "CXSDK_SPOOL_DIR": str(self.folder / "spool"),
            "CXSDK_SPOOL_MODE": "mmap",
            "CXSDK_SPOOL_MIN_FREE_BYTES": "0",
            "CXSDK_DRAIN_SECONDS": "5",
            "JOBS_BROKER": self.broker,
            "JOBS_QUEUE": self.queue,
            "JOBS_NOTES": str(self.notes),
        }
        return environment(**{**given, **more})

    def worker(self, pool="prefork", *options, **more):
        """Start a worker."""
        command = [sys.executable, "-m", "celery", "-A", "jobs", "worker", f"--pool={pool}"]
        command += ["-c", "2", "-Q", self.queue, "--without-gossip", "--without-mingle", *options]
        with (self.folder / "worker.txt").open("ab") as words:
            process = subprocess.Popen(
                command,
                cwd=HERE,
                env=self.environ(**more),
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def words(self):
        """Return what the workers wrote."""
        return (self.folder / "worker.txt").read_text(errors="replace")

    def send(self, order, customer, ends="returns"):
        """Send a notice from a request of *customer*."""
        with cx.scope(customer=customer, session=f"s-of-{customer}", consent="granted"):
            self.app.send_task("jobs.notify", (order, ends))

    def done(self, order):
        """Return by whom a notice was begun: (pid, task id, attempt)."""
        path = self.notes / f"{order}.txt"
        return (
            [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []
        )

    def wait_for(self, order, times=1):
        """Wait until a notice was begun so often; return by whom."""
        until(lambda: len(self.done(order)) >= times, f"{order} {times} times: {self.words()}")
        return self.done(order)

    def end(self, process, number=signal.SIGTERM):
        """End a worker, and wait for all of it."""
        process.send_signal(number)
        process.wait(60)
        until(lambda: not is_there(process.pid), "the end of its children")

    def kill(self):
        """End all that runs, at once."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stored(self):
        """Return the events at the collector."""
        with self.collector.store.reading() as db:
            rows = db.execute(
                "SELECT body FROM events WHERE source = 'urn:service:jobs'"
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def deliver_the_rest(self, count):
        """Let a process that says nothing deliver what is left, as the next start would."""
        if len(self.stored()) < count:
            program = "import jobs, time; jobs.cx.client().warm_up(); time.sleep(120)"
            heir = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=HERE,
                env=self.environ(),
                start_new_session=True,
            )
            self.running.append(heir)
            until(lambda: len(self.stored()) >= count, f"{count} events")

    def close(self):
        """Let go of everything."""
        self.kill()
        self.installed.uninstall()
        self.app.close()


@pytest.fixture
def make_house(tmp_path, request):
    """Set one up on a broker."""
    made = []
    cx.init("web", collector="null:", privacy=cx.PrivacyOptions(key=KEY))
    with Collector() as collector:

        def make(broker):
            made.append(House(tmp_path, broker, collector, f"q-{abs(hash(request.node.name))}"))
            return made[-1]

        yield make
        for house in made:
            house.close()


@pytest.fixture
def house(make_house, on_redis):
    """One on Redis."""
    return make_house(on_redis)


def told(events):
    """Return what was said of each order: (family, touchpoint or kind, customer)."""
    found = {}
    for event in events:
        data = event["data"]
        (order,) = [ref["id"] for ref in data["refs"]]
        what = data.get("kind") or data.get("reaction") or data["where"]["touchpoint"]
        found.setdefault(order, []).append((what, data["customer"]["id"]))
    return {order: sorted(said) for order, said in found.items()}


def expected(customer):
    """Return what is said once of a notice to *customer*."""
    who = Customers(KEY).resolve((customer, None, None, None)).block["id"]
    return [("delivery", who), ("notice.sent", who), ("renew", who)]


def test_a_child_killed_in_its_task_is_counted_once(house):
    """The task is handed out again and says the same; the collector has each event once."""
    worker = house.worker()
    house.send("o-1", "kunde-1", "hangs")
    ((pid, task_id, _),) = house.wait_for("o-1")
    os.kill(int(pid), signal.SIGKILL)
    (_, (other, again, _)) = house.wait_for("o-1", 2)
    house.send("o-2", "kunde-2")
    house.wait_for("o-2")
    house.end(worker)
    house.deliver_the_rest(6)
    assert other != pid
    assert again == task_id
    assert told(house.stored()) == {"o-1": expected("kunde-1"), "o-2": expected("kunde-2")}
    # Both attempts were delivered: the one that died left its three events on disk.
    until(lambda: house.again == 3, "the events of the one that died")
    assert house.conflicts == 0


def test_a_child_ended_in_an_interaction_is_counted_as_it_ended_at_last(house):
    """A deployment cuts the first attempt short; the task comes again, and that one counts."""
    worker = house.worker()
    with cx.scope(customer="kunde-1"):
        house.app.send_task("jobs.call", ("o-1",))
    ((pid, task_id, _),) = house.wait_for("o-1")
    os.kill(int(pid), signal.SIGTERM)
    (_, (_, again, _)) = house.wait_for("o-1", 2)
    house.end(worker)
    house.deliver_the_rest(1)
    assert again == task_id
    assert [event["data"]["outcome"] for event in house.stored()] == ["success"]
    assert (house.again, house.conflicts) == (0, 0)


def test_a_worker_killed_with_all_it_has_is_counted_once(house):
    """Redis hands the task to the next worker when its visibility timeout is over."""
    house.worker(JOBS_VISIBLE_S="2")
    house.send("o-1", "kunde-1", "hangs")
    house.wait_for("o-1")
    house.kill()
    worker = house.worker(JOBS_VISIBLE_S="2")
    house.wait_for("o-1", 2)
    house.end(worker)
    house.deliver_the_rest(3)
    assert told(house.stored()) == {"o-1": expected("kunde-1")}


def test_a_worker_killed_at_rabbitmq_is_counted_once(make_house, on_rabbitmq):
    """It hands the task to the next worker as soon as the connection is gone."""
    house = make_house(on_rabbitmq)
    house.worker()
    house.send("o-1", "kunde-1", "hangs")
    house.wait_for("o-1")
    house.kill()
    worker = house.worker()
    house.wait_for("o-1", 2)
    house.end(worker)
    house.deliver_the_rest(3)
    assert told(house.stored()) == {"o-1": expected("kunde-1")}


def test_a_retry_is_another_attempt(house):
    """What both attempts said is there twice: it was said twice, and the notice was sent twice."""
    worker = house.worker()
    house.send("o-1", "kunde-1", "retries")
    first, second = house.wait_for("o-1", 2)
    house.end(worker)
    house.deliver_the_rest(6)
    assert (first[1], first[2], second[1], second[2]) == (first[1], "0", first[1], "1")
    assert told(house.stored()) == {"o-1": sorted(expected("kunde-1") * 2)}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_what_was_said_is_there_when_a_worker_has_ended(house, pool):
    """Each pool delivers at its end, within the client's seconds, without a line of the team's."""
    if pool == "gevent" and not importlib.util.find_spec("gevent"):
        missing("gevent")
    # Nothing goes before the end: what is there then came with it.
    worker = house.worker(pool, CXSDK_LINGER="120")
    orders = {f"o-{n}": f"kunde-{n}" for n in range(6)}
    for order, customer in orders.items():
        house.send(order, customer)
    for order in orders:
        house.wait_for(order)
    house.end(worker)
    assert told(house.stored()) == {order: expected(who) for order, who in orders.items()}


def test_children_that_live_for_one_task_deliver_at_their_end(house):
    """With ``worker_max_tasks_per_child=1`` nothing waits for a process that comes after."""
    worker = house.worker("prefork", "--max-tasks-per-child=1", CXSDK_LINGER="120")
    orders = {f"o-{n}": f"kunde-{n}" for n in range(6)}
    for order, customer in orders.items():
        house.send(order, customer)
    pids = {house.wait_for(order)[0][0] for order in orders}
    until(lambda: len(house.stored()) == 18, f"18 events of {len(pids)} children")
    house.end(worker)
    assert len(pids) == 6
    assert told(house.stored()) == {order: expected(who) for order, who in orders.items()}


def test_a_dead_collector_does_not_keep_a_worker_from_ending(house):
    """The drain of the children is bounded by ``CXSDK_DRAIN_SECONDS``; the events are on disk."""
    worker = house.worker(
        CXSDK_COLLECTOR=f"http://127.0.0.1:{free_port()}", CXSDK_DRAIN_SECONDS="1"
    )
    house.send("o-1", "kunde-1")
    house.wait_for("o-1")
    house.end(worker)
    assert worker.returncode == 0
    assert house.stored() == []
