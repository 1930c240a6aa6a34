"""
Requests made in this process, of WSGI and of ASGI applications, one or a thousand at a time.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import attrs

__all__ = ["Ask", "Reply", "acall", "call", "together"]


@attrs.define(frozen=True)
class Ask:
    """
    A request.
    """

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    leaves_after: int | None = None
    """Chunks after which the client is gone; None: it stays."""


@attrs.define
class Reply:
    """
    A response as its reader sees it, or what the application raised instead.
    """

    status: int = 0
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    chunks: list[bytes] = attrs.field(factory=list)
    raised: BaseException | None = None

    @property
    def text(self) -> str:
        """
        Return the body.
        """
        return b"".join(self.chunks).decode()

    @property
    def cookie(self) -> str:
        """
        Return the cookies that were set, as a request sends them back.
        """
        said = [value for name, value in self.headers if name.lower() == "set-cookie"]
        return "; ".join(value.partition(";")[0] for value in said)


# ---- WSGI ---------------------------------------------------------------------------------------


def _environ(ask: Ask) -> dict[str, Any]:
    parts = urlsplit(ask.path)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(ask.body)),
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(ask.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ |= {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in ask.headers.items()}
    return environ


def call(app: Any, ask: Ask) -> Reply:
    """
    Make a request of a WSGI application (PEP 3333).
    """
    reply = Reply()

    def start_response(line: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        reply.status, reply.headers = int(line.split(maxsplit=1)[0]), headers
        return reply.chunks.append

    try:
        body = app(_environ(ask), start_response)
        try:
            for chunk in body:
                reply.chunks.append(chunk)
                if ask.leaves_after is not None and len(reply.chunks) >= ask.leaves_after:
                    break
        finally:
            getattr(body, "close", lambda: None)()
    except Exception as error:  # noqa: BLE001 - looked at by the test
        reply.raised = error
    return reply


# ---- ASGI ---------------------------------------------------------------------------------------


def _scope(ask: Ask) -> dict[str, Any]:
    parts = urlsplit(ask.path)
    headers = {"host": "localhost", "content-type": "application/x-www-form-urlencoded"}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {**headers, **ask.headers}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }


async def acall(app: Any, ask: Ask) -> Reply:
    """
    Make a request of an ASGI 3 application.
    """
    reply = Reply()
    gone = asyncio.Event()
    sent = [{"type": "http.request", "body": ask.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = [(k.decode(), v.decode()) for k, v in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            if message.get("body"):
                reply.chunks.append(bytes(message["body"]))
            is_enough = ask.leaves_after is not None and len(reply.chunks) >= ask.leaves_after
            if is_enough or not message.get("more_body", False):
                gone.set()
        # As a server's would: others have a turn between two chunks.
        await asyncio.sleep(0)

    try:
        await app(_scope(ask), receive, send)
    except Exception as error:  # noqa: BLE001 - looked at by the test
        reply.raised = error
    return reply


# ---- many ---------------------------------------------------------------------------------------


def together(kind: str, app: Any, asks: Sequence[Ask]) -> list[Reply]:
    """
    Make all requests at a time: each in a thread of its own (``wsgi``), or in a task (``asgi``).
    """
    if kind == "asgi":

        async def run() -> list[Reply]:
            return list(await asyncio.gather(*(acall(app, ask) for ask in asks)))

        return asyncio.run(run())
    replies: list[Reply] = [Reply() for _ in asks]
    barrier = threading.Barrier(len(asks))

    def one(place: int) -> None:
        barrier.wait(60)
        replies[place] = call(app, asks[place])

    before = threading.stack_size(256 * 1024)
    try:
        threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(len(asks))]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(before)
    for thread in threads:
        thread.join(120)
    return replies
