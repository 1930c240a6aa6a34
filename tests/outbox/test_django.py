"""
Django's transactions on real databases: an event stands or falls with its change.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

import cxsdk as cx
from cxsdk.errors import OutboxError
from cxsdk.outbox.row import TABLE
from cxsdk.outbox.store import open_store
from tests.outbox.conftest import balanced, ends
from tests.outbox.test_sqlalchemy import say


class Site:
    """A Django database with the outbox's migration, and a table of the host's."""

    def __init__(self, alias):
        from django.core.management import call_command
        from django.db import connections

        self.alias, self.connections = alias, connections
        call_command("migrate", "cxsdk_outbox", database=alias, verbosity=0)
        self.execute("CREATE TABLE orders (id INTEGER)")

    def execute(self, statement):
        with self.connections[self.alias].cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    def order(self):
        self.execute("INSERT INTO orders VALUES (1)")

    def orders(self):
        return self.execute("SELECT count(*) FROM orders")

    def rows(self):
        return self.execute(f"SELECT count(*) FROM {TABLE}")

    def atomic(self, **options):
        from django.db import transaction

        return transaction.atomic(using=self.alias, **options)


@pytest.fixture
def site(kind, django, request):
    from django.db import connections

    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        server.hang_up()
        connections.settings[kind]["NAME"] = connections[kind].settings_dict["NAME"] = server.name
    with connections[kind].cursor() as cursor:
        for table in ("orders", TABLE, "django_migrations"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
    yield Site(kind)
    connections.close_all()


def test_a_committed_event_arrives_once(client, collector, site):
    """The row is the transaction's own; after the commit it is delivered by itself."""
    with site.atomic():
        site.order()
        with cx.outbox(using=site.alias) as tx:
            assert say(tx, "a").durable
            with tx.interaction("checkout.pay", customer="u-17") as i:
                i.attributes["n"] = "b"
        assert site.rows() == 2
    assert collector.wait_for(2, timeout=30)
    ends(collector, client, "a", "b")
    assert (site.orders(), site.rows()) == (1, 0)


def test_what_is_rolled_back_never_happened(client, collector, site):
    """An exception through atomic takes the change and the event."""
    with pytest.raises(ZeroDivisionError), site.atomic():
        site.order()
        say(cx.outbox(using=site.alias), "gone")
        raise ZeroDivisionError
    with site.atomic():
        say(cx.outbox(using=site.alias), "there")
    ends(collector, client, "there")
    assert site.orders() == 0


def test_only_the_events_of_a_savepoint_that_is_rolled_back_vanish(client, collector, site):
    """An inner atomic that fails takes its own events only."""
    tx = cx.outbox(using=site.alias)
    with site.atomic():
        say(tx, "before")
        with site.atomic():
            say(tx, "released")
        with pytest.raises(ZeroDivisionError), site.atomic():
            say(tx, "gone")
            with site.atomic():
                say(tx, "gone with the outer one")
            raise ZeroDivisionError
        say(tx, "after")
    ends(collector, client, "before", "released", "after")


def test_a_missing_table_harms_no_transaction(client, collector, site):
    """The change is committed, the event refused, and on record as lost after the commit."""
    site.execute(f"DROP TABLE {TABLE}")
    with site.atomic():
        site.order()
        assert say(cx.outbox(using=site.alias), "a").reason == "outbox"
        site.order()
    assert site.orders() == 2
    client.flush(20)
    (loss,) = collector.accepted.values()
    assert (loss["data"]["reason"], loss["data"]["count"]) == ("outbox", 1)
    balanced(client)


def test_strict_mode_raises_and_the_transaction_lives(init, site):
    """A developer sees it at the line that said it."""
    init(strict=True)
    site.execute(f"DROP TABLE {TABLE}")
    with site.atomic():
        site.order()
        with pytest.raises(OutboxError, match=TABLE):
            say(cx.outbox(using=site.alias), "a")
    assert site.orders() == 1


def test_a_transaction_that_failed_already_stays_the_hosts_business(client, site):
    """In a broken atomic block our verb is silent."""
    from django.db import Error

    with site.atomic():
        with pytest.raises(Error):
            site.execute("SELECT * FROM nowhere")
        site.connections[site.alias].set_rollback(True)
        assert say(cx.outbox(using=site.alias), "a").reason == "outbox"
    assert site.rows() == 0
    balanced(client)


def test_a_database_that_hangs_up(client, site, request):
    """The verb is silent; Django's own next statement says it."""
    from django.db import Error

    if site.alias == "sqlite":
        pytest.skip("a file does not hang up")
    with pytest.raises(Error), site.atomic():
        site.order()
        request.getfixturevalue("postgres").hang_up()
        assert say(cx.outbox(using=site.alias), "a").reason == "outbox"
        site.order()
    site.connections[site.alias].close()
    assert (site.orders(), site.rows()) == (0, 0)
    balanced(client)


