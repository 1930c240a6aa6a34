"""
Databases of Django's with the tables of the cap store, a fresh one for each test.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3

import psycopg
import pytest

from tests.one_django import SERVER, configured, database
from tests.prompts.cap_servers import PostgresDatabase, black_hole, free_port

configured()

KINDS = ("sqlite3", "postgresql")
_numbers = itertools.count()


def migrate(alias, *target):
    """Migrate our app, and leave no connection of this thread open."""
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", "cxsdk", *target, database=alias, verbosity=0)
    connections[alias].close()


def empty(name):
    """Empty our tables in a PostgreSQL database."""
    from cxsdk.integrations.django import models

    tables = [getattr(models, each)._meta.db_table for each in models.__all__]
    told = {key.lower(): value for key, value in SERVER.items()}
    with psycopg.connect(dbname=name, autocommit=True, **told) as connection:
        connection.execute(f"TRUNCATE {', '.join(tables)}")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """A file of SQLite with the tables, to be copied."""
    path = tmp_path_factory.mktemp("django") / "template.db"
    with database("caps_template", "sqlite3", path):
        migrate("caps_template")
    return path


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL database of the run's own."""
    made = PostgresDatabase()
    yield made
    made.close()


@pytest.fixture(scope="session")
def migrated_server(server):
    """The same with the tables."""
    with database("caps_template", "postgresql", server.name):
        migrate("caps_template")
    return server


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def places(tmp_path, request):
    """Make aliases of migrated, empty databases, with settings of the test's own."""
    with contextlib.ExitStack() as stack:

        def make(kind, *, wal=False, **more):
            number = next(_numbers)
            if kind == "sqlite3":
                template = request.getfixturevalue("migrated_file")
                name = shutil.copy(template, tmp_path / f"caps-{number}.db")
                if wal:  # the file keeps it
                    with contextlib.closing(sqlite3.connect(name)) as connection:
                        connection.execute("PRAGMA journal_mode=WAL")
            else:
                name = request.getfixturevalue("migrated_server").name
                empty(name)
            stack.enter_context(database(f"caps_{number}", kind, name, **more))
            return f"caps_{number}"

        yield make


@pytest.fixture
def alias(kind, places):
    """An alias of each kind."""
    return places(kind)


@pytest.fixture(scope="session")
def ports():
    """A port that nobody listens on, and one where nobody answers."""
    with black_hole() as hole:
        yield free_port(), hole
