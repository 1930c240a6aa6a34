"""
The endpoint as a WSGI and as an ASGI application, to be mounted in any framework; it imports none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

import attrs

from cxsdk._guard import voice
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.faces.body import MOST_BYTES
from cxsdk.prompts.faces.endpoint import respond
from cxsdk.prompts.faces.response import Response

__all__ = [
    "Asgi",
    "Endpoint",
    "Response",
    "Source",
    "Wsgi",
    "asgi_app",
    "engine_of",
    "respond",
    "wsgi_app",
]

Source: TypeAlias = Engine | Callable[[], Engine | None]
"""An engine, or what returns the one in force: None while there is none."""

Wsgi: TypeAlias = Callable[["_Environ", Callable[..., Any]], Iterable[bytes]]
Asgi: TypeAlias = Callable[["_Environ", "_Receive", "_Send"], Awaitable[None]]
_Environ: TypeAlias = MutableMapping[str, Any]
_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]

_DRAINED = 2 * 1024 * 1024
_OFF = Response(
    503,
    (("Content-Type", "text/plain"), ("Retry-After", "60"), ("Cache-Control", "no-store")),
    b"Nobody is asked at the moment.\n",
)


def engine_of(source: Source) -> Engine | None:
    """
    Return the engine that *source* stands for.
    """
    return source if isinstance(source, Engine) else source()


@attrs.define(frozen=True, kw_only=True)
class Endpoint:
    """
    `respond` with what it needs each time; for the glue of a framework.
    """

    source: Source
    origins: Collection[str]
    returns: Collection[str]
    mount: str | None
    """Where browsers find it; None: where the server says."""

    def respond(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: str,
        body: bytes,
        mounted_at: str,
    ) -> Response:
        """
        Return the response to one request; 503 while there is no engine.
        """
        try:
            engine = engine_of(self.source)
        except Exception as error:  # noqa: BLE001 - a server that serves other things too
            voice.say(logging.ERROR, "prompts:http", "cxsdk: there is no prompt engine: %s", error)
            engine = None
        if engine is None:
            return _OFF
        return respond(
            engine,
            method,
            path,
            headers,
            query,
            body,
            origins=self.origins,
            returns=self.returns,
            mount=quote(mounted_at) if self.mount is None else self.mount,
        )


def wsgi_app(
    engine: Source,
    *,
    origins: Collection[str] = (),
    returns: Collection[str] = (),
    mount: str | None = None,
) -> Wsgi:
    """
    Return a WSGI application (PEP 3333) for `respond`, which see for the arguments.

    Args:
        mount: where browsers find it; None: where the server says that it is mounted.
    """
    endpoint = Endpoint(source=engine, origins=origins, returns=returns, mount=mount)

    def app(environ: _Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        found = endpoint.respond(
            environ["REQUEST_METHOD"],
            _text(environ.get("PATH_INFO", "")),
            headers,
            environ.get("QUERY_STRING", ""),
            _wsgi_body(environ),
            _text(environ.get("SCRIPT_NAME", "")),
        )
        start_response(found.line, list(found.headers))
        return [found.body]

    return app


def _text(native: str) -> str:
    # WSGI passes bytes as Latin-1.
    return native.encode("latin-1", "replace").decode("utf-8", "replace")


def _wsgi_body(environ: _Environ) -> bytes:
    """
    Return the body, at most one byte more than is taken.
    """
    stream = environ["wsgi.input"]
    said = environ.get("CONTENT_LENGTH") or ""
    if not said.isdigit():
        # Only a server that ends the stream itself lets us read what has no length.
        ends = environ.get("wsgi.input_terminated")
        return bytes(stream.read(MOST_BYTES + 1)) if ends else b""
    length = int(said)
    body = bytes(stream.read(min(length, MOST_BYTES + 1)))
    # A client that is still sending would not see the refusal; but nobody is read to for ever.
    left = min(length, _DRAINED) - len(body)
    while left > 0:
        chunk = stream.read(min(left, 65_536))
        if not chunk:
            break
        left -= len(chunk)
    return body


def asgi_app(
    engine: Source,
    *,
    origins: Collection[str] = (),
    returns: Collection[str] = (),
    mount: str | None = None,
) -> Asgi:
    """
    Return an ASGI 3 application for `respond`, which see; the event loop is not blocked.

    Args:
        mount: where browsers find it; None: where the server says that it is mounted.
    """
    endpoint = Endpoint(source=engine, origins=origins, returns=returns, mount=mount)

    async def app(scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        root = scope.get("root_path", "")
        path = scope["path"]
        body = await _asgi_body(receive)
        found = await asyncio.to_thread(
            endpoint.respond,
            scope["method"],
            path.removeprefix(root) if root else path,
            headers,
            scope.get("query_string", b"").decode("latin-1"),
            body,
            root,
        )
        sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in found.headers]
        await send({"type": "http.response.start", "status": found.status, "headers": sent})
        await send({"type": "http.response.body", "body": found.body})

    return app


async def _asgi_body(receive: _Receive) -> bytes:
    found = bytearray()
    total = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        total += len(chunk)
        found += chunk[: MOST_BYTES + 1 - len(found)]
        if not message.get("more_body", False) or total > _DRAINED:
            return bytes(found)


async def _live(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
