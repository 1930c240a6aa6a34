"""
From the route to the last byte: what a request becomes, whatever the application does to it.
"""

from __future__ import annotations

import io
import logging

import flask
import pytest
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wsgi import FileWrapper

import cxsdk as cx
from cxsdk import _default
from cxsdk.errors import ConfigurationError, IntegrationError
from cxsdk.integrations.flask import CX, as_interaction, serving
from cxsdk.scope import current_interaction, current_scope
from cxsdk.testing.conformance._driving import Ask, call

ALL = [{"route": "*"}]


# ---- in order ---------------------------------------------------------------------------------


def test_it_is_there_before_what_the_host_does_first(app, user, u1, cx_events):
    """Also what was registered before us, and a preprocessor of values, runs in our scope."""
    seen = []

    def look(*_):
        seen.append((current_scope.get().who[0], cx.current().interaction_id))

    app.before_request(look)
    CX(app, customer=user, interactions=ALL)
    app.url_value_preprocessor(look)
    app.after_request(lambda response: look() or response)
    app.teardown_request(look)
    app.add_url_rule("/x", view_func=lambda: "x")
    app.test_client().get("/x", headers=u1)
    assert seen == [("u1", cx_events.one("interaction").data.interaction_id)] * 4


def test_a_request_that_the_host_turns_away_is_that_route(app, user, u1, cx_events, said):
    """A hook that responds in the view's place has responded for it."""
    app.before_request(lambda: flask.redirect("/login"))
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/orders/<int:order>", view_func=lambda order: "x")
    assert app.test_client().get("/orders/7", headers=u1).status_code == 302
    assert (cx_events.touchpoints(), said(cx_events)) == (["orders.order"], [("success", "")])


def test_what_has_no_route_is_no_interaction(app, user, u1, cx_events):
    """404 and 405 of the routing, its redirects, HEAD and OPTIONS are nobody's contact."""
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/x/", view_func=lambda: "x", endpoint="x")
    client = app.test_client()
    asks = [("GET", "/y"), ("POST", "/x/"), ("GET", "/x"), ("HEAD", "/x/"), ("OPTIONS", "/x/")]
    codes = [client.open(path, method=method, headers=u1).status_code for method, path in asks]
    assert codes == [404, 405, 308, 200, 200]
    assert list(cx_events) == []


def test_static_files_are_nobody(app, user, u1, cx_events, tmp_path):
    """Of the application, wherever it has them, and of its blueprints."""
    (tmp_path / "a.css").write_text("a")
    shop = flask.Flask("shop", static_url_path="/assets", static_folder=str(tmp_path))
    page = flask.Blueprint("page", "page", static_folder=str(tmp_path), static_url_path="/files")
    shop.register_blueprint(page, url_prefix="/page")
    CX(shop, customer=user, interactions=ALL)
    client = shop.test_client()
    for at in ("assets", "page/files"):
        with client.get(f"/{at}/a.css", headers=u1) as reply:
            assert reply.text == "a"
    assert list(cx_events) == []


# ---- errors -----------------------------------------------------------------------------------


class DeclinedError(Exception):
    """The bank said no."""


def test_an_error_that_the_host_handles_is_a_failure(app, user, u1, cx_events):
    """The host's page is served, its handler gets the very object, and the reason is the rule's."""
    error, seen = DeclinedError(), []

    @app.errorhandler(DeclinedError)
    def sorry(found):
        seen.append(found)
        return flask.redirect("/cart")

    CX(app, customer=user, interactions=[{"fails": {DeclinedError: "card_declined"}}])

    @app.post("/pay")
    def pay():
        raise error

    assert app.test_client().post("/pay", headers=u1).status_code == 302
    assert seen == [error]
    data = cx_events.one("interaction").data
    assert (data.outcome, data.reason, data.error.type.rpartition(".")[2]) == (
        "failure",
        "card_declined",
        "DeclinedError",
    )


