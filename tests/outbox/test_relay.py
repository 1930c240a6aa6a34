"""
The relay: what a transaction committed reaches the spool, once, whoever dies in between.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

import cxsdk as cx
from cxsdk.errors import ConfigurationError, SpoolFullError
from cxsdk.outbox.outbox import Outbox
from cxsdk.outbox.relay import MOST_ROWS
from cxsdk.outbox.row import Row
from cxsdk.outbox.sql import insert
from cxsdk.outbox.store import name_of, open_store
from cxsdk.spool import workshop
from cxsdk.typing import Kind
from tests.outbox.conftest import balanced, ends
from tests.outbox.test_sqlalchemy import say

AGES = 60


def fill(database, count, service="shop", environment="production"):
    """Commit rows of a process that nobody remembers."""
    rows = [
        Row(service, environment, "vital", Kind.KEEP, bytes(8), b"%d" % n) for n in range(count)
    ]
    with database.engine.begin() as connection:
        insert(connection, rows)
    return [row.id for row in rows]


HOST = """
import json, os, signal, sys
import sqlalchemy as sa
from sqlalchemy.orm import Session
import cxsdk as cx
from cxsdk.outbox.outbox import Outbox

url, collector, root = sys.argv[1:]
client = cx.init("shop", collector=collector,
                 spool=cx.SpoolOptions(directory=root, min_free_bytes=0))
engine = sa.create_engine(url)

def commit(*names):
    with Session(engine) as session:
        with cx.outbox(session) as tx:
            for name in names:
                assert tx.feedback(csat=4, customer="u-17", attributes={"n": name})
        session.execute(sa.text("INSERT INTO orders DEFAULT VALUES"))
        session.commit()
"""


@pytest.fixture
def host(database, collector, tmp_path):
    """Run a program in a process of its own to its end; return its exit code."""

    def host(program, url=None):
        script = tmp_path / "host.py"
        script.write_text(HOST + textwrap.dedent(program))
        environ = {n: v for n, v in os.environ.items() if not n.startswith(("CXSDK_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, script, url or database.url, collector.url, tmp_path / "spool"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=AGES,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    return host


# ---- whoever dies -------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_between_commit_and_hand_over(init, host, collector, database, moment):
    """Before the spool has them, or before the rows are gone: the next process delivers, once."""
    code = host(f"""
        hand_over = Outbox._hand_over

        def die(self, rows):
            if {moment == "after"}:
                hand_over(self, rows)
            os.kill(os.getpid(), signal.SIGKILL)

        Outbox._hand_over = die
        commit("a", "b", "c")
        signal.pause()
    """)
    assert code == -signal.SIGKILL
    assert (database.orders(), database.rows()) == (1, 3)
    client = init(outbox=database.url)
    assert collector.wait_for(3, timeout=AGES)
    client.flush(20).raise_for_error()
    assert {e["data"]["ext"]["app"]["n"] for e in collector.accepted.values()} == {*"abc"}
    assert database.rows() == 0
    assert collector.duplicates <= (3 if moment == "after" else 0)
    balanced(client)


def test_a_kill_before_the_commit(init, host, collector, database):
    """Neither the change nor its event ever happened."""
    code = host("""
        session = Session(engine)
        cx.outbox(session).feedback(csat=4, customer="u-17")
        session.execute(sa.text("INSERT INTO orders DEFAULT VALUES"))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert code == -signal.SIGKILL
    client = init(outbox=database.url)
    client.flush(20)
    assert (database.orders(), collector.ids) == (0, [])


def test_a_process_that_ends_right_after_its_commit(host, collector, database):
    """The end of the process hands over and delivers, within its budget, also what nobody rang for."""
    program = """
        relay = client._parts.outbox.relay
        relay._next += 3600
        relay.ring = lambda **_: relay.watch()
        commit("a")
    """
    assert host(program) == 0
    assert collector.wait_for(1, timeout=AGES)
    assert database.rows() == 0


