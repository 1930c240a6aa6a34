"""
Which Django views are interactions, and how their responses end.
"""

from __future__ import annotations

import sys

import django
import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.signals import got_request_exception
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    StreamingHttpResponse,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.template.response import TemplateResponse
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views import View

import cxsdk as cx
from cxsdk.integrations import as_interaction
from cxsdk.testing.conformance._driving import Ask, call
from tests.integrations.django.projects import CX, LOGINS, SESSIONS, SIGNED, Project

KINDS = ("wsgi", "asgi")


def ok(request, **_):
    return HttpResponse("ok")


def user(request):
    return request.headers.get("x-user")


def project(kind, urls, **said):
    settings = {"customer": user, **said}
    return Project(kind, urls, SESSION_ENGINE=SIGNED, CXSDK=settings)


def ask(made, path="/it", **how):
    return made.ask(path, **{"headers": {"x-user": "u-1"}, **how})


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


# ---- which ------------------------------------------------------------------------------------


class Orders(View):
    @as_interaction("orders.look", stage="evaluate")
    def get(self, request):
        return HttpResponse("get")

    @cx.interaction("orders.add")
    def post(self, request):
        return HttpResponse("post")

    def delete(self, request):
        return HttpResponse("delete")


@as_interaction("basket.see")
class Basket(View):
    def get(self, request):
        return HttpResponse("get")


@method_decorator(as_interaction("wishes.see"), name="dispatch")
class Wishes(View):
    def get(self, request):
        return HttpResponse("get")


@method_decorator(cx.interaction("gifts.see"), name="get")
class Gifts(View):
    def get(self, request):
        return HttpResponse("get")


class Later(View):
    @as_interaction("later.see")
    async def get(self, request):
        cx.current().goal_met = "yes"
        return HttpResponse("get")


def test_methods_of_a_class_speak_for_themselves(kind, cx_events):
    """Marked and decorated ones; of the others a rule decides."""
    made = project(kind, [path("it", Orders.as_view())], interactions=[{"methods": ["DELETE"]}])
    replies = [ask(made, method=method).text for method in ("GET", "POST", "DELETE")]
    assert replies == ["get", "post", "delete"]
    assert cx_events.touchpoints() == ["orders.look", "orders.add", "it.delete"]


@pytest.mark.parametrize(
    ("cls", "touchpoint"), [(Basket, "basket.see"), (Wishes, "wishes.see"), (Gifts, "gifts.see")]
)
def test_a_mark_on_a_class(kind, cls, touchpoint, cx_events):
    """On the class itself, and by ``method_decorator``."""
    assert ask(project(kind, [path("it", cls.as_view())])).text == "get"
    assert cx_events.touchpoints() == [touchpoint]


def test_a_coroutine_of_a_class(cx_events):
    """Its interaction is the current one."""
    ask(project("asgi", [path("it", Later.as_view())]))
    assert cx_events.one("interaction").data.goal_met == "yes"


def test_a_mark_below_a_decorator_of_the_hosts(kind, cx_events):
    """Decorators that keep what they wrap keep the mark."""
    from django.views.decorators.cache import never_cache

    @never_cache
    @as_interaction("it.own")
    def view(request):
        return HttpResponse("ok")

    made = project(kind, [path("it", view)])
    assert dict(ask(made).headers)["Cache-Control"].startswith("max-age=0")
    assert cx_events.touchpoints() == ["it.own"]


@pytest.mark.parametrize(
    "rule",
    [
        {"route": "/shop/orders/<int:pk>/"},
        {"route": "/shop/*"},
        {"view": "shop:order"},
        {"view": "order"},
        {"view": "*.test_requests.ok"},
    ],
)
def test_a_rule_names_the_route_or_the_view(kind, rule, cx_events):
    """By its name, that with the namespace, or the dotted path of the function."""
    inner = ([path("orders/<int:pk>/", ok, name="order")], "shop")
    made = project(kind, [path("shop/", include(inner))], interactions=[rule])
    ask(made, "/shop/orders/7/")
    ask(made, "/shop/orders/8/")
    assert cx_events.touchpoints() == ["shop.orders.pk", "shop.orders.pk"]


def test_a_route_that_is_a_pattern(cx_events):
    """Its named groups stand in the touchpoint."""
    made = project(
        "wsgi",
        [re_path(r"^orders/(?P<pk>[0-9]+)/pay/$", ok)],
        interactions=[{"route": "/^orders/*"}],
    )
    ask(made, "/orders/7/pay/", method="POST")
    assert cx_events.touchpoints() == ["orders.pk.pay.post"]


