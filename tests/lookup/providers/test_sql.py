"""
Databases as a source: queries, what rows mean, and servers that go away or dawdle.
"""

from __future__ import annotations

import datetime as dt
import decimal
import sqlite3
import threading
import time
import uuid

import pytest
import sqlalchemy as sa

from cxsdk.errors import ConfigurationError, ExtraMissingError, ProviderError
from cxsdk.knowing import ErrorCode, Found
from cxsdk.lookup import SectionQuery, SqlProvider
from tests.lookup.providers.sources import request
from tests.prompts.cap_servers import HOST, PORT, Way, until

PROFILE = SectionQuery("SELECT name FROM people WHERE id = :id")


@pytest.fixture
def engine(tmp_path):
    """A SQLite file with people and orders."""
    made = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
        connection.exec_driver_sql("CREATE TABLE orders (person INTEGER, n INTEGER, at TEXT)")
        connection.exec_driver_sql("INSERT INTO people VALUES (1, 'Ann'), (2, 'Ben')")
        for number in range(5):
            connection.exec_driver_sql(
                f"INSERT INTO orders VALUES (1, {number}, '2026-11-0{number + 1}T10:00:00Z')"
            )
    yield made
    made.dispose()


@pytest.fixture
def make():
    """Make providers that are closed at the end."""
    made = []

    def make(source, sections=None, **more):
        provider = SqlProvider(source, sections or {"profile": PROFILE}, **more)
        made.append(provider)
        return provider

    yield make
    for provider in made:
        provider.close()


def failure(provider, *identifiers, **more):
    with pytest.raises(ProviderError) as caught:
        provider.fetch(request(*identifiers, **more))
    return caught.value


# ---- queries -------------------------------------------------------------------------------

people = sa.table("people", sa.column("id"), sa.column("name"))
orders = sa.table("orders", sa.column("person"), sa.column("n"), sa.column("at"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT n AS id FROM orders WHERE person = :id ORDER BY n DESC LIMIT :limit",
        sa.text("SELECT n AS id FROM orders WHERE person = :id ORDER BY n DESC"),
        "SELECT person AS customer_id, n AS id FROM orders WHERE person IN :ids ORDER BY n DESC",
        sa.text(
            "SELECT person AS customer_id, n AS id FROM orders WHERE person IN :ids ORDER BY 2 DESC"
        ),
        sa.select(orders.c.n.label("id"))
        .where(orders.c.person == sa.bindparam("id"))
        .order_by(orders.c.n.desc()),
        sa.select(orders.c.person.label("customer_id"), orders.c.n.label("id"))
        .where(orders.c.person.in_(sa.bindparam("ids", expanding=True)))
        .order_by(orders.c.n.desc()),
    ],
)
def test_a_query_is_text_or_a_select(make, engine, query):
    """Of one customer or of many, cut to what was asked for, and it is said that there is more."""
    provider = make(engine, {"orders": SectionQuery(query, limit=4)}, id_as=int)
    found = provider.fetch(request("1", "2", sections=("orders",)))
    assert found["2"] == {}
    assert found["1"]["orders"].value == [{"id": 4}, {"id": 3}, {"id": 2}, {"id": 1}]
    assert found["1"]["orders"].truncated
    found = provider.fetch(request("1", sections=("orders",), limits={"orders": 1}))
    assert found["1"]["orders"].value == [{"id": 4}]


def test_rows_are_a_record_or_items(make, engine):
    """Known records are one row, all else is a list, unless it is said."""
    one = SectionQuery("SELECT name FROM people WHERE id = :id", many=False)
    both = SectionQuery("SELECT name FROM people WHERE id >= :id")
    provider = make(engine, {"profile": PROFILE, "person": one, "people": PROFILE, "consent": both})
    found = provider.fetch(request("1", sections=provider.sections))["1"]
    assert found["profile"].value == found["person"].value == {"name": "Ann"}
    assert found["people"].value == [{"name": "Ann"}]
    assert found["consent"].code == ErrorCode.PARSE_ERROR


