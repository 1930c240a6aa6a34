"""
Beside OpenTelemetry's own instrumentation of Flask.
"""

from __future__ import annotations

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import cxsdk as cx
from cxsdk.integrations.flask import CX
from cxsdk.testing.faults import FaultCollector


@pytest.fixture
def spans():
    """What is traced."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    kept.provider = provider
    yield kept
    provider.shutdown()


def server(spans):
    return [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]


def routes(app):
    @app.get("/x")
    def x():
        cx.record("x.inside")
        return "x"

    @app.get("/boom")
    def boom():
        raise KeyError

    @app.get("/stream")
    def stream():
        return flask.Response(flask.stream_with_context(c for c in "abc"))


@pytest.mark.parametrize("order", ["class, us", "app, us", "us, app"])
def test_events_link_to_the_span_of_their_request(order, spans, user, u1, cx_events):
    """Whoever comes first; one span and one interaction for each request, its body included."""
    instrumentor = FlaskInstrumentor()
    if order == "class, us":
        instrumentor.instrument(tracer_provider=spans.provider)
    try:
        app = flask.Flask("shop")
        app.config["PROPAGATE_EXCEPTIONS"] = False
        app.logger.disabled = True
        routes(app)
        if order == "app, us":
            instrumentor.instrument_app(app, tracer_provider=spans.provider)
        CX(app, customer=user, interactions=[{"route": "*"}])
        if order == "us, app":
            instrumentor.instrument_app(app, tracer_provider=spans.provider)
        client = app.test_client()
        expected = []
        for path in ("/x", "/boom", "/stream"):
            cx_events.clear()
            spans.clear()
            client.get(path, headers=u1).close()
            (span,) = server(spans)
            links = {event.traceparent.split("-")[1] for event in cx_events}
            assert links == {f"{span.context.trace_id:032x}"}
            expected.append(len(cx_events.of("interaction")))
        assert expected == [2, 1, 1]
    finally:
        if order == "class, us":
            instrumentor.uninstrument()


def test_our_own_requests_are_not_traced(spans, app, user, u1):
    """What is delivered to the collector makes no spans, and the events say no loop."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    FlaskInstrumentor().instrument_app(app, tracer_provider=spans.provider)
    try:
        with FaultCollector() as collector:
            CX(app, collector=collector.url, customer=user, interactions=[{"route": "*"}])
            app.add_url_rule("/y", view_func=lambda: "y")
            app.test_client().get("/y", headers=u1).close()
            assert cx.flush(10).delivered == 1
            cx.close(5)
    finally:
        instrumentor.uninstrument()
    assert [span.name for span in spans.get_finished_spans()] == ["GET /y"]


def test_what_happened_may_stand_on_the_span(spans, app, user, u1, cx_events):
    """``spans=True``: also of a stream, whose last byte is later than the span."""
    before = cx.client()
    CX(app, customer=user, spans=True, interactions=[{"route": "*"}])
    FlaskInstrumentor().instrument_app(app, tracer_provider=spans.provider)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True
    routes(app)
    for path in ("/x", "/boom", "/stream"):
        app.test_client().get(path, headers=u1).close()
    said = [(s.attributes["cx.touchpoint"], s.attributes["cx.outcome"]) for s in server(spans)]
    assert said == [("x", "success"), ("boom", "failure"), ("stream", "success")]
    assert cx.client() is before
