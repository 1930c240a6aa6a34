"""
The layer itself: what it reads of a scope, what it refuses, and what it leaves alone.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

import cxsdk as cx
from cxsdk.errors import ConfigurationError
from cxsdk.integrations import serving
from cxsdk.integrations.asgi import CX, raised
from cxsdk.testing.conformance._driving import Ask, acall
from tests.integrations.asgi.test_exchange import drive, whole
from tests.integrations.asgi.test_life import DONE, live


class User:
    """As Litestar and others keep it: an object of the host's own."""

    def __init__(self, **facts):
        self.__dict__.update(facts)


class Nameless:
    """As Starlette's base class: its identity is still to be written."""

    is_authenticated = True
    username = "u4"

    @property
    def identity(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("u1", "u1"),
        (17, "17"),
        (User(id="u2"), "u2"),
        (User(identity="u3", id="not this"), "u3"),
        (Nameless(), "u4"),
        (User(is_authenticated=False, id="nobody"), None),
        (User(is_authenticated=lambda: False, id="nobody"), None),
        (User(), None),
        (None, None),
    ],
)
def test_the_user_of_a_scope_is_the_customer(user, expected, cx_events):
    """By identity, id or username; who is not surely authenticated is nobody."""
    seen = []

    async def app(scope, receive, send):
        scope["user"] = user
        seen.append(cx.record("page.seen") if expected else None)
        await whole(scope, receive, send)

    drive(CX(app))
    assert [event.data.customer.id for event in cx_events] == ([expected] if expected else [])
    assert len(seen) == 1


def test_a_client_and_arguments_of_init_are_refused():
    """There would be two clients to choose from."""
    with pytest.raises(ConfigurationError, match="client: expected none, or no service"):
        CX(whole, client=object(), service="shop")


@pytest.mark.parametrize("app", [None, "main:app"])
def test_what_is_no_application_is_refused(app):
    """Where it is said, not at the first request."""
    with pytest.raises(ConfigurationError, match="ASGI application"):
        CX(app)


@pytest.mark.parametrize("client", [5, "shop", cx])
def test_what_is_no_client_is_refused(client):
    """Or each request would fail."""
    with pytest.raises(ConfigurationError, match=r"client: expected a cxsdk\.Client"):
        CX(whole, client=client)


@pytest.mark.parametrize("routes", [5, None, [5], ["orders"], "orders", ["GET orders"]])
def test_what_is_no_route_is_refused(routes):
    """It would fit no path, and nothing would ever be recorded."""
    with pytest.raises(ConfigurationError, match=r"routes: expected templates such as"):
        CX(whole, routes=routes)


def test_one_route_needs_no_list(cx_events):
    """A text is one template."""
    drive(CX(whole, routes="/x", interactions=[{"route": "*"}], customer=lambda _: "u1"))
    assert cx_events.one("interaction").data.where.touchpoint == "x"


def test_settings_make_the_client():
    """Those of ``cx.init`` stand beside those of the integration."""
    CX(whole, service="shop", collector="null:")
    assert cx.client().settings.service == "shop"


def test_rules_without_a_star_are_routes_of_their_own(cx_events):
    """A template is enough; one with a star needs a touchpoint, for nothing else bounds it."""
    rules = [
        {"route": "/orders/{id}/secret", "skip": True},
        {"route": "/orders/{id}/{part}"},
        {"route": "/files/*", "touchpoint": "file.read"},
        {"route": "/*"},
    ]
    app = CX(whole, interactions=rules, customer=lambda _: "u1")
    for path in ("/orders/1/pay", "/orders/1/secret", "/files/a/b", "/other"):
        drive(app, path=path)
    assert cx_events.touchpoints() == ["orders.id.part", "file.read"]


def test_without_a_mount_nothing_is_answered_by_us():
    """``mount=None``: the endpoint of prompts is the host's business."""
    from tests.integrations.asgi.test_starlette import easy

    client = cx.init("shop", collector="null:", prompts=easy())
    found = [
        asyncio.run(acall(CX(whole, mount=mount), Ask("/cx/o/none"))).status
        for mount in (None, "/cx")
    ]
    assert found == [200, 410]
    client.close(0)


def test_uninstalled_it_leaves_all_alone():
    """Requests, the endpoint and the lifespan."""
    cx.init("shop", collector="null:")
    app = CX(whole)
    app.uninstall()
    seen = []

    async def inner(scope, receive, send):
        seen.append((scope["type"], serving("u1")))

    app.app = inner
    drive(app)
    drive(app, kind="lifespan")
    assert seen == [("http", False), ("lifespan", False)]
    cx.close(0)


def test_what_is_raised_outside_of_a_request_is_nothing_to_us():
    """A hook of the host may be called anywhere."""
    raised(ValueError())


@pytest.mark.parametrize("state", ["no client", "broken"])
def test_an_end_that_cannot_deliver_is_an_end(state, monkeypatch, caplog):
    """The shutdown is answered, and what went wrong is said."""
    if state == "broken":
        cx.init("shop", collector="null:")
        monkeypatch.setattr(cx.client(), "_ready_to_flush", None)
    with caplog.at_level(logging.ERROR, "cxsdk"):
        assert live(CX(whole_life)) == DONE
    said = [record for record in caplog.records if "could not be delivered" in record.getMessage()]
    assert len(said) == (state == "broken")
    monkeypatch.undo()
    cx.close(0)


async def whole_life(scope, receive, send):
    """A lifespan in the plainest form."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
