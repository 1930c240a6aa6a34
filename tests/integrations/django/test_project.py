"""
The settings ``CXSDK``: the client they make, what system checks say of them, ``manage.py cx``.
"""

from __future__ import annotations

import sys

import pytest
from django.core.checks import registry
from django.core.management import call_command
from django.test import override_settings
from django.urls import include, path

import cxsdk as cx
from cxsdk import _default
from cxsdk.errors import ConfigurationError
from cxsdk.integrations.django import CX, checks
from cxsdk.integrations.django.project import _only_reloads, begin, project
from cxsdk.prompts import Prompt, Question
from tests.integrations.django.projects import CX as PATH
from tests.integrations.django.projects import LOGINS, SESSIONS

LAYERS = [SESSIONS, LOGINS, PATH]
GOOD = {"service": "shop", "collector": "null:", "privacy": {"key": b"a key of sixteen bytes"}}
PROMPTS = {"prompts": [Prompt(key="ask", scope="relational", questions=[Question(id="versus")])]}


def said(databases=None, *, middleware=LAYERS, **settings):
    """Return the ids of what the checks say of *settings*, with the hints."""
    with override_settings(CXSDK=settings or None, MIDDLEWARE=middleware):
        found = [*checks.of_settings(), *checks.of_database(databases=databases)]
    assert all(each.hint for each in found)
    return [each.id.removeprefix("cxsdk.") for each in found]


async def a_coroutine(request):
    """Not a function that could be called when an event needs it."""


# ---- the client -------------------------------------------------------------------------------


def test_the_settings_make_the_client():
    """Once for the same settings, however often they are read."""
    with override_settings(CXSDK={**GOOD, "spool": {"mode": "memory"}, "channel": "mobile_app"}):
        client = _default.client()
        assert (client.settings.service, client.settings.spool.mode) == ("shop", "memory")
        assert project().options.channel == "mobile_app"
        begin()
        assert _default.client() is client
        assert project() is project()


def test_a_project_that_calls_init_itself_keeps_its_client():
    """Settings for the integration alone make none."""
    client = cx.init("own", collector="null:")
    with override_settings(CXSDK={"channel": "mobile_app"}):
        assert _default.client() is client


def test_the_environment_may_name_the_service(monkeypatch):
    """Then a project needs to say nothing."""
    with override_settings(CXSDK={"channel": "mobile_app"}):
        assert _default.client() is None
    monkeypatch.setenv("CXSDK_SERVICE", "shop")
    with override_settings(CXSDK={"channel": "web"}):
        assert _default.client().settings.service == "shop"


@pytest.mark.parametrize(
    "wrong",
    [
        {"servic": "shop"},
        {"collector": "null:"},
        {"service": "shop", "spool": {"mod": "memory"}},
        {"on_commit": 7},
        {"on_commit": ["no such alias"]},
        {"customer": a_coroutine},
        {"returns": [1]},
        {"interactions": [{"stage": "nowhere"}]},
        "shop",
    ],
)
def test_wrong_settings_stop_what_serves_and_nothing_else(wrong, caplog, monkeypatch):
    """Commands run, so that one can look; requests are not served with them."""
    monkeypatch.delenv("CXSDK_SERVICE", raising=False)
    with override_settings(CXSDK=wrong):
        assert isinstance(project().fault, ConfigurationError)
        assert "CXSDK is of no use" in caplog.text
        with pytest.raises(ConfigurationError):
            CX(lambda request: None)
    caplog.clear()


def test_the_app_has_to_be_installed():
    """Its layer alone says what is missing."""
    with (
        override_settings(INSTALLED_APPS=[]),
        pytest.raises(ConfigurationError, match="INSTALLED_APPS"),
    ):
        CX(lambda request: None)


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        (["manage.py", "runserver"], {}, True),
        (["manage.py", "runserver", "8000"], {"RUN_MAIN": "true"}, False),
        (["manage.py", "runserver", "--noreload"], {}, False),
        (["manage.py", "migrate"], {}, False),
        (["gunicorn", "shop.wsgi"], {}, False),
    ],
)
def test_who_only_watches_files_makes_no_client(argv, environ, expected, monkeypatch):
    """The parent of runserver starts another process that serves."""
    assert _only_reloads(argv, environ) is expected
    monkeypatch.setattr(sys, "argv", argv)
    for name in ("RUN_MAIN", "WERKZEUG_RUN_MAIN"):
        monkeypatch.setenv(name, environ.get(name, ""))
    with override_settings(CXSDK=GOOD):
        assert (_default.client() is None) is expected


# ---- checks -----------------------------------------------------------------------------------


def test_nothing_is_said_of_good_settings(monkeypatch):
    """All is there, and in its place."""
    monkeypatch.delenv("CXSDK_SERVICE", raising=False)
    assert said(**GOOD) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["W003"]),
        ({"service": "shop", "colector": "null:"}, ["E001"]),
        ({"collector": "null:"}, ["E002"]),
        ({**GOOD, "collector": None}, ["W004"]),
        ({**GOOD, "privacy": {}}, ["W005"]),
    ],
)
def test_what_is_said_of_settings(settings, expected, caplog, monkeypatch):
    """Each with what to do."""
    monkeypatch.delenv("CXSDK_SERVICE", raising=False)
    assert said(**settings) == expected
    caplog.clear()


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ([SESSIONS, LOGINS], ["W001"]),
        ([PATH, SESSIONS, LOGINS], ["W002"]),
        ([SESSIONS, PATH, LOGINS], ["W002"]),
        ([SESSIONS, LOGINS, "cxsdk.integrations.django.layer.CX"], []),
        ([PATH], []),
    ],
)
def test_what_is_said_of_the_order(middleware, expected):
    """Above sessions or logins nobody knows who is served."""
    assert said(middleware=middleware, **GOOD) == expected


