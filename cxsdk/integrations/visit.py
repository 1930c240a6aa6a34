"""
A visit: one request, from its first byte to its last, as all frameworks have it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from opentelemetry import context as otel

from cxsdk._guard import is_ours, voice
from cxsdk.errors import InvalidEventError
from cxsdk.instrument.bodies import AsyncBody, Body
from cxsdk.instrument.interaction import Interaction, begun
from cxsdk.integrations.guest import Guest
from cxsdk.integrations.status import by_status
from cxsdk.scope import current_interaction, current_scope

if TYPE_CHECKING:
    from cxsdk.integrations.front import Front
    from cxsdk.integrations.rule import Rule

__all__ = ["Visit", "current_visit", "for_one", "harmless", "is_shared", "private", "serving"]

P = ParamSpec("P")
R = TypeVar("R")

_KEPT_S = 390 * 24 * 3600
"""Seconds that a cookie of ours lasts: thirteen months, after which consent is asked again."""

current_visit: ContextVar[Visit | None] = ContextVar("cxsdk_visit", default=None)


def harmless(method: Callable[P, R]) -> Callable[P, R | None]:
    """
    Keep what goes wrong in *method* from the host's request: it is counted, said once, and None is
    returned.
    """

    @wraps(method)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if _is_nobody(error):
                return None
            capture = _capture(args[0])
            if not is_ours(error) or (capture is not None and capture.strict):
                raise
            if capture is not None:
                capture._ledger.note("integration_error")
            words = "cxsdk: %s failed and this request goes on without: %r"
            name = method.__qualname__
            voice.say(logging.ERROR, f"integration:{name:.80}", words, name, error)
            return None

    return quiet


def _capture(part: Any) -> Any:
    source = part.source if hasattr(part, "source") else part._front.source
    return source.capture()


def _is_nobody(error: Exception) -> bool:
    # A visitor of whom nothing is known is an ordinary case, and no mistake of the host's test.
    return isinstance(error, InvalidEventError) and error.code == "no_customer"


def is_shared(cache_control: str) -> bool:
    """
    Say whether a response with this ``Cache-Control`` may be given to others by a cache between: a
    cookie on it would make all of them one visitor.
    """
    said = cache_control.lower()
    return "public" in said or "s-maxage" in said


def for_one(cache_control: str) -> str:
    """
    Return *cache_control* as it keeps caches between from giving the response to others.
    """
    said = [each.strip() for each in cache_control.split(",")]
    shares = ("public", "private", "s-maxage")
    return ", ".join(["private", *(each for each in said if each and not _is_one(each, shares))])


def _is_one(directive: str, names: tuple[str, ...]) -> bool:
    return directive.partition("=")[0].strip().lower() in names


def private() -> None:
    """
    Take note that what the running request answers is for one customer only: with a form goes the
    right to answer it.
    """
    visit = current_visit.get()
    if visit is not None:
        visit.is_private = True


def serving(customer: Any, *, assurance: str | None = None) -> bool:
    """
    Say who the customer of the running request is, from wherever it is found out: a dependency, a
    thread of a pool, a login. Holds for the whole request, outwards too.

    Args:
        customer: the host's id.

        assurance: ``claimed``, ``authenticated`` (what is assumed) or ``verified``.

    Returns:
        Whether there is a request of an installed integration.
    """
    visit = current_visit.get()
    if visit is None:
        return False
    visit.guest.serve(customer, assurance)
    return True


class Visit:
    """
    One request. A context manager that may be entered again, for each step of a streamed body; all
    methods are harmless. Used by one thread or task at a time.

    The order: ``with visit:`` around the handler, `began` once the route is known, `failed` where
    the handler raised, `answered` when the status is known, `end` once, after the last byte.
    """

    __slots__ = (
        "_front",
        "_otel",
        "_outer",
        "_rule",
        "error",
        "guest",
        "interaction",
        "is_cut",
        "is_private",
        "request",
        "status",
    )

    def __init__(self, front: Front, request: Any) -> None:
        self._front = front
        self.request = request
        self.guest = Guest(front, request, front.where)
        self.interaction: Interaction | None = None
        self.status = 0
        self.error: BaseException | None = None
        self.is_cut = False
        """True: the handler has begun a body, and not ended it."""

        self.is_private = False
        """True: no cache is to give the response to others."""

        self._rule: Rule | None = None
        self._otel: Any = None
        self._outer: Any = None

    # ---- ambient ----------------------------------------------------------------------------

    def __enter__(self) -> Visit:
        self._outer = (current_scope.get(), current_interaction.get(), current_visit.get())
        current_scope.set(self.guest)
        current_visit.set(self)
        if self.interaction is not None:
            current_interaction.set(self.interaction)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # None: entered by another thread meanwhile, or within itself. Nobody is left behind.
        outer, self._outer = self._outer or (None, None, None), None
        # Left in another context than entered: that one ends with its own copy.
        if current_visit.get() is self:
            current_scope.set(outer[0])
            current_interaction.set(outer[1])
            current_visit.set(outer[2])

    # ---- the way of a request ---------------------------------------------------------------

    @harmless
    def began(self, method: str, route: str, view: Any, names: tuple[str, ...] = ()) -> None:
        """
        Begin an interaction where a rule says that this request is one.

        Args:
            route: the template, never the raw path.

            names: what the framework calls the handler.
        """
        found = self._front.rules.find(method, route, view, names)
        if found is None or self.interaction is not None:
            return
        rule, fixed = found
        if rule.statuses or rule.login:
            self._rule = rule
        if rule.login:
            self.guest.pin()  # a login gives the session another key
        elif self._front.options.customer is not None:
            self.guest.look()  # of a logout that is the host's own nobody tells us
        options = (rule.ignore, rule.classify) if rule.ignore or rule.classify else None
        made = begun(self._front.source, fixed, None, rule.fails, options)
        made.__enter__()
        self.interaction = made
        if made._capture is not None:
            # Of the handler: when the body ends, the host's span may be out of sight.
            self._otel = otel.get_current() or None

    def seen_from_inside(self) -> None:
        """
        Link the interaction to the span that is active here: an instrumentation of the host may
        stand further in than we do.
        """
        if self.interaction is not None and self.interaction._capture is not None:
            self._otel = otel.get_current() or None

    def failed(self, error: BaseException) -> None:
        """
        Take note of what the handler raised, handled by the host or not.
        """
        self.error = error

    @harmless
    def answered(self, status: int) -> dict[str, str] | None:
        """
        Take note of the status; return what the session is to keep, where there is anything.
        """
        self.status = status
        if self._rule is not None and self.interaction is not None:
            self._conclude(self._rule, self.interaction)
        return self._front.to_keep(self)

    def _conclude(self, rule: Rule, made: Interaction) -> None:
        """
        Heed what a rule says of statuses and logins.
        """
        said = rule.statuses.get(self.status)
        if said is not None and "outcome" not in made._fields:
            made.outcome = said[0]
            if said[1] is not None:
                made.reason = said[1]
        is_done = self.status < 400 and made._fields.get("outcome", "success") == "success"
        if not rule.login or not is_done or self.guest.who[0] is None:
            return
        self.guest.is_turned = True
        token = current_scope.set(self.guest)
        try:
            self._front.source.identify(
                self.guest.who[0], assurance=self.guest.assurance or "authenticated"
            )
        finally:
            current_scope.reset(token)

    @harmless
    def cookie(self, *, secure: bool) -> str | None:
        """
        Return the value of a ``Set-Cookie`` header for a visitor who has agreed and has no session
        that would name them, or the one that ends it where a customer is known, or has just left:
        who sits there after them is another visitor. Mostly None. To be asked when the response
        begins, and not to be set on one that `is_shared`.

        Args:
            secure: whether the request came by HTTPS.
        """
        named = self.naming()
        if named is None:
            return None
        more = "; Secure" if secure else ""
        name, lasts = self._front.options.cookie, _KEPT_S if named else 0
        return f"{name}={named}; Max-Age={lasts}; Path=/; HttpOnly; SameSite=Lax{more}"

    @harmless
    def naming(self) -> str | None:
        """
        Return what is to be in that cookie, empty where it is to end; mostly None.
        """
        guest, front = self.guest, self._front
        who = guest._who
        is_one = who is not None and who[0] is not None and guest._claim != "claimed"
        if not is_one and not guest.is_turned:
            return guest.named
        return "" if front.may_name() and front.visitor(self.request) is not None else None

    @harmless
    def end(self, error: BaseException | None = None) -> None:
        """
        Close the interaction. Once; later calls do nothing.

        Args:
            error: what ended the response before its end; `GeneratorExit` where the client is gone.
        """
        made, self.interaction = self.interaction, None
        if made is None:
            return
        ended = error if error is not None else self.error
        if ended is None and self.status >= 400:
            by_status(made, self.status)
        token = None if self._otel is None else otel.attach(self._otel)
        try:
            made.end(ended)
        finally:
            if token is not None:
                otel.detach(token)

    # ---- bodies -----------------------------------------------------------------------------

    def body(self, chunks: Iterable[Any]) -> Body:
        """
        Return *chunks* inside of the visit, which ends with the last one; see `Body`.
        """
        return Body(chunks, self, self.end)

    def abody(self, chunks: AsyncIterable[Any]) -> AsyncBody:
        """
        Like `body`, for an async iterable.
        """
        return AsyncBody(chunks, self, self.end)
