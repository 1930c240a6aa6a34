"""
What the handlers of an application do that an integration is tested with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cxsdk as cx
from cxsdk.scope import current_scope

__all__ = ["Boom", "Site"]


class Boom(Exception):  # noqa: N818 - what a host raises is no error of ours
    """
    What the handler of ``/boom`` raises.
    """


class Site:
    """
    What the handlers of the application under test do. Handlers hand over and return what they get.

    ====== =================== ============================================================
    GET    ``/plain``          `plain`; the response has the header ``x-own: kept``
    GET    ``/boom``           `boom`; nobody handles it
    GET    ``/items/<item>``   `plain`, whatever the item
    POST   ``/pay``            `pay`, then a redirect (303) to ``/thanks``
    GET    ``/status/<code>``  a response of that status
    GET    ``/stream``         a response that streams `chunks`
    GET    ``/who``            `who`
    GET    ``/own``            a handler decorated with ``cx.interaction("own.visit")``: `plain`
    GET    ``/healthz``        `who`
    ====== =================== ============================================================
    """

    def __init__(self) -> None:
        self.boom_error = Boom("boom")
        self.made: list[int] = []
        """How many chunks each stream has produced."""

        self.seen: list[Any] = []
        """What `who` and `pay` found open."""

    def plain(self) -> str:
        """
        Return a text.
        """
        return "plain"

    def boom(self) -> str:
        """
        Raise always the same object.
        """
        raise self.boom_error

    def pay(self) -> None:
        """
        Do what the customer came for.
        """
        current = cx.current()
        current.goal_met = "yes"
        self.seen.append(current.interaction_id)

    def who(self) -> str:
        """
        Return the id of who is served, as an event would have it.
        """
        scope = current_scope.get()
        if scope is None:
            return "nobody"
        first = scope.who
        cx.record("who.asked")
        return f"{first[0]}" if first == scope.who else "changed"

    def chunks(self) -> Iterator[bytes]:
        """
        Yield three chunks, each with the interaction that is open.
        """
        for number in range(3):
            self.made.append(number)
            yield f"{getattr(cx.current(), 'interaction_id', '')};".encode()
