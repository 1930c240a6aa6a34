"""
Whom a request serves: logins, sessions, visitors; and no trace where there is nothing to keep.
"""

from __future__ import annotations

import base64
import re

import flask
import flask_login
import flask_session
import pytest
from cachelib import FileSystemCache
from flask.sessions import SessionInterface, SessionMixin

import cxsdk as cx
from cxsdk.integrations.flask import CX
from cxsdk.integrations.trail import KEY
from cxsdk.scope import current_scope

ALL = [{"route": "*"}]


class User(flask_login.UserMixin):
    def __init__(self, key):
        self.id = key


@pytest.fixture
def loaded():
    """Whom Flask-Login's loader was asked for."""
    return []


@pytest.fixture
def members(app, loaded):
    """An application with Flask-Login: ``/in``, ``/out``, ``/seen``, ``/mine``, ``/cart``."""
    login = flask_login.LoginManager(app)

    @login.user_loader
    def load(key):
        loaded.append(key)
        return User(key)

    @app.post("/in")
    def log_in():
        flask_login.login_user(
            User(flask.request.form["user"]), remember="keep" in flask.request.form
        )
        return "in"

    @app.post("/out")
    def log_out():
        flask_login.logout_user()
        cx.record("out.after")
        return "out"

    @app.get("/seen")
    def seen():
        cx.record("page.seen")
        return "seen"

    @app.get("/mine")
    @flask_login.login_required
    def mine():
        cx.record("page.mine")
        return flask_login.current_user.get_id()

    @app.post("/cart")
    def cart():
        flask.session["cart"] = "a book"
        return "cart"

    return app


def who(events):
    """Customers and anonymous ids, in order."""
    return [(e.data.customer.id, e.data.customer.anonymous_id) for e in events]


# ---- logins ------------------------------------------------------------------------------------


def test_who_is_logged_in_is_served_without_being_loaded(members, loaded, cx_events):
    """The id is in the session; the user's row is read only when the host reads it."""
    CX(members)
    client = members.test_client()
    client.post("/in", data={"user": "7"})
    loaded.clear()
    client.get("/seen")
    assert (who(cx_events[-1:]), loaded) == ([("7", None)], [])
    assert current_scope.get() is None


def test_a_request_that_comes_while_the_first_one_begins_is_of_its_customer(
    members, cx_events, monkeypatch
):
    """What is looked at once does not let a login look like a new one meanwhile."""
    CX(members)
    client = members.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = "7"
    looked, meanwhile = [], []

    def look(_):
        looked.append(1)
        if len(looked) == 1:
            meanwhile.append(client.get("/seen").text)

    monkeypatch.setattr("cxsdk.integrations.flask.front.stray.look", look)
    members.test_client().get("/nowhere")
    assert meanwhile == ["seen"]
    assert [(e.family, e.data.customer.id) for e in cx_events] == [("interaction", "7")]


# Flask-Login's own, on newer Pythons.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_login_by_cookie_or_token_is_served_too(members, cx_events):
    """What Flask-Login finds by other ways than the session, once the host has asked for it."""

    @members.login_manager.request_loader
    def by_token(request):
        token = request.headers.get("authorization", "")
        return User(token.removeprefix("Bearer ")) if token else None

    CX(members)
    client = members.test_client()
    for _ in range(2):
        assert client.get("/mine", headers={"authorization": "Bearer 9"}).text == "9"
    client.post("/in", data={"user": "8", "keep": "1"})
    client.delete_cookie("session")
    assert client.get("/mine").text == "8"
    seen = [e.data.customer.id for e in cx_events if e.family == "interaction"]
    assert seen == ["9", "9", "8"]


def test_a_login_links_the_visitor_to_the_customer(members, cx_events):
    """What the visitor did before, under consent, is found by the identity event; once."""
    CX(members, consent=lambda _: "granted", interactions={"view": "log_*", "methods": "POST"})
    client = members.test_client()
    client.post("/cart")
    client.get("/seen")
    client.get("/seen")
    client.post("/in", data={"user": "7"})
    client.get("/seen")
    first, again, login, entry, after = cx_events
    assert first.data.customer.anonymous_id == again.data.customer.anonymous_id is not None
    assert (login.type.split(".")[2], login.data.assurance) == ("identity", "authenticated")
    assert login.data.customer.id == "7"
    assert login.data.customer.anonymous_id == first.data.customer.anonymous_id
    assert [entry.data.customer.id, after.data.customer.id] == ["7", "7"]


def test_the_next_person_at_the_same_browser_is_somebody_else(members, cx_events):
    """A login and a logout begin another session of ours: ids of visitors are not shared."""
    CX(members, consent=lambda _: "granted")
    client = members.test_client()
    client.post("/cart")
    client.get("/seen")
    client.post("/in", data={"user": "7"})
    client.post("/out")
    client.get("/seen")
    seen, _, after_out, next_one = cx_events
    assert after_out.data.customer.id == "7"
    assert next_one.data.customer.id is None
    assert next_one.data.customer.anonymous_id != seen.data.customer.anonymous_id


