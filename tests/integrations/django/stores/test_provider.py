"""
Query sets as context: rows to sections, and databases that are away or take too long.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
import uuid
from decimal import Decimal

import pytest
from django.db import connections, models, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Upper

import cxsdk as cx
from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.integrations.django.provider import DjangoProvider, OrmProvider, OrmSection
from cxsdk.knowing import ErrorCode
from cxsdk.testing.conformance import ContextProviderConformance
from tests.integrations.django.stores.conftest import KINDS
from tests.lookup.providers.sources import request
from tests.one_django import database


class Person(models.Model):
    who = models.TextField(unique=True)
    name = models.TextField(null=True)  # noqa: DJ001 - absent

    class Meta:
        """Of an application that is not installed."""

        app_label = "shop"

    def __str__(self):
        return f"{type(self).__name__} {self.pk}"


class Call(models.Model):
    person = models.ForeignKey(Person, models.CASCADE, related_name="calls")
    key = models.AutoField(primary_key=True)
    id = models.TextField()
    summary = models.TextField()
    at = models.DateTimeField(default=dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC))
    cost = models.DecimalField(max_digits=9, decimal_places=2, default=Decimal("1.50"))
    token = models.UUIDField(default=uuid.UUID(int=7))

    class Meta:
        """Of an application that is not installed."""

        app_label = "shop"

    def __str__(self):
        return f"{type(self).__name__} {self.pk}"


class Lost(models.Model):
    name = models.TextField()

    class Meta:
        """Nowhere to be found."""

        app_label = "shop"

    def __str__(self):
        return self.name


@pytest.fixture
def shop(kind, places):
    """An alias with people and calls."""
    with opened(places(kind)) as alias:
        yield alias


@contextlib.contextmanager
def opened(alias):
    """Have the tables in a database for a while."""
    with connections[alias].schema_editor() as editor:
        editor.create_model(Person)
        editor.create_model(Call)
    try:
        yield alias
    finally:
        with connections[alias].schema_editor() as editor:
            editor.delete_model(Call)
            editor.delete_model(Person)


def sections(alias):
    """Return the declarations of the suite's two sections."""
    return {
        "profile": OrmSection(
            Person.objects.using(alias).exclude(name=None), customer="who", fields=["name"]
        ),
        "interactions": OrmSection(
            Call.objects.using(alias).order_by("-key"),
            customer="person__who",
            fields=["id", "summary"],
        ),
    }


def put(alias, identifier, section, value):
    """Have the database say *value*."""
    person, _ = Person.objects.using(alias).get_or_create(who=identifier)
    if section == "profile":
        person.name = value["name"]
        person.save()
        return
    person.calls.all().delete()
    for each in reversed(value):
        person.calls.create(id=each["id"], summary=each["summary"])


class _OnDjango(ContextProviderConformance):
    __test__ = False
    kind = ""

    @pytest.fixture(autouse=True)
    def _shop(self, places, ports):
        self.ports = ports
        with contextlib.ExitStack() as self.stack:
            self.alias = self.stack.enter_context(opened(places(self.kind)))
            connections[self.alias].close()
            yield

    def make_provider(self):
        return OrmProvider(sections(self.alias))

    def put(self, identifier, section, value):
        put(self.alias, identifier, section, value)
        connections[self.alias].close()


class TestOnSqlite(_OnDjango):
    __test__ = True
    kind = "sqlite3"

    def make_dead(self):
        self.stack.enter_context(database("shop_dead", "sqlite3", "/no/such/folder/shop.db"))
        return [OrmProvider(sections("shop_dead"))]


class TestOnPostgres(_OnDjango):
    __test__ = True
    kind = "postgresql"
    secrets = ("s3cret",)

    def make_dead(self):
        told = {"HOST": "127.0.0.1", "PORT": str(self.ports[0]), "PASSWORD": "s3cret"}
        self.stack.enter_context(database("shop_dead", "postgresql", "x", **told))
        return [OrmProvider(sections("shop_dead"))]


# ---- what a declaration says -------------------------------------------------------------------


