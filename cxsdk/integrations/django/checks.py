"""
System checks: what a project would wonder about later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from cxsdk import _default
from cxsdk.integrations import stray
from cxsdk.integrations.django.handler import routes
from cxsdk.integrations.django.project import Project, project

__all__ = ["registered"]

_BELOW = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
_DOCS = "docs/how-to/django.md"


def registered() -> None:
    """
    Register the checks; again is once.
    """
    checks.register(of_settings, "cxsdk")
    checks.register(of_database, checks.Tags.database)


def of_settings(_app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """
    Return what is to be said of the settings. Never raises, and asks no database.
    """
    try:
        return list(_of_settings(project()))
    except Exception as error:  # noqa: BLE001 - a check must not be what stops a start
        return [_broken(error)]


def of_database(
    _app_configs: Any = None, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """
    Return what is to be said of the tables, for ``check --database``: ``migrate`` asks too, but is
    about to make them.
    """
    try:
        return list(_unmigrated(project(), databases or ()))
    except Exception as error:  # noqa: BLE001 - likewise
        return [_broken(error)]


def _broken(error: Exception) -> checks.CheckMessage:
    return checks.Warning(f"cxsdk could not be checked: {error!r}", id="cxsdk.W009")


def _of_settings(said: Project) -> Iterator[checks.CheckMessage]:
    if said.fault is not None:
        yield _fault(str(said.fault))
        return
    yield from _order(list(settings.MIDDLEWARE))
    for route in stray.look(routes()):
        yield checks.Warning(
            f"Nothing that {route} serves is recorded: it was registered before its view was decorated",
            hint="Let cx.interaction stand next to the def, below all other decorators.",
            id="cxsdk.W010",
        )
    client = _default.client()
    if client is None:
        yield checks.Warning(
            "Nothing is recorded: there is no client",
            hint=f"CXSDK = {{'service': 'shop', 'collector': 'https://…'}} makes one; see {_DOCS}.",
            id="cxsdk.W003",
        )
        return
    made = client.settings
    if made.disabled:
        return
    if made.collector is None:
        yield checks.Warning(
            "Nothing is kept: no collector is named",
            hint="CXSDK['collector'], or CXSDK_COLLECTOR; 'console:' shows events.",
            id="cxsdk.W004",
        )
    if made.privacy.key is None and not settings.DEBUG:
        yield checks.Warning(
            "Ids of customers leave this service as they are: no key is set",
            hint="CXSDK['privacy'] = {'key': b'…'}, or CXSDK_KEY; at least 16 bytes, kept secret.",
            id="cxsdk.W005",
        )
    yield from _prompts(made)


def _fault(words: str) -> checks.CheckMessage:
    if "service" in words:
        return checks.Error(
            f"CXSDK names no service: {words}",
            hint="CXSDK['service'] = 'shop', or CXSDK_SERVICE: the name of this deployable.",
            id="cxsdk.E002",
        )
    return checks.Error(
        f"CXSDK is wrong: {words}",
        hint="Names are those of cx.init and of docs/reference/integrations.md, in lower case.",
        id="cxsdk.E001",
    )


def _order(middleware: list[str]) -> Iterable[checks.CheckMessage]:
    from cxsdk.integrations.django.layer import CX

    places = [n for n, path in enumerate(middleware) if "cxsdk" in path and _names(path, CX)]
    if not places:
        yield checks.Warning(
            "Requests are not seen: CX is not in MIDDLEWARE",
            hint=f"Add 'cxsdk.integrations.django.CX' below {_BELOW[1]}.",
            id="cxsdk.W001",
        )
        return
    late = [path for path in _BELOW if path in middleware[places[0] :]]
    if late:
        yield checks.Warning(
            f"Who is served is not known: CX stands above {late[-1].rpartition('.')[2]}",
            hint=f"Move 'cxsdk.integrations.django.CX' below {late[-1]}.",
            id="cxsdk.W002",
        )


def _names(path: str, wanted: Any) -> bool:
    try:
        return import_string(path) is wanted
    except ImportError:
        return False


def _prompts(made: Any) -> Iterator[checks.CheckMessage]:
    if not (made.prompts.prompts or made.prompts.files is not None):
        return
    try:
        reverse("cxsdk:prompts", args=["-"])
    except NoReverseMatch:
        yield checks.Warning(
            "Nobody can answer: there are prompts, and the URLs of their endpoint are not included",
            hint="urlpatterns += [path('cx/', include('cxsdk.integrations.django.urls'))]",
            id="cxsdk.W006",
        )
    uses = [each for each in settings.TEMPLATES if each["BACKEND"].endswith("DjangoTemplates")]
    if not uses and not any("jinja2" in each["BACKEND"].lower() for each in settings.TEMPLATES):
        yield checks.Warning(
            "{% cx_prompt %} is not to be had: TEMPLATES has no DjangoTemplates",
            hint="Add it, or show offers with as_html.",
            id="cxsdk.W007",
        )


def _unmigrated(said: Project, databases: Sequence[str]) -> Iterator[checks.CheckMessage]:
    alias = _alias(said)
    if alias is None or alias not in databases or sys.argv[1:2] == ["migrate"]:
        return
    from django.db import connections

    with connections[alias].cursor() as cursor:
        tables = connections[alias].introspection.table_names(cursor)
    if "cxsdk_caps_offer" not in tables:
        yield checks.Warning(
            f"Nobody is asked: the tables of the cap store are missing in {alias!r}",
            hint="manage.py migrate cxsdk" + ("" if alias == "default" else f" --database {alias}"),
            id="cxsdk.W008",
        )


def _alias(said: Project) -> str | None:
    """
    Return the database of the cap store, None where it lies elsewhere.
    """
    options = said.arguments.get("prompts")
    store = getattr(options, "store", None) or os.environ.get("CXSDK_CAP_STORE")
    if isinstance(store, str):
        scheme, _, rest = store.partition(":")
        return (rest.strip("/") or "default") if scheme == "django" else None
    return getattr(store, "using", None)
