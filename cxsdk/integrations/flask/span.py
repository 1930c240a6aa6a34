"""
What is known of an interaction when its response begins, on the span of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace

from cxsdk.integrations.front import _as_case

if TYPE_CHECKING:
    from cxsdk.integrations.visit import Visit

__all__ = ["mark"]


def mark(visit: Visit) -> None:
    """
    Put what `SpanAttributes` would on the active span, where that is recorded.
    """
    span = trace.get_current_span()
    case = _as_case(visit.interaction, visit, 0.0) if span.is_recording() else None
    if case is not None:
        span.set_attribute("cx.touchpoint", case.touchpoint)
        span.set_attribute("cx.interaction_id", case.interaction_id)
        for name, value in case.data.items():
            span.set_attribute(f"cx.{name}", value)