def test_a_forked_child_has_a_relay_of_its_own(host, collector, database):
    """Both sides commit and deliver; no connection of the parent's is used by the child."""
    code = host("""
        commit("parent")
        cx.flush(20)
        child = os.fork()
        if not child:
            engine.dispose(close=False)
            commit("child")
            client.flush(20)
            os._exit(0 if client.stats()["outbox"]["handed_over"] == 1 else 9)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        commit("parent again")
        cx.flush(20).raise_for_error()
        sys.exit(code)
    """)
    assert code == 0
    assert collector.wait_for(3, timeout=AGES)
    assert collector.duplicates == 0
    assert database.rows() == 0


# ---- races and neighbours -----------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_two_relays_racing_take_each_row_once(database, asynchronous):
    """Each row goes to one of them, and none stays."""
    ids = fill(database, 400)
    start = threading.Barrier(3)
    taken = [[], [], []]

    def work(mine):
        store = open_store(database.async_url if asynchronous else database.url)

        def keep(rows):
            names = [row.id for row in rows]
            mine.extend(names)
            return names

        start.wait(AGES)
        for _ in range(60):
            if not store.take("shop", "production", 10, keep) and sum(map(len, taken)) >= 400:
                break
        store.rest()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in taken]
    for each in threads:
        each.start()
    for each in threads:
        each.join(AGES)
    assert sorted(taken[0] + taken[1] + taken[2]) == sorted(ids)
    assert database.rows() == 0


def test_rows_of_another_service_or_environment_are_left_alone(init, collector, database):
    """A table may be shared, and a copied database must not send what production said."""
    fill(database, 2, service="billing")
    fill(database, 3, environment="staging")
    client = init(outbox=database.engine)
    with database.session() as session:
        say(cx.outbox(session), "a")
        session.commit()
    ends(collector, client, "a")
    assert database.rows() == 5


def test_more_rows_than_one_transaction_takes(init, database):
    """A backlog is emptied in one go."""
    client = init(outbox=database.engine, collector="null:")
    fill(database, MOST_ROWS * 2 + 1)
    client.flush(AGES)
    assert database.rows() == 0
    assert client.stats()["outbox"]["handed_over"] == MOST_ROWS * 2 + 1
    balanced(client)


def test_the_hosts_pool_is_not_used(init, collector, database):
    """A host that has one connection keeps it for itself."""
    engine = sa.create_engine(
        database.url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.5
    )
    client = init()
    with engine.connect() as connection:  # the only one, until the end
        say(cx.outbox(connection), "a")
        connection.commit()
        assert collector.wait_for(1, timeout=AGES)
        ends(collector, client, "a")
        assert "outbox_failed" not in client.stats()["noted"]
    engine.dispose()


def test_a_commit_that_takes_its_time(init, collector, database):
    """A connection's commit is told before it is through: the relay looks again after that."""
    if database.kind == "sqlite":
        pytest.skip("a reader waits for SQLite's writer")
    client = init()
    with database.engine.connect() as connection:
        say(cx.outbox(connection), "a")
        looked = []

        @sa.event.listens_for(connection, "commit")
        def linger(_):
            client._parts.outbox.relay.flush(AGES)
            looked.append(len(collector.ids))

        connection.commit()
    assert looked == [0]
    assert collector.wait_for(1, timeout=30)
    ends(collector, client, "a")


# ---- trouble ------------------------------------------------------------------------------


def test_a_database_that_is_gone_and_comes_back(init, collector, database, request, caplog):
    """Rows wait in it; what went wrong is shown and said; later they are delivered."""
    if database.kind == "sqlite":
        pytest.skip("a file does not go away and come back")
    server = request.getfixturevalue("postgres")
    client = init(outbox=database.engine)
    fill_event(client, database)
    server.let_in("false")
    server.hang_up()
    try:
        client.flush(5)
        (trouble,) = client.stats()["outbox"]["troubles"].values()
        assert "accepting connections" in trouble
        assert client.stats()["noted"]["outbox_failed"] >= 1
        assert "the outbox in" in caplog.text
        assert collector.ids == []
    finally:
        server.let_in("true")
    client.flush(20).raise_for_error()
    ends(collector, client, "left")
    assert client.stats()["outbox"]["troubles"] == {}


