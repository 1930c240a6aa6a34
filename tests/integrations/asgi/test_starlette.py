"""
Starlette: routes, marks, sessions, errors, prompts.
"""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

import cxsdk as cx
from cxsdk.errors import ConfigurationError, IntegrationError
from cxsdk.integrations import as_interaction, serving
from cxsdk.integrations.asgi import path_of
from cxsdk.integrations.starlette import CX
from cxsdk.prompts import Prompt, Question
from cxsdk.testing.conformance._driving import Ask, acall
from tests.integrations.asgi.apps import KEY


def ask(app, path, method="GET", **how):
    return asyncio.run(acall(app, Ask(path, method, **how)))


def by_header(request):
    return request.headers.get("x-user")


def text(function=None):
    """Return a handler that says what *function* returns, or who is served."""

    async def handler(request):
        return PlainTextResponse(str(function(request) if function else serving("u1")))

    return handler


ALL = [{"route": "*"}]
U1 = {"x-user": "u1"}


# ---- opting in ----------------------------------------------------------------------------------


def test_a_mark_on_a_handler_is_enough(cx_events):
    """``as_interaction`` stands on functions and classes, and the handler has the interaction."""
    seen = []

    @as_interaction("cases.open", stage="support")
    async def marked(request):
        seen.append(cx.current().interaction_id)
        return PlainTextResponse("x")

    @as_interaction(stage="support")
    class Endpoint(HTTPEndpoint):
        async def get(self, request):
            seen.append(cx.current().interaction_id)
            return PlainTextResponse("x")

    routes = [Route("/m", marked), Route("/e/{n}", Endpoint), Route("/no", text())]
    app = Starlette(routes=routes)
    CX(app, customer=by_header)
    for path in ("/m", "/e/1", "/no", "/m/none"):
        ask(app, path, headers=U1)
    assert cx_events.touchpoints() == ["cases.open", "e.n"]
    assert [event.data.interaction_id for event in cx_events] == seen
    where = cx_events[0].data.where
    assert (where.channel, where.medium) == ("web", "web_page")


def test_a_route_that_is_added_later_is_found(cx_events):
    """Also while the application serves, also in a mounted router."""
    inner = Starlette(routes=[Route("/a", text())])
    app = Starlette(routes=[Mount("/in", inner)])
    CX(app, interactions=ALL, customer=by_header)
    ask(app, "/in/a", headers=U1)
    inner.router.routes.append(Route("/b", text()))
    ask(app, "/in/b", headers=U1)
    app.router.routes.insert(0, Route("/in/a", text()))
    ask(app, "/in/a", headers=U1)
    assert cx_events.touchpoints() == ["in.a", "in.b", "in.a"]


def test_rules_may_name_the_handler_or_its_route(cx_events):
    """By dotted path, or by the name of the route."""

    async def refund(request):
        return PlainTextResponse("x")

    routes = [Route("/a", refund), Route("/b", text(), name="shop-b"), Route("/c", text())]
    app = Starlette(routes=routes)
    rules = [
        {"view": "*.refund", "touchpoint": "money.back"},
        {"view": "shop-*", "methods": ["GET"]},
    ]
    CX(app, interactions=rules, customer=by_header)
    for path in ("/a", "/b", "/c"):
        ask(app, path, headers=U1)
    assert cx_events.touchpoints() == ["money.back", "b"]


def test_files_are_no_interactions(cx_events, tmp_path):
    """What is mounted to serve files is found, so that nothing behind it is, and is left out."""
    (tmp_path / "a.css").write_text("a")
    routes = [Mount("/assets", StaticFiles(directory=tmp_path)), Route("/assets/b", text())]
    app = Starlette(routes=[*routes, Route("/x", text())])
    CX(app, interactions=ALL, customer=by_header)
    assert [ask(app, path, headers=U1).status for path in ("/assets/a.css", "/x")] == [200, 200]
    assert [event.data.where.touchpoint for event in cx_events] == ["x"]


def test_below_a_root_path_routes_are_the_same(cx_events):
    """A proxy's prefix is no part of a route, whether the path has it or not."""
    app = Starlette(routes=[Route("/orders/{n}", text())])
    CX(app, interactions=ALL)
    scope = {"type": "http", "method": "GET", "headers": [], "root_path": "/api", "state": {}}

    async def nowhere(*_):
        return {"type": "http.request", "body": b""}

    for path in ("/api/orders/1", "/orders/1"):
        asyncio.run(app({**scope, "path": path}, nowhere, nowhere))
    assert cx_events.touchpoints() == ["orders.n", "orders.n"]
    paths = [("/api", ""), ("/api/x", "/x"), ("/apix", "/apix")]
    assert [path_of({"path": path, "root_path": "/api"}) for path, _ in paths] == [
        expected for _, expected in paths
    ]


