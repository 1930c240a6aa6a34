"""
Who is served: whoever is logged in with ``django.contrib.auth``, and who they were before.
"""

from __future__ import annotations

import contextlib

import django
import pytest
from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path

import cxsdk as cx
from cxsdk.integrations import as_interaction, serving
from tests.integrations.django.projects import SIGNED, Project

pytestmark = pytest.mark.usefixtures("host")
DATABASE = "django.contrib.sessions.backends.db"
CACHED = "django.contrib.sessions.backends.cached_db"
ENGINES = (DATABASE, CACHED, SIGNED)


def basket(request):
    """A page that begins a session, as a basket does."""
    with cx.interaction("basket.add"):
        request.session["basket"] = [1]
    return HttpResponse("ok")


def enter(request):
    user = auth.authenticate(request, username="anna", password="secret")
    with cx.interaction("account.login"):
        auth.login(request, user)
    return HttpResponse(str(user.pk))


def leave(request):
    auth.logout(request)
    cx.reaction("cancel")
    return HttpResponse("ok")


def look(request):
    cx.reaction("refer")
    return HttpResponse("ok")


async def alook(request):
    cx.reaction("refer")
    return HttpResponse("ok")


def pay(request):
    return HttpResponse("ok")


URLS = [
    path("basket", basket),
    path("enter", enter),
    path("leave", leave),
    path("look", look),
    path("alook", alook),
    path("pay", pay),
]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.rpartition(".")[2])
def engine(request):
    return request.param


def project(kind, engine=DATABASE, **said):
    said.setdefault("interactions", [{"route": "/pay"}])
    # Visitors are only counted where they agreed.
    said.setdefault("consent", lambda request: "granted")
    said.setdefault("cookie", None)
    return Project(kind, URLS, SESSION_ENGINE=engine, CXSDK=said)


class Browser:
    """Keeps cookies."""

    def __init__(self, made):
        self.made = made
        self.cookies = {}

    def get(self, path):
        text = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.made.ask(path, headers={"cookie": text} if text else {})
        assert (reply.status, reply.raised) == (200, None)
        for each in filter(None, reply.cookie.split("; ")):
            name, _, value = each.partition("=")
            self.cookies[name.strip()] = value
        return reply


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_visitor_becomes_a_customer(kind, engine, cx_events):
    """The login links the visitor of the session before to the user; nobody loads the user."""
    browser = Browser(project(kind, engine))
    browser.get("/basket")
    browser.get("/basket")
    pk = browser.get("/enter").text
    browser.get("/pay")
    browser.get("/look")
    visitor = cx_events.of("interaction")[0].data.customer.anonymous_id
    identified = cx_events.one("identity").data
    assert (identified.customer.id, identified.customer.anonymous_id) == (pk, visitor)
    assert identified.assurance == "authenticated"
    said = [(each.family, each.data.customer.id) for each in cx_events.of("interaction")]
    assert said == [("interaction", None), ("interaction", pk), ("interaction", pk)]
    assert cx_events.one("reaction").data.customer.id == pk


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_after_a_logout_nobody_is_served(kind, engine, cx_events):
    """But in the request of the logout itself it is still the one who was."""
    browser = Browser(project(kind, engine))
    pk = browser.get("/enter").text
    browser.get("/leave")
    assert cx_events.one("reaction").data.customer.id == pk
    browser.get("/look")
    assert len(cx_events.of("reaction")) == 1


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_user_who_was_looked_at_before(kind, cx_events):
    """A layer that asked who it is has the visitor in its cache; the login counts all the same."""

    def view(request):
        assert not request.user.is_authenticated
        return enter(request)

    pk = Project(kind, [path("it", view)], SESSION_ENGINE=DATABASE).ask("/it").text
    assert [each.data.customer.id for each in cx_events] == [pk, pk]
    assert {each.family for each in cx_events} == {"identity", "interaction"}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_our_cookie_ends_with_a_login(kind, cx_events):
    """Who uses the browser after them is another visitor."""
    browser = Browser(project(kind, cookie="cx_visitor"))
    browser.get("/pay")
    named = browser.cookies["cx_visitor"]
    browser.get("/enter")
    assert (len(named), browser.cookies["cx_visitor"].strip('"')) == (22, "")
    browser.get("/leave")
    browser.get("/pay")
    visitor, *_, other = [each.data.customer.anonymous_id for each in cx_events.of("interaction")]
    assert cx_events.one("identity").data.customer.anonymous_id == visitor
    assert None is not other != visitor


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize("path", ["/look", "/alook"])
def test_on_an_event_loop(path, kind, engine, cx_events):
    """A coroutine knows who is served, and nothing is asked of the database on the loop."""
    browser = Browser(project(kind, engine))
    pk = browser.get("/enter").text
    cx_events.clear()
    browser.get(path)
    assert cx_events.one("reaction").data.customer.id == pk


