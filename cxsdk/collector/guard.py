"""
Who may talk to the collector, and what a browser may do with its pages.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK_HOSTS", "Guard", "clean"]

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# Control characters, line and paragraph separators, and what turns the direction of text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str, longest: int = 200) -> str:
    """
    Return *text* fit for one line of a log: no control, escape or bidirectional characters.
    """
    return _UNSAFE.sub("?", text)[:longest]


class Guard:
    """
    ASGI middleware: host allow-list, key, origin check, response headers. Stateless.

    Args:
        app: what is guarded.

        api_key: the key that every request but ``/healthz`` must show, as ``Bearer`` or as the
            password of ``Basic``; None opens the collector to whoever reaches it.

        allowed_hosts: names that the ``Host`` header may have, against DNS rebinding; ``*`` is any.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._api_key = api_key.encode() if api_key else None
        self._hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refuse(scope["path"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refuse(self, path: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if "*" not in self._hosts and _name(host) not in self._hosts:
            return JSONResponse({"error": "host: not one of the allowed hosts"}, 403)
        origin = headers.get("origin")
        # Another site's page may send a request here, with the browser's credentials.
        if origin is not None and _netloc(origin) != host.lower():
            return JSONResponse({"error": "origin: other sites may not use the collector"}, 403)
        if self._api_key is None or path == "/healthz":
            return None
        if self._is_key(headers.get("authorization", "")):
            return None
        return JSONResponse(
            {"error": "authorization: expected the key of this collector"},
            401,
            {"www-authenticate": 'Basic realm="cxsdk collector", charset="UTF-8"'},
        )

    def _is_key(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        given = credentials.strip().encode("latin-1", "replace")
        if scheme.lower() == "basic":
            try:
                _, _, given = base64.b64decode(given, validate=True).partition(b":")
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given, self._api_key or b"")


def _netloc(origin: str) -> str | None:
    """
    Return host and port of an ``Origin`` header; None of one that is no URL.
    """
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _name(host: str) -> str:
    """
    Return a ``Host`` header without its port.
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
