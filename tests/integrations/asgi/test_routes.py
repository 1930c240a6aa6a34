"""
Which route a path leads to is what the framework itself finds.
"""

from __future__ import annotations

import asyncio

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute

from cxsdk.integrations.routes import Table, leaf_of, leaves
from cxsdk.testing.conformance._driving import Ask, acall


def everything(method, leaf):
    return True


def table_of(app):
    return Table(list(leaves(app.routes, [], lambda route: route.endpoint)), everything)


def handler(name):
    async def named(request):
        return PlainTextResponse(name)

    named.__name__ = name
    return named


def deep():
    inner = [
        Route("/", handler("inner_root")),
        Route("/{name}", handler("inner_name")),
        Mount("/deeper", routes=[Route("/x", handler("deeper_x"))]),
    ]
    return Starlette(
        routes=[
            Route("/", handler("root")),
            Route("/a", handler("a_get")),
            Route("/a", handler("a_post"), methods=["POST"]),
            Route("/a/{n:int}", handler("a_int")),
            Route("/a/{n:float}/f", handler("a_float")),
            Route("/a/{name}", handler("a_name")),
            Route("/b.c", handler("b_c")),
            Mount("/m", routes=inner),
            Mount("/app/{tenant}", app=Starlette(routes=inner)),
            Route("/{rest:path}", handler("rest"), methods=["GET"]),
        ]
    )


PARTS = st.sampled_from(["a", "b.c", "bxc", "m", "app", "7", "1.5", "f", "deeper", "x", ""])


@given(st.lists(PARTS, max_size=4), st.sampled_from(["GET", "POST", "DELETE"]))
def test_it_finds_what_starlette_finds(parts, method):
    """Order, converters, mounts and methods count as they do for Starlette."""
    app = deep()
    path = "/" + "/".join(parts).lstrip("/")
    found = table_of(app).find(method, path)
    reply = asyncio.run(acall(app, Ask(path, method)))
    expected = reply.text if reply.status == 200 else None
    assert (None if found is None or found.view is None else found.view.__name__) == expected


def test_templates_of_mounts_are_put_together():
    """The touchpoint of a route in a mounted application begins where it is mounted."""
    table = table_of(deep())
    assert table.find("GET", "/app/acme/deeper/x").template == "/app/{tenant}/deeper/x"
    assert table.find("GET", "/a/7").template == "/a/{n}"


def test_routers_that_are_included_are_looked_into():
    """Prefixes of FastAPI's routers are part of the template, however deep."""
    inner, outer, app = APIRouter(prefix="/in"), APIRouter(prefix="/out"), FastAPI()
    inner.get("/{n}")(handler("inner"))
    outer.post("/x")(handler("outer"))
    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    table = table_of(app)
    assert table.find("GET", "/v1/out/in/4").template == "/v1/out/in/{n}"
    assert table.find("POST", "/v1/out/x").template == "/v1/out/x"
    assert table.find("GET", "/v1/out/x") is None


def test_a_host_has_its_own_routes():
    """What the application of a host does not know, no other one is asked for."""
    app = Router(
        [
            Route("/x", handler("before")),
            Host("{sub}.shop.test", Router([Route("/y", handler("sub"))])),
            Route("/z", handler("after")),
        ]
    )
    table = table_of(app)
    found = [
        table.find("GET", path, host)
        for host in ("a.shop.test", "other.test")
        for path in ("/x", "/y", "/z")
    ]
    assert [None if each is None else each.view.__name__ for each in found] == [
        "before",
        "sub",
        None,
        "before",
        None,
        "after",
    ]


def test_websockets_are_told_apart():
    """A route of a websocket is none for requests on the same path."""

    async def talk(websocket):
        """Do nothing."""

    table = table_of(Starlette(routes=[WebSocketRoute("/w", talk), Route("/w", handler("page"))]))
    assert table.find("WEBSOCKET", "/w").view is talk
    assert table.find("GET", "/w").view.__name__ == "page"


def test_a_route_of_a_kind_that_nobody_knows_is_passed_over():
    """A class of the host's own has no pattern that could be read."""

    class Own(BaseRoute):
        def matches(self, scope):
            return Match.NONE, {}

    table = table_of(Starlette(routes=[Own(), Route("/a", handler("a"))]))
    assert table.find("GET", "/a").view.__name__ == "a"


def test_where_nothing_is_wanted_nothing_is_looked_for():
    """No regular expression is made, and routes behind the last one of interest are left out."""
    app = deep()
    nodes = list(leaves(app.routes, [], lambda route: route.endpoint))
    assert Table(nodes, lambda *_: False)._steps == {}
    none = Table(nodes, lambda *_: False)
    assert none.find("GET", "/a") is None
    assert none._steps == {"GET": []}
    some = Table(nodes, lambda _, leaf: leaf.template == "/a")
    assert some.find("GET", "/a").template == "/a"
    assert some.find("GET", "/b.c") is None


def test_a_method_that_a_client_made_up_costs_nothing():
    """No table is kept for it."""
    table = table_of(deep())
    assert table.find("BREW", "/a") is None
    assert table._steps == {}


@pytest.mark.parametrize(
    ("template", "path", "fits"),
    [
        ("/orders/{id}", "/orders/7", True),
        ("/orders/{id}", "/orders/7/pay", False),
        ("/orders/{id:int}", "/orders/x", False),
        ("/orders/<int:id>/pay", "/orders/7/pay", True),
        ("/files/{name:path}", "/files/a/b.txt", True),
        ("/a/*", "/a/b/c", True),
        ("/a.b", "/axb", False),
        ("/a", "/a\n", False),
    ],
)
def test_templates_without_a_framework(template, path, fits):
    """The forms that frameworks write are read; a dot is a dot."""
    found = Table([leaf_of(template)], everything).find("GET", path)
    assert (found is not None) is fits


def test_a_template_may_name_its_method():
    """``POST /orders`` is another route than ``GET /orders``."""
    table = Table([leaf_of("POST /orders"), leaf_of("GET /orders", handler("read"))], everything)
    assert table.find("POST", "/orders").view is None
    assert table.find("GET", "/orders").view.__name__ == "read"
    assert table.find("PUT", "/orders") is None
