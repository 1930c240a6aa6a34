"""
Prompts in Flask: the endpoint, ``cx_prompt`` in a template, the page after a redirect.
"""

from __future__ import annotations

import re

import flask
import flask_wtf
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import cxsdk as cx
from cxsdk.integrations.flask import CX, as_interaction
from cxsdk.prompts import Prompt, Question, Trigger

PAGE = "<main>{{ cx_prompt(**how) }}</main>"


@pytest.fixture
def shop(tmp_path):
    """Make workers of one shop: ``POST /pay`` leads to ``/thanks``, which asks."""
    apps = []

    def shop(secret="test", **settings):
        app = flask.Flask("shop")
        app.secret_key = secret
        app.config["CXSDK"] = {
            "collector": "null:",
            "returns": ["/thanks"],
            "prompts": cx.PromptOptions(
                prompts=[
                    Prompt(
                        key="effort",
                        scope="transactional",
                        trigger=Trigger(event="pay.card", outcome="success"),
                        questions=[Question(id="easy", kind="ces")],
                        locales={"de": {}},
                    )
                ],
                store=f"sqlite:{tmp_path}/caps.db",
                keys=(b"one-key-for-both-workers-of-this",),
                deadline=10.0,
            ),
        }
        app.config["CXSDK"] |= settings

        @app.post("/in")
        def log_in():
            flask.session["user_id"] = flask.request.form["user"]
            return ""

        @app.post("/pay")
        @as_interaction("pay.card", stage="order")
        def pay():
            return flask.redirect("/thanks", 402 if "declined" in flask.request.form else 303)

        @app.get("/thanks")
        def thanks():
            return flask.render_template_string(PAGE, how={"return_to": "/thanks"})

        CX(app)
        apps.append(app)
        return app

    yield shop
    client = cx.client()
    if client is not None:
        client.close(0)


def action(page):
    """Where the form of a page posts to."""
    found = re.search(r'<form[^>]*action="([^"]+)"', page)
    return found and found[1]


def test_the_page_after_a_redirect_asks_whichever_worker_renders_it(shop):
    """Signed in the session: what was paid, by whom; answered at the endpoint, then gone."""
    first, second = shop(), shop()
    one, other = first.test_client(), second.test_client()
    one.post("/in", data={"user": "7"})
    assert action(one.get("/thanks").text) is None
    reply = one.post("/pay", headers={"Accept-Language": "de"})
    other._cookies = one._cookies
    page = other.get("/thanks", headers={"Accept-Language": "de"})
    assert 'lang="de"' in page.text
    assert page.headers["Vary"] == "Cookie"
    assert action(page.text).startswith("/cx/o/")
    reply = one.post(action(page.text), data={"easy": "6", "cx-return": "/thanks"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/thanks")
    assert action(other.get("/thanks").text) is None


def test_a_page_that_asks_is_nobody_elses(shop):
    """The right to answer is in it: what the page says of caches holds where nobody is asked."""
    app = shop()

    @app.after_request
    def shared(response):
        response.cache_control.public = True
        response.cache_control.s_maxage = response.cache_control.max_age = 60
        return response

    client = app.test_client()
    client.post("/in", data={"user": "7"})
    client.post("/pay")
    page = client.get("/thanks")
    assert action(page.text)
    assert page.headers["Cache-Control"] == "private, max-age=60"
    client.post(action(page.text), data={"easy": "6"})
    assert "public" in client.get("/thanks").headers["Cache-Control"]


def test_a_page_that_only_reads_writes_no_session(shop):
    """A slow page of another tab would bring back what was there when it began: a login, a cart."""
    app = shop()

    @app.get("/slow")
    @as_interaction("page.slow")
    def slow():
        return flask.session["user_id"]

    client = app.test_client()
    client.post("/in", data={"user": "7"})
    client.get("/slow")
    answer = client.get("/slow")
    assert (answer.text, answer.headers.get("Set-Cookie")) == ("7", None)
    assert "Set-Cookie" in client.post("/pay").headers


def test_somebody_else_at_the_same_browser_is_not_asked(shop):
    """A payment before them is none of theirs; one that was declined asks nobody."""
    client = shop().test_client()
    client.post("/in", data={"user": "7"})
    client.post("/pay")
    client.post("/in", data={"user": "8"})
    assert action(client.get("/thanks").text) is None
    client.post("/pay", data={"declined": "1"})
    assert action(client.get("/thanks").text) is None
    client.post("/pay")
    assert action(client.get("/thanks").text)


def test_the_endpoint_serves_what_the_form_needs(shop):
    """Style, script and state; no session of the host's is touched."""
    client = shop().test_client()
    style = client.get("/cx/static/cx-prompt.css")
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert client.get("/cx/o/no-such-token").status_code == 410
    assert client.get("/cx/nothing").status_code == 404
    assert client.put("/cx/o/no-such-token").status_code == 405
    assert "Set-Cookie" not in style.headers
    assert "Vary" not in style.headers


def test_a_form_below_a_prefix_posts_there(shop):
    """Mounted in another application, or behind a proxy that says where."""
    app = shop(mount="/ask/")
    client = Client(DispatcherMiddleware(flask.Flask("outer"), {"/shop": app}))
    client.post("/shop/in", data={"user": "7"})
    client.post("/shop/pay")
    page = client.get("/shop/thanks").text
    assert action(page).startswith("/shop/ask/o/")
    assert client.post(action(page), data={"easy": "6"}).status_code in {200, 303}
    with app.app_context():
        offer = cx.prompts.offer("effort", customer="9", about=None)
        assert not offer
        assert flask.render_template_string(PAGE, how={}) == "<main></main>"


def test_a_form_needs_no_other_token(shop):
    """Under Flask-WTF's protection, also where that comes after us."""
    app = shop()
    flask_wtf.CSRFProtect(app)
    client = app.test_client()
    assert client.post("/pay").status_code == 400
    app.config["WTF_CSRF_ENABLED"] = False
    client.post("/in", data={"user": "7"})
    client.post("/pay")
    app.config["WTF_CSRF_ENABLED"] = True
    page = client.get("/thanks").text
    assert client.post(action(page), data={"easy": "6"}).status_code in {200, 303}
    assert client.post("/pay").status_code == 400


def test_a_body_that_the_host_has_read_is_answered(shop):
    """What reads every form before each request leaves the answer to us."""
    app = shop()
    app.before_request(lambda: flask.request.form.get("_method") and None)
    client = app.test_client()
    client.post("/in", data={"user": "7"})
    client.post("/pay")
    page = client.get("/thanks").text
    assert client.post(action(page), data={"easy": "6"}).status_code in {200, 303}
    assert client.post(action(page), data={"easy": "6" * 20_000}).status_code == 413
    assert action(client.get("/thanks").text) is None


def test_it_is_not_mounted_where_nobody_asks(shop):
    """``mount=None``, and a client without prompts."""
    app = shop(mount=None)
    assert app.test_client().get("/cx/static/cx-prompt.css").status_code == 404
    assert "cx_prompt" not in app.jinja_env.globals
    plain = flask.Flask("plain")
    cx.init("plain", collector="null:")
    CX(plain)
    assert plain.blueprints == {}


def test_uninstalled_it_asks_nobody(shop):
    """Pages are rendered as before, without a form; the endpoint is not there."""
    app = shop()
    app.extensions["cxsdk"].unhook()
    client = app.test_client()
    assert client.get("/thanks").text == "<main></main>"
    assert client.get("/cx/static/cx-prompt.css").status_code == 404