@pytest.mark.parametrize(
    ("leave", "outcome"),
    [
        (lambda: flask.abort(404), ("unknown", "404")),
        (lambda: flask.abort(503), ("failure", "503")),
        (lambda: flask.abort(flask.Response("", 409)), ("unknown", "409")),
        (lambda: flask.abort(flask.redirect("/")), ("success", "")),
        (lambda: flask.redirect("/"), ("success", "")),
        (lambda: ("", 429), ("unknown", "429")),
        (lambda: None, ("failure", "TypeError")),
    ],
)
def test_how_a_view_leaves_is_the_outcome(leave, outcome, app, user, u1, cx_events, said):
    """Aborts and redirects go by their status; a view that returns nothing has failed."""
    app.testing = False
    app.logger.disabled = True
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/x", view_func=leave, endpoint="x")
    app.test_client().get("/x", headers=u1)
    assert said(cx_events) == [outcome]


@pytest.mark.parametrize("where", ["before_request", "after_request", "teardown_request"])
def test_what_the_hosts_hooks_raise_comes_out(where, app, user, u1, cx_events, said):
    """Before, after and at the end: the same object, and a failure."""
    error = RuntimeError("the host's own")

    def broken(*_):
        raise error

    getattr(app, where)(broken)
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x", endpoint="x")
    with pytest.raises(RuntimeError) as caught:
        app.test_client().get("/x", headers=u1)
    assert caught.value is error
    assert said(cx_events) == [("failure", "RuntimeError")]


def test_an_errorhandler_that_fails_too_leaves_the_first_cause(app, user, u1, cx_events, said):
    """What the view raised is what ended the contact."""
    app.testing = False
    app.logger.disabled = True
    app.register_error_handler(DeclinedError, lambda _: 1 / 0)
    CX(app, customer=user, interactions=ALL)

    @app.get("/x")
    def x():
        raise DeclinedError

    assert app.test_client().get("/x", headers=u1).status_code == 500
    assert [kind.rpartition(".")[2] for _, kind in said(cx_events)] == ["DeclinedError"]


# ---- bodies -----------------------------------------------------------------------------------


def test_a_stream_keeps_flasks_context_and_ours(app, user, u1, cx_events):
    """Server-sent events with ``stream_with_context``: request, session, customer, interaction."""
    CX(app, customer=user, interactions=ALL)

    @app.get("/sse")
    def sse():
        def steps():
            for n in range(3):
                cx.record("sse.step")
                yield f"data: {flask.request.path} {cx.current().interaction_id} {n}\n\n"

        return flask.Response(flask.stream_with_context(steps()), mimetype="text/event-stream")

    text = app.test_client().get("/sse", headers=u1).text
    steps, whole = cx_events[:3], cx_events[3]
    assert [e.data.customer.id for e in cx_events] == ["u1"] * 4
    assert text.count(f"/sse {whole.data.interaction_id} ") == 3
    assert [e.data.where.touchpoint for e in steps] == ["sse.step"] * 3
    assert current_scope.get() is current_interaction.get() is None


def test_a_stream_after_flasks_context_still_has_its_customer(app, u1, cx_events):
    """Who it is was asked while the team's function could look."""
    CX(app, customer=lambda _: flask.request.headers["x-user"], interactions=ALL)

    @app.get("/x")
    def x():
        def steps():
            yield "a"
            cx.record("x.step")
            yield "b"

        return flask.Response(steps())

    assert app.test_client().get("/x", headers=u1).text == "ab"
    assert [e.data.customer.id for e in cx_events] == ["u1", "u1"]


def test_a_stream_that_is_no_interaction_has_its_scope(app, user, u1, cx_events):
    """What is said while it runs is of its customer."""
    CX(app, customer=user)
    app.add_url_rule("/x", view_func=lambda: flask.Response(cx.record("x.y") and "y" for _ in "ab"))
    assert app.test_client().get("/x", headers=u1).text == "yy"
    assert [e.data.customer.id for e in cx_events] == ["u1", "u1"]


