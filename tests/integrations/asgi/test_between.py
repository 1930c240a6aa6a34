"""
Layers between ours and the handler that run it in a task, and end its response in its place.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import cxsdk as cx
from cxsdk.integrations.starlette import CX
from tests.integrations.asgi.test_starlette import ALL, U1, ask, by_header


class Passing(BaseHTTPMiddleware):
    """As teams write them: it looks at a response and passes it on."""

    async def dispatch(self, request, call_next):
        return await call_next(request)


class Replacing(BaseHTTPMiddleware):
    """It answers in the handler's place, and reads nothing of its body."""

    async def dispatch(self, request, call_next):
        await call_next(request)
        return PlainTextResponse("x", 304)


def between(layer, endpoint):
    app = Starlette(routes=[Route("/x", endpoint)], middleware=[Middleware(layer)])
    CX(app, interactions=ALL, customer=by_header)
    return app


def outcomes(events):
    return [(e.data.outcome, e.data.error.type if e.data.error else "") for e in events]


def test_a_stream_that_fails_below_a_layer_has_failed(cx_events):
    """The layer ends the body as if it were whole, and raises only then."""

    async def chunks():
        yield b"a"
        raise ZeroDivisionError

    async def stream(request):
        return StreamingResponse(chunks())

    reply = ask(between(Passing, stream), "/x", headers=U1)
    assert (reply.status, type(reply.raised)) == (200, ZeroDivisionError)
    assert outcomes(cx_events) == [("failure", "ZeroDivisionError")]


def test_a_client_that_leaves_a_stream_below_a_layer_has_abandoned_it(serve, cx_events, soon):
    """The layer ends the body for nobody."""

    async def endless():
        while True:
            yield b"data: x\n\n"
            await asyncio.sleep(0)

    async def stream(request):
        return StreamingResponse(endless())

    server = serve(between(Passing, stream))
    with httpx.stream("GET", f"{server.url}/x", headers=U1) as response:
        next(response.iter_raw())
    assert soon(lambda: len(cx_events)) == 1
    assert outcomes(cx_events) == [("abandoned", "")]


@pytest.mark.parametrize("layer", [Passing, Replacing])
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_response_below_a_layer_is_whole_where_its_reader_has_all_of_it(
    layer, is_stream, cx_events
):
    """Passed on, or replaced by a layer that reads none of it."""

    async def endpoint(request):
        return StreamingResponse([b"a", b"b"]) if is_stream else PlainTextResponse("x")

    assert ask(between(layer, endpoint), "/x", headers=U1).raised is None
    assert outcomes(cx_events) == [("success", "")]


def test_a_background_task_below_a_layer_is_no_part_of_the_interaction(cx_events):
    """What it says of the current interaction would be said of one that is over."""
    seen = []

    async def later():
        seen.append(bool(cx.current()))
        cx.record("page.printed")

    async def endpoint(request):
        return PlainTextResponse("x", background=BackgroundTask(later))

    ask(between(Passing, endpoint), "/x", headers=U1)
    assert seen == [False]
    assert [event.data.customer.id for event in cx_events] == ["u1", "u1"]
