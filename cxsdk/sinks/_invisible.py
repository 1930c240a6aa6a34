"""
Keeps a sink's own requests out of the host's traces and logs.

Otherwise an instrumented HTTP library makes a span of each delivery, and a root log handler that
turns lines into events feeds on itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["in_send", "invisible", "quiet"]

in_send: ContextVar[bool] = ContextVar("cxsdk_in_send", default=False)
"""True while this thread is inside a sink's request."""

_OTEL_KEYS = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")


@contextmanager
def invisible() -> Iterator[None]:
    """
    Suppress OpenTelemetry instrumentation, and the lines of `quiet` loggers, inside the block.

    Thread- and task-local. Without OpenTelemetry only the log part remains.
    """
    mark = in_send.set(True)
    try:
        from opentelemetry import context
    except ImportError:
        try:
            yield
        finally:
            in_send.reset(mark)
        return
    # "suppress_instrumentation" as plain text is what contrib packages before 0.42 look for.
    inner = context.set_value("suppress_instrumentation", value=True)
    for name in _OTEL_KEYS:
        key = getattr(context, name, None)
        if key is not None:
            inner = context.set_value(key, value=True, context=inner)
    token = context.attach(inner)
    try:
        yield
    finally:
        context.detach(token)
        in_send.reset(mark)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        """
        Let a record pass unless this thread is sending for us.
        """
        return not in_send.get()


_NOT_OURS = _NotOurs()


def quiet(*names: str) -> None:
    """
    Drop what these loggers say about our own requests; the host's own are logged as before.
    """
    for name in names:
        logging.getLogger(name).addFilter(_NOT_OURS)  # adding one filter twice adds it once
