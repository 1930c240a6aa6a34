"""
The pages: server-rendered, without a line of JavaScript, everything escaped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cxsdk.collector import queries, words
from cxsdk.collector.cards import Card, cards
from cxsdk.collector.journey import Journey, journey
from cxsdk.collector.overview import EVER, overview
from cxsdk.collector.people import People
from cxsdk.collector.promises import ENDED
from cxsdk.collector.standings import by_urgency
from cxsdk.collector.store import Store

__all__ = [
    "customers_page",
    "error_page",
    "journey_page",
    "overview_page",
    "read_journey",
    "render",
]

_SPANS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "all": None}
_SPAN_WORDS = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "all": "all time"}

_PROMISES_SHOWN = 12


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "clock",
        "date",
        "day",
        "due",
        "minus",
        "moment",
        "number",
        "party",
        "percent",
        "question",
        "seconds",
        "minute",
        "words",
    ):
        made.filters[name] = getattr(words, name)
    made.filters["path"] = lambda text: quote(text, safe="")
    return made


_templates = _environment()


def render(name: str, status: int = 200, **values: Any) -> Response:
    """
    Return the page made from the template *name* and *values*.
    """
    return HTMLResponse(_templates.get_template(name).render(**values), status)


def error_page(
    title: str, words: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """
    Return a page that says in *words* what is wrong.
    """
    made = _templates.get_template("error.html").render(title=title, words=words, page=None)
    return HTMLResponse(made, status, headers)


async def overview_page(request: Request) -> Response:
    """
    Show what happened, how it was perceived, what customers did, and how complete the record is.
    """
    store: Store = request.app.state.store
    span = request.query_params.get("range", "24h")
    if span not in _SPANS:
        span = "24h"
    length, now = _SPANS[span], store.now()
    since = now - length * 1_000_000 if length else EVER

    def read() -> str:
        with store.reading() as db:
            figures = overview(db, since, now)
            (stored,) = db.execute("SELECT coalesce(max(n), 0) FROM events").fetchone()
        return _templates.get_template("overview.html").render(
            o=figures,
            stored=stored,
            now=now,
            span=span,
            spans=_SPAN_WORDS,
            base=str(request.base_url).rstrip("/"),
            page="overview",
        )

    return HTMLResponse(await run_sync(read))


async def customers_page(request: Request) -> Response:
    """
    Show a list of customers: those whose identifier contains what was searched for, those who had
    a contact at a touchpoint, or those who met a problem.
    """
    store: Store = request.app.state.store
    query = request.query_params
    search = query.get("q", "").strip()[:200]
    field = next((name for name in ("touchpoint", "problem") if query.get(name)), None)
    value = query.get(field or "", "")[:300]

    def read() -> str:
        with store.reading() as db:
            people = People(db)
            if field:
                found = queries.customers_with(db, people, field, value, 101)
            else:
                found = queries.customers(db, people, search, 101)
            heads, identifiers = queries.head_count(db, people)
        return _templates.get_template("customers.html").render(
            found=found[:100],
            more=len(found) > 100,
            heads=heads,
            identifiers=identifiers,
            search=search,
            field=field,
            value=value,
            page="customers",
        )

    return HTMLResponse(await run_sync(read))


def read_journey(request: Request, limit: int) -> Journey | None:
    """
    Read the journey that a request names. Blocks on disk.

    Raises:
        QueryError: a parameter is wrong.
    """
    query = request.query_params
    cursor = queries.Filter.read({"cursor": query.get("cursor", "")}).cursor
    store: Store = request.app.state.store
    with store.reading() as db:
        return journey(
            db,
            request.path_params["customer"],
            store.now(),
            space=query.get("space") or None,
            limit=limit,
            cursor=cursor,
        )


def _days(every: list[Card]) -> list[tuple[str, list[Card]]]:
    return [
        (name, list(group)) for name, group in itertools.groupby(every, lambda c: words.day(c.time))
    ]


async def journey_page(request: Request) -> Response:
    """
    Show one customer's timeline in three lanes.
    """

    def read() -> Response:
        customer = request.path_params["customer"]
        found = read_journey(request, 200)
        if found is None:
            return render("nobody.html", 404, customer=customer, page="customers")
        made = cards(found.bodies, found.promises)
        return render(
            "journey.html",
            journey=found,
            customer=customer,
            cards=made,
            shown=by_urgency(found.promises.values())[:_PROMISES_SHOWN],
            anchors={card.promise: card.anchor for card in reversed(made) if card.promise},
            ended=ENDED,
            days=_days(made),
            consent=_consent(made),
            is_latest="cursor" not in request.query_params,
            page="customers",
        )

    try:
        return await run_sync(read)
    except queries.QueryError as error:
        return error_page("This address is wrong", str(error), 400)


def _consent(every: list[Card]) -> str | None:
    """
    Return the latest state of consent on the page.
    """
    for card in reversed(every):
        if card.title.startswith("consent: "):
            return card.title.removeprefix("consent: ")
        for fact in card.fine:
            if fact.label == "consent":
                return fact.text
    return None
