"""
How requests and conversations end, message by message.
"""

from __future__ import annotations

import asyncio

import pytest
from fastapi.exceptions import RequestValidationError

import cxsdk as cx
from cxsdk.integrations.asgi import CX
from cxsdk.scope import current_interaction, current_scope

START = {"type": "http.response.start", "status": 200, "headers": []}
MORE = {"type": "http.response.body", "body": b"a", "more_body": True}
LAST = {"type": "http.response.body", "body": b"b"}


def wrapped(app, **settings):
    settings.setdefault("interactions", [{"route": "/x"}])
    return CX(app, customer=lambda _: "u1", **settings)


def drive(app, incoming=(), kind="http", refuses=None, **scope):
    """Call *app* as a server would; return what it sent."""
    sent, waiting = [], list(incoming)

    async def receive():
        if waiting:
            return waiting.pop(0)
        return await asyncio.Event().wait()

    async def send(message):
        if refuses is not None and message["type"] == refuses:
            raise OSError("the connection is closed")
        sent.append(message)

    whole = {"type": kind, "path": "/x", "headers": [], "method": "GET", **scope}
    asyncio.run(app(whole, receive, send))
    return sent


def outcomes(events):
    return [(e.data.outcome, e.data.error.type if e.data.error else "") for e in events]


# ---- requests -----------------------------------------------------------------------------------


async def whole(scope, receive, send):
    await send(dict(START))
    await send(dict(MORE))
    await send(dict(LAST))


async def stops_in_the_middle(scope, receive, send):
    await send(dict(START))
    await send(dict(MORE))


async def listens(scope, receive, send):
    await send(dict(START))
    assert (await receive())["type"] == "http.disconnect"


async def says_nothing(scope, receive, send):
    """Return without a response."""


async def fails_in_the_middle(scope, receive, send):
    await send(dict(START))
    raise ZeroDivisionError


async def sends_a_file(scope, receive, send):
    await send(dict(START))
    await send({"type": "http.response.pathsend", "path": "/etc/hostname"})


async def is_cancelled(scope, receive, send):
    await send(dict(START))
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("app", "incoming", "expected"),
    [
        (whole, [], ("success", "")),
        (sends_a_file, [], ("success", "")),
        (stops_in_the_middle, [], ("abandoned", "")),
        (listens, [{"type": "http.disconnect"}], ("abandoned", "")),
        (says_nothing, [], ("failure", "500")),
        (fails_in_the_middle, [], ("failure", "ZeroDivisionError")),
        (is_cancelled, [], ("abandoned", "")),
    ],
)
def test_how_a_request_ends(app, incoming, expected, cx_events):
    """The last byte is success; a client that is gone, or a body that stops, is abandoned."""
    raises = {fails_in_the_middle: ZeroDivisionError, is_cancelled: asyncio.CancelledError}
    if app in raises:
        with pytest.raises(raises[app]):
            drive(wrapped(app), incoming)
    else:
        drive(wrapped(app), incoming)
    assert outcomes(cx_events) == [expected]


def test_a_server_that_refuses_what_is_sent_has_lost_its_client(cx_events):
    """``OSError`` from send is the client's going (the HTTP part of the ASGI specification)."""
    with pytest.raises(OSError, match="closed"):
        drive(wrapped(whole), refuses="http.response.body")
    assert outcomes(cx_events) == [("abandoned", "")]


def test_what_runs_after_the_response_is_no_part_of_the_interaction(cx_events):
    """After the last byte nothing is open; the customer is still the same."""
    seen = []

    async def app(scope, receive, send):
        await whole(scope, receive, send)
        seen.append((bool(cx.current()), current_scope.get().who[0], len(cx_events)))

    drive(wrapped(app))
    assert seen == [(False, "u1", 1)]
    assert current_scope.get() is current_interaction.get() is None


def test_messages_are_passed_as_they_are(cx_events):
    """The very objects of the application reach the server."""
    start, last = dict(START), dict(LAST)

    async def app(scope, receive, send):
        await send(start)
        await send(last)

    sent = drive(wrapped(app))
    assert sent[0] is start
    assert sent[1] is last


def test_a_task_of_a_request_is_of_its_customer(cx_events):
    """Tasks and threads that a handler starts inherit scope and interaction."""
    seen = []

    def look():
        seen.append((current_scope.get().who[0], cx.current().interaction_id))

    async def later():
        look()

    async def app(scope, receive, send):
        await asyncio.create_task(later())
        await asyncio.to_thread(look)
        await whole(scope, receive, send)

    drive(wrapped(app))
    assert seen == [("u1", cx_events.one("interaction").data.interaction_id)] * 2


def test_a_layer_further_in_does_nothing(cx_events):
    """An application that is wrapped twice, also by other objects, has one interaction."""
    drive(wrapped(wrapped(whole)))
    assert len(cx_events) == 1


def test_a_request_that_is_none_keeps_the_servers_own_functions():
    """Where there is nothing to measure, receive and send are not wrapped."""
    seen = []

    async def app(scope, receive, send):
        seen.append((receive.__qualname__, send.__qualname__))

    drive(wrapped(app, interactions=[]))
    assert seen == [("drive.<locals>.receive", "drive.<locals>.send")]