def fill_event(client, database):
    """Commit an event whose hand-over did not take place."""
    capture = client._parts.outbox.capture

    class Silent:
        """A transaction whose commit nobody hears of."""

        is_told_late = False

        def write(self, row, lost):
            with database.engine.begin() as connection:
                insert(connection, [row])

        def after_commit(self, call):
            """Forget it."""

    made = capture(client.capture(), Silent())

    class Verbs(cx.instrument.__class__.__mro__[1]):
        """The verbs over it."""

        def capture(self):
            return made

    assert Verbs().feedback(csat=4, customer="u-17", attributes={"n": "left"})


def test_while_the_table_is_missing_the_relay_waits(init, collector, database, caplog):
    """A service that starts before its migration says so and goes on."""
    database.drop_outbox()
    client = init(outbox=database.engine)
    client.flush(10)
    assert "cxsdk_outbox" in caplog.text
    from cxsdk.outbox.table import create_table

    create_table(database.engine)
    with database.session() as session:
        say(cx.outbox(session), "a")
        session.commit()
    ends(collector, client, "a")


class Disk:
    """A spool as the relay sees it."""

    def __init__(self, *, durable=True, room=2):
        self.durable, self.room, self.kept, self.synced = durable, room, [], 0

    def append(self, lane, payload, kind, tag):
        if len(self.kept) >= self.room:
            raise SpoolFullError("no room")
        self.kept.append(payload)
        return self.durable

    def sync(self):
        self.synced = len(self.kept)


@pytest.fixture
def hand_over(client):
    """Hand rows over to a spool of the test's own; return what may be deleted."""
    parts = client._parts

    def hand_over(spool, rows, mode="mmap"):
        import attrs

        settings = attrs.evolve(parts._settings, spool=cx.SpoolOptions(mode=mode))
        office = Outbox(settings, parts.capture, spool, parts.ledger, lambda: None)
        return office._hand_over(rows)

    return hand_over


def rows(count, kind=Kind.KEEP, tag=bytes(8)):
    return [Row("shop", "production", "vital", kind, tag, b"%d" % n) for n in range(count)]


def test_a_row_goes_only_once_the_spool_has_it_on_the_disk(hand_over):
    """A full spool, and one that fell back to memory, leave rows in the database."""
    some, disk = rows(3), Disk()
    assert hand_over(disk, some) == [row.id for row in some[:2]]
    assert disk.synced == 2
    assert hand_over(Disk(durable=False), some) == ()
    assert len(hand_over(Disk(durable=False), some, "memory")) == 2

    class Refuses(Disk):
        def sync(self):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        hand_over(Refuses(), some)


def test_a_withdrawn_consent_is_heeded_on_the_way(client, hand_over):
    """What consent alone allowed does not leave the database for the spool after a denial."""
    tag = client._parts.capture.known(("u-17", None, None, None)).tag
    cx.consent("denied", customer="u-17")
    disk, refused = Disk(), rows(1, Kind.INTERACTION | Kind.CONSENT_ONLY, tag)
    assert hand_over(disk, [*refused, *rows(1, Kind.KEEP, tag)])[0] == refused[0].id
    assert disk.kept == [b"0"]
    assert client.stats()["refused"] == {"consent": 1}


