"""
Cap stores whose server or disk goes away in the middle, and comes back.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

from cxsdk._postgres import is_hung_up
from cxsdk.asking import Cap, Denied, Request, Reserved
from cxsdk.errors import StoreUnavailableError
from cxsdk.prompts.stores import _statements as sql
from cxsdk.prompts.stores.sqlite import SqliteCapStore
from tests.prompts.cap_servers import (
    HOST,
    PORT,
    PostgresDatabase,
    RedisServer,
    Way,
    until,
)

TIMEOUT = 0.3
SLACK = 0.7


def ask(name, customer="c-1", record=b"record"):
    caps = (Cap("any", customer, "cap_global", within=86_400.0),)
    return Request(name, "p", customer, caps, 600.0, record)


def unavailable(call, words=None):
    """Check that *call* says in time that the store is not there."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=words):
        call()
    assert time.monotonic() - began < TIMEOUT + SLACK


def works_again(store, customer):
    """Check that the store answers soon, and remembers the customer *c-1*."""

    def answers():
        try:
            return store.history("c-1").offers
        except StoreUnavailableError:
            return None

    until(answers, "the store")
    assert isinstance(store.reserve(ask(f"o-{customer}", customer)), Reserved)
    assert isinstance(store.reserve(ask("o-again")), Denied)


# ---- SQLite --------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    made = SqliteCapStore(tmp_path / "cx" / "caps.db", timeout=TIMEOUT)
    yield made
    made.close()


def test_only_the_owner_reads_the_file(store):
    """The folder is made with mode 0700, the file and its companions with 0600."""
    assert store.reserve(ask("o-1"))
    folder = store.path.parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"cx": 0o700, "caps.db": 0o600, "caps.db-wal": 0o600, "caps.db-shm": 0o600}


def test_a_locked_file_is_waited_for_no_longer_than_asked(store):
    """While another program holds the file, calls fail in time; afterwards they work."""
    assert store.reserve(ask("o-1"))
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    unavailable(lambda: store.reserve(ask("o-2", "c-2")), "others use")
    unavailable(lambda: store.advance("o-1", "shown"))
    other.execute("ROLLBACK")
    other.close()
    works_again(store, "c-3")


def test_a_damaged_file_is_found_out(store):
    """A file that was overwritten fails in plain words; moved away, a new one is begun."""
    for number in range(100):
        assert store.reserve(ask(f"o-x-{number}", f"c-x-{number}"))
    store.close()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    heir = SqliteCapStore(store.path, timeout=TIMEOUT)
    for _ in range(2):
        unavailable(lambda: heir.reserve(ask("o-2", "c-2")), "sqlite: .*caps.db: .*malformed")
    for path in list(store.path.parent.iterdir()):
        path.rename(path.with_name(f"damaged-{path.name}"))
    assert heir.reserve(ask("o-1"))
    works_again(heir, "c-4")
    heir.close()


def test_a_file_that_was_replaced_is_opened_anew(store, tmp_path):
    """Whoever puts another file in its place is followed, and nothing goes to the old one."""
    assert store.reserve(ask("o-1"))
    other = SqliteCapStore(tmp_path / "other.db")
    assert other.reserve(ask("o-other", "c-other"))
    other.close()
    for path in list(store.path.parent.iterdir()):
        path.rename(tmp_path / f"old-{path.name}")
    (tmp_path / "other.db").rename(store.path)
    assert store.find("o-other")
    assert store.find("o-1") is None
    assert store.reserve(ask("o-2"))
    again = SqliteCapStore(store.path)
    assert again.find("o-2")
    again.close()


def test_a_newer_file_is_refused(store):
    """Tables of a later version are not touched, and the error says why."""
    assert store.reserve(ask("o-1"))
    store.close()
    with sqlite3.connect(store.path) as other:
        other.execute(f"PRAGMA user_version={sql.VERSION + 1}")
    other.close()
    newer = SqliteCapStore(store.path, timeout=TIMEOUT)
    unavailable(lambda: newer.history("c-1"), "of a newer cxsdk")
    newer.close()


def test_a_closed_store_says_so(store):
    """After `close` nothing is opened again."""
    assert store.reserve(ask("o-1"))
    store.close()
    unavailable(lambda: store.find("o-1"), "closed")


