"""
What happened to the customer, on the span of the request: for those who look at traces.

The other way round needs nothing: an event carries the ``traceparent`` of the active span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from opentelemetry import trace

if TYPE_CHECKING:
    from cxsdk.events.model import Event

__all__ = ["SpanAttributes"]


@attrs.define(frozen=True)
class SpanAttributes:
    """
    A listener that puts ``cx.touchpoint``, ``cx.interaction_id``, ``cx.outcome`` and
    ``cx.goal_met`` of interactions on the active span: ``cx.init(listeners=[SpanAttributes()])``, or
    ``spans`` in an integration's settings.

    No id of a customer is among them. Several interactions in one span: the last one stays. As a
    listener it makes each event cost about 0.1 ms. Thread-safe; a span that has ended, or is not
    sampled, is left alone.
    """

    def __call__(self, event: Event) -> None:
        """
        Take note of *event*, where it is an interaction.
        """
        span = trace.get_current_span()
        if event.family != "interaction" or not span.is_recording():
            return
        data = event.data
        said = {
            "touchpoint": data.where.touchpoint,
            "interaction_id": data.interaction_id,
            "outcome": data.outcome,
            "goal_met": data.goal_met,
        }
        for name, value in said.items():
            if value is not None:
                span.set_attribute(f"cx.{name}", value)