def test_a_decorator_in_the_wrong_place_is_said(caplog):
    """A route around the undecorated function would never be recorded."""
    globals()["stray_handler"] = cx.interaction("stray.one")(plain_handler)
    plain_handler.__qualname__ = "stray_handler"
    app = Starlette(routes=[Route("/stray", plain_handler)])
    CX(app, interactions=ALL, customer=by_header)
    with caplog.at_level(logging.WARNING, "cxsdk"):
        ask(app, "/stray", headers=U1)
    assert [r for r in caplog.records if "/stray was registered" in r.getMessage()]


async def plain_handler(request):
    return PlainTextResponse("x")


# ---- installing ---------------------------------------------------------------------------------


def test_what_is_no_starlette_is_refused():
    """The message says what goes around others."""
    with pytest.raises(ConfigurationError, match=r"integrations\.asgi\.CX"):
        CX(object())


def test_an_application_that_serves_is_refused():
    """Its layers are made; nothing of ours could be among them."""
    app = Starlette(routes=[Route("/x", text())])
    ask(app, "/x")
    with pytest.raises(IntegrationError, match="before"):
        CX(app)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"custmer": by_header}, "did you mean 'customer'"),
        ({"customer": text()}, "customer: expected a plain function"),
        ({"client": object(), "service": "shop"}, "client: expected none, or no service"),
        ({"client": object()}, "client: expected a cxsdk.Client"),
        ({"templates": "templates"}, "templates: expected Jinja2Templates, got str"),
    ],
)
def test_a_wrong_setting_stops_the_start(settings, words):
    """With a message that says which, and what was expected."""
    with pytest.raises(ConfigurationError, match=words):
        CX(Starlette(), **settings)


def test_settings_make_the_client():
    """What ``cx.init`` takes stands among the settings."""
    CX(Starlette(), service="desk", collector="null:")
    assert cx.client().settings.service == "desk"


def test_a_second_one_on_the_same_application_changes_nothing():
    """Not even whose events these are."""
    app = Starlette()
    CX(app, service="desk", collector="null:")
    CX(app, service="other", collector="null:")
    assert cx.client().settings.service == "desk"


@pytest.mark.parametrize("said", [{}, {"consent": lambda _: None}])
def test_an_application_that_is_mounted_may_have_settings_of_its_own(said, cx_events):
    """What is no interaction of the application around is one of its own; never one of both."""
    inner = Starlette(routes=[Route("/a", text()), Route("/b", text())])
    outer = Starlette(routes=[Mount("/in", inner), Route("/c", text())])
    CX(inner, interactions=[{"route": "*", "stage": "support"}], customer=lambda _: "inner")
    CX(outer, interactions=[{"route": "/in/a"}, {"route": "/c"}], customer=lambda _: "u1", **said)
    for path in ("/in/a", "/in/b", "/c"):
        assert ask(outer, path).text == "True"
    seen = [(e.data.where.touchpoint, e.data.where.stage) for e in cx_events]
    assert seen == [("in.a", None), ("b", "support"), ("c", None)]


def test_another_client_may_be_given(cx_events):
    """Its events are said by it."""
    client = cx.Client("other", collector="null:")
    app = Starlette(routes=[Route("/x", text())])
    CX(app, client=client, interactions=ALL, customer=by_header)
    ask(app, "/x", headers=U1)
    client.close(0)
    assert cx_events.one("interaction").source == "urn:service:other"


# ---- who ----------------------------------------------------------------------------------------


class Known(AuthenticationBackend):
    async def authenticate(self, conn):
        name = conn.headers.get("x-user")
        return None if name is None else (AuthCredentials(["in"]), SimpleUser(name))


@pytest.mark.parametrize("is_first", [True, False])
def test_the_user_of_the_authentication_layer_is_the_customer(is_first, cx_events):
    """Wherever our layer stands; a user who is not authenticated is nobody."""
    app = Starlette(routes=[Route("/x", text(lambda r: cx.record("page.seen") and ""))])
    if is_first:
        CX(app, customer=None)
    app.add_middleware(AuthenticationMiddleware, backend=Known())
    if not is_first:
        CX(app)
    ask(app, "/x", headers=U1)
    assert cx_events.one("interaction").data.customer.id == "u1"


