"""
One framework with one thing installed, in a process of its own; prints what a request costs.

``python -m tests.benchmarks.served --framework flask --variant cxsdk --url http://… --requests 3000``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxsdk.testing.conformance._driving import Ask, acall, call

__all__ = ["FRAMEWORKS", "VARIANTS"]

FRAMEWORKS = ("flask", "django", "fastapi")
VARIANTS = ("bare", "cxsdk", "cxsdk, not captured", "otel", "sentry")
_WARM = 300
_ITEMS = 97

App = Any


# ---- what is installed before the application is made --------------------------------------------


def _otel(url: str) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=url + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=200_000))
    trace.set_tracer_provider(provider)


def _sentry(url: str) -> None:
    import sentry_sdk

    sentry_sdk.init(dsn=url.replace("://", "://key@") + "/1", traces_sample_rate=1.0)


def _cxsdk(url: str, variant: str) -> dict[str, Any]:
    rules = [{"route": "*"}] if variant == "cxsdk" else []
    return {
        "service": "bench",
        "collector": url,
        "spool": {"directory": Path(tempfile.mkdtemp()), "mode": "mmap"},
        "interactions": rules,
        "customer": "tests.benchmarks.served.customer",
    }


def customer(request: Any) -> str | None:
    """
    Return who a request is of, in each of the frameworks.
    """
    user: str | None = request.headers.get("x-user")
    return user


# ---- applications --------------------------------------------------------------------------------


def _flask(variant: str, url: str) -> App:
    import flask

    app = flask.Flask("bench")

    @app.get("/items/<int:item>")
    def item(item: int) -> Any:
        return {"item": item, "user": flask.request.headers["x-user"]}

    if variant.startswith("cxsdk"):
        from cxsdk.integrations.flask import CX

        app.config["CXSDK"] = _cxsdk(url, variant)
        CX(app)
    elif variant == "otel":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app)
    return app


def _django(variant: str, url: str) -> App:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse
    from django.urls import path

    layers = ["django.middleware.common.CommonMiddleware"]
    more: dict[str, Any] = {}
    apps = []
    if variant.startswith("cxsdk"):
        layers.append("cxsdk.integrations.django.CX")
        apps.append("cxsdk.integrations.django")
        more["CXSDK"] = _cxsdk(url, variant)

    def item(request: Any, item: int) -> Any:
        return JsonResponse({"item": item, "user": request.headers["x-user"]})

    settings.configure(
        SECRET_KEY="bench",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=type("urls", (), {"urlpatterns": [path("items/<int:item>", item)]}),
        MIDDLEWARE=layers,
        INSTALLED_APPS=apps,
        **more,
    )
    if variant == "otel":
        from opentelemetry.instrumentation.django import DjangoInstrumentor

        DjangoInstrumentor().instrument()
    django.setup()
    return get_wsgi_application()


def _fastapi(variant: str, url: str) -> App:
    from fastapi import FastAPI, Request

    app = FastAPI()

    async def item(item: int, request: Any) -> dict[str, Any]:
        return {"item": item, "user": request.headers["x-user"]}

    # What is imported in a function cannot be found by the text of an annotation.
    item.__annotations__["request"] = Request
    app.get("/items/{item}")(item)
    if variant.startswith("cxsdk"):
        from cxsdk.integrations.fastapi import CX

        CX(app, **_cxsdk(url, variant))
    elif variant == "otel":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app)
    return app


_APPS: dict[str, tuple[str, Callable[[str, str], App]]] = {
    "flask": ("wsgi", _flask),
    "django": ("wsgi", _django),
    "fastapi": ("asgi", _fastapi),
}


# ---- measuring -----------------------------------------------------------------------------------


def _ask(number: int) -> Ask:
    return Ask(f"/items/{number % _ITEMS}", headers={"x-user": f"u{number % _ITEMS}"})


def _run(kind: str, app: App, asks: list[Ask]) -> None:
    if kind == "wsgi":
        for ask in asks:
            reply = call(app, ask)
            assert reply.status == 200, (reply.status, reply.raised)
        return

    async def all_of_them() -> None:
        for ask in asks:
            reply = await acall(app, ask)
            assert reply.status == 200, (reply.status, reply.raised)

    asyncio.run(all_of_them())


def main() -> None:
    """
    Measure and print one JSON object.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framework", choices=FRAMEWORKS, required=True)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--requests", type=int, default=3000)
    args = parser.parse_args()
    if args.variant == "otel":
        _otel(args.url)
    elif args.variant == "sentry":
        _sentry(args.url)
    kind, make = _APPS[args.framework]
    app = make(args.variant, args.url)
    asks = [_ask(number) for number in range(args.requests)]
    _run(kind, app, asks[:_WARM])
    clocks = (time.thread_time, time.process_time, time.perf_counter)
    began = [clock() for clock in clocks]
    _run(kind, app, asks)
    took = [clock() - at for clock, at in zip(clocks, began, strict=True)]
    found = {
        "request_us": took[0] / args.requests * 1e6,
        "process_us": took[1] / args.requests * 1e6,
        "per_second": args.requests / took[2],
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