def test_columns_nest_and_say_ages(make, engine):
    """A dot in a name nests, NULL is absent, the latest moment is the section's."""
    query = SectionQuery(
        'SELECT n AS id, n AS "refs.order", NULL AS channel, at FROM orders WHERE person = :id',
        as_of="at",
    )
    found = make(engine, {"interactions": query}).fetch(request("1", sections=("interactions",)))
    found = found["1"]["interactions"]
    assert found.value[1] == {"id": 1, "refs": {"order": 1}}
    assert found.as_of == dt.datetime(2026, 11, 5, 10, tzinfo=dt.UTC)


def test_values_are_plain(make, database):
    """Moments, decimals, uuids, arrays and JSON come as JSON would say them."""
    query = SectionQuery(
        "SELECT timestamptz '2026-11-20 10:00+00' AS a, timestamp '2026-11-20 10:00' AS b,"
        " date '2026-11-20' AS c, 1.50 AS d, 2.00 AS e,"
        " uuid '00000000-0000-0000-0000-000000000007' AS f, ARRAY['x','y'] AS g,"
        """ '{"h": [1]}'::jsonb AS h, interval '2 s' AS i, 'NaN'::float8 AS j"""
        " WHERE :id <> ''",
        many=False,
    )
    provider = make(database.url.replace("postgresql", "postgresql+psycopg"), {"all": query})
    value = provider.fetch(request("1", sections=("all",)))["1"]["all"].value
    assert dt.datetime.fromisoformat(value.pop("a")) == dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)
    assert value == {
        "b": "2026-11-20T10:00:00+00:00",
        "c": "2026-11-20",
        "d": 1.5,
        "e": 2,
        "f": "00000000-0000-0000-0000-000000000007",
        "g": ["x", "y"],
        "h": {"h": [1]},
        "i": 2.0,
        "j": None,
    }
    assert type(value["e"]) is int
    assert decimal.Decimal("1.5") == value["d"]


def test_bytes_are_no_plain_data(make, engine):
    """They fail alone."""
    query = SectionQuery("SELECT x'00' AS photo FROM people WHERE id = :id", many=False)
    provider = make(engine, {"profile": PROFILE, "photo": query})
    found = provider.fetch(request("1", sections=provider.sections))["1"]
    assert found["photo"].code == ErrorCode.PARSE_ERROR
    assert found["profile"].value == {"name": "Ann"}


@pytest.mark.parametrize(("id_as", "identifier"), [(int, "x"), (uuid.UUID, "1"), (int, "1.0")])
def test_an_id_of_another_form_is_nobody(make, engine, id_as, identifier):
    """Nothing is asked, and there is nothing."""
    assert make(engine, id_as=id_as).fetch(request(identifier)) == {identifier: {}}


def test_rows_of_nobody_are_left_out(make, engine):
    """A query that returns everybody answers for those asked only; one without the key fails."""
    nobody = SectionQuery("SELECT name FROM people WHERE id IN :ids")
    provider = make(engine, {"profile": PROFILE, "names": nobody}, id_as=int)
    found = provider.fetch(request("1", sections=("names",)))["1"]
    assert found["names"].code == ErrorCode.PARSE_ERROR
    query = SectionQuery("SELECT id AS customer_id, name FROM people WHERE id IN :ids OR id > 0")
    answers = make(engine, {"profile": query}, id_as=int).fetch(request("1"))
    assert answers["1"]["profile"].value == {"name": "Ann"}
    assert set(answers) == {"1"}


@pytest.mark.parametrize(
    "query", ["SELECT 1", "SELECT 1 WHERE '::id' = 'x'", sa.select(people.c.name), 7]
)
def test_a_query_without_a_customer_is_refused(query):
    """It would answer about everybody."""
    with pytest.raises(ConfigurationError, match="query"):
        SectionQuery(query)


# ---- it reads ------------------------------------------------------------------------------


