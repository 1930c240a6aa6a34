"""
The endpoint under real servers and frameworks, mounted as the documentation says.
"""

from __future__ import annotations

import asyncio
import io
import threading
from wsgiref.validate import validator

import httpx
import pytest

from cxsdk.prompts.faces import asgi_app, wsgi_app
from tests.prompts.faces.conftest import FORM


def environ(method, path, body=b"", **more):
    found = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "/cx",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": "",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "shop.example",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    return {**found, **more}


def call(app, given):
    seen = []
    chunks = app(given, lambda status, headers, error=None: seen.append((status, dict(headers))))
    body = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    return (*seen[0], body)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
def test_it_keeps_to_the_wsgi_specification(desk, method):
    """As wsgiref's validator sees it."""
    app = validator(wsgi_app(desk.engine))
    for path in (f"/o/{desk.offer().token}", "/nothing", "/static/cx-prompt.js"):
        given = environ(method, path)
        del given["CONTENT_TYPE"], given["CONTENT_LENGTH"]
        status, headers, _ = call(app, given)
        assert status[:3] in {"200", "204", "404", "405"}
        assert "Set-Cookie" not in headers


def test_a_form_posts_to_where_it_is_mounted(desk):
    """The path of the mount comes from the server, or is said."""
    offer = desk.offer()
    _, _, body = call(wsgi_app(desk.engine), environ("GET", f"/o/{offer.token}"))
    assert f'action="/cx/o/{offer.token}"' in body.decode()
    _, _, body = call(wsgi_app(desk.engine, mount="/ask"), environ("GET", f"/o/{offer.token}"))
    assert f'action="/ask/o/{offer.token}"' in body.decode()


def test_a_body_without_a_length_is_read_where_the_server_ends_it(desk):
    """Chunked bodies; elsewhere nothing is waited for."""
    app = wsgi_app(desk.engine)
    offer = desk.offer()
    body = b"versus=better"
    given = environ("POST", f"/o/{offer.token}", body, CONTENT_LENGTH="")
    assert call(app, given)[0].startswith("422 ")  # its words are the version's
    given = environ(
        "POST", f"/o/{offer.token}", body, CONTENT_LENGTH="", **{"wsgi.input_terminated": True}
    )
    assert call(app, given)[0] == "303 See Other"


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999", "x"])
def test_a_false_length_does_no_harm(desk, length):
    """It is read as it is, and never for ever."""
    given = environ("POST", f"/o/{desk.offer().token}", b"versus=better", CONTENT_LENGTH=length)
    assert call(wsgi_app(desk.engine), given)[0][:3] in {"303", "422"}


def test_no_engine_is_no_failure(desk):
    """While the host has none, 503."""
    status, headers, _ = call(wsgi_app(lambda: None), environ("GET", "/o/x"))
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "60")


def test_in_flask(desk, shop):
    """Mounted with DispatcherMiddleware; a real server, a form, a redirect back into the shop."""
    offer = desk.offer("versus")
    with httpx.Client(base_url=shop.url, trust_env=False) as http:
        page = http.get(f"/cx/o/{offer.token}?v=better")
        assert (page.status_code, 'value="better" checked' in page.text) == (200, True)
        big = http.post(
            f"/cx/o/{offer.token}", content=b"x" * 1_000_000, headers={"content-type": FORM}
        )
        assert big.status_code == 413
        done = http.post(
            f"/cx/o/{offer.token}",
            data={"versus": "better", "cx-return": "/thanks"},
            follow_redirects=True,
        )
        assert "Back in the shop" in done.text
    assert desk.events.one("feedback").data.versus_expectation == "better"


@pytest.mark.parametrize("kind", ["starlette", "alone"])
def test_in_asgi(desk, kind):
    """Mounted in Starlette, as in FastAPI, or alone under uvicorn."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = asgi_app(desk.engine)
    app = Starlette(routes=[Mount("/cx", app=inner)]) if kind == "starlette" else inner
    mount = "/cx" if kind == "starlette" else ""
    config = uvicorn.Config(app, port=0, log_level="error", ws="none", http="h11", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    offer = desk.offer()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        page = http.get(f"{mount}/o/{offer.token}")
        assert f'action="{mount}/o/{offer.token}"' in page.text
        assert (
            http.get(f"{mount}/static/cx-prompt.css").headers["content-type"].startswith("text/css")
        )
        big = http.post(
            f"{mount}/o/{offer.token}", content=b"x" * 1_000_000, headers={"content-type": FORM}
        )
        assert big.status_code == 413
        done = http.post(f"{mount}/o/{offer.token}", data={"versus": "worse"})
        assert (done.status_code, done.headers["location"]) == (
            303,
            f"{mount}/o/{offer.token}?done=1",
        )
        head = http.head(f"{mount}/o/{offer.token}")
        assert (head.status_code, head.content) == (200, b"")
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    assert desk.events.one("feedback").data.versus_expectation == "worse"


def test_asgi_hears_no_websocket(desk):
    """Other protocols are left alone."""

    async def never(*_):
        raise AssertionError

    asyncio.run(asgi_app(desk.engine)({"type": "websocket"}, never, never))
