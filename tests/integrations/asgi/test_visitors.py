"""
Visitors of applications on Starlette: their sessions, their cookies, and who comes after them.
"""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import cxsdk as cx
from cxsdk.integrations import serving
from cxsdk.integrations.starlette import CX
from tests.integrations.asgi.apps import KEY
from tests.integrations.asgi.test_starlette import ALL, U1, ask, by_header, easy, text


@pytest.fixture
def members():
    """An application whose session says who is logged in: /cart, /in/{user}, /out, /seen."""

    async def cart(request):
        request.session["cart"] = 1
        return PlainTextResponse("x")

    async def log_in(request):
        user = request.session["user"] = request.path_params["user"]
        serving(user)
        cx.identify(user, assurance="authenticated")
        return PlainTextResponse("x")

    async def log_out(request):
        del request.session["user"]
        return PlainTextResponse("x")

    seen = text(lambda _: cx.record("page.seen") and "")
    routes = [Route("/cart", cart), Route("/in/{user}", log_in), Route("/out", log_out)]
    app = Starlette(
        routes=[*routes, Route("/seen", seen)],
        middleware=[Middleware(SessionMiddleware, secret_key=KEY)],
    )
    who = {"customer": lambda request: request.session.get("user"), "consent": lambda _: "granted"}
    return lambda **how: CX(app, **who, **how) and browser(app)


def browser(app):
    """Return a browser: a function that asks *app* and keeps its cookies."""
    jar = {}

    def go(path):
        asked = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        answer = ask(app, path, headers=asked)
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                jar[key] = rest.partition(";")[0]
                if "Max-Age=0" in value or "expires=Thu, 01 Jan 1970" in value:
                    del jar[key]
        return jar

    return go


@pytest.mark.parametrize("first", ["/cart", "/seen"])
def test_the_next_person_at_the_same_browser_is_another_visitor(first, members, cx_events):
    """Whether by a session or by a cookie of ours: two logins are not linked to one visitor."""
    go = members()
    for path in (first, "/seen", "/in/u1", "/seen", "/out", "/seen", "/in/u2", "/seen"):
        go(path)
    links = [(e.data.customer.id, e.data.customer.anonymous_id) for e in cx_events.of("identity")]
    visitors = [e.data.customer.anonymous_id for e in cx_events.of("interaction")]
    assert [customer for customer, _ in links] == ["u1", "u2"]
    assert links[0][1] == visitors[0] is not None
    assert links[1][1] not in {None, visitors[0]}
    assert [e.data.customer.id for e in cx_events.of("interaction")][-1] == "u2"


def test_who_stays_logged_in_keeps_their_session(members, cx_events):
    """The key is another one once, at the login."""
    go = members()
    for path in ("/cart", "/seen", "/in/u1", "/seen", "/seen"):
        go(path)
    before, first, again = [event.data.session_id for event in cx_events.of("interaction")]
    assert before != first == again


def test_a_session_that_is_emptied_does_not_live_on_for_our_sake(members, cx_events):
    """What only we keep in it goes with what the host has kept."""
    go = members(interactions=ALL, cookie=None)
    assert "session" in go("/in/u1")
    go("/seen")
    assert go("/out") == {}


def test_a_session_that_breaks_while_the_request_runs_costs_nothing(cx_events, caplog):
    """It is said, and the response is the host's."""

    class Broken(dict):
        def get(self, name, default=None):
            raise ConnectionError("the store is down")

    async def use(request):
        request.scope["session"] = Broken(cart=1)
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/x", use)])
    cx.init("shop", collector="null:", prompts=easy())
    CX(app, interactions=ALL, customer=by_header)
    assert ask(app, "/x", headers=U1).status == 200
    assert "a session cannot be written" in caplog.text


def test_a_cookie_in_parts_is_one(cx_events):
    """HTTP/2 lets a browser send each cookie in a header of its own."""
    app = Starlette(routes=[Route("/x", text(lambda _: ""))])
    CX(app, interactions=ALL, consent=lambda _: "granted")
    named = ask(app, "/x").cookie
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    cookies = [(b"cookie", b"a=b"), (b"cookie", named.encode())]
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": cookies, "query_string": b""}
    asyncio.run(app(scope, receive, send))
    first, again = [event.data.customer.anonymous_id for event in cx_events]
    assert first == again
    assert b"set-cookie" not in dict(sent[0]["headers"])


@pytest.mark.parametrize("said", ["public, max-age=600", "max-age=0, S-MaxAge=600", "s-maxage=9"])
def test_a_page_that_caches_share_names_nobody(said, cx_events):
    """All who got it from there would be one visitor."""

    async def page(request):
        return PlainTextResponse("x", headers={"cache-control": said})

    app = Starlette(routes=[Route("/x", page)])
    CX(app, interactions=ALL, consent=lambda _: "granted")
    assert ask(app, "/x").cookie == ""


def test_a_page_that_only_reads_writes_no_session(cx_events):
    """A slow page of another tab would bring back what was there when it began: a login, a cart."""

    class Noting(dict):
        """As newer sessions of Starlette are: they say whether they were written."""

        modified = False

        def __setitem__(self, name, value):
            self.modified = True
            super().__setitem__(name, value)

    session = Noting(cart=1)

    class Sessions:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            scope["session"] = session
            await self.app(scope, receive, send)

    routes = [Route("/x", text(), methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(Sessions)])
    cx.init("shop", collector="null:", prompts=easy())
    CX(app, interactions=ALL)
    written = []
    for method in ("POST", "GET", "POST"):
        session.modified = False
        assert ask(app, "/x", method).status == 200
        written.append(session.modified)
    assert written == [True, False, True]