def test_what_is_forgotten_is_not_in_the_file(store):
    """Nothing of an erased record is left in the file, its free pages or its log."""
    assert store.reserve(ask("o-1", record=b"the-words-of-a-customer" * 40))
    assert store.reserve(ask("o-2", "c-2"))
    folder = store.path.parent
    assert any(b"the-words" in path.read_bytes() for path in folder.iterdir())
    assert store.forget("c-1") == 1
    assert not [path for path in folder.iterdir() if b"the-words" in path.read_bytes()]
    assert store.find("o-2")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_grants_nothing(small_disk):
    """On a full disk calls fail and leave nothing half done; with room they work again."""
    store = SqliteCapStore(small_disk / "caps.db", timeout=TIMEOUT)
    assert store.reserve(ask("o-1"))
    blob = small_disk / "blob"
    blob.write_bytes(bytes(200_000))
    with pytest.raises(StoreUnavailableError):
        for number in range(2000):
            assert store.reserve(ask(f"o-x-{number}", f"c-x-{number}", bytes(2000)))
    failed = f"c-x-{number}"
    unavailable(lambda: store.reserve(ask("o-y", failed, bytes(100_000))), "sqlite: ")
    blob.unlink()
    assert store.reserve(ask("o-z", failed))
    assert sum(store.counts()["offers"].values()) == number + 2
    works_again(store, "c-2")
    store.close()


def in_child(fork, call):
    """Return what *call* says in a child made by *fork*."""
    heard, told = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.write(told, repr(call()).encode())
        except BaseException as error:
            os.write(told, repr(error).encode())
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    said = os.read(heard, 65536).decode()
    os.close(heard)
    return said


def test_a_child_that_c_code_forked_refuses(store):
    """Without the fork hooks a child cannot know what is locked, so it says so; the parent is
    well, and so is a child of a parent that had nothing open.
    """
    fork = ctypes.CDLL(None).fork
    assert in_child(fork, lambda: store.find("o-1")) == "None"
    assert store.reserve(ask("o-1"))
    for _ in range(2):
        said = in_child(fork, lambda: store.reserve(ask("o-2", "c-2")))
        assert "was open when a C library forked" in said
    works_again(store, "c-3")


def test_a_parent_that_leaves_takes_nothing_from_its_child(store):
    """The parent closes, a third process opens, the child goes on: all see one database."""
    assert store.reserve(ask("o-1"))
    gate, open_gate = os.pipe()
    begun, say_begun = os.pipe()
    child = os.fork()
    if child == 0:
        won = bool(store.reserve(ask("o-child", "c-child")))
        os.write(say_begun, b"x")
        os.read(gate, 1)
        won = won and bool(store.reserve(ask("o-child-2", "c-child-2")))
        os._exit(0 if won and len(store.counts()["offers"]) == 1 else 1)
    os.read(begun, 1)
    store.close()
    third = SqliteCapStore(store.path)
    assert third.reserve(ask("o-third", "c-third"))
    assert third.find("o-child")
    os.write(open_gate, b"x")
    assert os.waitpid(child, 0)[1] == 0
    assert third.counts()["offers"] == {"reserved": 4}
    with sqlite3.connect(store.path) as look:
        assert look.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    look.close()
    third.close()
    for end in (gate, open_gate, begun, say_begun):
        os.close(end)


# ---- Redis ---------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    made = RedisServer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def redis_store(server):
    from cxsdk.prompts.stores.redis import RedisCapStore

    made = RedisCapStore(server.url, timeout=TIMEOUT)
    yield made
    made.close()


def test_a_redis_that_is_killed_comes_back_with_all(server, redis_store):
    """Killed and started again, it has every reservation and answer it confirmed."""
    assert redis_store.reserve(ask("o-1"))
    assert redis_store.answer("o-1", b"d", complete=True).outcome == "first"
    server.kill()
    unavailable(lambda: redis_store.reserve(ask("o-2", "c-2")), "redis: ")
    unavailable(lambda: redis_store.history("c-1"))
    server.start()
    works_again(redis_store, "c-3")
    assert redis_store.answer("o-1", b"d", complete=True).outcome == "same"


def test_a_redis_that_hangs_costs_the_timeout(server, redis_store):
    """A stopped process takes connections and says nothing."""
    assert redis_store.reserve(ask("o-1"))
    server.send(signal.SIGSTOP)
    for _ in range(3):
        unavailable(lambda: redis_store.history("c-1"))
    server.send(signal.SIGCONT)
    works_again(redis_store, "c-2")