def test_only_the_session_is_asked(cx_events):
    """One query for the session of a customer; none without a session cookie."""
    browser = Browser(project("wsgi"))
    browser.get("/enter")
    with CaptureQueriesContext(connection) as asked:
        browser.get("/pay")
    assert ["django_session" in each["sql"] for each in asked.captured_queries] == [True]
    browser.cookies = {}
    with CaptureQueriesContext(connection) as asked:
        browser.get("/pay")
    assert asked.captured_queries == []


def test_nothing_is_asked_where_nothing_is_said(cx_events):
    """A request that says nothing costs no query."""
    made = project("wsgi", interactions=[])
    browser = Browser(made)
    browser.get("/enter")
    with CaptureQueriesContext(connection) as asked:
        browser.get("/pay")
    assert asked.captured_queries == []


def test_a_response_is_not_varied_by_our_looking(cx_events):
    """``Vary: Cookie`` is for those whose page depends on the session."""
    browser = Browser(project("wsgi"))
    browser.get("/enter")
    assert "Vary" not in dict(browser.get("/pay").headers)
    assert cx_events.of("interaction")[-1].data.customer.id is not None


def test_a_session_that_is_gone(cx_events):
    """Its cookie names a visitor, as any other would."""
    browser = Browser(project("wsgi"))
    browser.cookies["sessionid"] = "a" * 32
    browser.get("/pay")
    customer = cx_events.one("interaction").data.customer
    assert (customer.id, customer.anonymous_id is None) == (None, False)


@pytest.mark.parametrize("cookie", ["x" * 5000, "\x01"])
def test_a_cookie_that_is_none(cookie, cx_events):
    """What is no key of a session names nobody it could not name anyway."""
    browser = Browser(project("wsgi"))
    browser.cookies["sessionid"] = cookie
    browser.get("/pay")
    assert all(each.data.customer.id is None for each in cx_events)


def test_a_resolver_of_the_teams_also_says_who_logs_in(cx_events):
    """Where customers are not called as users are."""
    made = project(
        "wsgi", customer=lambda request: f"c-{request.user.pk}" if request.user.pk else None
    )
    browser = Browser(made)
    browser.get("/basket")
    pk = browser.get("/enter").text
    assert cx_events.one("identity").data.customer.id == f"c-{pk}"


def test_a_user_that_another_layer_found(cx_events):
    """A token names a user without a session; who says so sets ``request.user``."""

    def view(request):
        request.user = auth.get_user_model().objects.get(username="anna")
        cx.reaction("refer")
        return HttpResponse(str(request.user.pk))

    made = Project("wsgi", [path("it", view)], SESSION_ENGINE=DATABASE)
    pk = made.ask("/it").text
    assert cx_events.one("reaction").data.customer.id == pk


def test_a_handler_that_knows_better(cx_events):
    """An agent's page serves the customer it is about."""

    @as_interaction("support.call")
    def view(request):
        assert serving("u-9", assurance="claimed")
        return HttpResponse("ok")

    Project("wsgi", [path("it", view)], SESSION_ENGINE=DATABASE).ask("/it")
    assert cx_events.one("interaction").data.customer.id == "u-9"


def test_a_login_that_is_rolled_back(cx_events):
    """Nobody has logged in; identity waits for the commit."""

    def view(request):
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            enter(request)
            raise ZeroDivisionError
        return HttpResponse("ok")

    Project("wsgi", [path("it", view)], SESSION_ENGINE=DATABASE).ask("/it")
    assert cx_events.of("identity") == []


def test_the_staff_is_no_customer(cx_events):
    """Who logs in to the admin is not identified."""
    from django.contrib import admin

    made = Project("wsgi", [path("admin/", admin.site.urls)], SESSION_ENGINE=DATABASE)
    made.layers.append("django.contrib.messages.middleware.MessageMiddleware")
    token = "x" * 32
    reply = made.ask(
        "/admin/login/?next=/admin/",
        method="POST",
        headers={"cookie": f"csrftoken={token}"},
        body=f"username=root&password=secret&csrfmiddlewaretoken={token}".encode(),
    )
    assert (reply.status, list(cx_events)) == (302, [])


