"""
What is ours in a session of the host: whose it is, when it is written, and that it fits.
"""

from __future__ import annotations

import random
import string

import flask
import pytest

import cxsdk as cx
from cxsdk.integrations.flask import CX
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
