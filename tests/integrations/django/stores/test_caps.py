"""
The cap store in Django's databases keeps what the Protocol promises.
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

import pytest

from cxsdk.integrations.django.caps import DjangoCapStore
from cxsdk.testing.conformance import CapStoreConformance
from tests.one_django import database


class _OnDjango(CapStoreConformance):
    __test__ = False
    kind = ""
    more: ClassVar = {}
    timeout = 2.0

    @pytest.fixture(autouse=True)
    def _place(self, places, tmp_path, ports):
        self.alias, self.folder, self.ports = places(self.kind, **self.more), tmp_path, ports
        with contextlib.ExitStack() as self.stack:
            yield

    def make_store(self):
        return DjangoCapStore(self.alias, timeout=self.timeout, shift_s=lambda: self.shift)


class TestOnSqlite(_OnDjango):
    __test__ = True
    kind = "sqlite3"
    race_processes, race_customers, race_quota = 8, 110, 100

    def make_broken_stores(self):
        damaged = self.folder / "damaged.db"
        damaged.write_bytes(b"no database at all" * 500)
        for alias, name in (("caps_damaged", damaged), ("caps_folder", self.folder)):
            self.stack.enter_context(database(alias, "sqlite3", name))
        return [DjangoCapStore("caps_damaged"), DjangoCapStore("caps_folder")]


class TestOnSqliteWithItsLog(TestOnSqlite):
    """The same in WAL mode, over connections that stay."""

    more: ClassVar = {"CONN_MAX_AGE": 60, "wal": True}


class TestOnPostgres(_OnDjango):
    __test__ = True
    kind = "postgresql"
    more: ClassVar = {"PASSWORD": "s3cret"}
    secrets = ("s3cret",)
    # Each decision connects, as CONN_MAX_AGE of 0 says.
    race_processes, race_customers, race_quota = 8, 110, 100

    def make_broken_stores(self):
        made = []
        for port in self.ports:
            told = {"HOST": "127.0.0.1", "PORT": str(port), "PASSWORD": "s3cret"}
            self.stack.enter_context(database(f"caps_{port}", "postgresql", "x", **told))
            made.append(DjangoCapStore(f"caps_{port}", timeout=0.2))
        return made


class TestOnPostgresThatStays(TestOnPostgres):
    """The same over connections that stay."""

    more: ClassVar = {"PASSWORD": "s3cret", "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
