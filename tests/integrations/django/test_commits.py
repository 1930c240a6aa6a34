"""
What is said inside of ``atomic`` is said at its commit, and never if that is rolled back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import unittest
from datetime import UTC, date, datetime

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections, transaction
from django.http import HttpResponse
from django.test import TestCase, override_settings
from django.urls import path

import cxsdk as cx
from cxsdk import _default
from cxsdk.testing.conformance._driving import Ask, acall, call
from tests.integrations.django.projects import Project
from tests.one_django import database
from tests.prompts.cap_servers import PostgresDatabase

TABLES = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY)",
    "CREATE TABLE lines (of INTEGER REFERENCES orders(id) DEFERRABLE INITIALLY DEFERRED)",
)
DUE = date(2026, 12, 1)


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL database of this file's own."""
    made = PostgresDatabase()
    yield made
    made.close()


@pytest.fixture(params=["sqlite3", "postgresql"])
def alias(request, tmp_path):
    """A database of each kind, with tables of the host's."""
    kind = request.param
    name = tmp_path / "host.db" if kind == "sqlite3" else request.getfixturevalue("server").name
    with database("shop", kind, name):
        with connections["shop"].cursor() as cursor:
            for table in ("lines", "orders"):
                cursor.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in TABLES:
                cursor.execute(statement)
        yield "shop"


@pytest.fixture
def other(tmp_path):
    """One more database."""
    with database("other", "sqlite3", tmp_path / "other.db"):
        yield "other"


def promise(key, **how):
    return cx.promise("delivery", key=key, due_date=DUE, tz="UTC", customer="u-1", **how)


def keys(events):
    return [each.data.commitment_id for each in events.of("commitment")]


def execute(alias, statement):
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)


def test_a_promise_waits_for_the_commit(alias, cx_events):
    """It has the time at which it was said, and the customer who was served then."""
    with transaction.atomic(using=alias):
        with cx.scope(customer="u-7"):
            said = cx.promise("callback", key="c-1", due_date=DUE, tz="UTC")
        between = datetime.now(UTC)
        assert (said.waits, said.durable, bool(said), list(cx_events)) == (True, False, True, [])
    event = cx_events.one("commitment")
    assert (event.id, event.data.customer.id) == (said.id, "u-7")
    assert event.time <= between


def test_outside_of_a_transaction_nothing_waits(alias, cx_events):
    """Also with `immediate`, which says nothing new there."""
    assert not promise("a").waits
    assert not promise("b", immediate=True).waits
    assert keys(cx_events) == ["a", "b"]


def test_what_is_rolled_back_was_never_said(alias, cx_events):
    """It is counted under a reason of its own."""
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
        assert promise("gone").waits
        raise ZeroDivisionError
    assert list(cx_events) == []
    assert _default.client().stats()["refused"] == {"rolled_back": 1}


def test_only_what_was_said_behind_a_savepoint_goes_with_it(alias, cx_events):
    """What was said before and after is said at the commit, in order."""
    with transaction.atomic(using=alias):
        promise("before")
        with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
            promise("gone")
            with transaction.atomic(using=alias):
                promise("gone with the outer one")
            raise ZeroDivisionError
        with transaction.atomic(using=alias):
            promise("released")
        promise("after")
        assert list(cx_events) == []
    assert keys(cx_events) == ["before", "released", "after"]
    assert _default.client().stats()["refused"] == {"rolled_back": 2}


def test_a_commit_that_fails_is_a_rollback(alias, cx_events):
    """A deferred constraint is looked at in the commit."""
    with pytest.raises(DatabaseError), transaction.atomic(using=alias):
        execute(alias, "INSERT INTO lines VALUES (99)")
        promise("gone")
    assert list(cx_events) == []
    assert _default.client().stats()["refused"] == {"rolled_back": 1}


def test_immediate_does_not_wait(alias, cx_events):
    """On each verb that would."""
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
        assert not promise("now", immediate=True).waits
        assert not cx.commitment("now", customer="u-1", immediate=True).kept().waits
        assert not cx.reaction("renew", customer="u-1", immediate=True).waits
        assert not cx.identify("u-1", immediate=True).waits
        assert cx.link(keep="u-1", absorb="u-2", immediate=True).reason == ""
        assert cx.unlink(keep="u-1", absorb="u-2", immediate=True)
        assert not cx.consent("granted", customer="u-1", immediate=True).waits
        raise ZeroDivisionError
    said = [(each.family, each.action) for each in cx_events]
    assert said == [
        ("commitment", "made"),
        ("commitment", "kept"),
        ("reaction", "observed"),
        ("identity", "identified"),
        ("identity", "linked"),
        ("identity", "unlinked"),
        ("identity", "consent_changed"),
    ]


