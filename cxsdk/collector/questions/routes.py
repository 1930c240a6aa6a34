"""
The questions over HTTP: as JSON, as a page, and affected as CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cxsdk.collector.pages import error_page, render
from cxsdk.collector.queries import QueryError
from cxsdk.collector.questions.affected import affected, as_csv
from cxsdk.collector.questions.due import DueQuery, due
from cxsdk.collector.questions.filters import FAILED, AffectedQuery
from cxsdk.collector.questions.silent import SilentQuery, silent
from cxsdk.collector.questions.troubles import troubles
from cxsdk.collector.store import Store

__all__ = ["ASKED", "answer", "routes"]

ASKED: dict[str, Callable[..., dict[str, Any]]] = {
    "due": lambda db, query, now: due(db, DueQuery.read(query), now),
    "affected": lambda db, query, now: affected(db, AffectedQuery.read(query), now),
    "silent": lambda db, query, now: silent(db, SilentQuery.read(query), now),
}
"""Name → what answers it from a connection, a query and the time."""


def answer(store: Store, name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the answer to the question *name*. Blocks on disk.

    Raises:
        QueryError: a parameter is unknown or wrong.
    """
    now = store.now()
    with store.reading() as db:
        return ASKED[name](db, query, now)


def routes() -> list[Route]:
    """
    Return the routes of all questions.
    """
    made = [Route("/affected.csv", _csv, methods=["GET"])]
    for name in ASKED:
        made.append(Route(f"/{name}.json", _json(name), methods=["GET"]))
        made.append(Route(f"/{name}", _page(name), methods=["GET"]))
    return made


def _json(name: str) -> Callable[[Request], Any]:
    async def get(request: Request) -> Response:
        try:
            told = await run_sync(answer, request.app.state.store, name, request.query_params)
        except QueryError as error:
            return JSONResponse({"error": str(error)}, 400)
        return Response(msgspec.json.encode(told), media_type="application/json")

    return get


async def _csv(request: Request) -> Response:
    """
    Return everyone who was affected as CSV, to be kept as a file.
    """
    store: Store = request.app.state.store

    def read() -> str:
        wanted = AffectedQuery.read(request.query_params)
        with store.reading() as db:
            return as_csv(affected(db, wanted, store.now(), has_pages=False))

    try:
        text = await run_sync(read)
    except QueryError as error:
        return JSONResponse({"error": str(error)}, 400)
    headers = {"content-disposition": 'attachment; filename="affected.csv"'}
    return Response(text, headers=headers, media_type="text/csv")


def _page(name: str) -> Callable[[Request], Any]:
    async def get(request: Request) -> Response:
        try:
            return await run_sync(_rendered, request, name)
        except QueryError as error:
            return error_page("This address is wrong", str(error), 400)

    return get


def _rendered(request: Request, name: str) -> Response:
    store: Store = request.app.state.store
    query = {key: text for key, text in request.query_params.items() if text.strip()}
    values: dict[str, Any] = {"query": query, "failed": FAILED, "page": name}
    if name == "affected" and not query.keys() - {"since", "until", "all"}:
        with store.reading() as db:
            return render("affected.html", a=None, troubles=troubles(db), **values)
    found = answer(store, name, query)
    kept = {key: text for key, text in query.items() if key != "cursor"}
    return render(
        f"{name}.html",
        a=found,
        this=urlencode(kept),
        following=urlencode({**kept, "cursor": found["next"]}) if found["next"] else None,
        is_first="cursor" not in query,
        link=lambda **more: "?" + urlencode({**kept, **more}),
        **values,
    )