def test_a_key_is_for_production():
    """While one develops nothing is said."""
    with override_settings(DEBUG=True):
        assert said(service="shop", collector="null:") == []


def test_prompts_without_their_urls():
    """Nobody could answer."""
    settings = {**GOOD, "prompts": {**PROMPTS, "store": "memory:", "keys": (b"x" * 20,)}}
    assert said(**settings) == []
    with override_settings(ROOT_URLCONF="tests.integrations.django.no_urls"):
        assert said(**settings) == ["W006"]


def late(request):
    """A view that is registered before it is decorated."""


EARLY = late
late = cx.interaction("late.see")(late)


def test_a_route_around_an_undecorated_view(caplog):
    """What it serves would never be recorded; it is said by the check, and in the log."""
    urls = type(sys)("urls")
    inner = [path("orders/", EARLY), path("others/", late)]
    urls.urlpatterns = [path("shop/", include((inner, "shop")))]
    with override_settings(ROOT_URLCONF=urls):
        assert said(**GOOD) == ["W010"]
    assert "the route /shop/orders/ was registered before" in caplog.text
    caplog.clear()


def test_the_cap_store_without_its_tables(host):
    """Said by those who may ask the database."""
    from django.db import connection

    settings = {**GOOD, "prompts": {**PROMPTS, "store": "django:", "keys": (b"x" * 20,)}}
    assert said(databases=["default"], **settings) == []
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE cxsdk_caps_offer")
    assert said(databases=["default"], **settings) == ["W008"]
    assert said(databases=None, **settings) == []


def test_a_check_that_fails_is_a_warning(monkeypatch):
    """It never stops a start."""
    monkeypatch.setattr(checks, "_order", lambda _: 1 / 0)
    with override_settings(CXSDK=GOOD, MIDDLEWARE=LAYERS):
        (found,) = checks.of_settings()
    assert (found.id, "ZeroDivisionError" in found.msg) == ("cxsdk.W009", True)


def test_django_knows_the_checks():
    """``manage.py check`` runs them."""
    assert {checks.of_settings, checks.of_database} <= set(registry.registry.get_checks())


# ---- manage.py cx -------------------------------------------------------------------------------


def test_the_command_has_the_settings_of_the_project(capsys, monkeypatch, tmp_path):
    """Doctor sees the service, and no secret is shown."""
    monkeypatch.setattr("os.environ", {"CXSDK_SPOOL_DIR": str(tmp_path)})
    with override_settings(CXSDK={**GOOD, "prompts": {"keys": [b"k" * 20, b"l" * 20]}}):
        call_command("cx", "doctor", "--json")
    shown = capsys.readouterr().out
    assert '"value": "shop"' in shown
    assert "sixteen" not in shown


def test_what_the_environment_says_stays(capsys, monkeypatch, tmp_path):
    """Who runs the command may want another collector."""
    monkeypatch.setattr("os.environ", {"CXSDK_SERVICE": "other", "CXSDK_SPOOL_DIR": str(tmp_path)})
    with override_settings(CXSDK={**GOOD, "tz": "UTC", "strict": True}):
        call_command("cx", "doctor", "--json")
    assert '"value": "other"' in capsys.readouterr().out


def test_the_command_hands_on_its_code(capsys, monkeypatch, tmp_path):
    """What was asked wrongly ends with 2; without a word there is help."""
    monkeypatch.setattr("os.environ", {"CXSDK_SPOOL_DIR": str(tmp_path)})
    with pytest.raises(SystemExit) as stopped:
        call_command("cx", "context", "due", "--collector", "nowhere")
    assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        call_command("cx")
    assert stopped.value.code == 0
    assert "doctor" in capsys.readouterr().out


def test_settings_that_are_objects_are_not_told(monkeypatch):
    """A sink of the team's own has no text that stands for it."""
    from cxsdk.integrations.handover import tell
    from cxsdk.sinks.memory import MemorySink

    environ = {}
    monkeypatch.setattr("os.environ", environ)
    with override_settings(CXSDK={**GOOD, "collector": MemorySink(), "tz": "UTC", "strict": False}):
        tell(_default.client().settings)
    assert environ == {
        "CXSDK_SERVICE": "shop",
        "CXSDK_KEY": "a key of sixteen bytes",
        "CXSDK_STRICT": "False",
        "CXSDK_TZ": "UTC",
    }


def test_the_command_knows_where_the_prompts_are(capsys, monkeypatch, tmp_path):
    """The path of the settings stands for one that was left out."""
    monkeypatch.setattr("os.environ", {"CXSDK_SPOOL_DIR": str(tmp_path)})
    asked = tmp_path / "prompts.toml"
    asked.write_text('[a]\nscope = "relational"\n[[a.questions]]\nid = "q"\nkind = "nps"\n')
    prompts = {"files": asked, "store": "memory:", "keys": (b"x" * 20,)}
    with override_settings(CXSDK={**GOOD, "prompts": prompts}):
        call_command("cx", "prompts", "check")
    assert "1 prompts, 0 errors" in capsys.readouterr().out
