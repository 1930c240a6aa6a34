"""
Real databases, each test with tables of its own, and a collector that counts what comes twice.
"""

from __future__ import annotations

import contextlib
import os
import uuid

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

import cxsdk as cx
from cxsdk.outbox.table import create_table
from cxsdk.testing.faults import FaultCollector
from tests import one_django

HOST = os.environ.get("PGHOST", "127.0.0.1")
PORT = os.environ.get("PGPORT", "5432")
USER = os.environ.get("PGUSER", "postgres")
KINDS = ("sqlite", "postgresql")


class Base(DeclarativeBase):
    """The host's own tables."""


class Order(Base):
    """The business change beside the event."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)


class Database:
    """One database, by the names under which each library knows it."""

    def __init__(self, kind, name):
        self.kind, self.name = kind, name
        where = f"{USER}@{HOST}:{PORT}/{name}" if kind == "postgresql" else f"/{name}"
        drivers = ("psycopg", "asyncpg") if kind == "postgresql" else ("pysqlite", "aiosqlite")
        self.url, self.async_url = (f"{kind}+{driver}://{where}" for driver in drivers)
        self.engine = sa.create_engine(self.url, poolclass=NullPool)
        if kind == "sqlite":
            savepoints(self.engine)

    def session(self):
        return Session(self.engine)

    def orders(self):
        """Return how many business changes are there."""
        return self._count("orders")

    def rows(self):
        """Return how many committed rows wait."""
        return self._count("cxsdk_outbox")

    def _count(self, table):
        with self.engine.begin() as connection:
            return connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()

    def drop_outbox(self):
        with self.engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE cxsdk_outbox"))


def savepoints(engine):
    """Let SQLite have savepoints that work, as SQLAlchemy's manual says."""

    @sa.event.listens_for(engine, "connect")
    def connect(connection, _):
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN")


class Postgres:
    """A database of the test run's own on the real server."""

    def __init__(self):
        self._server = psycopg.connect(
            host=HOST, port=PORT, user=USER, dbname="postgres", autocommit=True
        )
        self.name = f"cxsdk_test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {self.name}")

    def execute(self, statement):
        self._server.execute(statement)

    def hang_up(self):
        """End all connections to the database."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE datname = '{self.name}'"
        )

    def let_in(self, let):
        """Let connections in, or nobody."""
        self.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS {let}")

    def close(self):
        self.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self._server.close()


@pytest.fixture(scope="session")
def postgres():
    """The real server."""
    try:
        made = Postgres()
    except psycopg.OperationalError as error:
        if os.environ.get("CXSDK_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no PostgreSQL at {HOST} for {USER}: {error}")
    yield made
    made.close()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def database(kind, tmp_path, request):
    """A database with the host's table and the outbox's."""
    name = tmp_path / "host.db"
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        server.hang_up()  # whoever an earlier test left
        name = server.name
    made = Database(kind, name)
    with made.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS cxsdk_outbox"))
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)
    create_table(made.engine)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="session")
def django(tmp_path_factory):
    """Django with a database of each kind, by the kind's name; nothing connects yet."""
    path = tmp_path_factory.mktemp("django") / "host.db"
    added = one_django.database
    with added("sqlite", "sqlite3", path), added("postgresql", "postgresql", ""):
        yield one_django.configured()


@pytest.fixture
def collector():
    with FaultCollector() as running:
        yield running


@pytest.fixture
def init(collector, tmp_path):
    """Set up the default client with a spool on disk."""

    def init(**options):
        return cx.init(
            **{
                "service": "shop",
                "collector": collector.url,
                "spool": cx.SpoolOptions(
                    mode="mmap", directory=tmp_path / "spool", min_free_bytes=0
                ),
                "delivery": cx.DeliveryOptions(linger=0.05),
                **options,
            }
        )

    return init


@pytest.fixture
def client(init):
    return init()


def ends(collector, client, *names):
    """Flush, and say whether exactly the events *names* came, each once, and all is accounted."""
    client.flush(20).raise_for_error()
    came = {e["data"]["ext"]["app"]["n"] for e in collector.accepted.values()}
    assert came == set(names)
    assert collector.duplicates == 0
    assert len(collector.accepted) == len(names)
    balanced(client)


def balanced(client):
    """Say that the ledger holds."""
    stats = client.stats()
    assert stats["offered"] == stats["accepted"] + sum(stats["refused"].values())


@contextlib.contextmanager
def holding(thing):
    """Close what was opened."""
    try:
        yield thing
    finally:
        thing.close()
