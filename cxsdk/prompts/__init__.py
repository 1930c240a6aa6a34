"""
Asking: prompts in context, decided on the server, fair to the customer.

``cx.prompts.offer(...)`` and its siblings are those of the default client's `Engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from cxsdk import _current
from cxsdk.prompts.model import (
    Echo,
    FollowUp,
    FrequencyCap,
    Prompt,
    QuotaRule,
    Sampling,
    Trigger,
)
from cxsdk.prompts.offer import Offer, Receipt, Suppressed, Whom
from cxsdk.prompts.question import Choice, Question, ShowIf, umux_lite

if TYPE_CHECKING:
    from cxsdk.prompts.deciding import Verdict
    from cxsdk.prompts.engine import Engine
    from cxsdk.prompts.faces.tag import Tag
    from cxsdk.prompts.faces.web import Asgi, Wsgi

__all__ = [
    "Choice",
    "Echo",
    "FollowUp",
    "FrequencyCap",
    "Offer",
    "Prompt",
    "Question",
    "QuotaRule",
    "Receipt",
    "Sampling",
    "ShowIf",
    "Suppressed",
    "Trigger",
    "advance",
    "aoffer",
    "asgi_app",
    "asubmit",
    "default_engine",
    "explain",
    "find",
    "forget",
    "known_as",
    "offer",
    "opt_out",
    "remember",
    "run_due",
    "submit",
    "submit_text",
    "sweep",
    "tag",
    "umux_lite",
    "wsgi_app",
]


def default_engine() -> Engine | None:
    """
    Return the default client's engine; None before ``init`` and where capture is off.
    """
    client = _current.client()
    found: Engine | None = None if client is None else client.asker.in_handler()
    return found


def _nobody(key: str | None) -> Suppressed:
    return Suppressed("not_initialised" if _current.client() is None else "disabled", key or "")


def offer(key: str | None = None, **how: Unpack[Whom]) -> Offer | Suppressed:
    """
    Decide whether to ask, now; see `Engine.offer`.
    """
    found = default_engine()
    return _nobody(key) if found is None else found.offer(key, **how)


async def aoffer(key: str | None = None, **how: Unpack[Whom]) -> Offer | Suppressed:
    """
    Like `offer`, without blocking the event loop.
    """
    found = default_engine()
    if found is None:
        return _nobody(key)
    return await found.aoffer(key, **how)


def remember(about: Any = None) -> str:
    """
    Return a signed text that stands for an interaction; see `Engine.remember`.
    """
    found = default_engine()
    return "" if found is None else found.remember(about)


def find(token: str, channels: Sequence[str] | None = None) -> Offer | Receipt:
    """
    Return the offer that *token* stands for; see `Engine.find`.
    """
    found = default_engine()
    return Receipt(outcome="unavailable") if found is None else found.find(token, channels)


def advance(token: str, to: Any, *, reason: str | None = None) -> bool:
    """
    Say that an offer was shown, started or dismissed; see `Engine.advance`.
    """
    found = default_engine()
    return found is not None and found.advance(token, to, reason=reason)


def submit(token: str, answers: Mapping[str, Any], **how: Any) -> Receipt:
    """
    Take an answer; see `Engine.submit`.
    """
    found = default_engine()
    return Receipt(outcome="unavailable") if found is None else found.submit(token, answers, **how)


async def asubmit(token: str, answers: Mapping[str, Any], **how: Any) -> Receipt:
    """
    Like `submit`, without blocking the event loop.
    """
    found = default_engine()
    if found is None:
        return Receipt(outcome="unavailable")
    return await found.asubmit(token, answers, **how)


def submit_text(token: str, text: str) -> Receipt:
    """
    Take a line of chat as an answer; see `Engine.submit_text`.
    """
    found = default_engine()
    return Receipt(outcome="unavailable") if found is None else found.submit_text(token, text)


def run_due(send: Callable[[Offer, Mapping[str, str]], object], limit: int = 50) -> int:
    """
    Ask those whose time has come; see `Engine.run_due`.
    """
    found = default_engine()
    return 0 if found is None else found.run_due(send, limit)


def sweep() -> int:
    """
    End offers whose time is over; see `Engine.sweep`.
    """
    found = default_engine()
    return 0 if found is None else found.sweep()


def wsgi_app(**how: Any) -> Wsgi:
    """
    Return the endpoint that shows offers and takes answers, to be mounted in a WSGI server.

    Args:
        how: ``origins``, ``returns`` and ``mount``, see `faces.wsgi_app`.
    """
    from cxsdk.prompts.faces import web

    return web.wsgi_app(default_engine, **how)


def asgi_app(**how: Any) -> Asgi:
    """
    Return the endpoint for an ASGI server; see `wsgi_app`.
    """
    from cxsdk.prompts.faces import web

    return web.asgi_app(default_engine, **how)


def tag(base: str = "/cx") -> Tag:
    """
    Return ``cx_prompt`` for templates of Jinja2; *base* is where the endpoint is mounted.
    """
    from cxsdk.prompts.faces.tag import Tag

    return Tag(default_engine, base=base)


def explain(key: str, **how: Unpack[Whom]) -> list[Verdict]:
    """
    Return what each rule says for a customer; see `Engine.explain`.
    """
    found = default_engine()
    return [] if found is None else found.explain(key, **how)


def known_as(customer: Any = None, *, anonymous: str | None = None) -> dict[str, str]:
    """
    Return a customer as `run_due` hands them to *send*: ``{"id": …}``, a pseudonym where a key is
    set. For finding the address of whoever it is; empty before ``init`` and where capture is off.

    Raises:
        InvalidEventError: an id is wrong.
    """
    client = _current.client()
    capture = None if client is None else client.capture()
    if capture is None:
        return {}
    return dict(capture.known((customer, anonymous, None, None)).block or {})


def opt_out(customer: Any = None, *, anonymous: str | None = None) -> None:
    """
    Never ask this customer again; see `Engine.opt_out`.
    """
    found = default_engine()
    if found is not None:
        found.opt_out(customer, anonymous=anonymous)


def forget(customer: Any = None, *, anonymous: str | None = None) -> int:
    """
    Erase what the store knows of a customer; see `Engine.forget`.
    """
    found = default_engine()
    return 0 if found is None else found.forget(customer, anonymous=anonymous)
