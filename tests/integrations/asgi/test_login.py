"""
Logins that a session of Starlette tells of by itself, under ``user_id``.
"""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import cxsdk as cx
from cxsdk.integrations.starlette import CX
from tests.integrations.asgi.apps import KEY
from tests.integrations.asgi.test_starlette import ALL, ask, text
from tests.integrations.asgi.test_visitors import browser


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


def put(change):
    """Return a handler that changes the session."""

    async def handler(request):
        change(request.session, request.path_params)
        return PlainTextResponse("x")

    return handler


def cleared(session, path):
    session.clear()
    session["user_id"] = path["user"]


SEEN = text(lambda _: cx.record("page.seen") and "")
ROUTES = [
    Route("/cart", put(lambda session, _: session.update(cart=1))),
    Route("/in/{user}", put(lambda session, path: session.update(user_id=path["user"]))),
    Route("/fresh/{user}", put(cleared)),
    Route("/out", put(lambda session, _: session.pop("user_id"))),
    Route("/seen", SEEN),
]


def members(*layers, **settings):
    """Return a browser of an application that never says who is served, but in its session."""
    layers = [Middleware(SessionMiddleware, secret_key=KEY), *map(Middleware, layers)]
    app = Starlette(routes=ROUTES, middleware=layers)
    CX(app, consent=lambda _: "granted", cookie=None, **settings)
    return browser(app)


def told(events):
    return [(type(e.data).__name__, e.data.customer.id) for e in events]


@pytest.mark.parametrize("rules", [(), ALL])
@pytest.mark.parametrize("layers", [(), (Passing,)])
@pytest.mark.parametrize("path", ["/in/u1", "/fresh/u1"])
def test_a_login_links_its_visitor_once(path, layers, rules, cx_events):
    """Also where the request is no interaction, and where the host empties the session before."""
    go = members(*layers, interactions=rules)
    for each in ("/cart", "/seen", path, "/seen", path, "/seen"):
        go(each)
    link = cx_events.one("identity").data
    seen = [e.data for e in cx_events.of("interaction") if e.data.where.touchpoint == "page.seen"]
    assert [data.customer.id for data in seen] == [None, "u1", "u1"]
    assert link.customer.id == "u1"
    assert link.customer.anonymous_id == seen[0].customer.anonymous_id is not None
    assert seen[0].session_id != seen[1].session_id
    # A session that is emptied is another one after that.
    assert (seen[1].session_id == seen[2].session_id) is (path == "/in/u1")


def test_a_login_without_anything_before_it_is_said(cx_events):
    """There is nobody to link, and yet it is a login."""
    go = members()
    go("/in/u1")
    go("/seen")
    assert told(cx_events) == [("Identity", "u1"), ("Interaction", "u1")]


def test_who_comes_after_a_logout_is_another_visitor(cx_events):
    """Not the customer who was, and not the visitor that they were before."""
    go = members()
    for each in ("/cart", "/seen", "/in/u1", "/seen", "/out", "/seen", "/in/u2", "/seen"):
        go(each)
    first, second = cx_events.of("identity")
    before, u1, after, u2 = [e.data for e in cx_events.of("interaction")]
    assert (u1.customer.id, after.customer.id, u2.customer.id) == ("u1", None, "u2")
    assert first.data.customer.anonymous_id == before.customer.anonymous_id
    assert second.data.customer.anonymous_id == after.customer.anonymous_id
    assert len({each.session_id for each in (before, u1, after, u2)}) == 4


def test_a_session_that_a_logout_empties_ends(cx_events):
    """What only we keep in it goes with what the host has kept, whatever the request is."""
    go = members()
    assert "session" in go("/in/u1")
    assert go("/out") == {}


def test_another_customer_in_the_same_session_is_not_linked_to_the_one_before(cx_events):
    """An agent who looks at what a customer sees, say."""
    go = members()
    for each in ("/cart", "/in/u1", "/seen", "/in/u2", "/seen"):
        go(each)
    first, second = [e.data for e in cx_events.of("identity")]
    sessions = [e.data.session_id for e in cx_events.of("interaction")]
    assert (second.customer.id, second.customer.anonymous_id) == ("u2", None)
    assert first.customer.anonymous_id is not None
    assert sessions[0] != sessions[1]


def test_a_rule_for_logins_says_it_no_second_time(cx_events):
    """Both hear of the same login; the visitor is linked once."""
    go = members(interactions=[{"route": "/in/*", "touchpoint": "member.login", "login": True}])
    for each in ("/cart", "/in/u1"):
        go(each)
    assert told(cx_events.of("identity")) == [("Identity", "u1")]


def test_a_mounted_application_of_our_own_says_it_no_second_time(cx_events):
    """Two layers look at one session."""
    inner = Starlette(routes=ROUTES)
    layers = [Middleware(SessionMiddleware, secret_key=KEY)]
    app = Starlette(routes=[Mount("/m", inner)], middleware=layers)
    CX(inner, consent=lambda _: "granted", cookie=None)
    CX(app, consent=lambda _: "granted", cookie=None)
    go = browser(app)
    for each in ("/m/cart", "/m/in/u1", "/m/in/u2"):
        go(each)
    assert told(cx_events) == [("Identity", "u1"), ("Identity", "u2")]


def test_the_request_of_a_logout_is_still_of_the_customer(cx_events):
    """Whoever clicks there is who leaves."""
    go = members(interactions=[{"route": "/out"}])
    go("/in/u1")
    go("/out")
    assert told(cx_events.of("interaction")) == [("Interaction", "u1")]


def test_what_an_authentication_layer_says_stands_above_the_session(cx_events):
    """The session's word counts only where there is no layer that knows better."""

    class Guarding:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            scope["user"] = "u9"
            await self.app(scope, receive, send)

    go = members(Guarding)
    go("/in/u1")
    go("/seen")
    assert told(cx_events) == [("Identity", "u9"), ("Interaction", "u9")]


def test_a_session_that_cannot_be_written_costs_a_login_nothing(cx_events, caplog):
    """It is said, and the response is the host's."""

    class Broken(dict):
        def __setitem__(self, name, value):
            if name == "_cx":
                raise ConnectionError("the store is down")
            super().__setitem__(name, value)

    class Sessions:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            scope["session"] = Broken()
            await self.app(scope, receive, send)

    app = Starlette(routes=[ROUTES[1]], middleware=[Middleware(Sessions)])
    CX(app)
    assert ask(app, "/in/u1").status == 200
    assert "a session cannot be written" in caplog.text