def test_what_happened_does_not_wait(alias, cx_events):
    """Interactions, problems and feedback are true whatever becomes of the transaction."""
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
        with cx.interaction("checkout.pay", customer="u-1"):
            cx.problem("error", customer="u-1")
        cx.feedback(csat=1, customer="u-1")
        cx.commitment("o-1", customer="u-1").kept()
        cx.reaction("complain", customer="u-1")
        raise ZeroDivisionError
    assert [each.family for each in cx_events] == ["problem", "interaction", "feedback"]
    assert _default.client().stats()["refused"] == {"rolled_back": 2}


def test_two_databases(alias, other, cx_events):
    """It waits for both; one that is rolled back is enough."""
    with transaction.atomic(using=alias):
        with transaction.atomic(using=other):
            promise("both")
        assert list(cx_events) == []
    assert keys(cx_events) == ["both"]
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=other):
        with transaction.atomic(using=alias):
            promise("one of them is not")
        raise ZeroDivisionError
    assert keys(cx_events) == ["both"]


def test_the_settings_say_which_databases_matter(alias, other, cx_events):
    """``on_commit`` names them; False waits for none."""
    with override_settings(CXSDK={"on_commit": ["other"]}):
        with transaction.atomic(using=alias):
            assert not promise("at once").waits
        with transaction.atomic(using=other):
            assert promise("waits").waits
    with override_settings(CXSDK={"on_commit": False}), transaction.atomic(using=other):
        assert not promise("never waits").waits
    assert keys(cx_events) == ["at once", "waits", "never waits"]


def test_a_function_of_the_hosts_that_raises_costs_no_promise(alias, cx_events):
    """Django calls nothing after it; what was committed was promised all the same."""

    def broken():
        raise LookupError("the host's own")

    def commit():
        with transaction.atomic(using=alias):
            transaction.on_commit(broken, using=alias)
            promise("kept")

    with pytest.raises(LookupError, match="the host's own"):
        commit()
    assert keys(cx_events) == ["kept"]


def test_an_exception_that_is_kept_costs_no_promise(alias, cx_events):
    """It keeps what Django did not call, until the connection is in a transaction again."""
    kept = []

    def broken():
        raise LookupError("the host's own")

    try:
        with transaction.atomic(using=alias):
            transaction.on_commit(broken, using=alias)
            with transaction.atomic(using=alias):
                promise("kept")
    except LookupError as error:
        kept.append(error)
    with transaction.atomic(using=alias):
        kept.clear()
        gc.collect()
    assert keys(cx_events) == ["kept"]
    assert _default.client().stats()["refused"] == {}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # psycopg, about that thread
def test_a_thread_that_ends_in_a_transaction_has_rolled_back(alias, cx_events):
    """Its connection goes with it."""

    def work():
        transaction.atomic(using=alias).__enter__()
        assert promise("gone").waits

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    gc.collect()
    assert keys(cx_events) == []
    assert _default.client().stats()["refused"] == {"rolled_back": 1}


def test_without_autocommit_nothing_waits(alias, cx_events):
    """Django tells nobody of a commit that is the host's own, so that waiting would be for ever."""
    transaction.set_autocommit(False, using=alias)
    try:
        with transaction.atomic(using=alias):
            assert not promise("at once").waits
        transaction.commit(using=alias)
    finally:
        transaction.set_autocommit(True, using=alias)
    assert keys(cx_events) == ["at once"]


def test_a_connection_that_is_closed_has_rolled_back(alias, cx_events):
    """Django lets go of what would have been done on commit."""
    with contextlib.suppress(Exception), transaction.atomic(using=alias):
        promise("gone")
        connections[alias].close()
    assert list(cx_events) == []
    assert _default.client().stats()["refused"] == {"rolled_back": 1}


