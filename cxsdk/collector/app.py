"""
The collector as an ASGI application: routes, and from a request's bytes to its answer.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cxsdk._guard import voice
from cxsdk.collector import queries
from cxsdk.collector.body import BodyError, inflate, read_body, split
from cxsdk.collector.context_routes import context_json, post_context
from cxsdk.collector.fault import Fault
from cxsdk.collector.guard import LOOPBACK_HOSTS, Guard, clean
from cxsdk.collector.journey import as_json
from cxsdk.collector.limits import Limits
from cxsdk.collector.pages import (
    customers_page,
    error_page,
    journey_page,
    overview_page,
    read_journey,
)
from cxsdk.collector.questions.routes import routes as question_routes
from cxsdk.collector.row import Closing, Refusal, judge
from cxsdk.collector.store import Store

__all__ = ["create_app"]

_HERE = Path(__file__).parent


def create_app(
    path_or_store: str | Path | Store,
    *,
    api_key: str | None = None,
    allowed_hosts: Iterable[str] | None = None,
    strict: bool = False,
    limits: Limits | None = None,
) -> Starlette:
    """
    Return the collector as an ASGI application.

    Args:
        path_or_store: the SQLite file, opened here and closed at shutdown; or an open `Store`,
            which stays the caller's.

        api_key: see `cxsdk.collector.guard.Guard`.

        allowed_hosts: names the collector is reached by; by default the loopback names, and any
            name once a key is set.

        strict: refuse fields and values that this version of the standard does not know.

        limits: bounds of a request.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    bounds = limits or Limits()
    is_own = not isinstance(path_or_store, Store)
    store = (
        Store(path_or_store, refusals_kept=bounds.refusals_kept)
        if not isinstance(path_or_store, Store)
        else path_or_store
    )
    if allowed_hosts is None:
        allowed_hosts = ("*",) if api_key else LOOPBACK_HOSTS

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if is_own:
            await run_sync(store.close)

    app = Starlette(
        routes=_routes(),
        middleware=[
            Middleware(Guard, api_key=api_key, allowed_hosts=tuple(allowed_hosts)),
            Middleware(Fault),
        ],
        exception_handlers={sqlite3.Error: _unavailable, HTTPException: _unknown},
        lifespan=lifespan,
    )
    app.state.store, app.state.limits, app.state.strict = store, bounds, strict
    return app


def _routes() -> list[Route | Mount]:
    return [
        # One route for both, so that 405 names both.
        Route("/events", _events, methods=["GET", "POST"]),
        Route("/context", post_context, methods=["POST"]),
        Route("/customers/{customer:path}/context.json", context_json, methods=["GET"]),
        *question_routes(),
        Route("/customers/{customer:path}/journey.json", journey_json, methods=["GET"]),
        Route("/customers/{customer:path}/journey", get_journey, methods=["GET"]),
        Route("/customers", customers_page, methods=["GET"]),
        Route("/", overview_page, methods=["GET"]),
        Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
        Route("/healthz", health, methods=["GET"]),
    ]


async def _events(request: Request) -> Response:
    return await (post_events if request.method == "POST" else get_events)(request)


async def post_events(request: Request) -> Response:
    """
    Take events; answer after they are stored.
    """
    state = request.app.state
    try:
        body, coding, media = await read_body(request, state.limits)
        closing = Closing.read(request.headers.get("cxsdk-closing-count", ""))
        answer = await run_sync(_ingest, state, body, coding, media, closing)
    except BodyError as error:
        headers = {"connection": "close"} if error.status in {408, 413} else None
        return JSONResponse({"error": error.reason}, error.status, headers)
    return JSONResponse(answer)


def _ingest(
    state: Any, body: bytes, coding: str, media: str, closing: Closing | None
) -> dict[str, Any]:
    limits: Limits = state.limits
    rows, rejected, refused = [], [], []
    for index, text in enumerate(
        split(inflate(body, coding, limits.inflated_bytes), media, limits.events)
    ):
        found = judge(text, limits, strict=state.strict)
        if isinstance(found, Refusal):
            refused.append(found)
            rejected.append({"id": found.id, "index": index, "reason": found.reason})
        else:
            rows.append(found)
    done = state.store.add(rows, refused, closing)
    for one in (*refused, *done.conflicts):
        _say(one)
    return {"accepted": done.accepted, "duplicate": done.duplicate, "rejected": rejected}


def _say(refused: Refusal) -> None:
    # The log says which field; what came instead is for the sender and the page.
    reason = clean(refused.reason.partition(", got ")[0])
    voice.say(logging.WARNING, f"collector {reason}", "collector refused an event: %s", reason)


async def get_events(request: Request) -> Response:
    """
    Return stored events, newest first.
    """
    store: Store = request.app.state.store

    def read(wanted: queries.Filter) -> queries.Page:
        with store.reading() as db:
            return queries.events(db, wanted)

    try:
        page = await run_sync(read, queries.Filter.read(request.query_params))
    except queries.QueryError as error:
        return JSONResponse({"error": str(error)}, 400)
    return _raw_json({"events": _raw(page.bodies), "next": page.next})


def _raw(bodies: Iterable[str]) -> list[msgspec.Raw]:
    return [msgspec.Raw(body) for body in bodies]


def _raw_json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def get_journey(request: Request) -> Response:
    """
    Return a customer's journey as a page, or as JSON to whom asks for it.
    """
    wants_json = "application/json" in request.headers.get("accept", "").lower()
    return await (journey_json if wants_json else journey_page)(request)


async def journey_json(request: Request) -> Response:
    """
    Return one customer's events, oldest first, with identifiers and promises.
    """
    try:
        limit = queries.Filter.read({"limit": request.query_params.get("limit", "")}).limit
        found = await run_sync(read_journey, request, limit)
    except queries.QueryError as error:
        return JSONResponse({"error": str(error)}, 400)
    if found is None:
        return JSONResponse({"error": "customer: nobody is known by this identifier"}, 404)
    return _raw_json({**as_json(found), "events": _raw(found.bodies)})


async def health(_: Request) -> Response:
    """
    Say that the collector answers; open to probes without the key, and tells nothing else.
    """
    return JSONResponse({"status": "ok"})


async def _unavailable(request: Request, error: Exception) -> Response:
    voice.say(
        logging.ERROR, "collector store", "collector: the store failed: %s", clean(str(error))
    )
    headers = {"retry-after": "5"}
    if _is_browser(request):
        return error_page("The store does not answer", _STORE_WORDS, 503, headers)
    return JSONResponse({"error": "store: not available"}, 503, headers)


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type
    if error.status_code == 404 and _is_browser(request):
        return error_page("No such page", "The collector has an overview and customers.", 404)
    return JSONResponse(
        {"error": f"request: {error.detail.lower()}"}, error.status_code, error.headers
    )


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "").lower()


_STORE_WORDS = (
    "Its file is locked, full or damaged; the log of the collector says which. Senders keep their"
    " events and try again."
)
