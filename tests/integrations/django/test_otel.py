"""
Beside OpenTelemetry's own instrumentation of Django: one trace, and nothing twice.
"""

from __future__ import annotations

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

import cxsdk as cx
from tests.integrations.django.projects import SIGNED, Project

pytest.importorskip("opentelemetry.instrumentation.django")

from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def pay(request):
    cx.reaction("refer")
    return HttpResponse("ok")


def stream(request):
    def chunks():
        yield b"a"

    return StreamingHttpResponse(chunks())


async def astream(request):
    async def chunks():
        yield b"a"

    return StreamingHttpResponse(chunks())


@pytest.fixture(params=["wsgi", "asgi"])
def made(request):
    """A project that is instrumented, and its spans."""
    kind = request.param
    project = Project(
        kind,
        [path("pay", pay), path("stream", stream if kind == "wsgi" else astream)],
        SESSION_ENGINE=SIGNED,
        CXSDK={"customer": lambda _: "u-1", "interactions": [{}]},
    )
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with override_settings(MIDDLEWARE=project.layers):
        DjangoInstrumentor().instrument(tracer_provider=provider)
        try:
            assert project.entry  # it has put itself into the list in front
            yield project, spans
        finally:
            DjangoInstrumentor().uninstrument()


@pytest.mark.parametrize("where", ["/pay", "/stream"])
def test_events_link_to_the_span_of_the_request(made, where, cx_events):
    """Also where the response streams, when the span has ended."""
    project, spans = made
    assert project.ask(where).status == 200
    (span,) = spans.get_finished_spans()
    trace = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    assert len(cx_events) == (2 if where == "/pay" else 1)
    assert {each.traceparent[3:52] for each in cx_events} == {trace}
    assert span.attributes["http.status_code"] == 200