def test_a_reader_that_leaves_closes_the_hosts_generator(app, user, u1, cx_events):
    """Its ``finally`` runs, inside of the interaction, which is abandoned."""
    seen = []
    CX(app, customer=user, interactions=ALL)

    @app.get("/x")
    def x():
        def steps():
            try:
                yield from (b"a", b"b")
            finally:
                seen.append(cx.current().interaction_id)

        return flask.Response(steps())

    assert call(app, Ask("/x", headers=u1, leaves_after=1)).chunks == [b"a"]
    event = cx_events.one("interaction")
    assert (event.data.outcome, seen) == ("abandoned", [event.data.interaction_id])


def test_a_file_stays_with_the_server(app, user, u1, cx_events, tmp_path):
    """What ``wsgi.file_wrapper`` made reaches the server as it is, for ``sendfile``."""
    CX(app, customer=user, interactions=ALL)
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF" * 1000)
    app.add_url_rule("/x", view_func=lambda: flask.send_file(tmp_path / "invoice.pdf"))
    made = []

    class Wrapper(FileWrapper):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    environ = EnvironBuilder(path="/x", headers=u1).get_environ()
    environ["wsgi.file_wrapper"] = Wrapper
    headers = []
    body = app(environ, lambda status, found: headers.extend(found))
    assert body is made[0]
    assert dict(headers)["Content-Length"] == "4000"
    assert cx_events.one("interaction").data.outcome == "success"
    body.close()


def test_a_layer_that_is_a_generator_is_waited_for(app, user, u1, cx_events):
    """One that calls the application only when its first chunk is asked for."""
    inner = app.wsgi_app

    def layer(environ, start_response):
        yield from inner(environ, start_response)

    app.wsgi_app = layer
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: cx.current().interaction_id)
    text = app.test_client().get("/x", headers=u1).text
    assert cx_events.one("interaction").data.interaction_id == text


def test_what_is_not_streamed_is_not_wrapped(app, user, u1, cx_events):
    """The server gets the body that Flask made: one that has a length has it still."""
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x")
    environ = EnvironBuilder(path="/x", headers=u1).get_environ()
    body = app(environ, lambda *_: None)
    assert type(body).__module__.partition(".")[0] == "werkzeug"
    assert cx_events.one("interaction")


# ---- within and beside others ------------------------------------------------------------------


def test_a_request_within_a_request_is_its_own(app, user, cx_events):
    """The outer one goes on as it was; a context for tests is none of ours."""
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule("/inner", view_func=lambda: current_scope.get().who[0])

    @app.get("/outer")
    def outer():
        before = (cx.current().interaction_id, current_scope.get())
        inner = app.test_client().get("/inner", headers={"x-user": "u2"}).text
        with app.test_request_context("/inner"):
            app.preprocess_request()
        assert (cx.current().interaction_id, current_scope.get()) == before
        return inner

    assert app.test_client().get("/outer", headers={"x-user": "u1"}).text == "u2"
    said = [(e.data.where.touchpoint, e.data.customer.id) for e in cx_events]
    assert said == [("inner", "u2"), ("outer", "u1")]


def test_two_applications_behind_one_address_stay_apart(user, cx_events):
    """Mounted in one another and behind a proxy, each has its own rules."""
    shop, admin = flask.Flask("shop"), flask.Flask("admin")
    shop.add_url_rule("/x", view_func=lambda: "shop")
    admin.add_url_rule("/x", view_func=lambda: current_scope.get().where[0])
    inside = CX(customer=user, interactions=ALL, channel="api", medium="web_page")
    inside.init_app(admin)
    shop.wsgi_app = DispatcherMiddleware(shop.wsgi_app, {"/admin": admin})
    CX(shop, customer=user)
    client = Client(ProxyFix(shop, x_prefix=1))
    found = [client.get(path, headers={"x-user": "u1"}).text for path in ("/x", "/admin/x")]
    assert found == ["shop", "api"]
    assert cx_events.touchpoints() == ["x"]