def test_a_session_names_an_anonymous_visitor_where_it_is_in_use(cx_events):
    """A session that holds something gets an id of ours; no session is begun for it."""

    async def cart(request):
        request.session["cart"] = 1
        return PlainTextResponse("x")

    routes = [Route("/cart", cart), Route("/x", text(lambda _: ""))]
    app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=KEY)])
    rules = [{"route": "/x", "methods": ["GET"]}]
    cx.init("shop", collector="null:", prompts=easy())
    CX(app, interactions=rules, consent=lambda _: "granted", cookie=None)
    begun = ask(app, "/cart").cookie
    first = ask(app, "/x", headers={"cookie": begun})
    again = ask(app, "/x", headers={"cookie": first.cookie})
    ids = {event.data.customer.anonymous_id for event in cx_events.of("interaction")}
    assert len(cx_events.of("interaction")) == 2
    assert len(ids) == 1
    assert first.cookie
    assert again.status == 200


def test_who_logs_in_is_linked_to_the_visitor_of_the_session(cx_events):
    """``serving`` and ``cx.identify`` are all that a login has to say."""

    async def cart(request):
        request.session["cart"] = 1
        return PlainTextResponse("x")

    async def login(request):
        request.session["user"] = "u1"
        serving("u1")
        cx.identify("u1")
        return PlainTextResponse("x")

    routes = [Route("/cart", cart), Route("/x", text(lambda _: "")), Route("/login", login)]
    app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=KEY)])
    CX(app, interactions=[{"route": "/x"}], consent=lambda _: "granted", cookie=None)
    begun = ask(app, "/cart").cookie
    seen = ask(app, "/x", headers={"cookie": begun})
    ask(app, "/login", headers={"cookie": seen.cookie})
    visitor = cx_events.one("interaction").data.customer.anonymous_id
    linked = cx_events.of("identity")[-1].data
    assert visitor is not None
    assert (linked.customer.id, linked.customer.anonymous_id) == ("u1", visitor)


def test_a_visitor_who_agreed_gets_a_cookie(cx_events):
    """Only then, once; the next request is the same visitor's."""
    app = Starlette(routes=[Route("/x", text(lambda _: ""))])
    CX(app, interactions=ALL, consent=lambda request: request.headers.get("x-consent"))
    first = ask(app, "/x", headers={"x-consent": "granted"})
    again = ask(app, "/x", headers={"x-consent": "granted", "cookie": first.cookie})
    assert first.cookie.startswith("cx_visitor=")
    assert again.cookie == ""
    ids = {event.data.customer.anonymous_id for event in cx_events}
    assert len(cx_events) == 2
    assert len(ids) == 1


def test_the_functions_get_a_connection(cx_events):
    """Headers, cookies, query and path are there as in a handler, for websockets too."""
    seen = []

    def resolver(connection):
        seen.append((connection.url.path, connection.cookies, connection.query_params["q"]))
        return "u1"

    app = Starlette(routes=[Route("/x", text(lambda _: ""))])
    CX(app, interactions=ALL, customer=resolver)
    ask(app, "/x?q=1", headers={"cookie": "a=b"})
    assert seen == [("/x", {"a": "b"}, "1")]


# ---- how it ended -------------------------------------------------------------------------------


class OutOfStock(Exception):
    """Of the host, with a handler of its own."""


def failing(error):
    async def handler(request):
        raise error

    return handler


def test_errors_that_are_handled_are_failures_all_the_same(cx_events):
    """Whatever page the application's own handler makes of them; a status is not an error."""

    async def conflict(request, error):
        return JSONResponse({}, 409)

    def plain_conflict(request, error):
        return JSONResponse({}, 410)

    app = Starlette(
        routes=[
            Route("/stock", failing(OutOfStock())),
            Route("/key", failing(KeyError())),
            Route("/404", failing(HTTPException(404))),
            Route("/503", failing(HTTPException(503))),
            Route("/bug", failing(ZeroDivisionError())),
        ],
        exception_handlers={OutOfStock: conflict, KeyError: plain_conflict},
    )
    rule = {"route": "*", "fails": {OutOfStock: "not_in_stock"}}
    CX(app, interactions=[rule], customer=by_header)
    said = {}
    for path in ("/stock", "/key", "/404", "/503", "/bug"):
        said[path] = ask(app, path, headers=U1).status
    found = [(e.data.outcome, e.data.error.type) for e in cx_events]
    assert said == {"/stock": 409, "/key": 410, "/404": 404, "/503": 503, "/bug": 500}
    assert found == [
        ("failure", f"{__name__}.OutOfStock"),
        ("failure", "KeyError"),
        ("unknown", "404"),
        ("failure", "503"),
        ("failure", "ZeroDivisionError"),
    ]
    assert cx_events[0].data.reason == "not_in_stock"


