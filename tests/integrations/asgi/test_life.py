"""
The lifespan: passed on, answered where nobody else does, drained at its end.
"""

from __future__ import annotations

import asyncio

import pytest

import cxsdk as cx
from cxsdk.integrations.asgi import CX
from cxsdk.testing.faults import FaultCollector


def live(app):
    """Run the life of *app*; return what it answered."""
    sent = []
    waiting = ["lifespan.startup", "lifespan.shutdown"]

    async def receive():
        return {"type": waiting.pop(0)}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))
    return sent


DONE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def refuses(scope, receive, send):
    assert scope["type"] == "http"


async def ignores(scope, receive, send):
    """Return at once."""


@pytest.mark.parametrize("app", [refuses, ignores])
def test_an_application_without_a_lifespan_gets_one(app):
    """It drains all the same, and a server that insists on a lifespan is content."""
    assert live(CX(app)) == DONE


def test_the_lifespan_is_passed_on():
    """The application's own start and end run, and its state is its own."""
    from contextlib import asynccontextmanager

    from starlette.applications import Starlette

    seen = []

    @asynccontextmanager
    async def lifespan(app):
        seen.append("begun")
        yield {"db": 1}
        seen.append("ended")

    assert live(CX(Starlette(lifespan=lifespan))) == DONE
    assert seen == ["begun", "ended"]


def test_a_start_that_fails_is_the_applications_own_failure():
    """The exception passes through, and nobody answers in its place."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ConnectionError

    with pytest.raises(ConnectionError):
        live(CX(app))


def test_a_start_that_raises_is_left_to_the_server():
    """An application that took the message knows the lifespan: it is not said to have started."""
    error = ConnectionError("no database")

    async def app(scope, receive, send):
        await receive()
        raise error

    with pytest.raises(ConnectionError) as raised:
        live(CX(app))
    assert raised.value is error


@pytest.mark.parametrize("lifespan", [None, cx.lifespan])
def test_what_waits_is_delivered_before_the_end(lifespan):
    """Within the client's drain_seconds; harmless beside ``lifespan=cx.lifespan``."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    from cxsdk.integrations import starlette

    with FaultCollector() as collector:
        app = Starlette(routes=[Route("/x", lambda request: None)], lifespan=lifespan)
        delivery = cx.DeliveryOptions(linger=60.0)
        starlette.CX(app, service="shop", collector=collector.url, delivery=delivery)
        with cx.scope(customer="u1"):
            cx.record("order.placed")
        assert live(app) == DONE
        assert len(collector.ids) == 1
        cx.close(0)
