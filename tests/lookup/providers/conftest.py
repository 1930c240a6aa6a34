"""
Servers that the providers ask, each of a module's own.
"""

from __future__ import annotations

import pytest

from tests.lookup.providers.sources import HttpSource
from tests.prompts.cap_servers import PostgresDatabase, RedisServer, black_hole, free_port


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    """A Redis."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def database():
    """A PostgreSQL database with what a shop knows."""
    made = PostgresDatabase()
    yield made
    made.close()


@pytest.fixture
def source():
    """An HTTP server with what a CRM knows."""
    made = HttpSource()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ports():
    """A port that nobody listens on, and one where nobody answers."""
    with black_hole() as hole:
        yield free_port(), hole
