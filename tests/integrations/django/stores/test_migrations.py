"""
The app's migrations: complete, forwards and backwards, beside tables that are there already.
"""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections

from cxsdk.integrations.django import models
from cxsdk.integrations.django.caps import DjangoCapStore
from cxsdk.prompts.stores import _statements as sql
from cxsdk.prompts.stores.postgres import PostgresCapStore
from cxsdk.testing.conformance._cap_requests import ask
from tests.integrations.django.stores.conftest import migrate
from tests.one_django import SERVER, database
from tests.prompts.cap_servers import PostgresDatabase

TABLES = {getattr(models, each)._meta.db_table for each in models.__all__}


@pytest.fixture
def bare(kind, tmp_path):
    """The alias of a database without any table."""
    if kind == "sqlite3":
        with database("bare", kind, tmp_path / "bare.db"):
            yield "bare"
        return
    server = PostgresDatabase()
    try:
        with database("bare", kind, server.name):
            yield "bare"
    finally:
        server.close()


def tables(alias):
    with connections[alias].cursor() as cursor:
        found = set(connections[alias].introspection.table_names(cursor))
    connections[alias].close()
    return found & TABLES


def indexes(alias):
    """Return the names of our indexes but those that a database makes up itself."""
    named = {line.split()[5] for line in _lines() if line.startswith("CREATE INDEX")}
    found = set()
    with connections[alias].cursor() as cursor:
        for table in sorted(TABLES):
            found |= set(connections[alias].introspection.get_constraints(cursor, table))
    connections[alias].close()
    return found & named, named


def _lines():
    names = {"p": "cxsdk_caps_", "bytes": "BYTEA", "real": "DOUBLE PRECISION", "flat": ""}
    return [" ".join(each.format(**names).split()) for each in sql.SCHEMA]


def test_nothing_is_left_to_be_migrated(kind, places):
    """The models and the migrations agree, in the state of the code and in a database."""
    alias = places(kind)
    call_command("makemigrations", "cxsdk", check=True, dry_run=True, verbosity=0)
    call_command("migrate", "cxsdk", database=alias, check_unapplied=True, verbosity=0)
    connections[alias].close()


def test_forwards_backwards_and_forwards_again(bare):
    """All tables come, go, and come; the store works on them, with every index that it wants."""
    migrate(bare)
    assert tables(bare) == TABLES
    there, wanted = indexes(bare)
    assert there == wanted
    migrate(bare, "zero")
    assert tables(bare) == set()
    migrate(bare)
    store = DjangoCapStore(bare, timeout=5.0)
    assert store.reserve(ask("o-1"))
    assert not store.reserve(ask("o-2"))
    store.close()


@pytest.mark.parametrize("kind", ["postgresql"])
def test_tables_of_the_other_store_are_taken_over(bare):
    """Made by ``create_tables``, with ``migrate --fake-initial``; their caps hold."""
    name = connections.settings[bare]["NAME"]
    url = f"postgresql://{SERVER['USER']}@{SERVER['HOST']}:{SERVER['PORT']}/{name}"
    other = PostgresCapStore(url, timeout=5.0)
    other.create_tables()
    assert other.reserve(ask("o-1"))
    call_command("migrate", "cxsdk", database=bare, fake_initial=True, verbosity=0)
    connections[bare].close()
    store = DjangoCapStore(bare, timeout=5.0)
    assert store.reserve(ask("o-2")).reason == "in_flight"
    assert store.forget("c-ann") == 1
    store.close()
    other.create_tables()
    other.close()


def test_a_database_of_another_kind_gets_no_tables():
    """What its columns could not be is left out; the rest of the app does without."""

    class Features:
        supports_partial_indexes = False

    class Connection:
        vendor, features, alias = "mysql", Features, "other"

    for each in models.__all__:
        assert not getattr(models, each)._meta.can_migrate(Connection)
        assert getattr(models, each)._meta.can_migrate(connections["default"])
