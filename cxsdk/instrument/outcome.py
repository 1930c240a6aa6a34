"""
From how a call ended to the outcome of the interaction.

The outcome says what the service did; whether the customer got what they came for is
``goal_met``, and how they saw it is a feedback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["IGNORED", "Fails", "Outcome", "judge"]

Fails = Mapping[type[BaseException], str]
Outcome = tuple[str, str | None, str | None]
"""(outcome, reason, error.type)"""

IGNORED: Outcome = ("ignored", None, None)

_FRAMEWORKS = frozenset(
    [
        "werkzeug",
        "flask",
        "starlette",
        "fastapi",
        "django",
        "rest_framework",
        "aiohttp",
        "litestar",
        "quart",
        "falcon",
        "bottle",
        "pyramid",
        "tornado",
        "sanic",
    ]
)
# What a client in a framework's package raises says how another service answered, not ours.
_CLIENTS = ("aiohttp.client", "tornado.httpclient", "tornado.simple_httpclient")
_GONE = frozenset(
    {"ClientDisconnect", "ClientDisconnected", "UnreadablePostError", "WebSocketDisconnect"}
)
_DJANGO = {
    "Http404": 404,
    "PermissionDenied": 403,
    "BadRequest": 400,
    "MultiPartParserError": 400,
    "SuspiciousOperation": 400,
}


def judge(
    error: BaseException,
    fails: Fails | None,
    ignore: tuple[type[BaseException], ...],
    classify: Callable[[BaseException], Any] | None,
) -> Outcome:
    """
    Return (outcome, reason, error type) for *error*.

    Args:
        error: what ended the call.

        fails: exception class → reason token; the nearest class in the MRO wins.

        ignore: classes that mean: this was no interaction at all.

        classify: the team's own word, asked first; returns None, an outcome, or a pair of
            outcome and reason.
    """
    if classify is not None:
        said = classify(error)
        if said is not None:
            outcome, reason = said if isinstance(said, tuple) else (said, None)
            return outcome, reason, None
    if fails:
        for cls in type(error).__mro__:
            if cls in fails:
                return "failure", fails[cls], _name(error)
    if ignore and isinstance(error, ignore if isinstance(ignore, type) else tuple(ignore)):
        return IGNORED
    return _by_kind(error)


def _by_kind(error: BaseException) -> Outcome:
    if isinstance(error, GeneratorExit) or _is_cancelled(error) or type(error).__name__ in _GONE:
        return "abandoned", None, None
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "unknown", None, None
    told = _of_celery(error)
    if told is not None:
        return told
    status = _status(error)
    if status is None:
        return "failure", None, _name(error)
    if status >= 500:
        return "failure", None, str(status)
    return ("unknown", None, str(status)) if status >= 400 else ("success", None, None)


def _of_celery(error: BaseException) -> Outcome | None:
    """
    Return what Celery's control flow means, None of any other exception: an attempt that another
    one follows is no contact of its own; of a task that is given up nobody knows how it ended.
    """
    kinds = {c.__name__ for c in type(error).__mro__ if c.__module__ == "celery.exceptions"}
    if "Retry" in kinds or ("Reject" in kinds and getattr(error, "requeue", False)):
        return IGNORED
    return ("unknown", None, None) if kinds & {"Ignore", "Reject"} else None


def _is_cancelled(error: BaseException) -> bool:
    # Importing them costs 20 ms; without them nobody can have been cancelled.
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None and isinstance(error, asyncio.CancelledError):
        return True
    return trio is not None and isinstance(error, trio.Cancelled)


def _status(error: BaseException) -> int | None:
    """
    Return the HTTP status of a framework's control-flow exception, else None.
    """
    kinds = [c for c in type(error).__mro__ if c.__module__.partition(".")[0] in _FRAMEWORKS]
    if not kinds or any(kind.__module__.startswith(_CLIENTS) for kind in kinds):
        return None
    response = getattr(error, "response", None)
    for holder in (error, response):
        for name in ("code", "status_code", "status"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value <= 599:
                return value
    return next((_DJANGO[kind.__name__] for kind in kinds if kind.__name__ in _DJANGO), None)


def _name(error: BaseException) -> str:
    """
    Return OpenTelemetry's ``error.type``: the qualified class name, of low cardinality.
    """
    cls = type(error)
    module = cls.__module__
    name = cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"
    return "".join(c for c in name if c.isprintable())[-200:]