def test_a_plain_session_is_heeded_as_the_tutorial_has_it(app, cx_events):
    """``session.clear()`` and ``session["user_id"]``: the visitor before is linked all the same."""
    CX(app, consent=lambda _: "granted")

    @app.post("/in")
    def log_in():
        flask.session.clear()
        flask.session["user_id"] = 7
        return ""

    @app.post("/out")
    def log_out():
        flask.session.clear()
        return ""

    @app.get("/seen")
    def seen():
        flask.session.setdefault("cart", [])
        cx.record("page.seen")
        return ""

    client = app.test_client()
    client.get("/seen")
    client.post("/in")
    client.get("/seen")
    client.post("/out")
    client.get("/seen")
    ids = who(cx_events)
    assert [one for one, _ in ids] == [None, "7", "7", None]
    assert ids[0][1] == ids[1][1] != ids[3][1]


def test_a_resolver_of_the_teams_own_goes_first(members, cx_events):
    """Its pair of id and assurance holds; a login in the session is identified by its word."""
    CX(members, customer=lambda _: (f"c-{flask.session['_user_id']}", "verified"))
    client = members.test_client()
    client.post("/in", data={"user": "7"})
    client.get("/seen")
    assert [e.data.customer.id for e in cx_events] == ["c-7", "c-7"]
    assert cx_events.one("identity").data.assurance == "verified"


def test_after_a_logout_nobody_is_taken_for_what_the_login_calls_them(members, events):
    """Where the team's function has names of its own, the id of the login may be somebody else's."""
    CX(members, customer=lambda _: flask.session.get("_user_id") and "c-7")
    client = members.test_client()
    client.post("/in", data={"user": "7"})
    client.post("/out")
    assert [e.data.customer.id for e in events] == ["c-7"]


