"""
Flask passes what every integration must.
"""

from __future__ import annotations

import flask

import cxsdk as cx
from cxsdk.integrations.flask import CX
from cxsdk.testing.conformance import IntegrationConformance


def application(site, *, is_async=False):
    """
    Return a Flask application with the routes of a `Site`.
    """
    app = flask.Flask("conformance")
    app.secret_key = "conformance"

    def text(body):
        return body, {"x-own": "kept"}

    routes = {
        "/plain": lambda: text(site.plain()),
        "/boom": lambda: text(site.boom()),
        "/items/<item>": lambda item: text(site.plain()),
        "/status/<int:code>": lambda code: ("", code),
        "/stream": lambda: app.response_class(site.chunks()),
        "/who": lambda: text(site.who()),
        "/own": cx.interaction("own.visit")(lambda: text(site.plain())),
        "/healthz": lambda: text(site.who()),
    }

    def pay():
        site.pay()
        return flask.redirect("/thanks", 303)

    def begin():
        flask.session["cart"] = ["a book"]
        return ""

    def as_async(view):
        async def view_of(**values):
            return view(**values)

        return view_of

    for route, view in routes.items():
        is_own = route == "/own"
        app.add_url_rule(route, route, as_async(view) if is_async and not is_own else view)
    app.add_url_rule("/pay", "/pay", as_async(pay) if is_async else pay, methods=["POST"])
    app.add_url_rule("/session", "/session", begin)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


class TestFlask(IntegrationConformance):
    kind = "wsgi"
    has_session = True

    def make(self, site):
        return application(site)

    def install(self, app, **settings):
        extension = CX(app, **settings)
        return extension.uninstall

    def user(self, request):
        return request.headers.get("x-user")

    def views(self, app):
        return {rule.rule: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()}


class TestAsyncViews(TestFlask):
    """Handlers that are coroutines, each run in a loop of its own."""

    def make(self, site):
        return application(site, is_async=True)


class TestHandledErrors(TestFlask):
    """The application makes a page of what its handlers raise, as in production."""

    loses_errors = True

    def make(self, site):
        app = application(site)
        app.config["PROPAGATE_EXCEPTIONS"] = False
        app.seen = []
        flask.got_request_exception.connect(self._see, app)
        return app

    def _see(self, sender, exception, **_):
        sender.seen.append(exception)

    def errors(self, app):
        return app.seen