def test_a_redis_that_forgot_the_script_is_told_again(server, redis_store):
    """After SCRIPT FLUSH a call sends the whole script."""
    assert redis_store.reserve(ask("o-1"))
    server.command("SCRIPT", "FLUSH")
    works_again(redis_store, "c-2")


def test_a_full_redis_grants_nothing(server, redis_store):
    """With noeviction a full server refuses, and nothing is half entered."""
    assert redis_store.reserve(ask("o-1"))
    server.command("CONFIG", "SET", "maxmemory", "1")
    unavailable(lambda: redis_store.reserve(ask("o-2", "c-2")), "redis: ")
    server.command("CONFIG", "SET", "maxmemory", "0")
    assert redis_store.find("o-2") is None
    assert redis_store.reserve(ask("o-2", "c-2"))
    works_again(redis_store, "c-3")


# ---- PostgreSQL ----------------------------------------------------------------------------


@pytest.fixture
def database():
    made = PostgresDatabase()
    yield made
    made.close()


@pytest.fixture
def way(database):
    made = Way(HOST, PORT)
    yield made
    made.close()


@pytest.fixture
def pg_store(database, way):
    from cxsdk.prompts.stores.postgres import PostgresCapStore

    url = database.url.replace(f":{PORT}/", f":{way.port}/")
    made = PostgresCapStore(url, timeout=TIMEOUT)
    unavailable(lambda: made.find("o-1"), "make them once with")
    made.create_tables()
    yield made
    made.close()


def test_a_postgres_that_ended_our_connection_is_asked_again(database, pg_store):
    """A connection that the server closed at rest is made again within the call."""
    assert pg_store.reserve(ask("o-1"))
    for number in range(3):
        database.hang_up()
        until(lambda: is_hung_up(pg_store._link._connection), "the goodbye")
        assert pg_store.reserve(ask(f"o-x-{number}", f"c-x-{number}"))
    works_again(pg_store, "c-2")
    assert database.connections() == 1


def test_a_postgres_that_lets_nobody_in_comes_back(database, pg_store):
    """While the database takes no connection calls fail; then they work."""
    assert pg_store.reserve(ask("o-1"))
    database.let_in("false")
    database.hang_up()
    for _ in range(3):
        unavailable(lambda: pg_store.reserve(ask("o-2", "c-2")), "postgres: ")
    database.let_in("true")
    works_again(pg_store, "c-3")


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_a_network_that_fails_costs_the_timeout(database, way, pg_store, fault):
    """Nothing comes through, or connections are closed: calls fail in time and leave one
    connection behind at most; afterwards they work.
    """
    assert pg_store.reserve(ask("o-1"))
    getattr(way, fault)()
    for number in range(3):
        unavailable(lambda n=number: pg_store.reserve(ask(f"o-x-{n}", f"c-x-{n}")))
        unavailable(lambda: pg_store.answer("o-1", b"d", complete=True))
    way.thaw()
    way.mend()
    works_again(pg_store, "c-2")
    assert pg_store.answer("o-1", b"d", complete=True).outcome in {"first", "same"}
    until(lambda: database.connections() <= 2, "the end of lost connections")


def test_a_lock_that_is_not_given_is_no_wait_for_ever(database, pg_store):
    """Where another session holds a subject, the server gives up as well."""
    import psycopg

    assert pg_store.reserve(ask("o-1"))
    with psycopg.connect(database.url) as other:
        lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
        other.execute(lock, ("cxsdk_caps:c-2",))
        unavailable(lambda: pg_store.reserve(ask("o-2", "c-2")))
        assert pg_store.reserve(ask("o-3", "c-3"))
    works_again(pg_store, "c-2")


def test_newer_tables_are_refused(database, pg_store):
    """Tables of a later version are not touched, and the error says why."""
    import psycopg

    with psycopg.connect(database.url) as other:
        other.execute("UPDATE cxsdk_caps_meta SET version = version + 1")
    database.hang_up()
    unavailable(lambda: pg_store.history("c-1"), "of a newer")


def test_tables_are_made_once_by_many(database, pg_store):
    """Making them again, and at the same time, changes nothing."""
    import threading

    from cxsdk.prompts.stores.postgres import PostgresCapStore

    assert pg_store.reserve(ask("o-1"))
    failed = []

    def create():
        store = PostgresCapStore(database.url, namespace="others", timeout=5.0)
        try:
            store.create_tables()
        except StoreUnavailableError as error:
            failed.append(error)
        store.close()

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    pg_store.create_tables()
    works_again(pg_store, "c-2")
