"""
Real servers and real clients: streams, clients that leave, conversations, the end.
"""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

import cxsdk as cx
from cxsdk.integrations import asgi
from cxsdk.integrations.starlette import CX
from cxsdk.testing.faults import FaultCollector
from tests.lifecycle.life import free_port

U1 = {"x-user": "u1"}
ALL = [{"route": "*"}]
GUARD_S = 30.0


def by_header(request):
    return request.headers.get("x-user")


def installed(*routes, **settings):
    app = Starlette(routes=list(routes))
    CX(app, interactions=ALL, customer=by_header, **settings)
    return app


def test_a_stream_reaches_its_reader_as_it_is_produced(serve, cx_events, soon):
    """The second chunk is not made before the first one is read; the event comes with the last."""
    gate, seen = threading.Event(), []

    def chunks():
        yield b"first"
        assert gate.wait(GUARD_S)
        seen.append(cx.current().interaction_id)
        yield b"second"

    server = serve(installed(Route("/x", lambda request: StreamingResponse(chunks()))))
    with httpx.stream("GET", f"{server.url}/x", headers=U1) as response:
        parts = response.iter_raw()
        assert next(parts) == b"first"
        assert list(cx_events) == []
        gate.set()
        assert b"".join(parts) == b"second"
    assert soon(lambda: len(cx_events)) == 1
    assert cx_events[0].data.interaction_id == seen[0]
    assert cx_events[0].data.outcome == "success"


def test_a_client_that_leaves_a_stream_has_abandoned_it(serve, cx_events, soon):
    """Server-sent events without an end: the generator is ended, the interaction abandoned."""
    ended = threading.Event()

    async def endless():
        try:
            while True:
                yield b"data: x\n\n"
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def events(request):
        return StreamingResponse(endless(), media_type="text/event-stream")

    server = serve(installed(Route("/x", events)))
    with httpx.stream("GET", f"{server.url}/x", headers=U1) as response:
        next(response.iter_raw())
    assert ended.wait(GUARD_S)
    assert soon(lambda: len(cx_events)) == 1
    assert cx_events[0].data.outcome == "abandoned"


def test_a_client_that_leaves_before_the_answer_is_seen_by_who_listens(serve, cx_events, soon):
    """A handler that waits for its client and finds it gone has nothing more to say."""
    begun = threading.Event()

    async def waits(scope, receive, send):
        assert scope["type"] == "http"
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    app = asgi.CX(waits, interactions=[{"route": "/x"}], customer=lambda _: "u1")
    server = serve(app)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{server.url}/x", timeout=httpx.Timeout(5.0, read=0.2))
    assert begun.is_set()
    assert soon(lambda: len(cx_events)) == 1
    assert cx_events[0].data.outcome == "abandoned"


async def echo(websocket):
    """Answer until the client closes."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        cx.current().goal_met = "partly"


def test_a_conversation_with_a_real_client(serve, cx_events, soon):
    """Closed is success; torn off without a code and refused are unknown; one interaction each."""

    async def refuses(websocket):
        await websocket.close()

    routes = [WebSocketRoute("/echo/{room}", echo), WebSocketRoute("/no", refuses)]
    server = serve(installed(*routes))
    with connect(f"ws://{server.host}/echo/7", additional_headers=U1) as talk:
        talk.send("hello")
        assert talk.recv(GUARD_S) == "hello"
    assert soon(lambda: len(cx_events)) == 1
    with connect(f"ws://{server.host}/echo/8", additional_headers=U1) as torn:
        torn.send("hello")
        assert torn.recv(GUARD_S) == "hello"
        torn.socket.shutdown(socket.SHUT_RDWR)
        assert soon(lambda: len(cx_events) == 2)
    with pytest.raises(websockets.exceptions.InvalidStatus):
        with connect(f"ws://{server.host}/no", additional_headers=U1):
            pytest.fail("the handshake was to be refused")
    assert soon(lambda: len(cx_events) == 3)
    said = [(e.data.where.touchpoint, e.data.outcome, e.data.goal_met) for e in cx_events]
    assert said == [
        ("echo.room", "success", "partly"),
        ("echo.room", "unknown", "partly"),
        ("no", "unknown", None),
    ]


def test_a_server_that_ends_has_delivered(serve):
    """What waits for more goes out in the shutdown of the lifespan."""
    with FaultCollector() as collector:
        cx.init("shop", collector=collector.url, delivery=cx.DeliveryOptions(linger=60.0))
        server = serve(installed(Route("/x", lambda request: PlainTextResponse("x"))))
        for _ in range(5):
            assert httpx.get(f"{server.url}/x", headers=U1).text == "x"
        server.stop()
        assert len(collector.ids) == 5
        cx.close(0)


def test_on_hypercorn_it_is_the_same(cx_events, soon):
    """Another server, with its own way of telling that a client is gone."""
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    async def endless():
        while True:
            yield b"x" * 1024
            await asyncio.sleep(0)

    async def stream(request):
        return StreamingResponse(endless())

    routes = [Route("/x", lambda request: PlainTextResponse("x")), Route("/stream", stream)]
    app = installed(*routes)

    async def visits():
        config, ended = Config(), asyncio.Event()
        config.bind = [f"127.0.0.1:{free_port()}"]
        config.errorlog = None
        serving = asyncio.create_task(hypercorn(app, config, shutdown_trigger=ended.wait))
        transport = httpx.AsyncHTTPTransport(retries=10)
        base = f"http://{config.bind[0]}"
        async with httpx.AsyncClient(base_url=base, transport=transport) as client:
            await client.get("/x", headers=U1)
            async with client.stream("GET", "/stream", headers=U1) as response:
                await anext(response.aiter_raw())
        ended.set()
        await asyncio.wait_for(serving, GUARD_S)

    asyncio.run(visits())
    assert soon(lambda: len(cx_events) == 2)
    assert [e.data.outcome for e in cx_events] == ["success", "abandoned"]
