"""
All built-in providers keep what the Protocol promises.
"""

from __future__ import annotations

import asyncio
import json
from typing import ClassVar

import pytest
import sqlalchemy as sa

from cxsdk.lookup import (
    CallableProvider,
    CollectorProvider,
    HttpBatch,
    HttpProvider,
    InMemoryProvider,
    NoOpProvider,
    RedisProvider,
    RedisSection,
    SectionQuery,
    SqlProvider,
)
from cxsdk.testing.conformance import ContextProviderConformance

SECRET = "s3cret-of-tests"


def _raise(error):
    raise error


class TestInMemoryProvider(ContextProviderConformance):
    @pytest.fixture(autouse=True)
    def _source(self):
        self.one = []

    def make_provider(self):
        made = InMemoryProvider()
        self.one.append(made)
        return made

    def put(self, identifier, section, value):
        self.one[-1].put(identifier, section, value)


class TestNoOpProvider(ContextProviderConformance):
    knows = False

    def make_provider(self):
        return NoOpProvider()


class _Functions(ContextProviderConformance):
    @pytest.fixture(autouse=True)
    def _source(self):
        self.known = {}

    def put(self, identifier, section, value):
        self.known.setdefault(identifier, {})[section] = value

    def make_dead(self):
        failed = ConnectionError(f"no way to {SECRET} for c-1001")
        return [CallableProvider("crm", self.values, lambda _: _raise(failed))]


class TestCallableProvider(_Functions):
    secrets = (SECRET,)

    def make_provider(self):
        return CallableProvider("crm", self.values, self.known.get)


class TestCallableProviderOfSections(_Functions):
    def make_provider(self):
        functions = {
            section: lambda who, section=section: self.known.get(who, {}).get(section)
            for section in self.values
        }
        return CallableProvider("crm", self.values, functions)


class TestAsyncCallableProvider(_Functions):
    async def ask(self, who):
        await asyncio.sleep(0)
        return self.known.get(who)

    def make_provider(self):
        return CallableProvider("crm", self.values, self.ask)

    def make_hanging(self):
        return [CallableProvider("crm", self.values, hang)]


async def hang(_):
    await asyncio.sleep(3600)


class TestHttpProvider(ContextProviderConformance):
    secrets = (SECRET, "user-of-tests")
    batch = None

    @pytest.fixture(autouse=True)
    def _source(self, source, ports):
        self.source, self.ports = source, ports

    def put(self, identifier, section, value):
        self.source.put(identifier, section, value)

    def at(self, port, host="127.0.0.1"):
        where = f"http://user-of-tests:{SECRET}@{host}:{port}"
        return HttpProvider(
            f"{where}/customers/{{id}}",
            name="crm",
            sections={section: section for section in self.values},
            batch=self.batch and HttpBatch(f"http://{host}:{port}/customers", **self.batch),
            headers={"X-Key": f"{SECRET}-too"},
        )

    def make_provider(self):
        return self.at(self.source.port)

    def make_dead(self):
        return [self.at(self.ports[0]), self.at(80, "nowhere.invalid")]

    def make_hanging(self):
        return [self.at(self.ports[1])]


class TestHttpProviderInBatches(TestHttpProvider):
    batch: ClassVar = {"items": "customers"}


class TestCollectorProvider(ContextProviderConformance):
    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def _source(self, source, ports):
        self.source, self.ports = source, ports

    def put(self, identifier, section, value):
        self.source.put(identifier, section, value)

    def make_provider(self):
        return CollectorProvider(self.source.url, api_key=SECRET)

    def make_dead(self):
        return [CollectorProvider(f"http://127.0.0.1:{self.ports[0]}", api_key=SECRET)]

    def make_hanging(self):
        return [CollectorProvider(f"http://127.0.0.1:{self.ports[1]}", api_key=SECRET)]


class TestCollectorProviderOfVisitors(TestCollectorProvider):
    space = "anonymous"