def test_the_spool_syncs_when_told(tmp_path, monkeypatch):
    """What sync returned from is on the disk, in every lane and segment."""
    from cxsdk.spool import _disk

    synced = []
    monkeypatch.setattr(_disk, "sync", lambda path: synced.append(path.name.partition(".")[2]))
    spool = workshop.by_hand(tmp_path, "shop", "production", {"default": "x"})
    spool.append("vital", b"{}", 3, bytes(8))
    spool.append("bulk", b"{}", 0, bytes(8))
    for _ in range(2):  # the second time there is nothing new
        spool.sync()
        assert sorted(synced) == ["bulk.open", "json", "vital.open"]
    spool.close()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (object(), "got object"),
        ("no url", "URL of a database"),
        ("nosuch://secret:pass@host/x", "URL of a database"),
        ("django:nobody", "nobody"),
    ],
)
def test_a_wrong_source_stops_init(init, source, words, django):
    """Init is where a developer looks; no password is shown."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        init(outbox=source)
    assert "pass" not in str(caught.value)


def test_a_name_shows_no_password():
    """Figures and log lines name the database without its secret."""
    url = "postgresql+psycopg://joe:secret@db/shop"
    assert name_of(url) == "postgresql+psycopg://joe:***@db/shop"
    assert name_of(sa.create_engine(url)) == name_of(url)


# ---- the command --------------------------------------------------------------------------


@pytest.fixture
def cxsdk(tmp_path):
    """Run ``cxsdk outbox …``."""

    def run(*args):
        environ = {n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")}
        return subprocess.run(
            [sys.executable, "-m", "cxsdk", "outbox", *map(str, args)],
            env={**environ, "CXSDK_SPOOL_DIR": str(tmp_path / "by-hand")},
            capture_output=True,
            text=True,
            timeout=AGES,
            check=False,
        )

    return run


def test_the_command_lists_and_delivers(init, cxsdk, collector, database):
    """The one reads, relay counts, relay --yes delivers what no process takes."""
    client = init(collector="null:")
    fill_event(client, database)
    client.close()
    fill(database, 2, service="billing")
    listed = json.loads(cxsdk("ls", "--url", database.url, "--json").stdout)
    assert [(each["service"], each["rows"]) for each in listed] == [("billing", 2), ("shop", 1)]
    assert "billing" in cxsdk("ls", "--url", database.url).stdout
    relay = ["relay", "--url", database.url, "--to", collector.url, "--service", "shop"]
    counted = cxsdk(*relay)
    assert "1 events would go" in counted.stdout
    assert (counted.returncode, database.rows(), collector.ids) == (0, 3, [])
    done = cxsdk(*relay, "--yes")
    assert (done.returncode, "1 delivered, 0 left" in done.stdout) == (0, True), done.stderr
    assert (database.rows(), len(collector.ids)) == (2, 1)
    assert "no committed row" in cxsdk(*relay, "--yes").stdout


def test_the_command_without_a_database(cxsdk, collector):
    """What the database says is said in one line; a wrong URL was asked wrongly."""
    gone = cxsdk("ls", "--url", "postgresql+psycopg://joe:secret@127.0.0.1:1/nothing")
    assert (gone.returncode, "secret" in gone.stderr) == (1, False)
    assert "Traceback" not in gone.stderr
    wrong = cxsdk("relay", "--url", "nonsense", "--to", collector.url)
    assert (wrong.returncode, "URL of a database" in wrong.stderr) == (2, True)


def test_what_cannot_be_delivered_by_hand_is_in_the_spool(init, cxsdk, collector, database):
    """The rows are gone from the table only once they are on this machine's disk."""
    client = init(collector="null:")
    fill_event(client, database)
    client.close()
    url = collector.url
    collector.stop()
    relay = ["relay", "--url", database.url, "--to", url, "--yes", "--patience", "0.5"]
    assert cxsdk(*relay).returncode == 1
    assert database.rows() == 0
    collector.start()
    environ = {n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")}
    subprocess.run(
        [sys.executable, "-m", "cxsdk", "spool", "drain", "--to", collector.url, "--yes"],
        env={**environ, "CXSDK_SPOOL_DIR": str(collector_dir(cxsdk))},
        check=True,
        timeout=AGES,
    )
    assert len(collector.ids) == 1


def collector_dir(run):
    """Return the spool root of the command."""
    return run.__closure__[0].cell_contents / "by-hand"
