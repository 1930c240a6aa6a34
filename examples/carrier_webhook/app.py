"""
A carrier's webhook: what it tells of our parcels stands in our customers' journeys. Run it:

    uvicorn app:app
"""

import asyncio
import contextlib
import hmac
import os
import time
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

import msgspec
import parcels
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Route

import cxsdk as cx

COLLECTOR = os.environ.get("CXSDK_COLLECTOR", "http://127.0.0.1:4180")
SECRETS = os.environ.get("CARRIER_SECRETS", "only-for-this-example").split(",")  # new, old
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]


class Message(msgspec.Struct, frozen=True):
    id: Name
    parcel: Name
    status: Literal["handed_over", "out_for_delivery", "delivered", "delayed", "lost", "returned"]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    eta: date | None = None
    to: Literal["person", "locker"] | None = None


def check(header, body):
    """The header is t=<seconds>,v1=<HMAC-SHA256 of seconds.body>; while secrets rotate, v1 twice."""
    parts = [part.strip().partition("=")[::2] for part in header.split(",")]
    sent = next((value for name, value in parts if name == "t"), "")
    own = [hmac.new(each.encode(), sent.encode() + b"." + body, "sha256") for each in SECRETS]
    given = [value.encode() for name, value in parts if name == "v1"]
    if not any(hmac.compare_digest(o.hexdigest().encode(), g) for o in own for g in given):
        raise HTTPException(401, "X-Carrier-Signature: expected t=<seconds>,v1=<our HMAC>")
    if not (sent.isascii() and sent.isdigit() and abs(time.time() - int(sent[:12])) <= 300):
        raise HTTPException(401, "X-Carrier-Signature: expected t within five minutes of now")


def read(body):
    try:
        message = msgspec.json.decode(body, type=Message)
    except msgspec.ValidationError as error:
        raise HTTPException(422, str(error)) from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "Expected JSON in UTF-8") from None
    if not timedelta(minutes=-5) < datetime.now(UTC) - message.at < timedelta(days=30):
        raise HTTPException(422, "Expected a time of the last 30 days - at `$.at`")
    return message


async def webhook(request):
    body = b""
    async with asyncio.timeout(10):
        async for chunk in request.stream():
            body += chunk
            if len(body) > 32_768:
                raise HTTPException(413, "Expected at most 32 KiB", {"connection": "close"})
    check(request.headers.get("x-carrier-signature", ""), body)
    return JSONResponse(await run_in_threadpool(parcels.take, read(body)))


async def problem(_, error):
    """The partner reads in RFC 9457 what was wrong with its message; only our own faults are 5xx."""
    if not isinstance(error, HTTPException):
        error = HTTPException(408, "The body did not come in time", {"connection": "close"})
    told = {"status": error.status_code, "title": error.detail}
    media = "application/problem+json"
    return JSONResponse(told, error.status_code, error.headers, media_type=media)


@contextlib.asynccontextmanager
async def lifespan(app):
    cx.init(service="shop", collector=COLLECTOR, tz=parcels.TZ.key)
    parcels.open_shop()
    async with cx.lifespan(app):
        yield


app = Starlette(
    routes=[Route("/carrier", webhook, methods=["POST"])],
    exception_handlers=dict.fromkeys((HTTPException, TimeoutError, ClientDisconnect), problem),
    lifespan=lifespan,
)
