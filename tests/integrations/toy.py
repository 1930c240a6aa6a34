"""
A web framework of forty lines and its integration: the least that `Front` asks for.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import parse_qs

import cxsdk as cx
from cxsdk.integrations.front import Front
from cxsdk.integrations.options import read


class Toy:
    """
    Routes with one parameter, handlers that return (status, headers, body).
    """

    def __init__(self, routes):
        self.routes = [(*key, handler) for key, handler in routes.items()]
        self.layers = []

    def match(self, environ):
        for method, route, handler in self.routes:
            found = re.fullmatch(re.sub(r"<\w+>", "([^/]+)", route), environ["PATH_INFO"])
            if found and method == environ["REQUEST_METHOD"]:
                return route, handler, found.groups()
        return None

    def __call__(self, environ, start_response):
        answer = self.respond
        for layer in self.layers:
            answer = layer(self, answer)
        status, headers, body = answer(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return body

    def respond(self, environ):
        found = self.match(environ)
        if found is None:
            return 404, [], [b""]
        return found[1](*found[2])


class ToyFront(Front):
    """
    The integration.
    """

    def header(self, request, name):
        return request.get(f"HTTP_{name.upper().replace('-', '_')}", "")

    def login(self, request):
        return parse_qs(request["QUERY_STRING"]).get("login", [None])[0]

    def layer(self, app, answer):
        def answered(environ):
            visit = self.visit(environ, environ["PATH_INFO"])
            if visit is None:
                return answer(environ)
            try:
                with visit:
                    found = app.match(environ)
                    if found is not None:
                        visit.began(environ["REQUEST_METHOD"], found[0], found[1])
                    status, headers, body = answer(environ)
            except BaseException as error:
                visit.end(error)
                raise
            visit.answered(status)
            if isinstance(body, list):
                visit.end()
                return status, headers, body
            return status, headers, visit.body(body)

        return answered


def install(app, **settings):
    """
    Put the integration in front of *app*, once; return what takes it away.
    """
    if not app.layers:
        app.layers.append(ToyFront(read(settings)[0]).layer)
    return app.layers.clear


def toy(site):
    """
    Return an application with the routes of a `Site`.
    """
    own = cx.interaction("own.visit")(site.plain)

    def text(body):
        return 200, [("x-own", "kept")], [body.encode()]

    def pay():
        site.pay()
        return 303, [("location", "/thanks")], [b""]

    class Own:
        __cx_interaction__ = True

        def __call__(self):
            return text(own())

    return Toy(
        {
            ("GET", "/plain"): lambda: text(site.plain()),
            ("GET", "/boom"): lambda: text(site.boom()),
            ("GET", "/items/<item>"): lambda item: text(site.plain()),
            ("POST", "/pay"): pay,
            ("GET", "/status/<code>"): lambda code: (int(code), [], [b""]),
            ("GET", "/stream"): lambda: (200, [], site.chunks()),
            ("GET", "/who"): lambda: text(site.who()),
            ("GET", "/own"): Own(),
            ("GET", "/healthz"): lambda: text(site.who()),
        }
    )
