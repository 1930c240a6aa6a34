"""
What `DjangoProvider` does over real models. Run by test_django.py in a process of its own: a
process has one Django.
"""

from __future__ import annotations

import threading

import django
import pytest
from django.conf import settings
from django.db import connection, connections, models

from cxsdk.errors import ConfigurationError
from cxsdk.knowing import ErrorCode
from cxsdk.lookup import DjangoProvider
from cxsdk.testing.conformance import ContextProviderConformance
from tests.lookup.providers.sources import request

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "file:shop?mode=memory&cache=shared",
            "OPTIONS": {"uri": True},
            "CONN_MAX_AGE": 0,
        }
    },
    USE_TZ=True,
)
django.setup()


class Person(models.Model):
    who = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=100)

    class Meta:
        """Of an application that is not installed."""

        app_label = "shop"

    def __str__(self):
        return f"{type(self).__name__} {self.pk}"


class Call(models.Model):
    person = models.ForeignKey(Person, models.CASCADE, related_name="calls")
    key = models.AutoField(primary_key=True)
    id = models.CharField(max_length=100)
    summary = models.CharField(max_length=100)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Of an application that is not installed."""

        app_label = "shop"

    def __str__(self):
        return f"{type(self).__name__} {self.pk}"


@pytest.fixture(autouse=True)
def _tables(tmp_path):
    connections.close_all()
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = str(
        tmp_path / "shop.db"
    )
    with connection.schema_editor() as editor:
        editor.create_model(Person)
        editor.create_model(Call)
    yield
    connections.close_all()


def know(who):
    person = Person.objects.get(who=who)
    calls = person.calls.order_by("-key").values("id", "summary")
    return {
        "profile": {"name": person.name} if person.name else None,
        "interactions": calls or None,
    }


class TestDjangoProvider(ContextProviderConformance):
    def make_provider(self):
        return DjangoProvider("shop", self.values, know)

    def put(self, identifier, section, value):
        person, _ = Person.objects.get_or_create(who=identifier)
        if section == "profile":
            person.name = value["name"]
            person.save()
            return
        person.calls.all().delete()
        for each in reversed(value):
            person.calls.create(id=each["id"], summary=each["summary"])

    def make_dead(self):
        def fail(_):
            return {"profile": Person.objects.extra(where=["nothing = 1"]).values()}

        return [DjangoProvider("shop", self.values, fail)]


def test_connections_of_worker_threads_are_closed():
    """Before and after each call; a lazy query set is read in between, moments included."""
    Person.objects.create(who="c-1", name="Ann").calls.create(id="i-1", summary="x")
    opened = []

    def calls(who):
        opened.append(connection.connection)
        return {"interactions": Call.objects.filter(person__who=who).values("at", "id")}

    made = DjangoProvider("shop", ("interactions",), calls)
    found = []

    def run():
        connection.ensure_connection()
        old = connection.connection
        connection.close_at = 0  # older than CONN_MAX_AGE
        found.append(made.fetch(request("c-1", sections=("interactions",))))
        found.append((old, connection.connection))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    answer, (old, left) = found
    (call,) = answer["c-1"]["interactions"]
    assert call["id"] == "i-1"
    assert call["at"].endswith("+00:00")
    assert (opened, left) == ([None], None)
    assert old is not None


def test_models_are_no_plain_data():
    """The failure says what to do."""
    Person.objects.create(who="c-1", name="Ann")
    made = DjangoProvider(
        "shop", ("profile",), {"profile": lambda who: Person.objects.get(who=who)}
    )
    said = made.fetch(request("c-1"))["c-1"]["profile"]
    assert said.code == ErrorCode.PARSE_ERROR
    assert "values()" in said.message


def test_an_async_function_is_refused():
    """Django would run its queries on a thread that a forked child does not have."""

    async def ask(who):
        return {"profile": await Person.objects.filter(who=who).values().afirst()}

    with pytest.raises(ConfigurationError, match="not async"):
        DjangoProvider("shop", ("profile",), ask)
