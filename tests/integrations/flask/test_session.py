"""
What is ours in a session of the host: whose it is, when it is written, and that it fits.
"""

from __future__ import annotations

import random
import string

import flask
import flask_session
import pytest
from cachelib import FileSystemCache

import cxsdk as cx
from cxsdk.integrations.flask import CX, as_interaction
from cxsdk.integrations.trail import KEY
from cxsdk.prompts import Prompt, Question, Trigger

ALL = [{"route": "*"}]


@pytest.fixture
def shop(app):
    """``POST /cart`` begins a session; ``GET /page`` and ``GET /shared`` only read."""

    @app.post("/cart")
    def cart():
        flask.session["cart"] = "a book"
        return ""

    app.add_url_rule("/page", "page", lambda: "page")
    public = {"Cache-Control": "public, max-age=600"}
    app.add_url_rule("/shared", "shared", lambda: flask.Response("x", headers=public))
    return app


def held(client):
    """What a session has of ours."""
    with client.session_transaction() as session:
        return dict(session.get(KEY, {}))


def written(reply):
    """Headers that make a page one visitor's."""
    return [name for name in ("Set-Cookie", "Vary") if name in reply.headers]


# ---- when it is written ------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["denied", "unknown", None])
def test_a_visitor_who_has_not_agreed_is_given_no_id(said, shop, events):
    """Nothing is kept of them, so nothing is needed in their browser."""
    CX(shop, consent=lambda _: said, interactions=ALL)
    client = shop.test_client()
    client.post("/cart")
    assert written(client.get("/page")) == []
    assert (held(client), list(events)) == ({}, [])


def test_a_page_that_caches_share_writes_no_session(shop, events):
    """Whoever got it from there would have the session of another customer."""
    CX(shop, consent=lambda _: "granted", interactions=[{"route": "/shared"}])
    client = shop.test_client()
    client.post("/cart")
    assert written(client.get("/shared")) == []
    assert (held(client), len(events)) == ({}, 1)


# ---- whose it is -------------------------------------------------------------------------------


def doors(app):
    """A login of the team's own, under a name that nobody else knows."""

    @app.post("/in")
    def log_in():
        flask.session["member"] = flask.request.form["user"]
        return ""

    @app.post("/out")
    def log_out():
        del flask.session["member"]
        return ""

    app.add_url_rule("/who", "who", lambda: str(flask.session.get("member")))


@pytest.mark.parametrize("rules", [[{"route": "/page"}], ALL])
@pytest.mark.parametrize("store", ["in a cookie", "on the server"])
def test_a_login_of_the_teams_own_begins_another_visitor_too(
    rules, store, shop, cx_events, tmp_path
):
    """Whoever sits there when a customer has left is not who sat there before them."""
    if store == "on the server":
        files = FileSystemCache(str(tmp_path), threshold=0)
        shop.config |= {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": files}
        flask_session.Session(shop)
    doors(shop)
    member = {"customer": lambda _: flask.session.get("member"), "cookie": None}
    CX(shop, **member, consent=lambda _: "granted", interactions=rules)
    client = shop.test_client()
    steps = ["/cart", "/page", "/in", "/page", "/page", "/out", "/page", "/in", "/page"]
    for n, path in enumerate(steps):
        is_read = path == "/page"
        client.open(path, method="GET" if is_read else "POST", data={"user": f"u{n}"})
    pages = [e for e in cx_events.of("interaction") if e.data.where.touchpoint == "page"]
    assert [e.data.customer.id for e in pages] == [None, "u2", "u2", None, "u7"]
    first, mine, again, next_one, other = [e.data.session_id for e in pages]
    assert mine == again
    assert len({first, mine, next_one, other}) == 4


def test_a_login_that_is_marked_begins_one_session(shop, cx_events):
    """It links the visitor; what the customer does next is all of one session."""

    @shop.post("/in")
    @as_interaction("members.login", login=True)
    def log_in():
        flask.session["member"] = "7"
        return ""

    member = {"customer": lambda _: flask.session.get("member")}
    CX(shop, **member, consent=lambda _: "granted", interactions=[{"view": "*", "methods": "POST"}])
    client = shop.test_client()
    for path in ("/cart", "/in", "/cart", "/cart"):
        client.post(path)
    before, *_, first, second = cx_events.of("interaction")
    login = cx_events.one("identity").data
    assert (login.customer.id, login.customer.anonymous_id) == (
        "7",
        before.data.customer.anonymous_id,
    )
    assert first.data.session_id == second.data.session_id != before.data.session_id


def test_a_slow_page_does_not_undo_a_logout(shop, events):
    """What only reads does not write who was logged in when it began, also at their first page."""
    doors(shop)

    @shop.get("/slow")
    def slow():
        other = shop.test_client()
        other._cookies = dict(client._cookies)
        other.post("/out")
        return ""

    CX(shop, customer=lambda _: flask.session.get("member"), interactions=[{"route": "/slow"}])
    client = shop.test_client()
    client.post("/cart")
    client.post("/in", data={"user": "7"})
    assert written(client.get("/slow")) == ["Vary"]


# ---- that it fits ------------------------------------------------------------------------------


@pytest.fixture
def asks(app):
    """A shop with a prompt: ``POST /pay`` and ``POST /more`` put text of a length into the session."""
    effort = Prompt(
        key="effort",
        scope="transactional",
        trigger=Trigger(event="pay.post", outcome="success"),
        questions=[Question(id="easy", kind="ces")],
    )
    options = cx.PromptOptions(prompts=[effort], store="memory:", keys=(b"k" * 32,), deadline=10.0)
    CX(app, collector="null:", prompts=options, interactions=[{"route": "/pay"}])

    def put():
        signs = random.Random(7).choices(string.ascii_letters, k=int(flask.request.form["n"]))
        flask.session["cart"] = "".join(signs)
        return ""

    app.add_url_rule("/pay", "pay", put, methods=["POST"])
    app.add_url_rule("/more", "more", put, methods=["POST"])
    app.add_url_rule("/look", "look", lambda: str(len(flask.session["cart"])))
    yield app
    cx.client().close(0)


@pytest.mark.parametrize("path", ["/pay", "/more"])
def test_a_session_that_is_nearly_full_stays_in_its_cookie(path, asks, caplog):
    """Browsers drop a cookie that is too large: what is ours goes, the host's cart stays."""
    client = asks.test_client()
    client.post("/pay", data={"n": 10})
    assert set(held(client)) == {"t", "s"}
    client.post(path, data={"n": 3850})
    assert client.get("/look").text == "3850"
    assert "t" not in held(client)
    assert "the session's cookie is full" in caplog.text
