"""
Events of a task are in the trace that it was sent from, and in nobody's way.
"""

from __future__ import annotations

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import cxsdk as cx
from cxsdk.testing import capture
from tests.lifecycle.life import until


@pytest.fixture
def tracer():
    """A tracer of a host that uses OpenTelemetry."""
    return TracerProvider().get_tracer("host")


@pytest.fixture
def say(app, client):
    """A task that says something of each way to encode it, and sends another one."""

    @app.task
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def say(again=0):
        cx.feedback(csat=4, customer="kunde-1")
        if again:
            say.delay(again - 1)

    return say


def traces(events):
    """Return the traces that events are in."""
    return {None if e.traceparent is None else e.traceparent.split("-")[1] for e in events}


def test_events_link_to_the_trace_of_whoever_sent_the_task(app, say, tracer, working):
    """In the task, and in those that it sends; afterwards in none."""
    with capture() as events, working(app):
        with tracer.start_as_current_span("request") as span:
            sent = f"{span.get_span_context().trace_id:032x}"
            say.delay(1)
        until(lambda: len(events) >= 4, "4 events")
        assert traces(events) == {sent}
        say.delay()
        until(lambda: len(events) >= 6, "6 events")
    assert traces(events[4:]) == {None}


def test_the_hosts_own_spans_are_not_touched(app, client, tracer, working):
    """What the host traces in a task has no parent that it did not set up."""

    @app.task
    def work():
        assert not trace.get_current_span().get_span_context().is_valid
        with tracer.start_as_current_span("work") as span:
            cx.feedback(csat=4, customer="kunde-1")
            return span.parent is None, f"{span.get_span_context().trace_id:032x}"

    with capture() as events, working(app), tracer.start_as_current_span("request"):
        has_no_parent, own = work.delay().get(timeout=20, interval=0.02)
    assert has_no_parent
    assert traces(events) == {own}


def test_beside_instrumentation_of_celery_its_spans_win(app, client, tracer, working):
    """What it writes into the headers is there, and events are in the span that it opened."""
    from celery import signals

    propagator, open_spans = TraceContextTextMapPropagator(), {}

    def publish(headers=None, **_):
        with tracer.start_as_current_span("send"):
            propagator.inject(headers)

    def before(task=None, task_id=None, **_):
        parent = propagator.extract(dict(task.request.headers))
        span = tracer.start_span("run", context=parent)
        open_spans[task_id] = (span, context.attach(trace.set_span_in_context(span)))

    def after(task_id=None, **_):
        context.detach(open_spans[task_id][1])

    @app.task
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def work():
        cx.feedback(csat=4, customer="kunde-1")

    signals.before_task_publish.connect(publish)
    signals.task_prerun.connect(before)
    signals.task_postrun.connect(after)
    try:
        with capture() as events, working(app), tracer.start_as_current_span("request") as span:
            result = work.delay()
            result.get(timeout=20, interval=0.02)
    finally:
        signals.before_task_publish.disconnect(publish)
        signals.task_prerun.disconnect(before)
        signals.task_postrun.disconnect(after)
    ran, _ = open_spans[result.id]
    assert traces(events) == {f"{span.get_span_context().trace_id:032x}"}
    assert {e.traceparent.split("-")[2] for e in events} == {
        f"{ran.get_span_context().span_id:016x}"
    }


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nonsense",
        "00-1-2-3",
        7,
        f"00-{'0' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'2' * 16}-01",
    ],
)
def test_a_traceparent_that_is_none_is_left_out(app, client, working, wrong):
    """Whatever stands in the header, the event is kept."""

    @app.task
    @cx.interaction("notice.sent", customer=lambda *_: "kunde-1")
    def work():
        cx.feedback(csat=4, customer="kunde-1")

    with capture() as events, working(app):
        work.apply_async(headers={"traceparent": wrong}).get(timeout=20, interval=0.02)
    assert len(events) == 2
    assert traces(events) == {None}