def test_threads_and_coroutines_of_a_request_share_its_customer(app, cx_events):
    """What an async view learns of the customer holds outwards."""
    CX(app, interactions=ALL)

    @app.get("/x")
    async def x():
        serving("u7", assurance="verified")
        return "x"

    app.test_client().get("/x")
    assert cx_events.one("interaction").data.customer.id == "u7"


# ---- opting in ---------------------------------------------------------------------------------


def test_a_view_speaks_for_itself_then_its_blueprint_then_the_rules(app, user, u1, cx_events):
    """Marks of views, classes and blueprints, the innermost first; a view may be left out."""
    shop = CX.capture(flask.Blueprint("shop", "shop"), stage="order")
    inner = flask.Blueprint("inner", "inner", url_prefix="/inner")
    shop.add_url_rule("/a", view_func=lambda: "a", endpoint="a")
    shop.add_url_rule(
        "/b", view_func=as_interaction("b.own", stage="use")(lambda: "b"), endpoint="b"
    )
    shop.add_url_rule("/c", view_func=as_interaction(skip=True)(lambda: "c"), endpoint="c")
    shop.add_url_rule("/d", view_func=cx.interaction("d.own")(lambda: "d"), endpoint="d")
    inner.add_url_rule("/e", view_func=lambda: "e", endpoint="e")
    shop.register_blueprint(inner)
    app.register_blueprint(shop, url_prefix="/shop")
    app.add_url_rule("/f", view_func=lambda: "f", endpoint="f")
    app.add_url_rule("/g", view_func=lambda: "g", endpoint="g")
    CX(app, customer=user, interactions={"view": "f", "stage": "support"})
    for path in ("shop/a", "shop/b", "shop/c", "shop/d", "shop/inner/e", "f", "g"):
        assert app.test_client().get(f"/{path}", headers=u1).text == path[-1]
    assert [(e.data.where.touchpoint, e.data.where.stage) for e in cx_events] == [
        ("shop.a", "order"),
        ("b.own", "use"),
        ("d.own", None),
        ("shop.inner.e", "order"),
        ("f", "support"),
    ]


def test_a_method_of_a_class_speaks_for_itself(app, user, u1, cx_events):
    """Of a view class one method may be an interaction, or decorated, and the others not."""

    class Orders(MethodView):
        def get(self):
            return "list"

        @as_interaction("orders.place", stage="order")
        def post(self):
            return "placed"

        @cx.interaction("orders.cancel")
        def delete(self):
            return "cancelled"

    CX(app, customer=user, interactions={"methods": "delete"})
    app.add_url_rule("/orders", view_func=Orders.as_view("orders"))
    client = app.test_client()
    for method in ("GET", "POST", "DELETE"):
        client.open("/orders", method=method, headers=u1)
    assert cx_events.touchpoints() == ["orders.place", "orders.cancel"]


def test_a_route_around_an_undecorated_function_is_warned_of(app, caplog, monkeypatch):
    """At the first request, with the place and the order that works."""
    monkeypatch.setitem(globals(), "stray", None)

    @app.get("/stray")
    def stray():
        return "x"

    globals()["stray"] = cx.interaction("stray.seen")(stray)
    globals()["stray"].__qualname__ = stray.__qualname__ = "stray"
    CX(app)
    with caplog.at_level(logging.WARNING, "cxsdk"):
        app.test_client().get("/other")
    assert "the route /stray was registered before" in caplog.text


# ---- settings and installing --------------------------------------------------------------------