@pytest.fixture
def ann(shop):
    """A customer with three calls."""
    made = Person.objects.using(shop).create(who="c-1", name="Ann")
    for number in range(3):
        at = dt.datetime(2026, 11, number + 1, tzinfo=dt.UTC)
        made.calls.create(id=f"i-{number}", summary="x", at=at)
    return made


def asked(provider, identifier, *names, **more):
    """Return what a provider says of one customer."""
    names = names or tuple(provider.sections)
    return provider.fetch(request(identifier, sections=names, **more))[identifier]


def test_fields_are_paths_annotations_and_expressions(shop, ann):
    """A dot nests, None is absent, values are as JSON would say them, the latest moment counts."""
    said = OrmSection(
        Call.objects.using(shop).annotate(loud=Upper("summary")).order_by("-at"),
        customer="person__who",
        fields={
            "id": "id",
            "at": "at",
            "summary": "loud",
            "refs.person": F("person__name"),
            "refs.nothing": Value(None, output_field=models.TextField()),
            "cost": "cost",
            "token": "token",
        },
        as_of="at",
        limit=2,
    )
    found = asked(OrmProvider({"interactions": said}), "c-1")["interactions"]
    assert found.truncated
    assert found.as_of == dt.datetime(2026, 11, 3, tzinfo=dt.UTC)
    assert [each["id"] for each in found.value] == ["i-2", "i-1"]
    assert found.value[0] == {
        "id": "i-2",
        "at": "2026-11-03T00:00:00+00:00",
        "summary": "X",
        "refs": {"person": "Ann"},
        "cost": 1.5,
        "token": str(uuid.UUID(int=7)),
    }


def test_rows_are_a_record_or_items(shop, ann):
    """Known records are one row, all else is a list, unless it is said; limits are heeded."""
    calls = Call.objects.using(shop).order_by("key")
    number = calls.values("person__who").annotate(number=Count("key")).order_by()
    provider = OrmProvider(
        {
            "profile": OrmSection(calls, customer="person__who", fields=["id"]),
            "calls": OrmSection(calls, customer="person__who", fields=["id"]),
            "sum": OrmSection(number, customer="person__who", fields=["number"], many=False),
        }
    )
    found = asked(provider, "c-1", limits={"calls": 1})
    assert found["profile"].code == ErrorCode.PARSE_ERROR
    assert (found["calls"].value, found["calls"].truncated) == ([{"id": "i-0"}], True)
    assert found["sum"].value == {"number": 3}


def test_a_function_is_asked_at_each_fetch(shop, ann):
    """It may say something else each time; a manager will do where nothing is to be chosen."""
    wanted = ["i-0"]
    provider = OrmProvider(
        {
            "calls": OrmSection(
                lambda: Call.objects.using(shop).filter(id__in=wanted),
                customer="person__who",
                fields=["id"],
            ),
            "all": OrmSection(Call.objects.db_manager(shop), customer="person__who", fields=["id"]),
        }
    )
    assert asked(provider, "c-1", "calls")["calls"].value == [{"id": "i-0"}]
    wanted[:] = ["i-1"]
    assert asked(provider, "c-1", "calls")["calls"].value == [{"id": "i-1"}]
    assert len(asked(provider, "c-1", "all")["all"].value) == 3


def test_an_id_that_only_looks_like_a_number_is_nobodys(shop, ann):
    """Python reads 1_0, +1 and other digits as numbers; the column holds one text of each."""
    number = str(ann.pk)
    said = OrmSection(Person.objects.using(shop), customer="pk", fields=["name"])
    provider = OrmProvider({"profile": said})
    assert asked(provider, number)["profile"].value == {"name": "Ann"}
    others = (f"0{number}", f"+{number}", f" {number}", "c-1", "9" * 40, "٣", f"{number}.0")
    assert {each: asked(provider, each) for each in others} == {each: {} for each in others}
    short = OrmProvider({"profile": said}, id_as=lambda each: each.removeprefix("u-"))
    assert asked(short, f"u-{number}")["profile"].value == {"name": "Ann"}


