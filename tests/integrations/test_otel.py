"""
Events and spans of one request find each other.
"""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import cxsdk as cx
from cxsdk.integrations.options import read
from cxsdk.integrations.otel import SpanAttributes
from cxsdk.testing import capture
from tests.integrations.test_front import Fields


@pytest.fixture
def spans():
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    yield provider.get_tracer("host"), memory.get_finished_spans
    provider.shutdown()


@pytest.fixture
def events():
    cx.init("shop", collector="null:", listeners=[SpanAttributes()])
    with capture() as captured:
        yield captured


def test_a_span_shows_what_happened_and_not_to_whom(spans, events):
    """Touchpoint, outcome and ids of the interaction; nothing of the customer."""
    tracer, finished = spans
    with tracer.start_as_current_span("GET /x"):
        with cx.interaction("checkout.pay", customer="u-17") as contact:
            contact.goal_met = "yes"
        cx.feedback(csat=5, customer="u-17")
    (span,) = finished()
    assert dict(span.attributes) == {
        "cx.touchpoint": "checkout.pay",
        "cx.interaction_id": contact.interaction_id,
        "cx.outcome": "success",
        "cx.goal_met": "yes",
    }


def test_an_event_that_ends_after_its_handler_belongs_to_the_handler_s_span(spans, events):
    """The body of a response is read when the host's span is out of sight."""
    tracer, finished = spans
    front = Fields(read({"interactions": [{"route": "*"}]})[0])
    visit = front.visit({"user": "u1"}, "/x")
    with tracer.start_as_current_span("GET /x") as span, visit:
        visit.began("GET", "/x", None)
    with tracer.start_as_current_span("another"):
        visit.answered(200)
        visit.end()
    context = span.get_span_context()
    assert events[0].traceparent.split("-")[1:3] == [
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
    ]
    assert [dict(each.attributes) for each in finished()] == [{}, {}]


def test_settings_ask_for_span_attributes(spans):
    """``spans`` adds the listener behind those of the team, and equal settings stay equal."""
    settings = {"service": "shop", "spans": True, "listeners": [print]}
    assert read(settings)[1]["listeners"] == (print, SpanAttributes())
    assert read(settings)[1] == read(dict(settings))[1]
    assert "listeners" not in read({"service": "shop"})[1]


def test_a_span_that_has_ended_is_left_alone(spans, events, caplog):
    """OpenTelemetry would complain of each attribute in the host's log."""
    tracer, finished = spans
    with tracer.start_as_current_span("GET /x", end_on_exit=False) as span:
        span.end()
        with cx.interaction("checkout.pay", customer="u-17"):
            pass
    assert dict(finished()[0].attributes) == {}
    assert caplog.records == []
