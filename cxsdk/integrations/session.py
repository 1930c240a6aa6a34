"""
What is ours in a session that lies in a mapping, as those of ASGI do: sessions in cookies have no
key of their own, so they get one.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any

from cxsdk.integrations.trail import KEY

__all__ = ["begin", "in_use", "key_in", "remember"]

_OWN, _OWNER = "s", "o"
"""In what a session has of us: its key, and for whom it got that one."""


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


def remember(session: Any, kept: Mapping[str, str] | None, whose: str | None) -> None:
    """
    Put *kept* into a session that is in use. It gets another key where somebody has become its
    customer: whoever sits there when they have left is not the visitor that they were.

    Args:
        kept: what is to be kept of the last interaction.

        whose: stands for the customer; None: nobody is known.
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
    if whose is not None and _OWN in held and held.get(_OWNER) != whose:
        own = {_OWN: secrets.token_urlsafe(16), _OWNER: whose}
    if kept:
        session[KEY] = {**kept, **own}
    elif own is not before:
        session[KEY] = {**held, **own}


def _held(session: Mapping[str, Any]) -> Mapping[str, Any]:
    found = session.get(KEY)
    return found if isinstance(found, Mapping) else {}
