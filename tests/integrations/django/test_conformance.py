"""
The guarantees of every integration, of Django as WSGI and as ASGI, with views of both kinds.
"""

from __future__ import annotations

import sys

import django
import pytest
from django.core.signals import got_request_exception
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_GET

import cxsdk as cx
from cxsdk.testing.conformance import IntegrationConformance
from tests.integrations.django.projects import CX, SESSIONS, SIGNED, Project


def text(body):
    return HttpResponse(body, headers={"x-own": "kept"})


def begins_session(request):
    request.session["basket"] = [1]
    return text("begun")


def sync_views(site):
    """Views that are functions."""

    def pay(request):
        site.pay()
        return HttpResponse(status=303, headers={"location": "/thanks"})

    @require_GET
    @cx.interaction("own.visit")
    def own(request):
        return text(site.plain())

    return {
        "plain": lambda request: text(site.plain()),
        "boom": lambda request: site.boom(),
        "items/<item>": lambda request, item: text(site.plain()),
        "pay": pay,
        "status/<int:code>": lambda request, code: HttpResponse(status=code),
        "stream": lambda request: StreamingHttpResponse(site.chunks()),
        "who": lambda request: text(site.who()),
        "own": own,
        "healthz": lambda request: text(site.who()),
        "session": begins_session,
    }


def async_views(site):
    """The same as coroutines."""

    async def stepwise():
        for chunk in site.chunks():
            yield chunk

    async def plain(request):
        return text(site.plain())

    async def boom(request):
        return site.boom()

    async def item(request, item):
        return text(site.plain())

    async def pay(request):
        site.pay()
        return HttpResponse(status=303, headers={"location": "/thanks"})

    async def status(request, code):
        return HttpResponse(status=code)

    async def stream(request):
        return StreamingHttpResponse(stepwise())

    async def who(request):
        return text(site.who())

    @cx.interaction("own.visit")
    async def own(request):
        return text(site.plain())

    async def session(request):
        return begins_session(request)

    return {
        "plain": plain,
        "boom": boom,
        "items/<item>": item,
        "pay": pay,
        "status/<int:code>": status,
        "stream": stream,
        "who": who,
        "own": own,
        "healthz": who,
        "session": session,
    }


class Django(IntegrationConformance):
    """What the flavours share."""

    has_session = True
    loses_errors = True
    views_of = staticmethod(sync_views)

    def make(self, site):
        urls = [path(route, view) for route, view in self.views_of(site).items()]
        return Project(self.kind, urls, layers=[SESSIONS], SESSION_ENGINE=SIGNED)

    def install(self, app, **settings):
        app.layers.append(CX)
        app.settings["CXSDK"] = settings
        app._entry = None

        def uninstall():
            assert app.entry
            app.front.is_off = True

        return uninstall

    def user(self, request):
        return request.headers.get("x-user")

    def entry(self, app):
        return app.entry

    def views(self, app):
        return {str(each.pattern): each.callback for each in app.urls.urlpatterns}

    def errors(self, app):
        seen = []

        def hear(**_):
            seen.append(sys.exc_info()[1])

        self._hear = hear  # signals hold receivers weakly
        got_request_exception.connect(hear)
        return seen


class Asgi(Django):
    """What the flavours of ASGI share."""

    kind = "asgi"

    def test_12_a_reader_that_leaves_has_abandoned_it(self, site, events):
        """Django hears of it since 5.0."""
        if django.VERSION < (5, 0):
            pytest.skip("Django 4.2 does not listen for a client that leaves")
        super().test_12_a_reader_that_leaves_has_abandoned_it(site, events)


class TestWsgi(Django):
    kind = "wsgi"


class TestAsgi(Asgi):
    views_of = staticmethod(async_views)


class TestAsgiWithSyncViews(Asgi):
    # Changing threads costs Django more, and more unevenly, than what is looked at here.
    test_7_a_dead_or_hanging_collector_costs_no_request = None

    @staticmethod
    def views_of(site):
        return {**sync_views(site), "stream": async_views(site)["stream"]}


del Asgi, Django