class TestRedisProvider(ContextProviderConformance):
    secrets = (SECRET,)
    values: ClassVar = {
        "profile": {"name": "Ann of the tests", "plan": {"name": "gold"}},
        "orders": [{"id": "A-2"}, {"id": "A-1"}],
        "tickets": [{"id": "T-2"}, {"id": "T-1"}],
        "consent": {"state": "granted"},
        "note": "a note",
    }
    places: ClassVar = {
        "profile": "profile:{id}",
        "orders": RedisSection("orders:{{id}}", "list"),
        "tickets": RedisSection("customer:{id}:tickets", "zset"),
        "consent": RedisSection("consent:{id}", "hash"),
        "note": RedisSection("note:{id}", "string"),
    }

    @pytest.fixture(autouse=True)
    def _source(self, redis_server, ports):
        self.server, self.ports = redis_server, ports
        redis_server.command("FLUSHALL")

    def put(self, identifier, section, value):
        place = self.places[section]
        key = (place if isinstance(place, str) else place.key).replace("{id}", identifier)
        command = self.server.command
        command("DEL", key)
        if section == "orders":
            command("RPUSH", key, *(json.dumps(each) for each in value))
        elif section == "tickets":
            for score, each in enumerate(reversed(value)):
                command("ZADD", key, score, json.dumps(each))
        elif section == "consent":
            command("HSET", key, *(word for pair in value.items() for word in pair))
        else:
            command("SET", key, value if section == "note" else json.dumps(value))

    def at(self, port):
        return RedisProvider(
            f"redis://127.0.0.1:{port}/0?client_name={SECRET}", name="cache", sections=self.places
        )

    def make_provider(self):
        return self.at(self.server.port)

    def make_dead(self):
        wrong = f"redis://nobody:{SECRET}@127.0.0.1:{self.server.port}"
        return [
            self.at(self.ports[0]),
            RedisProvider(wrong, name="cache", sections=self.places),
        ]

    def make_hanging(self):
        return [self.at(self.ports[1])]


TABLES = (
    "CREATE TABLE people (customer_id {id} PRIMARY KEY, name TEXT, known_at TIMESTAMP)",
    "CREATE TABLE contacts (customer_id {id}, id TEXT, summary TEXT, happened INTEGER)",
)
BY_ID = {
    "profile": "SELECT name FROM people WHERE customer_id = :id",
    "interactions": (
        "SELECT id, summary FROM contacts WHERE customer_id = :id ORDER BY happened DESC"
        " LIMIT :limit"
    ),
}
BY_IDS = {
    "profile": "SELECT customer_id, name FROM people WHERE customer_id IN :ids",
    "interactions": (
        "SELECT customer_id, id, summary FROM contacts WHERE customer_id IN :ids"
        " ORDER BY happened DESC"
    ),
}


class _Sql(ContextProviderConformance):
    queries: ClassVar = BY_ID

    def put(self, identifier, section, value):
        with self.engine.begin() as connection:
            if section == "profile":
                connection.execute(
                    sa.text("DELETE FROM people WHERE customer_id = :id"), {"id": identifier}
                )
                connection.execute(
                    sa.text("INSERT INTO people VALUES (:id, :name, NULL)"),
                    {"id": identifier, "name": value["name"]},
                )
                return
            connection.execute(
                sa.text("DELETE FROM contacts WHERE customer_id = :id"), {"id": identifier}
            )
            for number, each in enumerate(reversed(value)):
                connection.execute(
                    sa.text("INSERT INTO contacts VALUES (:c, :id, :summary, :n)"),
                    {"c": identifier, "n": number, **each},
                )

    def over(self, source):
        return SqlProvider(
            source, {name: SectionQuery(query) for name, query in self.queries.items()}
        )


class TestSqliteProvider(_Sql):
    @pytest.fixture(autouse=True)
    def _source(self, tmp_path):
        self.url = f"sqlite:///{tmp_path / 'shop.db'}"
        self.folder = tmp_path
        self.engine = sa.create_engine(self.url)
        with self.engine.begin() as connection:
            for table in TABLES:
                connection.exec_driver_sql(table.format(id="TEXT"))
        yield
        self.engine.dispose()

    def make_provider(self):
        return self.over(self.url)

    def make_dead(self):
        return [self.over(f"sqlite:///{self.folder}/no/such/folder/shop.db")]


class TestSqliteProviderOfMany(TestSqliteProvider):
    queries: ClassVar = BY_IDS


class TestSqliteProviderOfAnEngine(TestSqliteProvider):
    def make_provider(self):
        return self.over(self.engine)


class TestPostgresProvider(_Sql):
    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def _source(self, database, ports):
        self.ports = ports
        self.url = database.url.replace("postgresql:", "postgresql+psycopg:")
        self.engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with self.engine.begin() as connection:
            for table in TABLES:
                name = table.split()[2]
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
                connection.exec_driver_sql(table.format(id="TEXT"))
        yield
        self.engine.dispose()

    def make_provider(self):
        return self.over(self.url.replace("@", f":{SECRET}@"))

    def at(self, port):
        return self.over(f"postgresql+psycopg://shop:{SECRET}@127.0.0.1:{port}/shop")

    def make_dead(self):
        return [self.at(self.ports[0]), self.over(f"{self.url}_not")]

    def make_hanging(self):
        return [self.at(self.ports[1])]


class TestPostgresProviderOfMany(TestPostgresProvider):
    queries: ClassVar = BY_IDS