def test_a_broken_session_store_breaks_nothing(kind_of_view, cx_events):
    """Who is served is not known; the request is served."""
    path_, kind = kind_of_view
    made = project(kind, "tests.integrations.django.test_login")
    browser = Browser(made)
    browser.cookies["sessionid"] = "a" * 32
    assert browser.get(path_).text == "ok"
    assert all(each.data.customer.id is None for each in cx_events)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_broken_session_store_is_not_asked_to_keep(kind, cx_events):
    """Where there are prompts, the session is to keep what was done last; here it cannot."""
    asking = cx.PromptOptions(store="memory:", keys=(b"only a key of the tests",))
    cx.init("shop", collector="null:", prompts=asking, strict=False)
    made = project(kind, "tests.integrations.django.test_login", customer=lambda request: "u-1")
    reply = made.ask("/pay", method="POST", headers={"cookie": f"sessionid={'a' * 32}"})
    assert (reply.status, reply.text) == (200, "ok")
    assert cx_events.one("interaction").data.customer.id == "u-1"


@pytest.fixture(params=[("/pay", "wsgi"), ("/pay", "asgi"), ("/alook", "asgi")])
def kind_of_view(request):
    return request.param


class SessionStore(SessionBase):
    """A store that cannot be reached."""

    def load(self):
        raise ConnectionError("the host's own")


def test_without_sessions_and_logins(cx_events):
    """A project that has neither has no customers of its own accord."""
    made = Project("wsgi", [path("it", look)], layers=["cxsdk.integrations.django.CX"])
    assert made.ask("/it").text == "ok"
    assert list(cx_events) == []


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_resolver_that_fails_at_a_login_does_not_fail_the_login(kind, cx_events, caplog):
    """The one who logs in is not known to us, and is logged in."""
    browser = Browser(project(kind, customer=lambda request: request.no_such_thing))
    assert browser.get("/enter").text.isdigit()
    assert "who a request serves is not known: AttributeError" in caplog.text
    assert cx_events.of("identity") == []


def switch(request):
    """One customer's session becomes another's, without a logout between."""
    if "said" in request.GET:
        cx.reaction("refer")
    if "leaves" in request.GET:
        auth.logout(request)
    user = auth.get_user_model().objects.get(username="root")
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    cx.reaction("renew")
    return HttpResponse(str(user.pk))


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("how", ["", "?said", "?leaves"])
def test_a_session_that_was_a_customers_is_no_visitor_of_anothers(kind, how, engine, cx_events):
    """Staff that acts as a customer, or the next one at the same desk: two are never made one."""
    browser = Browser(project(kind, engine))
    browser.made.urls.urlpatterns.append(path("switch", switch))
    browser.get("/basket")
    browser.get("/basket")
    browser.get("/enter")
    other = browser.get(f"/switch{how}").text
    first, second = [each.data.customer for each in cx_events.of("identity")]
    assert (first.anonymous_id is None, second.anonymous_id) == (False, None)
    assert (second.id, first.id == other) == (other, False)
    renewed = cx_events.of("reaction")[-1].data
    assert (renewed.customer.id, renewed.session_id) == (other, None)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_who_is_locked_out_is_nobody_once_django_has_looked(kind, cx_events):
    """The session still has their id; Django has found that it is of no use."""

    def ask(request):
        assert not request.user.is_authenticated
        return look(request)

    async def aask(request):
        assert not (await request.auser()).is_authenticated
        return await alook(request)

    browser = Browser(project(kind))
    browser.made.urls.urlpatterns += [path("ask", ask), path("aask", aask)]
    browser.get("/enter")
    auth.get_user_model().objects.filter(username="anna").update(is_active=False)
    cx_events.clear()
    browser.get("/ask")
    if django.VERSION >= (5, 0):
        browser.get("/aask")
    assert {each.data.customer.id for each in cx_events} == {None}


def test_a_page_that_names_a_visitor_is_not_cached(cx_events):
    """Django's own cache would make all who get it that visitor."""
    cache.clear()
    made = project("wsgi", cookie="cx_visitor")
    layers = "UpdateCacheMiddleware", "FetchFromCacheMiddleware"
    first, last = (f"django.middleware.cache.{each}" for each in layers)
    made.layers = [first, *made.layers, last]
    one, two = made.ask("/pay"), made.ask("/pay")
    assert None is not one.cookie != two.cookie
    assert "private" in dict(one.headers)["Cache-Control"]
    visitors = {each.data.customer.anonymous_id for each in cx_events.of("interaction")}
    assert len(visitors) == 2
    # Who needs no name any more may have it from there.
    for _ in range(2):
        again = made.ask("/pay", headers={"cookie": two.cookie.strip()})
        assert (again.status, again.cookie) == (200, "")
    assert len(cx_events.of("interaction")) == 3
    cache.clear()


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_page_that_only_reads_writes_no_login_back(kind, engine, cx_events):
    """Its response may come after that of a logout in another tab, and undo it."""
    browser = Browser(project(kind, engine))
    browser.get("/enter")
    for address in ("/look", "/alook", "/pay"):
        reply = browser.get(address)
        assert (reply.cookie, "Vary" in dict(reply.headers)) == ("", False)
    assert {each.data.customer.id is None for each in cx_events} == {False}