def test_a_language_in_front_is_no_part_of_the_route(cx_events):
    """A page in two languages is one touchpoint."""
    made = project("wsgi", i18n_patterns(path("orders/", ok)), interactions=[{"route": "/orders/"}])
    made.settings["ROOT_URLCONF"] = made.urls
    made.layers.insert(0, "django.middleware.locale.LocaleMiddleware")
    assert [ask(made, f"/{tag}/orders/").text for tag in ("en", "de")] == ["ok", "ok"]
    assert cx_events.touchpoints() == ["orders", "orders"]


def test_the_admin_is_left_alone(cx_events, host):
    """Also where a rule fits all of it; the staff is no customer."""
    made = project("wsgi", [path("admin/", admin.site.urls)], interactions=[{"route": "*"}])
    assert ask(made, "/admin/login/").status == 200
    assert list(cx_events) == []


def test_a_viewset(cx_events):
    """Actions under other names than their methods, as Django REST framework has them."""

    class Orders:
        @as_interaction("orders.list")
        def list(self, request):
            return HttpResponse("list")

    def view(request):
        return getattr(Orders(), view.actions[request.method.lower()])(request)

    view.cls, view.actions = Orders, {"get": "list"}
    assert ask(project("wsgi", [path("it", view)])).text == "list"
    assert cx_events.touchpoints() == ["orders.list"]


def test_files_of_the_settings_are_nothing_to_us(cx_events):
    """``STATIC_URL`` and ``MEDIA_URL``."""
    made = project("wsgi", [path("media/x.png", ok)], interactions=[{"route": "*"}])
    made.settings["MEDIA_URL"] = "/media/"
    assert ask(made, "/media/x.png").text == "ok"
    assert list(cx_events) == []


# ---- how they end -----------------------------------------------------------------------------


class Refused(Exception):
    """Of the host's."""


@pytest.mark.parametrize(
    ("error", "status", "outcome", "reason"),
    [
        (Http404("no"), 404, "unknown", None),
        (BadRequest("no"), 400, "unknown", None),
        (MultiPartParserError("no"), 400, "unknown", None),
        (PermissionDenied("no"), 403, "unknown", None),
        (ValueError("no"), 500, "failure", None),
        (Refused("no"), 500, "failure", "card_declined"),
    ],
)
def test_what_a_view_raises(kind, error, status, outcome, reason, cx_events):
    """By its status where it is control flow; the object stays the same for whoever hears of it."""
    seen = []

    def view(request):
        raise error

    def hear(**_):
        seen.append(sys.exc_info()[1])

    rule = {"route": "*", "fails": {Refused: "card_declined"}}
    made = project(kind, [path("it", view)], interactions=[rule])
    got_request_exception.connect(hear)
    assert ask(made).status == status
    assert seen == ([error] if status == 500 else [])
    data = cx_events.one("interaction").data
    assert (data.outcome, data.reason) == (outcome, reason)


def test_a_template_that_fails(cx_events):
    """It is rendered after the view has returned."""
    view = as_interaction("it.see")(lambda request: TemplateResponse(request, "there is none.html"))
    assert ask(project("wsgi", [path("it", view)])).status == 500
    assert cx_events.one("interaction").data.error.type == (
        "django.template.exceptions.TemplateDoesNotExist"
    )


def test_a_failure_below_us(cx_events):
    """A layer between us and the view: Django has made a response of it."""
    made = project("wsgi", [path("it", ok)], interactions=[{"route": "*"}])
    made.layers.append("tests.integrations.django.test_requests.breaks")
    assert ask(made).status == 500
    assert cx_events.one("interaction").data.outcome == "failure"


def breaks(get_response):
    def layer(request):
        get_response(request)
        raise LookupError

    return layer


def sync_only(get_response):
    """A layer that Django calls in a thread under ASGI."""
    return lambda request: get_response(request)  # noqa: PLW0108 - a function, and no coroutine


def test_layers_of_both_kinds(cx_events):
    """Scope and interaction pass from the loop into threads and back."""

    def view(request):
        cx.current().goal_met = "yes"
        return HttpResponse("ok")

    made = project("asgi", [path("it", view)], interactions=[{"route": "*"}])
    made.layers.append("tests.integrations.django.test_requests.sync_only")
    assert ask(made).text == "ok"
    data = cx_events.one("interaction").data
    assert (data.goal_met, data.customer.id) == ("yes", "u-1")


# ---- bodies -------------------------------------------------------------------------------------