def test_without_a_transaction_the_row_is_one(client, collector, site):
    """In autocommit mode an event stands for itself."""
    say(cx.outbox(using=site.alias), "a")
    ends(collector, client, "a")


def test_an_alias_that_is_not_there(client, site):
    """It is said once and costs the event only."""
    assert say(cx.outbox(using="nobody"), "a").reason == "outbox"


def test_from_a_coroutine(client, site):
    """Django's transactions are synchronous, and so is this."""

    async def main():
        return say(cx.outbox(using=site.alias), "a")

    assert asyncio.run(main()).reason == "outbox"


def test_in_a_coroutine_by_way_of_a_thread(client, collector, site):
    """What runs under sync_to_async has a transaction, and events in it."""
    from asgiref.sync import sync_to_async

    def work():
        with site.atomic():
            say(cx.outbox(using=site.alias), "a")
        site.connections.close_all()

    async def main():
        await sync_to_async(work)()
        return await cx.aflush(20)

    assert asyncio.run(main()).pending == 0
    ends(collector, client, "a")


def test_a_killed_process_leaves_rows_to_the_next(init, collector, site):
    """What was committed and not handed over goes out when ``outbox=`` names the database."""
    first = init()
    first._parts.outbox.relay.close(0)  # as if it were killed before the hand-over
    with site.atomic():
        say(cx.outbox(using=site.alias), "a")
    assert site.rows() == 1
    client = init(outbox=f"django:{site.alias}")
    assert collector.wait_for(1, timeout=30)
    ends(collector, client, "a")
    assert site.rows() == 0


def test_two_relays_racing_take_each_row_once(client, site):
    """Two threads with connections of their own, as two processes have."""
    client._parts.outbox.relay.close(0)
    with site.atomic():
        for n in range(200):
            say(cx.outbox(using=site.alias), str(n))
    start, taken = threading.Barrier(2), []

    def keep(rows):
        names = [row.id for row in rows]
        taken.extend(names)
        return names

    def work():
        store = open_store(f"django:{site.alias}")
        start.wait(30)
        while store.take("shop", "production", 7, keep):
            pass
        store.rest()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(taken) == len(set(taken)) == 200
    assert site.rows() == 0


def test_the_model_and_its_migration_agree(site):
    """The command makemigrations has nothing to add, and the ORM reads what the verbs wrote."""
    from django.core.management import call_command

    from cxsdk.outbox.django.models import OutboxRow

    call_command("makemigrations", "cxsdk_outbox", check=True, dry_run=True, verbosity=0)
    OutboxRow.objects.using(site.alias).create(
        id="x", service="s", environment="e", lane="bulk", kind=0, tag=b"", payload=b"{}", created=1
    )
    assert str(OutboxRow.objects.using(site.alias).get()) == "x"


def test_sqlalchemy_relays_what_django_wrote(site):
    """One table for both: the command needs no Django to read it."""
    from tests.outbox.conftest import Database

    name = site.connections[site.alias].settings_dict["NAME"]
    site.execute(f"INSERT INTO {TABLE} VALUES ('x', 's', 'e', 'bulk', 0, '', '7b7d', 1)")
    database = Database(site.alias, name)
    store = open_store(database.url)
    (waiting,) = store.waiting()
    store.rest()
    assert (waiting.service, waiting.environment, waiting.rows) == ("s", "e", 1)


def test_the_command_goes_by_an_alias(tmp_path, collector):
    """``--url django:default`` needs Django's settings and no SQLAlchemy."""
    (tmp_path / "shop_settings.py").write_text(
        "INSTALLED_APPS = ['cxsdk.outbox.django']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'host.db'}}\n"
    )
    environ = {
        **{n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")},
        "DJANGO_SETTINGS_MODULE": "shop_settings",
        "PYTHONPATH": str(tmp_path),
    }

    def run(*command):
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run("django", "migrate", "-v", "0").returncode == 0
    listed = run("cxsdk", "outbox", "ls", "--url", "django:default")
    assert "nothing waits" in listed.stdout, listed.stderr


def test_without_django(tmp_path):
    """The error of a host that has neither names what is missing."""
    program = (
        "import sys; sys.modules['django'] = None\n"
        "import cxsdk as cx\n"
        "cx.init('shop', collector='null:', strict=True)\n"
        "try:\n    cx.outbox()\n"
        "except cx.CXError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install django" in done.stdout