def test_the_ledger_holds(alias):
    """An event that waits is offered when it is known what becomes of it."""
    client = cx.init("shop", collector="memory:")
    with transaction.atomic(using=alias):
        promise("a")
        cx.reaction("renew")  # of nobody
        assert client.stats()["offered"] == 1
        with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
            promise("b")
            raise ZeroDivisionError
    stats = client.stats()
    assert stats["refused"] == {"no_customer": 1, "rolled_back": 1}
    assert (stats["offered"], stats["accepted"]) == (3, 1)


def test_strict_mode_raises_where_it_is_said(alias):
    """What is wrong with a promise is no business of the commit's."""
    cx.init("shop", collector="null:", strict=True)
    with transaction.atomic(using=alias), pytest.raises(cx.CXError, match="due"):
        cx.promise("delivery", key="a", customer="u-1")


def test_a_withdrawal_in_between_is_heeded(alias, cx_events):
    """Consent is asked again at the commit."""
    cx.init("shop", collector="null:", strict=False, privacy=cx.PrivacyOptions(when_denied="drop"))
    with transaction.atomic(using=alias):
        assert promise("a").waits
        cx.consent("denied", customer="u-1", immediate=True)
    assert cx_events.of("commitment") == []


def test_a_no_is_heeded_at_once_a_yes_at_the_commit(alias):
    """In this process, for later events; both are recorded at the commit."""
    client = cx.init("shop", collector="memory:")
    customers = client.capture().customers

    def state(who):
        return customers.consents.get(client.capture().known((who, None, None, None)).tag)

    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
        assert cx.consent("denied", customer="u-1").waits
        assert cx.consent("granted", customer="u-2").waits
        assert (state("u-1"), state("u-2")) == ("denied", None)
        raise ZeroDivisionError
    assert (state("u-2"), client.stats()["accepted"]) == (None, 0)
    with transaction.atomic(using=alias):
        cx.consent("granted", customer="u-2")
    assert (state("u-2"), client.stats()["accepted"]) == ("granted", 1)


def test_a_link_is_applied_at_the_commit(alias, cx_events):
    """One that is not to be is refused then, and told to nobody."""
    with transaction.atomic(using=alias):
        found = cx.link(keep="u-1", absorb="u-2")
        assert (found.applied, found.reason) == (True, "waits")
    assert cx_events.one("identity").data.op == "linked"
    with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
        cx.unlink(keep="u-1", absorb="u-2")
        raise ZeroDivisionError
    assert len(cx_events.of("identity")) == 1


def test_an_outbox_is_the_transaction_itself(alias, cx_events):
    """Its events do not wait a second time."""
    with transaction.atomic(using=alias), cx.outbox(using=alias) as tx:
        said = tx.promise("delivery", key="a", due_date=DUE, tz="UTC", customer="u-1")
        assert not said.waits


def test_a_testcase_of_djangos(cx_events):
    """Its own transaction is none; an ``atomic`` in it waits, for captureOnCommitCallbacks."""

    class Case(TestCase):
        def test_it(self):
            assert not promise("as without a transaction").waits
            with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
                assert promise("as in one").waits
            with transaction.atomic():
                promise("never")

    result = unittest.TestResult()
    unittest.TestSuite([Case("test_it")]).run(result)
    connections["default"].close()
    assert (result.errors, result.failures, result.testsRun) == ([], [], 1)
    assert keys(cx_events) == ["as without a transaction", "as in one"]


def order(request):
    with transaction.atomic(using="shop"):
        promise(request.GET["key"])
        said = [each.data.commitment_id for each in request.seen]
    return HttpResponse(",".join(said))


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_in_a_request(kind, alias, cx_events, monkeypatch):
    """Under ASGI the view and its transaction have a thread of their own."""
    monkeypatch.setattr("django.http.HttpRequest.seen", cx_events, raising=False)
    made = Project(kind, [path("order", order)])
    ask = Ask("/order?key=a")
    reply = call(made.entry, ask) if kind == "wsgi" else asyncio.run(acall(made.entry, ask))
    assert (reply.text, keys(cx_events)) == ("", ["a"])


def test_on_an_event_loop(alias, cx_events):
    """A coroutine is in no transaction; what it calls in a thread may be."""

    def work():
        with transaction.atomic(using=alias):
            promise("in a thread")
            assert list(cx_events) == []
        connections.close_all()

    async def main():
        await sync_to_async(work)()
        assert not promise("on the loop").waits

    asyncio.run(main())
    assert keys(cx_events) == ["in a thread", "on the loop"]
