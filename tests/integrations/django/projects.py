"""
Projects with URLs and layers of their own in the one Django of a test run.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import types
from functools import lru_cache
from pathlib import Path

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings
from django.urls import clear_url_caches

from cxsdk.testing.conformance._driving import Ask, acall, call
from tests.one_django import configured

configured()

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
LOGINS = "django.contrib.auth.middleware.AuthenticationMiddleware"
CX = "cxsdk.integrations.django.CX"
SIGNED = "django.contrib.sessions.backends.signed_cookies"


class Project:
    """
    What a server would run: settings and URLs, read when `entry` is first asked for.

    Args:
        kind: ``wsgi`` or ``asgi``.
    """

    def __init__(self, kind, urlpatterns, *, layers=(SESSIONS, LOGINS, CX), **settings):
        self.kind = kind
        self.urls = types.ModuleType("urls")
        self.urls.urlpatterns = list(urlpatterns)
        self.layers = list(layers)
        self.settings = settings
        self.front = None
        self._entry = None

    @property
    def entry(self):
        if self._entry is None:
            clear_url_caches()
            with override_settings(MIDDLEWARE=self.layers, **self.settings):
                self._entry = _ENTRIES[self.kind](self.urls)
                self.front = self._front()
        return self._entry

    def ask(self, path, **how):
        """Make one request, as a server would."""
        ask = Ask(path, **how)
        with override_settings(**self.settings):
            entry = self.entry
            return call(entry, ask) if self.kind == "wsgi" else asyncio.run(acall(entry, ask))

    def _front(self):
        if CX not in self.layers:
            return None
        from cxsdk.integrations.django.front import front

        return front()


class Wsgi(WSGIHandler):
    """A handler with URLs of its own."""

    def __init__(self, urls):
        self.urls = urls
        super().__init__()

    def get_response(self, request):
        request.urlconf = self.urls
        return super().get_response(request)


class Asgi(ASGIHandler):
    """A handler with URLs of its own."""

    def __init__(self, urls):
        self.urls = urls
        super().__init__()

    async def get_response_async(self, request):
        request.urlconf = self.urls
        return await super().get_response_async(request)


_ENTRIES = {"wsgi": Wsgi, "asgi": Asgi}


@lru_cache(maxsize=1)
def _template():
    """Return a database with all tables; made once, and copied by each test."""
    path = Path(tempfile.mkdtemp(prefix="cxsdk-django-")) / "template.db"
    with _default(path):
        call_command("migrate", verbosity=0)
        from django.contrib.auth.models import User

        User.objects.create_user("anna", password="secret")
        User.objects.create_superuser("root", password="secret")
    return path


@contextlib.contextmanager
def _default(path):
    settings = connections.settings["default"]
    before = settings["NAME"]
    _forget()
    settings["NAME"] = str(path)
    try:
        yield
    finally:
        _forget()
        settings["NAME"] = before


def _forget():
    # Also one in memory, which does not close when it is told to.
    BaseDatabaseWrapper.close(connections["default"])
    del connections["default"]


@contextlib.contextmanager
def migrated(path):
    """Have a copy of the migrated database as the default one, with users anna and root."""
    with _default(shutil.copy(_template(), path)):
        yield
