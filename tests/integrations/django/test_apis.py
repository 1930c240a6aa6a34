"""
Views that a framework on top of Django makes of functions of the host's.
"""

from __future__ import annotations

import pytest
from django.urls import path

import cxsdk as cx
from cxsdk.integrations import as_interaction
from tests.integrations.django.projects import SIGNED, Project

pytest.importorskip("rest_framework")
pytest.importorskip("ninja")

from ninja import NinjaAPI
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

OPEN = permission_classes([AllowAny])


@api_view(["GET", "POST"])
@OPEN
@as_interaction("orders.look")
def below(request):
    cx.current().goal_met = "yes"
    return Response("ok")


@as_interaction("orders.look")
@api_view(["GET"])
@OPEN
def above(request):
    cx.current().goal_met = "yes"
    return Response("ok")


@api_view(["GET"])
@OPEN
@cx.interaction("orders.look")
def decorated(request):
    cx.current().goal_met = "yes"
    return Response("ok")


@api_view(["GET"])
@OPEN
def bare(request):
    cx.current().goal_met = "yes"
    return Response("ok")


class Orders(ViewSet):
    permission_classes = (AllowAny,)

    @as_interaction("orders.look")
    def retrieve(self, request):
        cx.current().goal_met = "yes"
        return Response("ok")

    @action(detail=True, methods=["post"])
    @as_interaction("orders.pay")
    def pay(self, request):
        return Response("ok")


api = NinjaAPI(urls_namespace="cx-tests")


@api.get("/marked")
@as_interaction("orders.look")
def marked(request):
    cx.current().goal_met = "yes"
    return "ok"


@api.post("/marked")
@as_interaction("orders.pay")
def paid(request):
    return "ok"


@api.get("/coroutine")
@as_interaction("orders.look")
async def coroutine(request):
    cx.current().goal_met = "yes"
    return "ok"


@api.get("/decorated")
@cx.interaction("orders.look")
def told(request):
    cx.current().goal_met = "yes"
    return "ok"


@api.get("/plain")
def plain(request):
    cx.current().goal_met = "yes"
    return "ok"


URLS = [
    path("below", below),
    path("above", above),
    path("decorated", decorated),
    path("bare", bare),
    path("set", Orders.as_view({"get": "retrieve"})),
    path("set/pay", Orders.as_view({"post": "pay"})),
    path("api/", api.urls),
]
OWN = ("/below", "/above", "/decorated", "/set", "/api/marked", "/api/coroutine", "/api/decorated")


def asked(kind, address, events, *, method="GET", **said):
    said.setdefault("customer", lambda _: "u-1")
    made = Project(kind, URLS, SESSION_ENGINE=SIGNED, CXSDK=said)
    assert made.ask(address, method=method).text == '"ok"'
    return [(each.data.where.touchpoint, each.data.goal_met) for each in events]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("address", OWN)
def test_a_function_speaks_for_itself(kind, address, cx_events):
    """Marked or decorated, above or below what the framework makes of it; no rule adds another."""
    found = asked(kind, address, cx_events, interactions=[{"route": "*"}])
    assert found == [("orders.look", "yes")]


@pytest.mark.parametrize("address", ["/api/marked", "/set/pay"])
def test_one_address_has_a_function_for_each_method(address, cx_events):
    """The mark is that of the one that is called."""
    assert asked("wsgi", address, cx_events, method="POST") == [("orders.pay", None)]


@pytest.mark.parametrize(("address", "name"), [("/bare", "bare"), ("/api/plain", "plain")])
def test_a_rule_names_the_function(address, name, cx_events):
    """By its dotted path, though what Django calls is another."""
    rule = {"view": f"{__name__}.{name}", "touchpoint": "orders.look"}
    assert asked("wsgi", address, cx_events, interactions=[rule]) == [("orders.look", "yes")]
