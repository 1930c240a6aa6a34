"""
What is ours in a session that lies in a mapping, as those of ASGI do: sessions in cookies have no
key of their own, so they get one.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any, TypeAlias

from cxsdk.integrations.trail import KEY

__all__ = [
    "CameWith",
    "begin",
    "came_with",
    "in_use",
    "is_of",
    "key_in",
    "known_as",
    "leave",
    "login_in",
    "remember",
]

_OWN, _OWNER = "s", "o"
"""In what a session has of us: its key, and for whom it got that one."""

CameWith: TypeAlias = tuple[str | int | None, Any]
"""Who was logged in when a request came, None: nobody; and the key that its session had of us."""

_LOGIN = "user_id"
"""Where a session has who is logged in."""


def known_as(found: Any) -> str | int | None:
    """
    Return what a session has as the id of who is logged in; None where it can be none.
    """
    return found if type(found) is int or (isinstance(found, str) and found) else None


def login_in(session: Any) -> str | int | None:
    """
    Return the id of who is logged in, as *session* says; None where nobody is. Raises nothing, and
    leaves no trace.
    """
    return known_as(dict.get(session, _LOGIN)) if isinstance(session, dict) else None


def came_with(session: dict[str, Any]) -> CameWith:
    """
    Return who is logged in, and the key that *session* has of us, likewise.
    """
    held = dict.get(session, KEY)
    return login_in(session), held.get(_OWN) if isinstance(held, dict) else None


def in_use(session: Any) -> bool:
    """
    Say whether the host keeps anything in *session*.
    """
    return isinstance(session, MutableMapping) and any(name != KEY for name in session)


def key_in(session: Mapping[str, Any]) -> Any:
    """
    Return the key that *session* has of us, or None.
    """
    return _held(session).get(_OWN)


def begin(session: MutableMapping[str, Any], named: str | None) -> str:
    """
    Give *session* a key and return it.

    Args:
        named: what its visitor is called already, or None.
    """
    key = named or secrets.token_urlsafe(16)
    session[KEY] = {**_held(session), _OWN: key}
    return key


def is_of(session: Mapping[str, Any], whose: str) -> bool:
    """
    Say whether *session* is known to be of the customer that *whose* stands for.
    """
    return _held(session).get(_OWNER) == whose


def leave(session: MutableMapping[str, Any]) -> None:
    """
    Take key and owner from *session*: its customer has left, and who comes next is another visitor.
    """
    held = _held(session)
    if held and in_use(session):
        session[KEY] = {name: held[name] for name in held if name not in (_OWN, _OWNER)}
    elif held:
        session.pop(KEY, None)


def remember(
    session: Any, kept: Mapping[str, str] | None, whose: str | None, *, is_login: bool = False
) -> None:
    """
    Put *kept* into a session that is in use. It gets another key where somebody has become its
    customer: whoever sits there when they have left is not the visitor that they were.

    Args:
        kept: what is to be kept of the last interaction.

        whose: stands for the customer; None: nobody is known.

        is_login: they have logged in just now: it is noted also in a session without a key.
    """
    if not isinstance(session, MutableMapping):
        return
    if not in_use(session):
        # What the host has emptied does not live on for our sake.
        session.pop(KEY, None)
        return
    held = _held(session)
    before = {name: held[name] for name in (_OWN, _OWNER) if name in held}
    own = before
    if whose is not None and (is_login or _OWN in held) and held.get(_OWNER) != whose:
        own = {_OWNER: whose}
        if _OWN in held:
            own[_OWN] = secrets.token_urlsafe(16)
    if kept:
        session[KEY] = {**kept, **own}
    elif own is not before:
        session[KEY] = {**held, **own}


def _held(session: Mapping[str, Any]) -> Mapping[str, Any]:
    found = session.get(KEY)
    return found if isinstance(found, Mapping) else {}
