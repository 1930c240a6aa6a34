"""
The Django of the test run: a process has one, so all tests that need it configure it here.
"""

from __future__ import annotations

import contextlib
import os

ENGINE = "django.db.backends."
APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "cxsdk.outbox.django",
    "cxsdk.integrations.django",
]
TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {
        "context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]
    },
}
SERVER = {
    "HOST": os.environ.get("PGHOST", "127.0.0.1"),
    "PORT": os.environ.get("PGPORT", "5432"),
    "USER": os.environ.get("PGUSER", "postgres"),
}


def configured():
    """Return Django, configured by whoever comes first; nothing connects yet."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            SECRET_KEY="a key of the tests",
            USE_TZ=True,
            ALLOWED_HOSTS=["*"],
            INSTALLED_APPS=APPS,
            ROOT_URLCONF="tests.integrations.django.urls",
            PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
            TEMPLATES=[TEMPLATES],
            DATABASES={"default": {"ENGINE": f"{ENGINE}sqlite3", "NAME": ":memory:"}},
        )
        django.setup()
    return django


@contextlib.contextmanager
def database(alias, kind, name, **more):
    """Add a database for a while; it is one more of DATABASES to all that asks Django."""
    from django.db import connections

    configured()
    told = {**connections.settings["default"], "ENGINE": f"{ENGINE}{kind}", "NAME": str(name)}
    told |= {"OPTIONS": {}, **(SERVER if kind == "postgresql" else {}), **more}
    connections.settings[alias] = told
    try:
        yield told
    finally:
        if hasattr(connections._connections, alias):  # of this thread
            connections[alias].close()
            del connections[alias]
        del connections.settings[alias]