def test_it_only_reads(make, engine, database):
    """A query that writes is refused by the database, and the host may still write."""
    query = SectionQuery("INSERT INTO people (id, name) VALUES (:id, 'Eve') RETURNING name")
    error = failure(make(engine, {"profile": query}), "9")
    assert str(error) == "sql: OperationalError SQLITE_READONLY"
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO people VALUES (3, 'Cem')")
        assert connection.exec_driver_sql("SELECT count(*) FROM people").scalar() == 3
    database.execute("SELECT 1")
    url = database.url.replace("postgresql", "postgresql+psycopg")
    own = sa.create_engine(url, poolclass=sa.NullPool)
    with own.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS people (id TEXT, name TEXT)")
    error = failure(make(url, {"profile": query}), "9")
    assert str(error) == "sql: ReadOnlySqlTransaction 25006"
    with own.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM people").scalar() == 0
        connection.exec_driver_sql("DROP TABLE people")
    own.dispose()


def test_a_database_in_memory_is_the_hosts(make):
    """There is no other way in; it is left as writable as it was, and open after `close`."""
    engine = sa.create_engine(
        "sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id TEXT, name TEXT)")
        connection.exec_driver_sql("INSERT INTO people VALUES ('1', 'Ann')")
    provider = make(engine)
    assert provider.fetch(request("1"))["1"]["profile"].value == {"name": "Ann"}
    provider.close()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO people VALUES ('2', 'Ben')")
    engine.dispose()


def test_errors_quote_nothing(make, engine):
    """What a database says repeats the question, with the ids in it; that is not passed on."""
    query = SectionQuery("SELECT nothing FROM people WHERE id = :id")
    error = failure(make(engine, {"profile": query}), "c-1001")
    assert str(error) == "sql: OperationalError SQLITE_ERROR"
    assert error.error_code == ErrorCode.GENERAL
    assert error.__cause__ is None
    assert error.__suppress_context__


# ---- time ----------------------------------------------------------------------------------

ENDLESS = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " SELECT count(*) AS c FROM n WHERE x <> :id"
)


def test_a_query_that_does_not_end_is_interrupted(make, engine):
    """SQLite is told to stop; the thread and the connection are free again."""
    provider = make(engine, {"profile": PROFILE, "count": SectionQuery(ENDLESS)})
    before = set(threading.enumerate())  # some of which may end meanwhile
    for _ in range(12):
        error = failure(provider, "1", sections=("count",), seconds=0.05)
        assert error.error_code in {ErrorCode.DEADLINE_EXCEEDED, ErrorCode.BULKHEAD_FULL}
    until(lambda: set(threading.enumerate()) <= before, "the threads' end")
    assert provider.fetch(request("1"))["1"]["profile"].value == {"name": "Ann"}


def test_a_file_that_is_removed_or_replaced_is_noticed(make, engine, tmp_path):
    """Nobody is nobody because of an old file; no empty file is left in its place."""
    path, provider = tmp_path / "shop.db", make(engine, id_as=int)
    assert provider.fetch(request("1")) == {"1": {"profile": Found({"name": "Ann"})}}
    path.rename(tmp_path / "old.db")
    assert failure(provider, "1").error_code == ErrorCode.CONNECTION
    assert not path.exists()
    other = sqlite3.connect(tmp_path / "new.db")
    other.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
    other.execute("INSERT INTO people VALUES (3, 'Cleo')")
    other.commit()
    other.close()
    (tmp_path / "new.db").rename(path)
    assert provider.fetch(request("3")) == {"3": {"profile": Found({"name": "Cleo"})}}
    assert provider.fetch(request("1")) == {"1": {}}


def test_a_locked_file_is_waited_for_until_the_deadline(make, engine, tmp_path):
    """Another program holds it; afterwards it is read."""
    provider = make(engine)
    other = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    assert failure(provider, "1", seconds=0.2).error_code == ErrorCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 2.0
    other.execute("ROLLBACK")
    other.close()
    assert provider.fetch(request("1"))["1"]["profile"].value == {"name": "Ann"}


