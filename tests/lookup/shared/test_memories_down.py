"""
Shared memories whose server or disk goes away in the middle, and comes back.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import stat
import threading
import time

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.shared.redis import RedisMemory
from cxsdk.lookup.shared.sql import SqlMemory
from cxsdk.remembering import Remembered, Told
from tests.prompts.cap_servers import HOST, PORT, PostgresDatabase, RedisServer, Way, until

TIMEOUT = 0.3
SLACK = 0.7


def told(subject, name="e-1", payload=b"p", keep=3600.0):
    return Told(subject, name, "interactions", 1.0, keep, payload)


def unavailable(call, words=None):
    """Check that *call* says in time that the memory is not there."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=words):
        call()
    assert time.monotonic() - began < TIMEOUT + SLACK


def all_unavailable(memory):
    """Check that no method waits for longer than it may."""
    for call in (
        lambda: memory.put([told("c-9")]),
        lambda: memory.read(["c-1"]),
        lambda: memory.link("a-9", "c-9"),
        lambda: memory.unlink("a-8"),
        lambda: memory.forget(["c-7"], 0),
    ):
        unavailable(call)


def patiently(call):
    """Return what *call* says when the memory is back."""
    said = []

    def answers():
        try:
            said.append(call())
        except StoreUnavailableError:
            return False
        return True

    until(answers, "the memory")
    return said[0]


def works_again(memory, subject):
    """Check that the memory answers soon, and keeps."""
    patiently(lambda: memory.put([told(subject)]))
    assert [each.id for each in patiently(lambda: memory.read([subject]))[subject].told] == ["e-1"]


def in_child(fork, call):
    """Return what *call* says in a child made by *fork*."""
    heard, say = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.write(say, repr(call()).encode())
        except BaseException as error:
            os.write(say, repr(error).encode())
        os._exit(0)
    os.close(say)
    os.waitpid(child, 0)
    said = os.read(heard, 65536).decode()
    os.close(heard)
    return said


# ---- SQLite --------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cx" / "memory.db"


@pytest.fixture
def sqlite_memory(path):
    made = SqlMemory(f"sqlite://{path}", timeout=TIMEOUT)
    yield made
    made.close()


