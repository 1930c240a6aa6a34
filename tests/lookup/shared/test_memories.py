"""
All built-in shared memories keep what the Protocol promises.
"""

from __future__ import annotations

import itertools

import pytest

from cxsdk.errors import ConfigurationError
from cxsdk.lookup.shared import InProcessMemory, known_schemes, open_memory
from cxsdk.lookup.shared.redis import RedisMemory
from cxsdk.lookup.shared.sql import SqlMemory, ddl
from cxsdk.remembering import Told
from cxsdk.testing.conformance import SharedMemoryConformance
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


class TestInProcessMemory(SharedMemoryConformance):
    is_shared = False

    @pytest.fixture(autouse=True)
    def _one(self):
        self.one = InProcessMemory(most=self.most)

    def make_memory(self):
        return self.one


class TestSqliteMemory(SharedMemoryConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.folder = tmp_path

    def make_memory(self):
        return SqlMemory(f"sqlite://{self.folder}/cx/memory.db", timeout=2.0, most=self.most)

    def make_broken_memories(self):
        (self.folder / "damaged.db").write_bytes(b"no database at all" * 500)
        (self.folder / "folder.db").mkdir()
        return [
            SqlMemory(f"sqlite://{self.folder}/{name}.db", timeout=0.2)
            for name in ("damaged", "folder")
        ]


class TestPostgresMemory(SharedMemoryConformance):
    secrets = ("s3cret",)

    @pytest.fixture(autouse=True)
    def _place(self, database, ports):
        import psycopg

        self.url, self.ports = database.url.replace("@", ":s3cret@"), ports
        with psycopg.connect(database.url) as other:
            other.execute("DROP TABLE IF EXISTS cx_told, cx_links, cx_forgotten")

    def make_memory(self):
        return SqlMemory(self.url, timeout=2.0, most=self.most)

    def make_broken_memories(self):
        urls = [f"postgresql://x:s3cret@127.0.0.1:{port}/x" for port in self.ports]
        return [SqlMemory(url, timeout=0.2) for url in urls]


class TestRedisMemory(SharedMemoryConformance):
    secrets = ("s3cret",)

    @pytest.fixture(autouse=True)
    def _place(self, redis_server, ports):
        redis_server.command("FLUSHALL")
        redis_server.command("ACL", "SETUSER", "cx", "on", ">s3cret", "~*", "&*", "+@all")
        self.server, self.ports = redis_server, ports

    def make_memory(self):
        url = self.server.url.replace("://", "://cx:s3cret@")
        return RedisMemory(url, timeout=2.0, most=self.most)

    def make_broken_memories(self):
        urls = [f"redis://cx:s3cret@127.0.0.1:{port}" for port in self.ports]
        urls.append(self.server.url.replace("://", "://cx:not-s3cret@"))
        return [RedisMemory(url, timeout=0.2) for url in urls]

    def test_all_keys_expire(self, memory):
        """
        Nothing lives for ever, and all of it is in one hash slot.
        """
        self.test_4_who_was_absorbed_comes_along(memory)
        memory.forget(["c-other"], 60.0)
        keys = self.server.command("KEYS", "*")
        assert {key.split(b":")[1] for key in keys} == {b"h", b"e", b"s", b"l", b"m", b"g"}
        assert [key for key in keys if self.server.command("TTL", key) < 0] == []
        assert {key.partition(b":")[0] for key in keys} == {b"{cxsdk_memory}"}

    def test_a_namespace_is_a_memory_of_its_own(self, memory):
        """
        Under another namespace nothing of this one is read or heard.
        """
        with_name = RedisMemory(self.server.url, namespace="other", timeout=2.0)
        memory.put([Told("c-1", "e-1", "facts", 1.0, 60.0, b"")])
        assert with_name.read(["c-1"])["c-1"].told == ()
        with_name.close()

    def test_more_things_than_one_script_takes(self, memory):
        """
        A large put is carried out in some calls.
        """
        memory.put([Told(f"c-{n}", "e-1", "facts", 1.0, 60.0, b"") for n in range(450)])
        found = memory.read([f"c-{n}" for n in range(450)])
        assert [len(each.told) for each in found.values()] == [1] * 450


def test_a_memory_is_opened_by_its_url(tmp_path, monkeypatch):
    """Each scheme makes its memory, without touching disk or network; one is taken as it is."""
    monkeypatch.chdir(tmp_path)
    urls = (
        f"sqlite://{tmp_path}/a%20b.db",
        "sqlite:memory.db",
        "sqlite:////var/lib/memory.db",
        "postgresql://ann:s3cret@db.example:5433/shop",
        "postgres://db.example/shop",
        "redis://:s3cret@r.example/2",
        "rediss://r.example:6380",
        "unix:///run/redis.sock?db=3",
        "memory:",
    )
    made = [open_memory(url, timeout=0.1, namespace="shop", most=7) for url in urls]
    assert [repr(each) for each in made] == [
        f"SqlMemory('{tmp_path}/a b.db')",
        "SqlMemory('memory.db')",
        "SqlMemory('/var/lib/memory.db')",
        "SqlMemory('db.example:5433/shop')",
        "SqlMemory('db.example:5432/shop')",
        "RedisMemory('r.example:6379/2', namespace='shop')",
        "RedisMemory('r.example:6380/0', namespace='shop')",
        "RedisMemory('/run/redis.sock/3', namespace='shop')",
        "InProcessMemory()",
    ]
    assert {each.most for each in made} == {7}
    assert list(tmp_path.iterdir()) == []
    assert open_memory(made[0]) is made[0]
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing://x", "no shared memory for 'nothing'"),
        ("memory.db", "context memory: expected a URL"),
        (7, "got int"),
        ("memory:x", "nothing after it"),
        ("sqlite:", "expected a path"),
        ("sqlite://host/memory.db", "expected a path"),
        ("sqlite:///memory.db?mode=ro", "expected a path"),
        ("postgresql://ann:s3cret@host:port/x y", "expected a PostgreSQL URL"),
        ("redis://ann:s3cret@host:port/x", "expected a Redis URL"),
    ],
)
def test_a_wrong_url_says_what_is_expected(target, words):
    """What cannot be opened is refused in plain words, without what was in the URL."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        open_memory(target)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_package_brings_its_own_scheme(monkeypatch):
    """An entry point of the group is found, and what it makes is looked at."""
    from importlib.metadata import EntryPoint, EntryPoints

    def points(**which):
        place = "cxsdk.lookup.shared.memory:InProcessMemory.from_url"
        found = [
            EntryPoint("mine", place, "cxsdk.memories"),
            EntryPoint("wrong", "builtins:str", "cxsdk.memories"),
        ]
        return EntryPoints(found).select(**which)

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    assert isinstance(open_memory("mine:"), InProcessMemory)
    assert "mine" in known_schemes()
    with pytest.raises(ConfigurationError, match="made no SharedMemory"):
        open_memory("wrong:")


def test_the_namespace_of_a_redis_is_checked():
    """It is a part of every key."""
    with pytest.raises(ConfigurationError, match="expected a namespace"):
        open_memory("redis://localhost", namespace="{a b}")


def test_the_tables_can_be_made_by_somebody_else(database, tmp_path):
    """What `ddl` says makes what the memory makes, and is fine where it is there."""
    import sqlite3

    import psycopg

    with psycopg.connect(database.url) as other:
        other.execute("DROP TABLE IF EXISTS cx_told, cx_links, cx_forgotten")
        other.execute(ddl())
        other.execute(ddl("postgresql"))
    with sqlite3.connect(tmp_path / "memory.db") as other:
        other.executescript(ddl("sqlite"))
    other.close()
    for url in (database.url, f"sqlite://{tmp_path}/memory.db"):
        memory = SqlMemory(url, timeout=5.0)
        memory.put([Told("c-1", "e-1", "facts", 1.0, 60.0, b"x")])
        assert [each.id for each in memory.read(["c-1"])["c-1"].told] == ["e-1"]
        memory.close()
    with pytest.raises(ConfigurationError, match="expected postgresql or sqlite"):
        ddl("oracle")
