"""
The cap store beside what else a Django project does: transactions, threads, forks, other programs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connections, transaction

import cxsdk as cx
from cxsdk.errors import ConfigurationError, StoreUnavailableError
from cxsdk.integrations.django.caps import DjangoCapStore
from cxsdk.integrations.django.models import Offer, OptedOut
from cxsdk.prompts import Prompt, Question
from cxsdk.prompts.deadline import Deadline
from cxsdk.prompts.stores import known_schemes, open_store
from cxsdk.prompts.stores.postgres import PostgresCapStore
from cxsdk.testing.conformance._cap_requests import BEN, ask, patiently
from tests.one_django import SERVER, database
from tests.prompts.cap_servers import Way, until


@pytest.fixture
def make():
    """Make stores that are closed at the end."""
    made = []

    def make(*args, **options):
        made.append(DjangoCapStore(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def store(alias, make):
    return make(alias, timeout=2.0)


def run(work):
    """Run *work* on a thread of its own; return what it returned or raised."""
    told = []

    def call():
        try:
            told.append(work())
        except Exception as error:
            told.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(30)
    return told[0]


# ---- transactions of the host's ------------------------------------------------------------------


def test_a_decision_is_not_part_of_the_hosts_transaction(store, alias, kind):
    """Made on the host's own thread, it stays when the host rolls back, and runs no hook of it."""
    called = []
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=alias):
        transaction.on_commit(lambda: called.append(1), using=alias)
        assert store.reserve(ask("o-1"))
        raise ZeroDivisionError
    assert store.find("o-1").state == "reserved"
    assert called == []


def test_a_host_that_has_written_keeps_sqlite_for_itself(places, make):
    """It is waited for no longer than the store may, on any thread, and all is well afterwards."""
    alias = places("sqlite3")
    store = make(alias, timeout=0.5)
    deadline = Deadline(10.0)
    with transaction.atomic(using=alias):
        OptedOut.objects.using(alias).create(subject="c-other")
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError, match=f"others use '{alias}'"):
                deadline.call(lambda: store.reserve(ask("o-1")))
            assert time.monotonic() - began < 8.0  # its own time is over before the deadline's
        with pytest.raises(StoreUnavailableError, match="others use"):
            store.reserve(ask("o-1"))
    assert deadline.call(lambda: patiently(lambda: store.reserve(ask("o-1"))))
    deadline.close()


def test_a_host_that_reads_does_not_stop_decisions_with_a_log(places, make):
    """In WAL mode; without it nobody commits while somebody reads in a transaction."""
    for wal, is_stopped in ((True, False), (False, True)):
        alias = places("sqlite3", wal=wal)
        store = make(alias, timeout=1.0)
        with transaction.atomic(using=alias):
            assert not OptedOut.objects.using(alias).exists()
            try:
                outcome = bool(store.reserve(ask("o-1")))
            except StoreUnavailableError:
                outcome = False
        assert outcome is not is_stopped
        assert bool(patiently(lambda s=store: s.reserve(ask("o-2", BEN))))
        assert (store.find("o-1") is None) is is_stopped


def test_a_host_that_has_written_does_not_stop_postgres(places, make):
    """Also where it wrote into our own tables, but for the rows themselves."""
    alias = places("postgresql")
    store = make(alias, timeout=2.0)
    assert store.reserve(ask("o-1"))
    with transaction.atomic(using=alias):
        OptedOut.objects.using(alias).create(subject="c-other")
        Offer.objects.using(alias).filter(pk="o-1").update(prompt="q")
        assert store.reserve(ask("o-2", BEN))
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="canceling statement"):
            store.advance("o-1", "shown")
        assert time.monotonic() - began < 8
    assert store.advance("o-1", "shown").prompt == "q"