def test_only_the_owner_reads_the_file(path, sqlite_memory):
    """The folder is made with mode 0700, the file and its companions with 0600."""
    sqlite_memory.put([told("c-1")])
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"memory.db": 0o600, "memory.db-wal": 0o600, "memory.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_locked_file_is_waited_for_no_longer_than_asked(path, sqlite_memory):
    """While another program holds the file, writing fails in time and reading goes on."""
    sqlite_memory.put([told("c-1")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    unavailable(lambda: sqlite_memory.put([told("c-2")]), "sqlite: database is locked")
    unavailable(lambda: sqlite_memory.link("a-1", "c-1"))
    assert len(sqlite_memory.read(["c-1"])["c-1"].told) == 1
    other.execute("ROLLBACK")
    other.close()
    works_again(sqlite_memory, "c-3")


def test_a_damaged_file_is_found_out(path, sqlite_memory):
    """A file that was overwritten fails in plain words; moved away, a new one is begun."""
    sqlite_memory.put([told(f"c-{number}", payload=bytes(500)) for number in range(100)])
    sqlite_memory.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    heir = SqlMemory(f"sqlite://{path}", timeout=TIMEOUT)
    for _ in range(2):
        unavailable(lambda: heir.put([told("c-1", "e-2")]), "sqlite: .*malformed")
    for each in list(path.parent.iterdir()):
        each.rename(each.with_name(f"damaged-{each.name}"))
    works_again(heir, "c-1")
    heir.close()


def left(path, *words):
    """Return what of *words* is in the file or beside it."""
    whole = b"".join(each.read_bytes() for each in path.parent.iterdir())
    return [word for word in words if word in whole]


def test_what_is_forgotten_is_not_in_the_file(path, sqlite_memory):
    """Of a subject with many things, moved and trimmed before, no byte is left; others stay."""
    mine, words = b"c-subject-one", (b"a-visitor-one", b"c-subject-one", b"the-words-of")
    for number in range(120):
        payload = b"the-words-of-a-customer" * (1 + number % 60)
        sqlite_memory.put([told("a-visitor-one", f"v-{number}", payload)])
        sqlite_memory.put([told(f"c-{number}", payload=b"others" * number)])
        if number == 30:
            assert sqlite_memory.link("a-visitor-one", mine.decode(), b"the-words-of")
    assert left(path, *words) == list(words)
    assert sqlite_memory.forget([mine.decode()], 0) == 50
    assert left(path, *words, b"othersothers") == [b"othersothers"]
    sqlite_memory.close()
    assert left(path, *words) == []


def test_a_log_that_others_read_is_emptied_later(path, sqlite_memory):
    """While somebody reads, the log cannot be emptied; the next call does it."""
    sqlite_memory.put([told("c-1", payload=b"the-words-of-a-customer")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM cx_told").fetchone() == (1,)
    assert sqlite_memory.forget(["c-1"], 0) == 1
    assert left(path, b"the-words-of") == [b"the-words-of"]
    other.execute("COMMIT")
    other.close()
    sqlite_memory.put([told("c-2")])
    assert left(path, b"the-words-of") == []


def test_a_child_that_c_code_forked_refuses(sqlite_memory):
    """Without the fork hooks a child cannot know what is locked, so it says so; the parent is
    well, and so is a child of a parent that had nothing open.
    """
    fork = ctypes.CDLL(None).fork
    assert in_child(fork, lambda: len(sqlite_memory.read(["c-1"]))) == "1"
    sqlite_memory.put([told("c-1")])
    said = in_child(fork, lambda: sqlite_memory.put([told("c-2")]))
    assert "was open when a C library forked" in said
    works_again(sqlite_memory, "c-3")


def test_what_is_over_is_swept(path, sqlite_memory):
    """Things, links and tombstones of whom nobody asks about again do not pile up."""
    sqlite_memory.put([told(f"c-{n}", keep=1e-6) for n in range(450)])
    sqlite_memory.forget([f"f-{n}" for n in range(3)], 1e-6)

    def rows():
        with sqlite3.connect(path) as other:
            counts = [
                other.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("cx_told", "cx_forgotten")
            ]
        other.close()
        return counts

    assert rows() == [450, 3]
    sqlite_memory._sweep_at = 0.0
    for bites in ([250, 0], [50, 0], [0, 0]):
        sqlite_memory.put([told("c-new", keep=0.0)])
        assert rows() == bites


# ---- Redis ---------------------------------------------------------------------------------


@pytest.fixture
def redis_server(tmp_path):
    server = RedisServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def redis_memory(redis_server):
    made = RedisMemory(redis_server.url, timeout=TIMEOUT)
    yield made
    made.close()


@pytest.fixture
def heard(redis_memory):
    """What the memory hears; it listens already."""
    words = []
    assert redis_memory.subscribe(words.append)
    until(lambda: None in words, "the first word")
    return words


def test_a_redis_that_is_killed_comes_back(redis_server, redis_memory, heard):
    """Calls fail in time; afterwards they work, and the listener says that it missed some."""
    redis_memory.put([told("c-1")])
    redis_server.kill()
    all_unavailable(redis_memory)
    heard.clear()
    redis_server.start()
    works_again(redis_memory, "c-2")
    until(lambda: None in heard, "the word that some was missed")
    other = RedisMemory(redis_server.url, timeout=5.0)
    other.put([told("c-3")])
    other.close()
    until(lambda: "c-3" in heard, "news")


def test_a_redis_that_stands_still_costs_the_timeout(redis_server, redis_memory):
    """No call waits for longer; when it goes on, so do we."""
    redis_memory.put([told("c-1")])
    redis_server.send(signal.SIGSTOP)
    all_unavailable(redis_memory)
    redis_server.send(signal.SIGCONT)
    works_again(redis_memory, "c-2")
    assert len(redis_memory.read(["c-1"])["c-1"].told) == 1


def test_a_listener_finds_a_silent_connection_out(redis_server, monkeypatch):
    """Nothing comes through and nobody says goodbye: it connects again when it can."""
    monkeypatch.setattr("cxsdk.lookup.shared._listening._BEAT_S", 0.1)
    way = Way("127.0.0.1", redis_server.port)
    memory = RedisMemory(f"redis://127.0.0.1:{way.port}", timeout=TIMEOUT)
    words = []
    assert memory.subscribe(words.append)
    until(lambda: None in words, "the first word")
    words.clear()
    way.freeze()
    before = len(way._pairs)
    until(lambda: len(way._pairs) > before, "another connection")
    way.thaw()
    until(lambda: None in words, "the word that some was missed")
    memory.close()
    way.close()


def test_a_redis_that_lost_its_scripts_is_told_again(redis_server, redis_memory):
    """After SCRIPT FLUSH the next call sends the script."""
    redis_memory.put([told("c-1")])
    redis_server.command("SCRIPT", "FLUSH")
    works_again(redis_memory, "c-2")


def test_a_call_that_fails_is_not_made_twice(redis_server, redis_memory):
    """Clients have their retries off: one error is one attempt."""
    redis_memory.put([told("c-1")])
    retry = redis_memory._server.own().connection_pool.connection_kwargs["retry"]
    assert retry._retries == 0


# ---- PostgreSQL ----------------------------------------------------------------------------


@pytest.fixture
def database():
    made = PostgresDatabase()
    yield made
    made.close()


@pytest.fixture
def way():
    made = Way(HOST, PORT)
    yield made
    made.close()


@pytest.fixture
def pg_memory(database, way):
    where = f"{HOST}:{PORT}"
    made = SqlMemory(database.url.replace(where, f"127.0.0.1:{way.port}"), timeout=TIMEOUT)
    patiently(lambda: made.read(["c-1"]))
    yield made
    made.close()


def test_a_lost_connection_is_made_again_within_the_call(database, pg_memory):
    """One that the server closed at rest costs no call."""
    pg_memory.put([told("c-1")])
    for number in range(3):
        database.hang_up()
        until(lambda: hung_up(pg_memory._place._engine.pool), "the goodbye")
        pg_memory.put([told(f"c-{number}")])
    works_again(pg_memory, "c-9")


def hung_up(pool):
    """Say whether the server's goodbye has come."""
    import select

    poll = select.poll()
    poll.register(pool._pool.queue[0].dbapi_connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_a_network_that_fails_costs_the_timeout(database, way, pg_memory, fault):
    """Nothing comes through, or connections are closed: calls fail in time and leave few
    connections behind; afterwards they work, and the listener says that it missed some.
    """
    words = []
    assert pg_memory.subscribe(words.append)
    until(lambda: None in words, "the first word")
    pg_memory.put([told("c-1")])
    words.clear()
    getattr(way, fault)()
    all_unavailable(pg_memory)
    way.thaw()
    way.mend()
    works_again(pg_memory, "c-2")
    assert [each.id for each in pg_memory.read(["c-1"])["c-1"].told] == ["e-1"]
    if fault == "cut":
        until(lambda: None in words, "the word that some was missed")
    until(lambda: database.connections() <= 6, "the end of lost connections")


def test_a_lock_that_is_not_given_is_no_wait_for_ever(database, pg_memory):
    """Where another session holds a subject, calls about it fail in time, and others work."""
    import psycopg

    patiently(lambda: pg_memory.link("a-2", "c-2"))
    lock = "SELECT pg_advisory_xact_lock(hashtextextended('cxsdk_memory:' || %s, 0))"
    with psycopg.connect(database.url) as other:
        other.execute(lock, ("c-2",))
        unavailable(lambda: pg_memory.put([told("c-1"), told("c-2")]))
        unavailable(lambda: pg_memory.put([told("a-2")]))  # for it goes to c-2
        works_again(pg_memory, "c-3")
        assert pg_memory.read(["c-1"])["c-1"] == Remembered()
    works_again(pg_memory, "c-2")


def test_who_may_not_make_tables_is_told(database):
    """A role without the right says so in plain words."""
    import psycopg

    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS cx_reader")
        other.execute("CREATE ROLE cx_reader LOGIN")
        other.execute("REVOKE CREATE ON SCHEMA public FROM public")
    memory = SqlMemory(database.url.replace("postgres@", "cx_reader@", 1), timeout=5.0)
    with pytest.raises(StoreUnavailableError, match=r"postgres: .*(permission|authentication)"):
        memory.put([told("c-1")])
    memory.close()
    database.execute("DROP ROLE cx_reader")


def test_threads_that_wait_for_a_connection_wait_in_time(way, pg_memory):
    """More threads than connections, and no answer: all are back in time."""
    pg_memory.put([told("c-1")])
    way.freeze()
    took = []

    def ask():
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            pg_memory.read(["c-1"])
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in took if each > TIMEOUT + SLACK] == []
    assert len(took) == 12
    way.thaw()
    works_again(pg_memory, "c-2")