def test_what_the_resolver_raises_is_said_once_and_costs_nothing(app, caplog):
    """The request is served; nobody is its customer."""
    CX(app, customer=lambda _: 1 / 0, consent=lambda _: {}["x"], interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x")
    client = app.test_client()
    assert [client.get("/x").text for _ in range(3)] == ["x"] * 3
    assert caplog.text.count("ZeroDivisionError") == 1


def test_a_resolver_that_fails_at_a_login_does_not_fail_the_login(app, events, caplog):
    """The one who logs in is not known to us, and is logged in."""
    CX(app, customer=lambda _: None.id)

    @app.post("/in")
    def log_in():
        flask.session["user_id"] = 7
        return "in"

    assert app.test_client().post("/in").text == "in"
    assert "who a request serves is not known: AttributeError" in caplog.text
    assert list(events) == []


# ---- sessions ----------------------------------------------------------------------------------


def cookies(reply):
    return [line.partition("=")[0] for line in reply.headers.getlist("Set-Cookie")]


def test_nobody_gets_a_cookie_for_our_sake(app, events):
    """No session is begun, and a response that did not vary by cookie does not vary."""
    CX(app, interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x")
    reply = app.test_client().get("/x")
    assert (cookies(reply), reply.headers.get("Vary")) == ([], None)
    assert list(events) == []


def test_a_session_of_the_hosts_gets_an_id_only_when_an_event_needs_it(members, cx_events):
    """Until then its cookie is as the host wrote it."""
    CX(members, consent=lambda _: "granted")
    members.add_url_rule("/quiet", view_func=lambda: "")
    client = members.test_client()
    client.post("/cart")
    assert cookies(client.get("/quiet")) == []
    assert cookies(client.get("/seen")) == ["session"]
    assert cookies(client.get("/seen")) == []
    with client.session_transaction() as session:
        assert set(session) == {"cart", KEY}
    assert len({id_ for _, id_ in who(cx_events)}) == 1


def test_a_session_that_begins_in_this_request_counts(app, events):
    """The first click into the cart is of the visitor whom the next ones are of."""
    CX(app, consent=lambda _: "granted", interactions=ALL)

    @app.get("/cart")
    def cart():
        flask.session["cart"] = 1
        return ""

    client = app.test_client()
    client.get("/cart")
    client.get("/cart")
    first, second = who(events)
    assert first == second != (None, None)


def test_a_session_that_the_host_empties_ends(app, cx_events):
    """What is ours does not keep a cookie alive."""
    CX(app, consent=lambda _: "granted", interactions=ALL)

    @app.get("/flash")
    def flash():
        flask.flash("saved")
        return ""

    app.add_url_rule("/show", view_func=lambda: f"{flask.get_flashed_messages()}")
    client = app.test_client()
    client.get("/flash")
    reply = client.get("/show")
    assert reply.text == "['saved']"
    assert re.match(r"session=;.*Max-Age=0", reply.headers["Set-Cookie"])


def test_a_visitor_without_a_session_who_agreed_gets_a_cookie(app, events):
    """Only then, and it is heeded the next time."""
    CX(app, consent=lambda request: request.args.get("said"), interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x")
    client = app.test_client()
    assert cookies(client.get("/x")) == []
    assert cookies(client.get("/x?said=granted")) == ["cx_visitor"]
    assert cookies(client.get("/x?said=granted")) == []
    first, second = who(events)
    assert first == second != (None, None)


def test_a_page_that_caches_share_names_nobody(app, events):
    """All who got it from there would be one visitor."""
    CX(app, consent=lambda _: "granted", interactions=ALL)
    public = {"Cache-Control": "public, max-age=600"}
    app.add_url_rule("/x", view_func=lambda: flask.Response("x", headers=public))
    assert cookies(app.test_client().get("/x")) == []


def test_a_cookie_of_ours_ends_when_its_visitor_has_become_a_customer(app, user, u1, events):
    """Whoever sits there when they have left is another visitor."""
    CX(app, customer=user, consent=lambda _: "granted", interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x")
    client = app.test_client()
    client.get("/x")
    assert "cx_visitor=;" in client.get("/x", headers=u1).headers["Set-Cookie"]
    client.get("/x")
    first, _, last = [anonymous for _, anonymous in who(events)]
    assert None is not first != last is not None


def test_a_session_kept_by_the_server_adopts_who_agreed_before(app, events, tmp_path):
    """Whoever agreed before stays the visitor, until a login that begins another session."""
    app.config |= {
        "SESSION_TYPE": "cachelib",
        "SESSION_CACHELIB": FileSystemCache(str(tmp_path), threshold=0),
    }
    flask_session.Session(app)
    CX(app, consent=lambda _: "granted", interactions={"route": "/seen"})
    app.add_url_rule("/seen", view_func=lambda: "")

    @app.post("/cart")
    def cart():
        flask.session["cart"] = 1
        return ""

    @app.post("/in")
    def log_in():
        flask.session["user_id"] = 7
        app.session_interface.regenerate(flask.session)
        return ""

    client = app.test_client()
    client.get("/seen")
    client.post("/cart")
    client.get("/seen")
    client.post("/in")
    client.get("/seen")
    (_, first), (_, again), (seven, linked), (last, _) = who(events)
    assert first == again == linked is not None
    assert (seven, last) == ("7", "7")
    with client.session_transaction() as session:
        assert session[KEY]["s"] not in {session.sid, None}


def test_a_session_id_of_the_servers_is_the_key_of_its_visitor(app, cx_events, tmp_path):
    """Nothing of ours is put into a session that has an id."""
    app.config |= {
        "SESSION_TYPE": "cachelib",
        "SESSION_CACHELIB": FileSystemCache(str(tmp_path), threshold=0),
    }
    flask_session.Session(app)
    CX(app, consent=lambda _: "granted", cookie=None)

    @app.get("/seen")
    def seen():
        flask.session["cart"] = 1
        cx.record("page.seen")
        return ""

    client = app.test_client()
    client.get("/seen")
    client.get("/seen")
    first, second = who(cx_events)
    assert first == second != (None, None)
    with client.session_transaction() as session:
        assert set(session) - {"_permanent"} == {"cart"}


def test_a_session_that_cannot_be_read_is_no_session(app, events):
    """Without a secret key there is none; one of another key is empty."""
    app.secret_key = None
    CX(app, interactions=ALL, consent=lambda _: "denied")
    app.add_url_rule("/x", view_func=lambda: "x")
    client = app.test_client()
    client.set_cookie("session", base64.b64encode(b"{}").decode())
    assert client.get("/x").text == "x"
    app.secret_key = "test"
    assert client.get("/x").text == "x"
    assert list(events) == []


def test_a_session_whose_store_is_down_costs_no_request(app, events, caplog):
    """A view that does not need it is served; of whom is not known."""

    class Down(dict, SessionMixin):
        modified = False

        def __bool__(self):
            raise ConnectionError("no such key: s3cret")

        __iter__ = __bool__

    class Store(SessionInterface):
        def open_session(self, app, request):
            return Down()

        def save_session(self, app, session, response):
            pass

    app.session_interface = Store()
    CX(app, interactions=ALL)
    app.add_url_rule("/x", view_func=lambda: "x")
    assert [app.test_client().get("/x").text for _ in range(2)] == ["x", "x"]
    assert caplog.text.count("a session cannot be read") == 1
    assert "s3cret" not in caplog.text