def test_models_show_what_the_store_wrote(store, alias):
    """The admin, say; a host's own query counts are not disturbed."""
    store.reserve(ask("o-1"))
    (offer,) = Offer.objects.using(alias).all()
    assert (str(offer), offer.state, bytes(offer.record)) == ("o-1", "reserved", b"\x00record\xff")
    assert offer.expires_at - offer.reserved_at == pytest.approx(600)
    connection = connections[alias]
    connection.force_debug_cursor, before = True, len(connection.queries_log)
    try:
        assert store.reserve(ask("o-2", BEN))
        assert len(connection.queries_log) == before
    finally:
        connection.force_debug_cursor = False


# ---- connections ---------------------------------------------------------------------------------


def opened(alias):
    """Return how many connections or files a database has open, of this process."""
    name = str(connections.settings[alias]["NAME"])
    if connections.settings[alias]["ENGINE"].endswith("sqlite3"):
        links = list(Path("/proc/self/fd").iterdir())
        return sum(each.exists() and str(each.readlink()) == name for each in links)
    import psycopg

    told = {key.lower(): value for key, value in SERVER.items()}
    with psycopg.connect(dbname="postgres", **told) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        return connection.execute(count, (name,)).fetchone()[0]


@pytest.mark.parametrize(("age", "left"), [(0, 0), (60, 1), (None, 1)])
def test_connections_are_kept_as_long_as_the_settings_say(kind, places, make, age, left):
    """One for all threads of a process, and by default none after a call; none after close."""
    alias = places(kind, CONN_MAX_AGE=age)
    store = make(alias, timeout=5.0)
    until(lambda: opened(alias) == 0, "the end of what others had open")
    deadline = Deadline(20.0)
    for number in range(12):
        assert deadline.call(lambda n=number: store.reserve(ask(f"o-{n}", f"c-{n}")))
    until(lambda: opened(alias) == left, "the connections")
    threads = [
        threading.Thread(target=lambda n=n: store.reserve(ask(f"p-{n}", f"d-{n}")))
        for n in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    until(lambda: opened(alias) == left, "the connections")
    assert store.counts()["offers"] == {"reserved": 18}
    deadline.close()
    store.close()
    until(lambda: opened(alias) == 0, "the end of the connections")
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.find("o-1")


def test_a_server_that_falls_silent_is_left(places, make):
    """In the middle of a decision, no longer than it may take; the next one connects anew."""
    way = Way(SERVER["HOST"], SERVER["PORT"])
    alias = places("postgresql", CONN_MAX_AGE=None, HOST="127.0.0.1", PORT=str(way.port))
    store = make(alias, timeout=1.0)
    try:
        assert patiently(lambda: store.reserve(ask("o-1")))
        way.freeze()
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="in time"):
                store.reserve(ask("o-2"))
            assert time.monotonic() - began < 5
        way.thaw()
        assert not patiently(lambda: store.reserve(ask("o-2")))
    finally:
        way.close()


def test_a_server_that_hung_up_is_asked_anew(places, make, server):
    """A restart of the database costs no decision, where the connection was at rest."""
    store = make(places("postgresql", CONN_MAX_AGE=None), timeout=5.0)
    assert store.reserve(ask("o-1"))
    server.hang_up()
    assert not store.reserve(ask("o-2"))


def test_a_host_that_begins_every_transaction_by_itself(kind, places, make):
    """Without Django's autocommit what is decided is committed all the same."""
    alias = places(kind, AUTOCOMMIT=False)
    assert make(alias, timeout=5.0).reserve(ask("o-1"))
    assert not make(alias, timeout=5.0).reserve(ask("o-2"))


def test_a_pool_of_the_hosts_is_left_to_the_host(places, make):
    """It hands connections to whoever comes next, with what was set on them."""
    store = make(places("postgresql", OPTIONS={"pool": True}), timeout=5.0)
    assert store.reserve(ask("o-1"))


