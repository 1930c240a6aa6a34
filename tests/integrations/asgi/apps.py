"""
The routes of a `Site`, as four ways of ASGI have them.
"""

import asyncio
import re

from starlette.middleware.sessions import SessionMiddleware

import cxsdk as cx
from cxsdk.integrations.asgi import Keeper

KEY = "not-a-secret-but-long-enough-for-everybody"


# ---- nothing but ASGI ---------------------------------------------------------------------------

BARE = ("/plain", "/boom", "/items/{item}", "/pay", "/status/{code:int}", "/stream", "/who")


def bare(site):
    """
    An application of functions that take scope, receive and send.
    """

    async def respond(send, body=b"", status=200, headers=()):
        await send({"type": "http.response.start", "status": status, "headers": [*headers]})
        await send({"type": "http.response.body", "body": body})

    own = cx.interaction("own.visit")(site.plain)
    headers = [(b"x-own", b"kept")]

    async def stream(receive, send):
        await receive()
        gone = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in site.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if gone.done():
                return
        gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def app(scope, receive, send):
        path = scope["path"]
        if path == "/plain" or path.startswith("/items/"):
            await respond(send, site.plain().encode(), headers=headers)
        elif path == "/own":
            await respond(send, own().encode(), headers=headers)
        elif path == "/boom":
            site.boom()
        elif path == "/pay":
            site.pay()
            await respond(send, status=303, headers=[(b"location", b"/thanks")])
        elif found := re.fullmatch(r"/status/(\d+)", path):
            await respond(send, status=int(found[1]))
        elif path == "/stream":
            await stream(receive, send)
        elif path in {"/who", "/healthz"}:
            await respond(send, site.who().encode())
        elif path == "/session":
            scope["session"]["cart"] = 1
            await respond(send)
        else:
            await respond(send, status=404)

    return SessionMiddleware(Keeper(app), secret_key=KEY)


# ---- Starlette ----------------------------------------------------------------------------------


def starlette(site):
    """
    Handlers are functions of a request; some are coroutines.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
    from starlette.routing import Route

    def text(body):
        return PlainTextResponse(body, headers={"x-own": "kept"})

    def plain(request):
        return text(site.plain())

    async def boom(request):
        return text(site.boom())

    async def item(request):
        return text(site.plain())

    async def pay(request):
        site.pay()
        return RedirectResponse("/thanks", 303)

    async def status(request):
        return Response(status_code=int(request.path_params["code"]))

    async def stream(request):
        return StreamingResponse(site.chunks())

    async def who(request):
        return PlainTextResponse(site.who())

    async def session(request):
        request.session["cart"] = 1
        return PlainTextResponse("begun")

    @cx.interaction("own.visit")
    async def own(request):
        return text(site.plain())

    return Starlette(
        routes=[
            Route("/plain", plain),
            Route("/boom", boom),
            Route("/items/{item}", item),
            Route("/pay", pay, methods=["POST"]),
            Route("/status/{code:int}", status),
            Route("/stream", stream),
            Route("/who", who),
            Route("/own", own),
            Route("/healthz", who),
            Route("/session", session),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key=KEY)],
    )


# ---- FastAPI ------------------------------------------------------------------------------------


def fastapi(site, **how):
    """
    Handlers with typed parameters, some in an included router.
    """
    from fastapi import APIRouter, FastAPI, Request
    from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

    app = FastAPI(openapi_url=None, **how)
    router = APIRouter()
    kept = {"x-own": "kept"}

    @app.get("/plain", response_class=PlainTextResponse)
    def plain(response: Response):
        response.headers.update(kept)
        return site.plain()

    @app.get("/boom")
    async def boom():
        return site.boom()

    @router.get("/items/{item}", response_class=PlainTextResponse)
    async def item(item: str, response: Response):
        response.headers.update(kept)
        return site.plain()

    @app.post("/pay")
    async def pay():
        site.pay()
        return RedirectResponse("/thanks", 303)

    @app.get("/status/{code}")
    async def status(code: int):
        return Response(status_code=code)

    @router.get("/stream")
    async def stream():
        return StreamingResponse(site.chunks())

    @app.get("/who", response_class=PlainTextResponse)
    async def who():
        return site.who()

    @router.get("/own", response_class=PlainTextResponse)
    @cx.interaction("own.visit")
    def own(response: Response):
        response.headers.update(kept)
        return site.plain()

    app.get("/healthz", response_class=PlainTextResponse)(who)

    @app.get("/session")
    async def session(request: Request):
        request.session["cart"] = 1

    app.include_router(router)
    app.add_middleware(SessionMiddleware, secret_key=KEY)
    return app


# ---- Litestar -----------------------------------------------------------------------------------


def litestar(site):
    """
    Another framework, which knows nothing of Starlette.
    """
    from litestar import Litestar, Request, Response, get, post
    from litestar.response import Redirect, Stream

    kept = {"x-own": "kept"}
    hows = {"media_type": "text/plain", "sync_to_thread": False}

    def text(body):
        return Response(body, headers=kept)

    @get("/plain", **hows)
    def plain() -> Response[str]:
        return text(site.plain())

    @get("/boom", **hows)
    def boom() -> Response[str]:
        return text(site.boom())

    @get("/items/{item:str}", **hows)
    def item() -> Response[str]:
        return text(site.plain())

    @post("/pay")
    async def pay() -> Redirect:
        site.pay()
        return Redirect("/thanks", status_code=303)

    @get("/status/{code:int}")
    async def status(request: Request) -> Response[None]:
        return Response(None, status_code=request.path_params["code"])

    @get("/stream")
    async def stream() -> Stream:
        return Stream(site.chunks())

    @get(["/who", "/healthz"], **hows)
    def who() -> Response[str]:
        return Response(site.who())

    @get("/own", **hows)
    @cx.interaction("own.visit")
    def own() -> Response[str]:
        return text(site.plain())

    handlers = [plain, boom, item, pay, status, stream, who, own]
    return Litestar(handlers, openapi_config=None)
