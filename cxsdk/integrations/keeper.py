"""
The layer of ASGI that stands inside of the one that writes sessions.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import attrs

from cxsdk._guard import voice
from cxsdk.integrations.exchange import BODIES, Message, Receive, Send
from cxsdk.integrations.session import (
    CameWith,
    begin,
    came_with,
    is_of,
    key_in,
    leave,
    login_in,
    remember,
)
from cxsdk.integrations.visit import Visit, current_visit, harmless
from cxsdk.scope import current_interaction, current_scope

if TYPE_CHECKING:
    from cxsdk.integrations.asgi import AsgiFront

__all__ = ["FRONT", "VISIT", "Keeper", "say_unwritten"]

VISIT, FRONT = "cxsdk", "cxsdk.front"
"""Names of the visit in a scope, None where there is nothing to watch, and of whose it is: the same
request is not visited again further in."""

_START = "http.response.start"


class Keeper:
    """
    A layer that stands inside of the one that writes sessions, so that what is to be remembered is
    in the session before it is written, and a login that the session tells of is noticed. Does
    nothing outside of a `Layer`.

    Args:
        app: what is around.
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """
        Pass all on; look at the status.
        """
        # No coroutine of its own: each one costs every message of every request.
        visit, session = scope.get(VISIT), scope.get("session")
        came = came_with(session) if isinstance(session, dict) and FRONT in scope else None
        if visit is not None:
            send = _keeping(visit, scope, send, came)
        elif came is not None:
            here = current_visit.get()
            if here is not None and here._front is scope[FRONT]:
                send = _noticing(here, scope, send, came)
        return self.app(scope, receive, send)


def _noticing(visit: Visit, scope: Message, send: Send, came: CameWith) -> Send:
    """
    Return *send*, which first looks who is logged in when the response begins.
    """

    async def noticing(message: Message) -> None:
        if message["type"] == _START and login_in(scope.get("session")) != came[0]:
            _turn(visit, scope, *came)
        await send(message)

    return noticing


def _keeping(visit: Visit, scope: Message, send: Send, came: CameWith | None) -> Send:
    visit.seen_from_inside()
    made = visit.interaction

    async def keeping(message: Message) -> None:
        kind = message["type"]
        if kind == _START:
            visit.is_cut = True
            # First: what is kept is kept of whoever is logged in now.
            if came is not None and login_in(scope.get("session")) != came[0]:
                _turn(visit, scope, *came)
            if not visit.status:
                front: Any = visit._front
                front.keep(visit, scope, message["status"])
        elif kind in BODIES:
            visit.is_cut = message.get("more_body", False)
        await send(message)
        is_last = kind in BODIES and not visit.is_cut
        if is_last and made is not None and current_interaction.get() is made:
            # A layer between may run its handler in a task, whose context is its own, and pass on
            # what it says a little later.
            current_interaction.set(None)

    return keeping


# ---- logins -------------------------------------------------------------------------------------


@harmless
def _turn(visit: Visit, scope: Message, before: Any, brought: Any) -> None:
    """
    Take note that somebody logged in or out: the session says so when the response begins.

    Args:
        before: who the session said was logged in when the request came; None: nobody.

        brought: the key that the session had of us.
    """
    guest = visit.guest
    try:
        customer, assurance = _identified(visit, scope["session"], before, brought)
    except Exception as error:  # noqa: BLE001 - the host's session may be broken
        say_unwritten(error)
        return
    if customer is None:
        return
    token = current_scope.set(guest)
    try:
        visit._front.source.identify(customer, assurance=assurance or "authenticated")
    finally:
        current_scope.reset(token)


def _identified(visit: Visit, session: Any, before: Any, brought: Any) -> tuple[Any, Any]:
    """
    Return who is to be identified, with their assurance; (None, None) where nobody is.
    """
    guest, front = visit.guest, cast("AsgiFront", visit._front)
    if login_in(session) is None:
        guest.is_turned = True
        leave(session)
        # What is left of this request is of the customer who was, unless the team's own function
        # knows better.
        if front.options.customer is None and (guest._who is None or guest._who[0] is None):
            guest.serve(before)
        return None, None
    if before is None and brought is not None and key_in(session) is None:
        begin(session, brought)  # a host that empties its session at a login is right to do so
    guest.pin()
    customer, assurance = guest.asked()
    if customer is None or assurance == "claimed":
        if before is not None:
            leave(session)
        return None, None
    guest.serve(customer, assurance)
    whose = front.whose(visit)
    # A session that is loaded late looks as if somebody had logged in just now, and one that an
    # application mounted here has looked at, too, is known already.
    if whose is None or is_of(session, whose):
        return None, None
    if before is not None:
        # What the session was called is theirs who were there before.
        leave(session)
        guest.part()
        guest.serve(customer, assurance)
    guest.is_turned = True
    remember(session, None, whose, is_login=True)
    rule = visit._rule
    if rule is not None and rule.login:
        visit._rule = attrs.evolve(rule, login=False)  # it would say the same again
    return customer, assurance


def say_unwritten(error: Exception) -> None:
    """
    Say that the host's session raises.
    """
    words = "cxsdk: a session cannot be written, and remembers nothing: %s"
    voice.say(logging.WARNING, "asgi:session", words, type(error).__name__)