def test_a_fork_by_a_c_library_is_survived_or_refused(kind, places, make):
    """Python's hooks have not run: a child of an open file refuses, one of a server reconnects."""
    from cxsdk import _fork

    store = make(places(kind, CONN_MAX_AGE=60), timeout=5.0)
    assert store.reserve(ask("o-1"))
    _fork.page[0] = 0  # as the kernel does it
    if kind == "sqlite3":
        with pytest.raises(StoreUnavailableError, match="lazy-apps"):
            store.reserve(ask("o-2"))
    else:
        assert not store.reserve(ask("o-2"))


# ---- settings ------------------------------------------------------------------------------------


def test_it_is_opened_by_its_url(alias):
    """By the alias, or ``default``; what is of no use is said when it is made."""
    assert repr(open_store(f"django:{alias}", timeout=0.1, namespace="x")) == (
        f"DjangoCapStore({alias!r})"
    )
    assert repr(open_store("django:")) == "DjangoCapStore('default')"
    assert "django" in known_schemes()
    with pytest.raises(ConfigurationError, match="DATABASES has no 'nobody'"):
        open_store("django:nobody")
    with database("caps_odd", "dummy", "x"), pytest.raises(ConfigurationError, match="unknown"):
        open_store("django:caps_odd")
    told = {"ENGINE": "no_such_engine"}
    with (
        database("caps_lost", "sqlite3", "x", **told),
        pytest.raises(ConfigurationError, match="no_such_engine"),
    ):
        open_store("django:caps_lost")


def test_tables_that_are_missing_are_named_with_what_makes_them(kind, tmp_path, make, request):
    """Also those of a database in memory, which each connection has for itself."""
    name = tmp_path / "none.db" if kind == "sqlite3" else "postgres"
    if kind == "postgresql":
        request.getfixturevalue("server")
    with database("caps_none", kind, name):
        with pytest.raises(StoreUnavailableError, match=r"run manage\.py migrate cxsdk"):
            make("caps_none", timeout=5.0).reserve(ask("o-1"))
    with pytest.raises(StoreUnavailableError, match=r"run manage\.py migrate cxsdk"):
        make("default", timeout=5.0).reserve(ask("o-1"))


def test_a_client_asks_through_it(alias):
    """From setting to offer, each step on a thread of the engine's."""
    prompt = Prompt(key="effort", questions=[Question(id="effort", kind="ces")])
    options = cx.PromptOptions(
        prompts=[prompt], store=f"django:{alias}", keys=b"a key of these tests", deadline=20.0
    )
    client = cx.Client("shop", collector="null:", prompts=options)
    try:
        with client.scope(customer="u-17"):
            offers = []
            for _ in range(2):
                with client.interaction("checkout.pay"):
                    pass
                offers.append(client.prompts.offer("effort"))
        assert [bool(each) for each in offers] == [True, False]
        assert offers[1].reason == "in_flight"
    finally:
        client.close()
    assert [each.prompt for each in Offer.objects.using(alias).all()] == ["effort"]


# ---- other programs ------------------------------------------------------------------------------