def test_settings_come_from_the_application_and_its_code_wins(app):
    """``app.config["CXSDK"]``, in any case; applications of the same settings share a client."""
    app.config["CXSDK"] = {"COLLECTOR": "null:", "Mount": "/ask", "exclude": ["/internal/*"]}
    CX(app, mount=None)
    other = flask.Flask("other")
    other.config["CXSDK"] = {"collector": "null:", "mount": "/ask"}
    client = cx.client()
    CX().init_app(other)
    front = app.extensions["cxsdk"]
    assert (front.options.mount, other.extensions["cxsdk"].options.mount) == (None, "/ask")
    assert front.is_excluded("/internal/x")
    assert cx.client() is client
    assert (client.settings.service, client.settings.collector) == ("shop", "null:")


def test_a_client_that_is_there_is_used(app, cx_events):
    """Settings that name nothing of a client's make none; a client may be handed over."""
    before = _default.client()
    CX(app, channel="api")
    assert _default.client() is before
    own = cx.Client("own", collector="null:")
    other = flask.Flask("other")
    CX(other, client=own)
    assert other.extensions["cxsdk"].source is own
    with pytest.raises(ConfigurationError, match="collector"):
        CX(flask.Flask("third"), client=own, collector="null:")
    own.close(0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"colector": "x"}, "did you mean 'collector'"),
        ({"interactions": [{"stage": "no-such"}]}, "stage"),
        ({"customer": "shop.nowhere"}, "customer"),
        ("x", "expected a mapping"),
    ],
)
def test_a_wrong_setting_stops_the_start(wrong, words, app):
    """It is an error where the application is made, not in a request."""
    app.config["CXSDK"] = wrong
    with pytest.raises(ConfigurationError, match=words):
        CX(app)


def test_uninstalling_restores_what_was_replaced(app, user, u1, cx_events):
    """Also where others have wrapped it since; and it can be installed again."""
    before = (app.wsgi_app, app.handle_user_exception)
    extension = CX(app, customer=user, interactions=ALL)
    extension.uninstall()
    extension.uninstall()
    assert (app.wsgi_app, app.handle_user_exception) == before
    assert (app.url_value_preprocessors[None], app.after_request_funcs[None]) == ([], [])
    extension.init_app(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)
    extension.uninstall(app)
    app.add_url_rule("/x", view_func=lambda: str(current_scope.get()))
    assert app.test_client().get("/x", headers=u1).text == "None"
    assert list(cx_events) == []


def test_uninstalling_while_a_request_runs_takes_nothing_of_the_hosts_from_it(app):
    """What the host does before and after it is done to the end."""
    seen = []
    extension = CX(app)
    app.url_value_preprocessors[None] += [
        lambda *_: extension.uninstall(),
        lambda *_: seen.append("before"),
    ]
    app.add_url_rule("/x", view_func=lambda: "x")
    assert app.test_client().get("/x").text == "x"
    assert seen == ["before"]


def test_a_path_is_left_out_in_any_script(app, user, u1, cx_events):
    """A server gives its bytes one by one."""
    CX(app, customer=user, interactions=ALL, exclude=["/größe/*"])
    app.add_url_rule("/<path:rest>", view_func=lambda rest: rest)
    client = app.test_client()
    assert [client.get(path, headers=u1).text for path in ("/größe/9", "/maß/9")] == [
        "größe/9",
        "maß/9",
    ]
    assert len(cx_events) == 1


def test_too_late_is_said(app):
    """An application that has served requests takes no more routes."""
    app.test_client().get("/x")
    with pytest.raises(IntegrationError, match="before the first request"):
        CX(app, collector="null:", prompts={"store": "memory:"})
    CX(app, mount=None)
    assert app.test_client().get("/x").status_code == 404


def test_an_upload_passes(app, user, u1, cx_events):
    """Nothing of the body is read by us."""
    CX(app, customer=user, interactions=ALL)
    app.add_url_rule(
        "/x", view_func=lambda: flask.request.files["f"].read() + b"", methods=["POST"]
    )
    reply = app.test_client().post("/x", data={"f": (io.BytesIO(b"abc"), "f")}, headers=u1)
    assert reply.data == b"abc"
