"""
What is ours in a session of the host: read without a trace, written only where there is a session.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import flask.globals
from flask.sessions import SecureCookieSession

from cxsdk._guard import voice
from cxsdk.integrations.session import known_as
from cxsdk.integrations.trail import KEY

__all__ = [
    "OWNER",
    "VISITOR",
    "contexts",
    "fit",
    "held_in",
    "in_use",
    "keep",
    "login_in",
    "opened",
    "peek",
]

VISITOR = "s"
"""Under this, in what is ours, a session has the random id that stands for its visitor."""

OWNER = "o"
"""Under this, whom that id is of, where the session does not say itself who is logged in."""

_MOST_BYTES = 3800
"""Of a session in a cookie: browsers drop one of more than 4,096 with its name and attributes, and
with it the login."""

_GROWS = 2
"""How many times longer than it looks in Python a session in ASCII is at most, as JSON in base64."""

_FLASKS = frozenset({KEY, "_permanent"})
contexts: ContextVar[Any] = vars(flask.globals).get("_cv_request") or flask.globals._cv_app
"""Flask's own, without the detour by way of its proxies: they would cost as much as all of ours."""


def opened() -> Any:
    """
    Return the session of the running request; its being looked at changes no header.
    """
    context = contexts.get(None)
    # Newer Flasks note each access by way of the property, and let the response vary by cookie.
    found = getattr(context, "_session", None)
    return getattr(context, "session", None) if found is None else found


def peek(session: Any, name: str) -> Any:
    """
    Return what *session* has under *name*, None where there is nothing.
    """
    if isinstance(session, dict):
        return dict.get(session, name)
    return None if session is None else session.get(name)


def held_in(session: Any) -> Mapping[str, Any]:
    """
    Return what is ours.
    """
    held = peek(session, KEY)
    return held if isinstance(held, Mapping) else {}


def login_in(session: Any, name: str) -> str | int | None:
    """
    Return the id of who is logged in that *session* has under *name*.
    """
    return known_as(peek(session, name))


def in_use(session: Any) -> bool:
    """
    Say whether the host keeps anything in *session*.
    """
    return session is not None and any(name not in _FLASKS for name in session)


def keep(session: Any, more: Mapping[str, Any]) -> None:
    """
    Put *more* beside what is ours. A session that the host does not use is not begun, and one that
    it has emptied does not live on for our sake.
    """
    held = held_in(session)
    if not in_use(session):
        if held and getattr(session, "modified", False):
            session.pop(KEY, None)
    elif more:
        session[KEY] = {**held, **more}


def fit(session: Any, app: flask.Flask) -> None:
    """
    Where *session* is about to be written into a cookie that is too small for it, take out what is
    ours: first the last interaction, then all.
    """
    if not isinstance(session, SecureCookieSession) or not session.modified:
        return
    held = held_in(session)
    if not held or _is_small(session, app):
        return
    words = "cxsdk: the session's cookie is full, so the next page does not know what was done last"
    voice.say(logging.WARNING, "flask:full", words)
    session[KEY] = {name: held[name] for name in (VISITOR, OWNER) if name in held}
    if not _is_small(session, app):
        session.pop(KEY, None)


def _is_small(session: SecureCookieSession, app: flask.Flask) -> bool:
    text = str(dict(session))
    if text.isascii() and len(text) * _GROWS < _MOST_BYTES:
        return True
    signing = getattr(app.session_interface, "get_signing_serializer", lambda _: None)(app)
    return signing is None or len(signing.dumps(dict(session))) <= _MOST_BYTES
