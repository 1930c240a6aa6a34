"""
All built-in cap stores keep what the Protocol promises.
"""

from __future__ import annotations

import itertools

import pytest

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.stores import MemoryCapStore, known_schemes, open_store
from cxsdk.prompts.stores.sqlite import SqliteCapStore
from cxsdk.testing.conformance import CapStoreConformance
from tests.prompts.cap_servers import PostgresDatabase, RedisServer, black_hole, free_port

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    """A Redis of this module's own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def database():
    """A database of this module's own."""
    made = PostgresDatabase()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ports():
    """A port that nobody listens on, and one where nobody answers."""
    with black_hole() as hole:
        yield free_port(), hole


class TestMemoryCapStore(CapStoreConformance):
    is_shared = False

    @pytest.fixture(autouse=True)
    def _one(self):
        self.one = MemoryCapStore(time_s=self.clock)

    def make_store(self):
        return self.one


class TestSqliteCapStore(CapStoreConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.folder = tmp_path

    def make_store(self):
        return SqliteCapStore(self.folder / "caps.db", time_s=self.clock)

    def make_broken_stores(self):
        damaged = self.folder / "damaged.db"
        damaged.write_bytes(b"no database at all" * 500)
        folder = self.folder / "folder.db"
        folder.mkdir(exist_ok=True)
        return [SqliteCapStore(damaged), SqliteCapStore(folder)]


class TestPostgresCapStore(CapStoreConformance):
    secrets = ("s3cret",)

    @pytest.fixture(autouse=True)
    def _place(self, database, ports):
        from cxsdk.prompts.stores.postgres import PostgresCapStore

        self.url = database.url.replace("@", ":s3cret@")
        self.namespace = f"t{next(NUMBERS)}"
        self.store_type, self.ports = PostgresCapStore, ports
        first = self.make_store()
        first.create_tables()
        first.close()

    def make_store(self):
        return self.store_type(
            self.url, timeout=2.0, namespace=self.namespace, shift_s=lambda: self.shift
        )

    def make_broken_stores(self):
        urls = [f"postgresql://x:s3cret@127.0.0.1:{port}/x" for port in self.ports]
        return [self.store_type(url, timeout=0.2) for url in urls]


class TestRedisCapStore(CapStoreConformance):
    secrets = ("s3cret",)

    @pytest.fixture(autouse=True)
    def _place(self, redis_server, ports):
        from cxsdk.prompts.stores.redis import RedisCapStore

        redis_server.command("FLUSHALL")
        redis_server.command("ACL", "SETUSER", "caps", "on", ">s3cret", "~*", "+@all")
        self.server = redis_server
        self.store_type, self.ports = RedisCapStore, ports

    def make_store(self):
        url = self.server.url.replace("://", "://caps:s3cret@")
        return self.store_type(url, timeout=2.0, shift_s=lambda: self.shift)

    def make_broken_stores(self):
        urls = [f"redis://caps:s3cret@127.0.0.1:{port}" for port in self.ports]
        urls.append(self.server.url.replace("://", "://caps:not-s3cret@"))
        return [self.store_type(url, timeout=0.2) for url in urls]

    def test_all_keys_expire_but_the_opt_outs(self, store):
        """
        Nothing of a store lives for ever but who opted out, and all of it is in one hash slot.
        """
        self.test_5_merging_joins_what_both_have(store)
        self.later(601)
        store.sweep()
        keys = self.server.command("KEYS", "*")
        eternal = [key for key in keys if self.server.command("TTL", key) < 0]
        assert eternal == [b"{cxsdk_caps}:out"]
        assert self.server.command("SMEMBERS", eternal[0]) == {b"c-ann", b"a-visitor"}
        assert len(keys) > 10
        assert {key.partition(b":")[0] for key in keys} == {b"{cxsdk_caps}"}


def test_a_store_is_opened_by_its_url(tmp_path, monkeypatch):
    """Each scheme makes its store, without touching disk or network; a store is taken as it is."""
    monkeypatch.chdir(tmp_path)
    shown = [
        repr(open_store(url, timeout=0.1, namespace="shop", default_path="by-default.db"))
        for url in (
            f"sqlite://{tmp_path}/a%20b.db",
            "sqlite:caps.db",
            "sqlite:",
            "postgresql://ann:s3cret@db.example:5433/shop",
            "redis://:s3cret@r.example/2",
            "rediss://r.example:6380",
            "memory:",
        )
    ]
    assert shown == [
        f"SqliteCapStore('{tmp_path}/a b.db')",
        "SqliteCapStore('caps.db')",
        "SqliteCapStore('by-default.db')",
        "PostgresCapStore('db.example:5433/shop', namespace='shop')",
        "RedisCapStore('r.example:6379/2', namespace='shop')",
        "RedisCapStore('r.example:6380/0', namespace='shop')",
        "MemoryCapStore()",
    ]
    assert list(tmp_path.iterdir()) == []
    store = MemoryCapStore()
    assert open_store(store) is store


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing://x", "no cap store for 'nothing'"),
        ("caps.db", "expected a URL"),
        (7, "got int"),
        ("sqlite:", "expected a path"),
        ("sqlite://host/caps.db", "expected a path"),
        ("sqlite:///caps.db?mode=ro", "expected a path"),
        ("postgresql://ann:s3cret@host:port/x y", "expected a PostgreSQL URL"),
        ("redis://ann:s3cret@host:port/x", "expected a Redis URL"),
    ],
)
def test_a_wrong_url_says_what_is_expected(target, words):
    """What cannot be opened is refused in plain words, without what was in the URL."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        open_store(target)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_package_brings_its_own_scheme(monkeypatch):
    """An entry point of the group is found, and what it makes is looked at."""
    from importlib.metadata import EntryPoint, EntryPoints

    def points(**which):
        found = [
            EntryPoint("mine", "tests.prompts.test_stores:make_mine", "cxsdk.cap_stores"),
            EntryPoint("wrong", "builtins:str", "cxsdk.cap_stores"),
            EntryPoint("lost", "a_package_that_is_not_there:make", "cxsdk.cap_stores"),
        ]
        return EntryPoints(found).select(**which)

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    assert isinstance(open_store("mine:x"), MemoryCapStore)
    assert "mine" in known_schemes()
    with pytest.raises(ConfigurationError, match="made no CapStore"):
        open_store("wrong:")
    with pytest.raises(ImportError, match="a_package_that_is_not_there"):
        open_store("lost:")


def make_mine(url, **options):
    """What the entry point of the test above leads to."""
    return MemoryCapStore()


@pytest.mark.parametrize(
    ("module", "name", "url", "extra"),
    [
        ("psycopg", "postgres:PostgresCapStore", "postgresql://h/d", "postgres"),
        ("redis", "redis:RedisCapStore", "redis://h", "redis"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, name, url, extra):
    """Without the driver the error says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"cxsdk\[{extra}\]"):
        open_store(url)


@pytest.mark.parametrize("url", ["postgresql://h/d", "redis://h"])
@pytest.mark.parametrize("namespace", ["", "a b", "x" * 70, "a;drop"])
def test_a_namespace_is_a_plain_name(url, namespace):
    """What would not do as a part of a table's or key's name is refused."""
    with pytest.raises(ConfigurationError, match="namespace"):
        open_store(url, namespace=namespace)