def test_what_is_declared_wrongly_is_said_at_once(shop):
    """A field that is not the model's, no field at all, a query set that is cut, no section."""
    people = Person.objects.using(shop)
    with pytest.raises(ConfigurationError, match="'shoe_size'"):
        OrmProvider({"profile": OrmSection(people, customer="pk", fields=["shoe_size"])})
    with pytest.raises(ConfigurationError, match="fields"):
        OrmSection(people, customer="pk", fields=[])
    with pytest.raises(ConfigurationError, match="not cut"):
        OrmSection(people.all()[:3], customer="pk", fields=["name"])
    with pytest.raises(ConfigurationError, match="OrmSection"):
        OrmProvider({"profile": people})


def test_one_section_may_fail_alone(shop, ann):
    """A table that is not there takes no other section with it, nor a field found wrong later."""
    provider = OrmProvider(
        {
            **sections(shop),
            "lost": OrmSection(Lost.objects.using(shop), customer="pk", fields=["name"]),
            "wrong": OrmSection(
                lambda: Person.objects.using(shop), customer="pk", fields=["shoe_size"]
            ),
        }
    )
    found = asked(provider, str(ann.pk), "lost", "wrong")
    assert {each.code for each in found.values()} == {ErrorCode.GENERAL}
    assert asked(provider, "c-1", "profile", "lost")["profile"].value == {"name": "Ann"}


# ---- connections and time ------------------------------------------------------------------------


def test_a_query_only_reads_and_ends_at_the_deadline(places):
    """In PostgreSQL the server ends it; what follows on the connection has no such limits."""
    with opened(places("postgresql", CONN_MAX_AGE=60)) as alias:
        Person.objects.using(alias).create(who="c-1", name="Ann")
        people = Person.objects.using(alias)
        slow = people.extra(select={"name_": "pg_sleep(30)::text"})
        writes = people.extra(select={"name_": "nextval('shop_person_id_seq')"})
        for query, code in ((slow, "deadline_exceeded"), (writes, "general")):
            said = OrmSection(query, customer="who", fields={"name": "name_"})
            began = time.monotonic()
            try:
                found = asked(OrmProvider({"profile": said}), "c-1", seconds=0.2)["profile"].code
            except ProviderError as error:
                found = error.error_code
            assert found == code
            assert time.monotonic() - began < 10
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3), nextval('shop_person_id_seq')")


def test_connections_of_worker_threads_are_closed(shop, ann):
    """Each fetch leaves none behind, with CONN_MAX_AGE as it is by default."""
    provider, left = OrmProvider(sections(shop)), []

    def run():
        asked(provider, "c-1")
        left.append(connections[shop].connection)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert left == [None]


def test_in_a_transaction_of_the_hosts_it_sees_what_the_host_does(shop):
    """Called on the host's own thread, as a test may; the transaction goes on."""
    with transaction.atomic(using=shop):
        Person.objects.using(shop).create(who="c-7", name="Gus")
        assert asked(OrmProvider(sections(shop)), "c-7")["profile"].value == {"name": "Gus"}
        by_function = DjangoProvider(
            "calls",
            ("profile",),
            lambda who: {"profile": Person.objects.using(shop).values("name").get(who=who)},
        )
        assert asked(by_function, "c-7")["profile"] == {"name": "Gus"}
        Person.objects.using(shop).create(who="c-8", name="Hal")
        transaction.set_rollback(True, using=shop)
    assert Person.objects.using(shop).count() == 0


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_client_looks_it_up_sync_and_async(shop, ann):
    """On worker threads, where Django's guard against event loops has nothing to say."""
    import asyncio

    provider = OrmProvider(sections(shop))
    options = cx.ContextOptions(providers=[provider], timeout=20.0, provider_timeout=20.0)
    client = cx.Client("shop", collector="null:", context=options)
    how = {"purpose": "support", "assurance": "authenticated"}
    try:
        profile = client.context("c-1", sections=("profile",), **how).profile
        assert (profile.reason, profile.value.name) == ("resolved", "Ann")
        calls = asyncio.run(client.acontext("c-1", sections=("interactions",), **how)).interactions
        assert [each.id for each in calls.value] == ["i-2", "i-1", "i-0"]
    finally:
        client.close()
