"""
The life of an ASGI application: what was accepted is delivered before its server ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from cxsdk import _default
from cxsdk._guard import is_ours, voice
from cxsdk.client import Client
from cxsdk.integrations.exchange import Message, Receive, Send

__all__ = ["live"]

_ENDED = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


async def live(
    app: Callable[[Message, Receive, Send], Awaitable[None]],
    scope: Message,
    receive: Receive,
    send: Send,
    client: Client | None,
) -> None:
    """
    Pass the lifespan on to *app*, and drain when it has shut down, within the client's
    ``drain_seconds``; for an application that knows no lifespan, answer in its place.
    """
    seen: list[str] = []

    async def received() -> Message:
        message = await receive()
        seen.append(message["type"])
        return message

    async def sent(message: Message) -> None:
        seen.append(message["type"])
        if message["type"] in _ENDED:
            await _drain(client)
        await send(message)

    try:
        await app(scope, received, sent)
    except Exception as error:
        if seen:
            raise  # it knows the lifespan, and could not start or end
        words = "cxsdk: the application takes no lifespan (%r); it is answered in its place"
        voice.say(logging.INFO, "asgi:lifespan", words, error)
    if not any(each.endswith((".complete", ".failed")) for each in seen):
        await _live_alone(receive, send, client, is_begun=bool(seen))


async def _live_alone(receive: Receive, send: Send, client: Any, *, is_begun: bool) -> None:
    if not is_begun:
        await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await _drain(client)
    await send({"type": "lifespan.shutdown.complete"})


async def _drain(client: Client | None) -> None:
    found = client or _default.client()
    if found is None:
        return
    try:
        await found.aflush(found.drain_seconds)
    except Exception as error:
        if not is_ours(error):
            raise
        words = "cxsdk: what waits could not be delivered at the end: %r"
        voice.say(logging.ERROR, "asgi:drain", words, error)
