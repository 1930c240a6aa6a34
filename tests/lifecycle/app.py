"""
The tiny instrumented application that every server of the matrix serves.

It sees only ``import cxsdk``. Where events go and where they are kept comes from the environment,
as in production. What was accepted is noted in a file of its own per process after the verb
returned; the file outlives the process, whatever kills it.

- ``/visit?n=7``: two events, one of each lane, which carry the fact ``7``.
- ``/hang?n=8``: the same, and then the worker does nothing any more.
- ``/freeze?n=9``: the same, and then the whole process stops.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import cxsdk as cx

__all__ = ["asgi", "asgi_bare", "note", "visit", "wsgi"]

_NOTES = os.environ["LIFECYCLE_NOTES"]
_files: dict[int, int] = {}

cx.init()
if os.environ.get("LIFECYCLE_SIGTERM"):
    cx.drain_on_sigterm()


def note(fact: str, *results: Any) -> None:
    """
    Write down what was accepted; one line each, so that a kill tears at most the last one.
    """
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(f"{_NOTES}/{pid}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for result in results:
        word = result.id if result else f"-{result.reason}"
        os.write(_files[pid], f"{word} {fact}\n".encode())


def visit(fact: str) -> None:
    """
    Emit two events that carry *fact*, and note those that were accepted.
    """
    with cx.interaction("page.view", customer=f"c{fact[-1]}") as contact:
        contact.attributes["n"] = fact
    said = cx.feedback(csat=4, customer=f"c{fact[-1]}", attributes={"n": fact})
    note(fact, contact.result, said)


def _answer(path: str, query: str) -> bytes:
    visit(parse_qs(query)["n"][0])
    if path == "/hang":
        time.sleep(120)
    elif path == "/freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    return str(os.getpid()).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """
    Serve gunicorn and uWSGI.
    """
    body = _answer(environ["PATH_INFO"], environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def _http(scope: dict[str, Any], send: Callable[[dict[str, Any]], Any]) -> None:
    body = _answer(scope["path"], scope["query_string"].decode())
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def asgi_bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """
    Serve an ASGI server, without a lifespan.
    """
    if scope["type"] != "http":
        raise RuntimeError("there is no lifespan here")
    await _http(scope, send)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """
    Serve an ASGI server, with the lifespan of the recipe.
    """
    if scope["type"] == "http":
        await _http(scope, send)
        return
    assert (await receive())["type"] == "lifespan.startup"
    async with cx.lifespan():
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})