def test_a_service_without_django_shares_the_tables(places, make):
    """`PostgresCapStore` has the same caps and the same locks, in a race too."""
    alias = places("postgresql", CONN_MAX_AGE=60)
    name = connections.settings[alias]["NAME"]
    url = f"postgresql://{SERVER['USER']}@{SERVER['HOST']}:{SERVER['PORT']}/{name}"
    mine, other = make(alias, timeout=10.0), PostgresCapStore(url, timeout=10.0)
    won, barrier = [], threading.Barrier(2)

    def work(store, mark):
        barrier.wait(30)
        asked = (
            (number, ask(f"{mark}-{number}", f"c-{number}", unique=f"p:{number}"))
            for number in range(60)
        )
        won.extend(number for number, each in asked if store.reserve(each))

    threads = [threading.Thread(target=work, args=each) for each in ((mine, "a"), (other, "b"))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(won) == list(range(60))
    other.merge("a-visitor", "c-1")
    (offer,) = mine.history("a-visitor").offers
    assert other.find(offer.offer_id).subject == "c-1"
    assert mine.forget("a-visitor") == 1
    other.close()


SITE = """
import sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["cxsdk.integrations.django", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": sys.argv[1], "NAME": sys.argv[2], **eval(sys.argv[3])}},
)
import django
django.setup()
from django.test import TestCase, TransactionTestCase
from django.test.utils import get_runner
from cxsdk.asking import Cap, Request
from cxsdk.errors import StoreUnavailableError
from cxsdk.integrations.django.caps import DjangoCapStore
from cxsdk.integrations.django.models import Offer, OptedOut
def ask(name):
    return Request(name, "p", "c-1", (), 600.0, b"")

STORES = []
class InATransaction(TestCase):
    def test_nothing_is_decided_in_sqlite_and_all_is_in_postgres(self):
        OptedOut.objects.create(subject="c-2")
        STORES.append(store := DjangoCapStore(timeout=0.3))
        if sys.argv[1].endswith("sqlite3"):
            with self.assertRaises(StoreUnavailableError):
                store.reserve(ask("o-1"))
        else:
            assert store.reserve(ask("o-1"))
            store.release("o-1")  # the test's rollback would not

class ByItself(TransactionTestCase):
    def test_it_is_as_in_production(self):
        STORES.append(store := DjangoCapStore(timeout=2.0))
        assert store.reserve(ask("o-1"))
        assert not store.reserve(ask("o-2"))
        assert Offer.objects.count() == 1

    def test_and_empty_each_time(self):
        self.test_it_is_as_in_production()
runner = get_runner(settings)(verbosity=0)
suite = runner.build_suite(["__main__"])
assert suite.countTestCases() == 3, suite
failures = runner.run_tests(["__main__"])
print("fine" if not failures else "failed")
"""


@pytest.mark.parametrize("name", ["file", "memory", "server"])
def test_in_the_tests_of_a_project(name, tmp_path, request):
    """With Django's runner, which drops its database; a TestCase's transaction is a host's."""
    engine, told = "django.db.backends.sqlite3", {}
    database_name = ":memory:" if name == "memory" else str(tmp_path / "shop.db")
    if name == "file":
        told = {"TEST": {"NAME": str(tmp_path / "test.db")}}
    if name == "server":
        server = request.getfixturevalue("server")
        engine, database_name = "django.db.backends.postgresql", server.name
        told = {**SERVER, "CONN_MAX_AGE": None}
    script = tmp_path / "site_tests.py"
    script.write_text(SITE)
    done = subprocess.run(
        [sys.executable, str(script), engine, database_name, repr(told)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert (done.returncode, done.stdout.strip()[-4:]) == (0, "fine"), done.stdout + done.stderr


def test_without_django(tmp_path):
    """The error names the extra."""
    program = (
        "import sys; sys.modules['django'] = sys.modules['django.conf'] = None\n"
        "from cxsdk.prompts.stores import open_store\n"
        "try:\n    open_store('django:default')\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'cxsdk[django]'" in done.stdout


def test_settings_that_come_later_are_looked_at_then(tmp_path):
    """As where ``cx.init`` stands in the settings' module itself."""
    (tmp_path / "shop_settings.py").write_text(
        "from cxsdk.prompts.stores import open_store\n"
        "STORE = open_store('django:default')\n"
        "NOBODYS = open_store('django:nobody')\n"
        "INSTALLED_APPS = ['cxsdk.integrations.django']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'host.db'}}\n"
    )
    program = (
        "import django\n"
        "django.setup()\n"
        "from django.conf import settings\n"
        "from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0)\n"
        "from cxsdk.asking import Request\n"
        "print(settings.STORE.reserve(Request('o', 'p', 'c', (), 600.0, b'')))\n"
        "try:\n    settings.NOBODYS.find('o')\n"
        "except Exception as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop_settings",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "Reserved(offer_id='o')",
        "django: prompts: DATABASES has no 'nobody'",
    ], done.stderr