def test_background_tasks_are_of_the_customer_and_after_the_interaction(cx_events):
    """What they record is the customer's; the interaction is over before."""
    seen = []

    def later():
        seen.append((len(cx_events), bool(cx.current())))
        cx.record("mail.sent", direction="outbound")

    async def handler(request):
        return PlainTextResponse("x", background=BackgroundTask(later))

    app = Starlette(routes=[Route("/x", handler)])
    CX(app, interactions=ALL, customer=by_header)
    ask(app, "/x", headers=U1)
    assert seen == [(1, False)]
    assert [event.data.customer.id for event in cx_events] == ["u1", "u1"]


@pytest.mark.parametrize("is_outside", [True, False])
def test_layers_that_run_the_application_in_a_task(is_outside, cx_events):
    """``BaseHTTPMiddleware`` copies the context: inside or outside of it, all is as without it."""

    async def passing(request, call_next):
        return await call_next(request)

    app = Starlette(routes=[Route("/x", text(lambda _: cx.current().interaction_id))])
    if is_outside:
        CX(app, interactions=ALL, customer=by_header)
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    if not is_outside:
        CX(app, interactions=ALL, customer=by_header)
    reply = ask(app, "/x", headers=U1)
    event = cx_events.one("interaction")
    assert reply.text == event.data.interaction_id
    assert event.data.outcome == "success"


# ---- prompts ------------------------------------------------------------------------------------


def easy():
    question = Question(id="easy", kind="ces")
    return cx.PromptOptions(
        prompts=[Prompt(key="effort", questions=[question])], store="memory:", keys=(b"k" * 32,)
    )


def test_prompts_have_their_endpoint_and_their_function_in_templates(tmp_path, cx_events):
    """An offer is shown by ``cx_prompt``, and answered at the mount."""
    (tmp_path / "thanks.html").write_text("<p>Thanks</p>{{ cx_prompt('effort') }}")
    templates = Jinja2Templates(str(tmp_path))

    async def pay(request):
        with cx.interaction("checkout.pay"):
            pass
        shared = {"Cache-Control": "public, s-maxage=60, max-age=60"}
        return templates.TemplateResponse(request, "thanks.html", headers=shared)

    app = Starlette(routes=[Route("/pay", pay)])
    client = cx.init("shop", collector="null:", prompts=easy())
    CX(app, customer=by_header, templates=templates, mount="/ask")
    shown = ask(app, "/pay", headers=U1)
    action = re.search(r'action="([^"]+)"', shown.text)[1]
    assert action.startswith("/ask/")
    # The right to answer is in it: no cache may give it to others.
    assert dict(shown.headers)["cache-control"] == "private, max-age=60"
    answered = ask(app, action, "POST", headers=U1, body=b"easy=6")
    assert answered.status in {200, 303}
    assert cx_events.one("feedback").data.answers[0].value == 6
    client.close(0)


def test_below_a_root_path_the_form_leads_to_where_the_endpoint_is(tmp_path):
    """A proxy's prefix stands before the mount, as browsers need it."""
    (tmp_path / "page.html").write_text("{{ cx_prompt('effort') }}")
    templates = Jinja2Templates(str(tmp_path))

    async def pay(request):
        with cx.interaction("checkout.pay"):
            pass
        return templates.TemplateResponse(request, "page.html")

    inner = Starlette(routes=[Route("/pay", pay)])
    client = cx.init("shop", collector="null:", prompts=easy())
    CX(inner, customer=by_header, templates=templates)
    page = ask(Starlette(routes=[Mount("/shop", inner)]), "/shop/pay", headers=U1).text
    action = re.search(r'action="([^"]+)"', page)[1]
    outer = Starlette(routes=[Mount("/shop", inner)])
    assert action.startswith("/shop/cx/o/")
    assert ask(outer, action, "POST", headers=U1, body=b"easy=6").status in {200, 303}
    client.close(0)


def test_without_prompts_the_path_of_their_endpoint_is_the_hosts():
    """Nobody is asked anything, so nothing of the host is shadowed."""
    app = Starlette(routes=[Route("/cx/own", text(lambda _: "own"))])
    cx.init("shop", collector="null:")
    CX(app)
    assert ask(app, "/cx/own").text == "own"
    cx.close(0)