def test_a_slow_query_is_ended_on_the_server(make, database):
    """PostgreSQL gives it up by itself: nothing runs on after the deadline."""
    url = database.url.replace("postgresql", "postgresql+psycopg")
    slow = SectionQuery("SELECT pg_sleep(600), :id AS id")
    provider = make(url, {"orders": slow})
    error = failure(provider, "1", sections=("orders",), seconds=0.3)
    assert error.error_code == ErrorCode.DEADLINE_EXCEEDED
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        f" AND query LIKE '%pg_sleep(600)%' AND datname = '{database.name}'"
    )
    until(lambda: database.execute(running).fetchone()[0] == 0, "the end of the query")


# ---- a server that goes away ---------------------------------------------------------------


@pytest.fixture
def way():
    """A way to PostgreSQL."""
    made = Way(HOST, PORT)
    yield made
    made.close()


WHO = SectionQuery("SELECT 'Ann' AS name WHERE :id = '1'")


def answers(provider):
    try:
        return provider.fetch(request("1", seconds=3.0))["1"]["profile"].value
    except ProviderError:
        return None


def through(way, database):
    url = sa.make_url(database.url.replace("postgresql", "postgresql+psycopg"))
    return url.set(host="127.0.0.1", port=way.port)


def test_connections_that_were_cut_are_made_again(make, database, way):
    """An outage while it lasts, and answers soon after."""
    provider = make(through(way, database), {"profile": WHO})
    assert answers(provider) == {"name": "Ann"}
    way.cut()
    for _ in range(3):
        assert failure(provider, "1").error_code == ErrorCode.CONNECTION
    way.mend()
    until(lambda: answers(provider) == {"name": "Ann"}, "PostgreSQL")
    database.hang_up()
    until(lambda: answers(provider) == {"name": "Ann"}, "PostgreSQL")


def test_a_way_that_freezes_ends_at_the_deadline(make, database, way):
    """In the middle of a connection, for more fetches than there are threads; later it works."""
    provider = make(through(way, database), {"profile": WHO})
    assert answers(provider) == {"name": "Ann"}
    way.freeze()
    began = time.monotonic()
    codes = {failure(provider, "1", seconds=0.05).error_code for _ in range(20)}
    assert time.monotonic() - began < 10.0
    assert codes <= {ErrorCode.DEADLINE_EXCEEDED, ErrorCode.BULKHEAD_FULL, ErrorCode.CONNECTION}
    way.thaw()
    until(lambda: answers(provider) == {"name": "Ann"}, "PostgreSQL")


def test_a_hosts_pool_is_not_used_up(make, engine):
    """The engine that was given is asked in the same way, by connections of the provider's own."""
    provider = make(engine)
    provider.fetch(request("1"))
    assert engine.pool.checkedin() + engine.pool.checkedout() == 1
    assert provider._engine.pool is not engine.pool


# ---- what is wrong is said at once ---------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nonsense", "URL of a database"),
        ("oracle+cx_oracle://x/y", "driver is missing"),
        (7, "got int"),
        ("sqlite+aiosqlite://", "not asynchronous"),
    ],
)
def test_what_is_wrong_is_said_at_once(make, source, words):
    """The error says what is expected, and repeats no URL."""
    with pytest.raises(ConfigurationError, match=words):
        make(source)


def test_an_async_engine_is_refused_with_a_way_out(make):
    """A function of the team's own may use it."""
    from sqlalchemy.ext.asyncio import create_async_engine

    with pytest.raises(ConfigurationError, match="CallableProvider an async function"):
        make(create_async_engine("sqlite+aiosqlite://"))


def test_a_section_needs_a_query(make, engine):
    """Text alone is not enough."""
    with pytest.raises(ConfigurationError, match="SectionQuery"):
        make(engine, {"profile": "SELECT 1"})


def test_without_sqlalchemy_the_command_that_installs_it_is_named(monkeypatch):
    """At construction, not at the first fetch."""
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'cxsdk\[sql\]'"):
        SqlProvider("sqlite://", {"profile": PROFILE})