def test_a_file_is_sent_by_the_server(tmp_path, cx_events):
    """``wsgi.file_wrapper`` gets the very file; the interaction ends when it is closed."""
    sent = tmp_path / "invoice.pdf"
    sent.write_bytes(b"x" * 10_000)
    made = project(
        "wsgi", [path("it", lambda request: FileResponse(sent.open("rb")))], interactions=[{}]
    )
    files = []

    class Wrapper:
        def __init__(self, file, size):
            files.append(file)
            self.file, self.close = file, file.close

        def __iter__(self):
            assert len(cx_events) == 0
            yield self.file.read()

    def server(environ, start_response):
        return made.entry({**environ, "wsgi.file_wrapper": Wrapper}, start_response)

    reply = call(server, Ask("/it", headers={"x-user": "u-1"}))
    assert (dict(reply.headers)["Content-Length"], len(reply.text)) == ("10000", 10_000)
    assert files[0].name == str(sent)
    assert cx_events.one("interaction").data.outcome == "success"


def test_a_file_without_a_wrapper(tmp_path, kind, cx_events):
    """Read block by block, also under ASGI, where Django warns of it."""
    import warnings

    sent = tmp_path / "invoice.pdf"
    sent.write_bytes(b"x" * 10_000)
    made = project(
        kind, [path("it", lambda request: FileResponse(sent.open("rb")))], interactions=[{}]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(ask(made).text) == 10_000
    assert cx_events.one("interaction").data.outcome == "success"


def test_a_stream_that_fails(cx_events):
    """Its error reaches the server, and the interaction."""

    def broken():
        yield b"a"
        raise Refused

    made = project(
        "wsgi", [path("it", lambda request: StreamingHttpResponse(broken()))], interactions=[{}]
    )
    reply = ask(made)
    assert isinstance(reply.raised, Refused)
    assert cx_events.one("interaction").data.outcome == "failure"


def test_a_stream_has_its_scope_without_an_interaction(kind, cx_events):
    """What is said while it runs is of the request's customer."""

    def chunks():
        cx.reaction("refer")
        yield b"a"

    async def achunks():
        cx.reaction("refer")
        yield b"a"

    view = {
        "wsgi": lambda request: StreamingHttpResponse(chunks()),
        "asgi": lambda request: StreamingHttpResponse(achunks()),
    }[kind]
    assert ask(project(kind, [path("it", view)])).text == "a"
    assert cx_events.one("reaction").data.customer.id == "u-1"


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django 4.2 does not listen for it")
def test_a_client_that_leaves_while_the_view_runs(cx_events):
    """Django cancels the view."""
    import asyncio

    begun = asyncio.Event()

    async def view(request):
        begun.set()
        await asyncio.sleep(60)

    made = project("asgi", [path("it", view)], interactions=[{}])

    async def main():
        entry, messages = made.entry, [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            raise AssertionError(message)

        from cxsdk.testing.conformance._driving import _scope

        await entry(_scope(Ask("/it", headers={"x-user": "u-1"})), receive, send)

    asyncio.run(main())
    assert cx_events.one("interaction").data.outcome == "abandoned"


def test_our_own_cookie_needs_consent(kind, cx_events):
    """A visitor without a session who has agreed is named by it, and known again."""

    def agreed(request):
        return request.headers.get("x-agreed")

    made = project(kind, [path("it", ok)], interactions=[{}], consent=agreed)
    assert ask(made, headers={}).cookie == ""
    first = ask(made, headers={"x-agreed": "granted"})
    assert first.cookie.strip().startswith("cx_visitor=")
    ask(made, headers={"x-agreed": "granted", "cookie": first.cookie})
    one, two = cx_events.of("interaction")
    assert one.data.customer.anonymous_id == two.data.customer.anonymous_id != None  # noqa: E711
    assert [SESSIONS, LOGINS, CX] == made.layers


def test_our_own_cookie_is_of_one_visitor(kind, cx_events):
    """It is not set where a cache may share the page, and ends when they become a customer."""

    def shared(request):
        return HttpResponse("x", headers={"Cache-Control": "public, max-age=60"})

    urls = [path("it", ok), path("shared", shared)]
    made = project(kind, urls, interactions=[{}], consent=lambda _: "granted")
    named = ask(made, headers={}).cookie
    assert ask(made, "/shared", headers={}).cookie == ""
    assert ask(made, headers={"cookie": named}).cookie == ""
    ended = ask(made, headers={"cookie": named, "x-user": "u-1"})
    assert [value.strip() for name, value in ended.headers if name == "Set-Cookie"] == [
        "cx_visitor=; HttpOnly; Max-Age=0; Path=/; SameSite=Lax"
    ]


def test_a_client_that_leaves_while_it_sends(cx_events):
    """Under WSGI reading on fails; what Django makes of that is nobody's failure."""

    def view(request):
        raise UnreadablePostError("the server says that the client is gone")

    assert ask(project("wsgi", [path("it", view)], interactions=[{}])).status == 500
    assert cx_events.one("interaction").data.outcome == "abandoned"
