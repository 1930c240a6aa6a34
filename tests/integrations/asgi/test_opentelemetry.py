"""
Beside OpenTelemetry's own instrumentation: one span and one event, linked; nothing of ours traced.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import cxsdk as cx
from cxsdk.integrations import asgi, fastapi, starlette
from cxsdk.testing.conformance._driving import Ask, acall
from cxsdk.testing.conformance._site import Site
from cxsdk.testing.faults import FaultCollector
from tests.integrations.asgi import apps

U1 = {"x-user": "u1"}
ALL = [{"route": "*"}]


@pytest.fixture
def spans():
    """Return a provider whose finished spans are kept, and how to get them."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    yield provider, kept.get_finished_spans
    provider.shutdown()


def by_header(request):
    return request.headers.get("x-user")


def of_starlette(provider, is_first):
    app = apps.starlette(Site())
    if is_first:
        StarletteInstrumentor.instrument_app(app, tracer_provider=provider)
    starlette.CX(app, interactions=ALL, customer=by_header)
    if not is_first:
        StarletteInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def of_fastapi(provider, is_first):
    app = apps.fastapi(Site())
    if is_first:
        FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    fastapi.CX(app, interactions=ALL, customer=by_header)
    if not is_first:
        FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def of_fastapi_itself(provider, is_first):
    if "telemetry" not in inspect.signature(FastAPI.__init__).parameters:
        pytest.skip("this FastAPI makes no spans of its own")
    app = apps.fastapi(Site(), telemetry={"tracer_provider": provider})
    fastapi.CX(app, interactions=ALL, customer=by_header)
    return app


def of_asgi(provider, is_first):
    inner = asgi.CX(
        apps.bare(Site()), routes=apps.BARE, interactions=ALL, customer=lambda scope: "u1"
    )
    return OpenTelemetryMiddleware(inner, tracer_provider=provider)


@pytest.mark.parametrize("make", [of_starlette, of_fastapi, of_fastapi_itself, of_asgi])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_an_event_links_to_the_span_of_its_request(make, is_first, path, spans, cx_events):
    """Whichever of the two was installed first, and although a stream ends after its handler."""
    provider, finished = spans
    asyncio.run(acall(make(provider, is_first), Ask(path, headers=U1)))
    (server,) = [span for span in finished() if span.kind is SpanKind.SERVER]
    event = cx_events.one("interaction")
    trace_id, span_id = event.traceparent.split("-")[1:3]
    assert int(trace_id, 16) == server.context.trace_id
    assert int(span_id, 16) == server.context.span_id


def test_nothing_of_ours_is_traced(spans):
    """Neither delivery nor the endpoint's own work makes spans."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    provider, finished = spans
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    try:
        with FaultCollector() as collector:
            client = cx.init("shop", collector=collector.url)
            app = of_fastapi(provider, is_first=True)
            asyncio.run(acall(app, Ask("/plain", headers=U1)))
            client.flush(10.0)
            assert len(collector.ids) == 1
            client.close(0)
    finally:
        HTTPXClientInstrumentor().uninstrument()
    names = {span.instrumentation_scope.name for span in finished()}
    assert names == {"opentelemetry.instrumentation.fastapi"}
    assert len([span for span in finished() if span.kind is SpanKind.SERVER]) == 1
