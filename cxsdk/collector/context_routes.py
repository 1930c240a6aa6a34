"""
The context API over HTTP: of one customer, or of several at once.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxsdk.collector import queries
from cxsdk.collector.body import BodyError, inflate, read_body
from cxsdk.collector.context import LIMIT, SECTIONS, Wanted, read_context
from cxsdk.collector.store import Store
from cxsdk.lookup.items import LISTS

__all__ = ["context_json", "post_context"]

_MOST_CUSTOMERS = 50
_MOST_ITEMS = 200
_MOST_TOGETHER = _MOST_CUSTOMERS * LIMIT
"""Items of one section over all customers of a request."""

_LONGEST = 200
_MOST_BYTES = 64_000


class _Customer(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    space: str | None = None


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    customers: list[_Customer]
    sections: list[str] | None = None
    limits: dict[str, int] = {}
    purpose: str | None = None
    """Said by every lookup; the collector answers alike whatever it is."""


_decoder = msgspec.json.Decoder(_Question)


async def post_context(request: Request) -> Response:
    """
    Return the context of up to 50 customers, all as of one moment.
    """
    try:
        body, coding, media = await read_body(request, request.app.state.limits)
        found = await run_sync(_answer, request.app.state.store, body, coding, media)
    except BodyError as error:
        headers = {"connection": "close"} if error.status in {408, 413} else None
        return JSONResponse({"error": error.reason}, error.status, headers)
    except queries.QueryError as error:
        return JSONResponse({"error": str(error)}, 400)
    return _json(found)


def _answer(store: Store, body: bytes, coding: str, media: str) -> dict[str, Any]:
    if media != "application/json":
        raise BodyError(415, "content-type: expected application/json")
    asked, wanted = _read(inflate(body, coding, _MOST_BYTES))
    now = store.now()
    with store.reading() as db:
        return {"customers": [_one(db, each, wanted, now) for each in asked]}


def _one(db: sqlite3.Connection, asked: _Customer, wanted: Wanted, now: int) -> dict[str, Any]:
    found = read_context(db, asked.id, asked.space, wanted, now)
    if found is None:
        return {"id": asked.id, "space": asked.space, "sections": {}}
    return {"id": asked.id, "space": found.key[0], "sections": found.as_json(now)}


def _read(body: bytes) -> tuple[list[_Customer], Wanted]:
    """
    Read a question.

    Raises:
        QueryError: something is wrong with it; the message names the field.
    """
    try:
        asked = _decoder.decode(body)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        raise queries.QueryError(f"{path.strip('.`') or 'body'}: {said[:200]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise queries.QueryError("body: expected one JSON object") from None
    if not 1 <= len(asked.customers) <= _MOST_CUSTOMERS:
        raise queries.QueryError(f"customers: expected 1 to {_MOST_CUSTOMERS}")
    for index, one in enumerate(asked.customers):
        for field, value in (("id", one.id), ("space", one.space)):
            if value is not None and not 1 <= len(value) <= _LONGEST:
                raise queries.QueryError(
                    f"customers[{index}].{field}: expected 1 to {_LONGEST} characters"
                )
    if asked.purpose is not None and not 1 <= len(asked.purpose) <= _LONGEST:
        raise queries.QueryError(f"purpose: expected 1 to {_LONGEST} characters")
    most = min(_MOST_ITEMS, _MOST_TOGETHER // len(asked.customers))
    return asked.customers, Wanted(_sections(asked.sections), _limits(asked.limits, most))


def _sections(names: list[str] | None) -> tuple[str, ...]:
    for name in names or ():
        if name not in SECTIONS:
            raise queries.QueryError(f"sections: expected some of {', '.join(SECTIONS)}")
    return SECTIONS if names is None else tuple(dict.fromkeys(names))


def _limits(given: Mapping[str, int], most: int) -> dict[str, int]:
    for name, limit in given.items():
        if name not in LISTS:
            raise queries.QueryError(f"limits: expected names of lists: {', '.join(LISTS)}")
        if not 1 <= limit <= most:
            raise queries.QueryError(f"limits.{name}: expected 1 to {most} of so many customers")
    return dict(given)


async def context_json(request: Request) -> Response:
    """
    Return the context of one customer, with an ETag; 304 where it is still what the asker has.
    """
    store: Store = request.app.state.store
    customer: str = request.path_params["customer"]

    def read() -> Response:
        space, wanted = _read_query(request.query_params)
        now = store.now()
        with store.reading() as db:
            found = read_context(db, customer, space, wanted, now)
        if found is None:
            return JSONResponse({"error": "customer: nobody is known by this identifier"}, 404)
        # Of what is known, not of when it was read: the moment differs each time.
        digest = hashlib.blake2b(msgspec.json.encode([found.key, found.sections]), digest_size=12)
        etag = f'W/"{digest.hexdigest()}"'
        if _is_known(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers={"etag": etag})
        told = {"id": customer, "space": found.key[0], "sections": found.as_json(now)}
        return _json(told, etag)

    try:
        return await run_sync(read)
    except queries.QueryError as error:
        return JSONResponse({"error": str(error)}, 400)


def _read_query(query: Mapping[str, str]) -> tuple[str | None, Wanted]:
    for name in query.keys() - {"limit", "sections", "space"}:
        raise queries.QueryError(f"{name[:40]}: expected one of limit, sections, space")
    text = query.get("limit") or str(LIMIT)
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_ITEMS))
    if not is_number or not 1 <= int(text) <= _MOST_ITEMS:
        raise queries.QueryError(f"limit: expected a whole number from 1 to {_MOST_ITEMS}")
    said = query.get("sections")
    names = [name.strip() for name in said.split(",")] if said else None
    return query.get("space") or None, Wanted(_sections(names), dict.fromkeys(LISTS, int(text)))


def _is_known(header: str, etag: str) -> bool:
    # RFC 9110 §13.1.2: If-None-Match compares weakly.
    known = {one.strip().removeprefix("W/") for one in header.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def _json(value: Any, etag: str | None = None) -> Response:
    headers = {"etag": etag} if etag else None
    return Response(msgspec.json.encode(value), headers=headers, media_type="application/json")