def test_an_error_that_became_a_response_is_the_outcome(cx_events):
    """As if it had come out; where it is the framework's own way to say a status, the status is."""
    from cxsdk.integrations.asgi import raised

    def app(error, status):
        async def app(scope, receive, send):
            raised(error)
            await send({**START, "status": status})
            await send(dict(LAST))

        return app

    rule = {"route": "/x", "fails": {KeyError: "not_in_stock"}}
    drive(wrapped(app(KeyError(), 409), interactions=[rule]))
    drive(wrapped(app(ValueError(), 409), interactions=[rule]))
    drive(wrapped(app(RequestValidationError([]), 422), interactions=[rule]))
    named = {"route": "/x", "fails": {RequestValidationError: "not_valid"}}
    drive(wrapped(app(RequestValidationError([]), 422), interactions=[named]))
    assert outcomes(cx_events) == [
        ("failure", "KeyError"),
        ("failure", "ValueError"),
        ("unknown", "422"),
        ("failure", "fastapi.exceptions.RequestValidationError"),
    ]
    assert cx_events[0].data.reason == "not_in_stock"


# ---- conversations ------------------------------------------------------------------------------

CONNECT = {"type": "websocket.connect"}


def talk(*messages, until_left=False):
    async def app(scope, receive, send):
        await receive()
        for message in messages:
            await send(message)
        while until_left and (await receive())["type"] != "websocket.disconnect":
            pass

    return app


ACCEPT = {"type": "websocket.accept"}


def closes(code):
    return {"type": "websocket.close", "code": code}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1000, ("success", "")),
        (1001, ("success", "")),
        (1008, ("unknown", "1008")),
        (1011, ("failure", "1011")),
        (1012, ("failure", "1012")),
        (4001, ("unknown", "4001")),
    ],
)
def test_how_a_conversation_ends_that_the_handler_closes(code, expected, cx_events):
    """Its code says whether the service failed."""
    drive(wrapped(talk(ACCEPT, closes(code))), [CONNECT], "websocket")
    assert outcomes(cx_events) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1000, ("success", "")),
        (1005, ("unknown", "1005")),
        (None, ("unknown", "1005")),
        (1001, ("abandoned", "")),
        (1006, ("abandoned", "")),
        (1002, ("unknown", "1002")),
        (4001, ("unknown", "4001")),
    ],
)
def test_how_a_conversation_ends_that_the_client_closes(code, expected, cx_events):
    """Whoever closes has come to an end, whoever leaves or is cut off has not; else nobody knows."""
    gone = {"type": "websocket.disconnect", "code": code}
    drive(wrapped(talk(ACCEPT, until_left=True)), [CONNECT, gone], "websocket")
    assert outcomes(cx_events) == [expected]


def test_a_handshake_that_is_refused_is_unknown(cx_events):
    """Closed before it was accepted, or answered by a response: nothing of ours failed."""
    denial = [{"type": "websocket.http.response.start", "status": 401, "headers": []}]
    denial.append({"type": "websocket.http.response.body", "body": b""})
    drive(wrapped(talk(closes(1000))), [CONNECT], "websocket")
    drive(wrapped(talk(*denial)), [CONNECT], "websocket")
    drive(wrapped(talk()), [CONNECT], "websocket")
    assert outcomes(cx_events) == [("unknown", "403"), ("unknown", "401"), ("failure", "500")]


def test_what_a_handler_says_after_the_client_has_left_counts(cx_events):
    """The conversation ends when its handler does, so that it can still say how it was."""

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        cx.current().goal_met = "yes"
        cx.current().outcome = "transferred"

    gone = {"type": "websocket.disconnect", "code": 1001}
    drive(wrapped(app), [CONNECT, gone], "websocket")
    assert outcomes(cx_events) == [("transferred", "")]
    assert cx_events[0].data.goal_met == "yes"


def test_a_handler_that_fails_in_a_conversation(cx_events):
    """What it raises passes through and is a failure, unless it is that the client has left."""

    class WebSocketDisconnect(Exception):
        """As frameworks call it."""

    def app(error):
        async def app(scope, receive, send):
            await receive()
            await send(ACCEPT)
            await receive()
            raise error

        return app

    for error, code in ((ValueError(), 1000), (WebSocketDisconnect(), 1000)):
        gone = {"type": "websocket.disconnect", "code": code}
        with pytest.raises(type(error)) as caught:
            drive(wrapped(app(error)), [CONNECT, gone], "websocket")
        assert caught.value is error
    assert outcomes(cx_events) == [("failure", "ValueError"), ("success", "")]


def test_a_client_that_leaves_the_tasks_of_a_handler_has_left(cx_events):
    """A group of tasks raises a group: of nothing but departures, or of a failure too."""

    class WebSocketDisconnect(Exception):
        """As frameworks call it."""

    def app(*errors):
        async def app(scope, receive, send):
            await receive()
            await send(ACCEPT)
            await receive()
            raise ExceptionGroup("tasks", errors)

        return app

    gone = {"type": "websocket.disconnect", "code": 1001}
    inner = ExceptionGroup("more", [WebSocketDisconnect()])
    for errors in ((WebSocketDisconnect(), inner), (WebSocketDisconnect(), ValueError())):
        with pytest.raises(ExceptionGroup):
            drive(wrapped(app(*errors)), [CONNECT, gone], "websocket")
    assert outcomes(cx_events) == [("abandoned", ""), ("failure", "ExceptionGroup")]


def test_a_conversation_that_cannot_be_answered_is_cut_off(cx_events):
    """``OSError`` from send: the connection is gone."""
    hello = {"type": "websocket.send", "text": "hello"}
    with pytest.raises(OSError, match="closed"):
        drive(wrapped(talk(ACCEPT, hello)), [CONNECT], "websocket", refuses="websocket.send")
    assert outcomes(cx_events) == [("abandoned", "")]
