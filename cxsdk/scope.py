"""
The ambient facts of a request, task or call: who is served, where, under which consent.

Kept in contextvars, so threads, tasks and concurrent requests never see each other's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypedDict, Unpack

__all__ = [
    "Scope",
    "WireId",
    "as_purposes",
    "current_interaction",
    "current_scope",
    "is_other",
    "scope",
    "served",
]

Where = tuple[str | None, str | None, str | None, str | None, str | None]
"""(channel, medium, location, locale, tz)"""

Who = tuple[Any, Any, Any, Any]
"""(customer, anonymous, account, session)"""

NOWHERE: Where = (None, None, None, None, None)
NOBODY: Who = (None, None, None, None)

current_scope: ContextVar[Scope | None] = ContextVar("cxsdk_scope", default=None)
current_interaction: ContextVar[Any] = ContextVar("cxsdk_interaction", default=None)


class WireId:
    """
    A customer or a session as the wire knows them, received from another service: what the host
    itself calls them is not known here. In place of the host's id in a scope. Immutable.

    Not text, and equal to none: whoever gets hold of a pseudonym and gives it as an id is somebody
    else than the one that it stands for.

    Args:
        text: in wire form; whoever makes one has checked it.

        stands_for: says whether a host's id is that customer's; None: nobody here can tell.
    """

    __slots__ = ("_stands_for", "_text")

    def __init__(self, text: str, stands_for: Callable[[Any, str], bool] | None = None) -> None:
        self._text = text
        self._stands_for = stands_for

    def stands_for(self, customer: Any) -> bool:
        """
        Say whether this is what the wire calls *customer*, the host's own id.
        """
        return self._stands_for is not None and self._stands_for(customer, self._text)

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return type(other) is WireId and other._text == self._text

    def __hash__(self) -> int:
        return hash((WireId, self._text))

    def __repr__(self) -> str:
        # No id: scopes end up in logs.
        return "<WireId>"


def is_other(customer: Any, before: Any) -> bool:
    """
    Say whether *before* names somebody else than *customer*; nobody is nobody else.
    """
    if before is None or customer == before:
        return False
    for received, named in ((before, customer), (customer, before)):
        if type(received) is WireId:
            return type(named) is WireId or not received.stands_for(named)
    # A path gives "42" where a database gives 42.
    return not isinstance(customer, (str, int)) or str(customer) != str(before)


def as_purposes(said: Any) -> Any:
    """
    Return purposes as a tuple, also where one word or a list was said.
    """
    if said is None or type(said) is tuple:
        return said
    if isinstance(said, str):
        return (said,)
    return tuple(said) if isinstance(said, (list, set, frozenset)) else (said,)


def _over(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> Any:
    return tuple(b if a is None else a for a, b in zip(ours, theirs, strict=True))


def served(customer: Any, scope: Scope | None) -> tuple[Scope | None, Who]:
    """
    Return *scope* and its ids as they hold for *customer*, who is named on the call.
    """
    if scope is None:
        return None, (customer, None, None, None)
    who = scope.who
    if who[0] is None:
        return scope, (customer, None, None, who[3])
    if is_other(customer, who[0]):
        scope = scope.serving(customer)
    return scope, scope.who


class Further(TypedDict, total=False):
    """
    What a scope may say beside customer and session.
    """

    anonymous: str | None
    account: str | None
    channel: str | None
    medium: str | None
    location: str | None
    locale: str | None
    tz: str | None
    consent: str | None
    purposes: tuple[str, ...] | None
    correlation: str | None
    assurance: str | None


class Scope:
    """
    Say who is served, where and under which consent, for all events inside the block.

    A context manager, also for ``async with``. What a level does not say, it takes from the
    level around it; another customer does not inherit the ids and the consent of the one
    before. Somebody who was not named before keeps both. Never raises and never blocks; a wrong
    value is refused, counted and logged once when an event needs it. May be kept and entered
    again, also by many threads and tasks at a time.

    Args:
        customer: the host's id of the customer. It becomes a pseudonym where a key is set.

        anonymous: an opaque id of a visitor who is not known.

        account: the account or household the customer acts for.

        session: the session key. Only hashes of it leave the process. Without a customer an
            anonymous id is derived from it.

        channel, medium, location, locale, tz: where the customer is; see the event reference.

        consent: ``granted``, ``denied`` or ``unknown``.

        purposes: what consent was given for.

        correlation: id of the journey or case, stands on the events as ``correlationid``.

        assurance: how sure it is that this is the customer: ``claimed`` (a header, a caller's
            number), ``authenticated`` (a login; what is assumed where nothing is said), ``verified``
            (a second factor). What is known of the customer is shown to a claim only where a plan
            allows it.
    """

    _kept: Scope
    """The scope that this one is a copy of; a scope that is itself entered has none."""

    _outer: Scope | None

    __slots__ = (
        "_is_new",
        "_kept",
        "_outer",
        "assurance",
        "consent",
        "correlation",
        "done",
        "errand",
        "last",
        "purposes",
        "where",
        "who",
    )

    def __init__(
        self,
        *,
        customer: str | int | None = None,
        session: str | None = None,
        # Gathered, because the interpreter looks up each keyword default that a call leaves out:
        # twelve named ones would double the price of a scope.
        **further: Unpack[Further],
    ) -> None:
        self.who: Who = (customer, None, None, session)
        self.where: Where = NOWHERE
        self.consent: str | None = None
        self.purposes: tuple[str, ...] | None = None
        self.correlation: str | None = None
        self.assurance: str | None = None
        self.last: str | None = None
        self.done: Any = None
        self.errand: Any = None
        self._is_new = True
        if further:
            self._say(**further)

    def _say(
        self,
        *,
        anonymous: str | None = None,
        account: str | None = None,
        channel: str | None = None,
        medium: str | None = None,
        location: str | None = None,
        locale: str | None = None,
        tz: str | None = None,
        consent: str | None = None,
        purposes: tuple[str, ...] | None = None,
        correlation: str | None = None,
        assurance: str | None = None,
    ) -> None:
        self.who = (self.who[0], anonymous, account, self.who[3])
        if not (channel is medium is location is locale is tz is None):
            self.where = (channel, medium, location, locale, tz)
        self.consent = consent
        self.purposes = as_purposes(purposes)
        self.correlation = correlation
        self.assurance = assurance

    def _inside(self, outer: Scope) -> Scope:
        """
        Return this level completed from *outer*.
        """
        made = Scope.__new__(Scope)
        made._is_new = False
        who, theirs = self.who, outer.who
        if who[0] is None and who[1] is None:
            # An account or session more does not change who the customer is.
            who, same = _over(who, theirs), True
        elif who[0] is not None:
            same = not is_other(who[0], theirs[0])
        else:
            same = theirs[0] is None and theirs[1] in (None, who[1])
        if same and who[3] is None:
            who = (*who[:3], theirs[3])
        made.who = who
        ours = self.where
        made.where = outer.where if ours is NOWHERE else _over(ours, outer.where)
        made.consent = self.consent or (outer.consent if same else None)
        made.purposes = self.purposes or (outer.purposes if same else None)
        made.correlation = self.correlation or outer.correlation
        made.assurance = self.assurance or (outer.assurance if same else None)
        made.errand = self.errand or outer.errand
        made.last, made.done = (outer.last, outer.done) if same else (None, None)
        return made

    def serving(self, customer: Any) -> Scope:
        """
        Return this scope as it holds for *customer*, named on a call inside of it.
        """
        return Scope(customer=customer)._inside(self)

    def __enter__(self) -> Scope:
        outer = current_scope.get()
        if outer is None and self._is_new:
            # Entered for the first time, as most are: no copy. Threads switch at calls only, so
            # no two of them come here.
            self._is_new = False
            entered = self
        else:
            # A scope kept for many requests: what happened in one is not of the others.
            entered = self._inside(_NOTHING if outer is None else outer)
            entered._kept = self
        entered._outer = outer
        current_scope.set(entered)
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entered = current_scope.get()
        # Left in another context than entered: that one ends with its own copy.
        if entered is not None and (entered is self or getattr(entered, "_kept", None) is self):
            current_scope.set(entered._outer)

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


_NOTHING = Scope()

scope = Scope
