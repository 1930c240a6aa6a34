"""
FastAPI: one line gives an application customers, interactions and prompts; dependencies give
handlers the customer, what is known of them, and what to ask.

::

    from cxsdk.integrations.fastapi import CX, interactions

    app = FastAPI()
    CX(app, service="desk", collector="http://127.0.0.1:4180")

    cases = APIRouter(prefix="/cases", dependencies=[interactions(stage="support")])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import cxsdk
from cxsdk.integrations.floors import need
from cxsdk.integrations.front import Front
from cxsdk.integrations.rule import _MARK, Rule, is_decorated
from cxsdk.integrations.visit import Visit, current_visit, serving
from cxsdk.lookup.context import CustomerContext
from cxsdk.prompts.offer import Offer, Suppressed

need("fastapi")

from fastapi import Depends, FastAPI  # noqa: E402

from cxsdk.integrations import starlette  # noqa: E402

__all__ = [
    "CX",
    "CustomerContext",
    "Offer",
    "Suppressed",
    "customer",
    "interactions",
    "known",
    "offered",
    "serving",
]


class _Mark:
    """
    A dependency that does nothing: routes that have it are interactions.
    """

    def __init__(self, rule: Rule) -> None:
        setattr(self, _MARK, rule)

    async def __call__(self) -> None:
        """
        Do nothing.
        """


class _Marked:
    """
    Stands for a handler of a router whose requests are interactions.
    """

    def __init__(self, rule: Rule) -> None:
        setattr(self, _MARK, rule)


def interactions(touchpoint: str | None = None, **facts: Any) -> Any:
    """
    Return a dependency: each request to a route that has it is an interaction.

    For a router (``APIRouter(dependencies=[interactions(stage="support")])``), one inclusion of it,
    or one route. What is nearest to the route holds; `as_interaction` on the handler is nearer, and
    a handler decorated with ``cx.interaction`` speaks for itself.

    Args:
        touchpoint: a constant; by default made of the route. For one route.

        facts: the other arguments of `Rule`.

    Raises:
        ConfigurationError: a value is wrong.
    """
    return Depends(_Mark(Rule(touchpoint=touchpoint, **facts)))


class FastApiFront(starlette.StarletteFront):
    """
    The integration of one application of FastAPI.
    """

    def view(self, route: Any) -> Any:
        """
        Return the handler of *route*, or what stands for it where its router is opted in.
        """
        endpoint = super().view(route)
        if is_decorated(endpoint) or getattr(endpoint, _MARK, None) is not None:
            return endpoint
        own = [getattr(each.dependency, _MARK, None) for each in getattr(route, "dependencies", ())]
        rules = [rule for rule in own if rule is not None]
        return self._stand_in(rules[-1]) if rules else endpoint

    def _stand_in(self, rule: Rule) -> Any:
        # One for each rule, so that what `Rules` remembers of it is found again.
        made: dict[int, Any] = self.__dict__.setdefault("_stand_ins", {})
        return made.setdefault(id(rule), _Marked(rule))


class CX(starlette.CX):
    """
    cxsdk in an application of FastAPI; see the one of `starlette`.

    An API does not know what its client showed to the customer: the channel is ``api`` and the
    medium ``unknown`` unless the settings, a rule or a scope say more.
    """

    kind: ClassVar[type[Any]] = FastAPI
    front: ClassVar[Callable[..., starlette.StarletteFront]] = FastApiFront
    where: ClassVar[dict[str, str]] = {"channel": "api", "medium": "unknown"}


# ---- dependencies -------------------------------------------------------------------------------


async def customer() -> Any:
    """
    Return the host's id of who is served, None where nobody is known: ``Depends(customer)``.
    """
    visit = current_visit.get()
    return None if visit is None else visit.guest.who[0]


def known(*sections: str, timeout: float | None = None) -> Any:
    """
    Return a dependency that gives what is known of the customer, a `CustomerContext`.

    Looked up by ``cx.acontext`` when the handler is about to run; it takes no longer than
    *timeout*, and raises nothing. A dependency that says who it is stands before it.

    Args:
        sections: of the context; none: those of the settings.

        timeout: seconds; None: that of the settings.
    """

    async def know() -> CustomerContext:
        verbs = _verbs()
        found: CustomerContext = await verbs.acontext(sections=sections or None, timeout=timeout)
        return found

    return Depends(know)


def offered(key: str | None = None) -> Any:
    """
    Return a dependency that gives an `Offer`, or a `Suppressed`, which is falsy, with the reason.

    About what was done last: in an earlier request of the session, or in a dependency before it.

    Args:
        key: of the prompt; None: whichever fits.
    """

    async def offer() -> Offer | Suppressed:
        visit = current_visit.get()
        client = None if visit is None else _front(visit)._client
        if client is None:
            return await cxsdk.prompts.aoffer(key)
        return await client.prompts.aoffer(key)

    return Depends(offer)


def _front(visit: Visit) -> Front:
    return visit._front


def _verbs() -> Any:
    visit = current_visit.get()
    return cxsdk if visit is None else _front(visit).source
