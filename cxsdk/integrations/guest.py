"""
The scope of a request: who is served is found out when an event first needs it.

One object for the whole request, set at its outermost layer and changed from inside: what a
thread of a pool or a task says of the customer is seen by all of the request.
"""

from __future__ import annotations

import logging
import secrets
from functools import lru_cache
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from cxsdk._guard import voice
from cxsdk.scope import Scope, Where, Who

if TYPE_CHECKING:
    from cxsdk.prompts.cases import Case

__all__ = ["Guest", "Reader", "reader_of"]

_LONGEST = 1024
_SURE = "authenticated"
"""What is assumed where a scope says nothing: it is left out, which is what makes lookups quick."""


class Reader(Protocol):
    """
    What an integration tells of its framework's requests. Called at most a few times a request.
    What it raises is said once, and then nothing is known.
    """

    def customer(self, request: Any) -> Any:
        """
        Return the host's id of the customer, (id, assurance), or None.
        """

    def session(self, request: Any) -> str | None:
        """
        Return the session key as it was when the request came, or None.
        """

    def consent(self, request: Any) -> str | None:
        """
        Return what the customer agreed to, or None.
        """

    def visitor(self, request: Any) -> str | None:
        """
        Return the id in our own cookie, or None.
        """

    def may_name(self) -> bool:
        """
        Say whether a visitor who has agreed gets a cookie of our own.
        """

    def header(self, request: Any, name: str) -> str:
        """
        Return a header, empty where there is none.
        """

    def received(self, request: Any) -> Scope | None:
        """
        Return whom another service of the team said it serves.
        """

    def before(self, request: Any, guest: Guest) -> Case | None:
        """
        Return the interaction that an earlier request of the session remembered.
        """


class Guest(Scope):
    """
    Whom one request serves. Shared by the threads and tasks of that request.

    Args:
        reader: tells who it is.

        request: of the framework.

        where: where customers are who come this way; the same object for all of them.
    """

    __slots__ = (
        "_asking",
        "_case",
        "_claim",
        "_consent",
        "_done",
        "_last",
        "_reader",
        "_received",
        "_request",
        "_who",
        "is_turned",
        "named",
    )

    def __init__(self, reader: Reader, request: Any, where: Where) -> None:
        self.where = where
        self.purposes = None
        self.correlation = None
        self.errand = None
        self._is_new = False
        self._reader = reader
        self._request = request
        self._who: Who | None = None
        self._claim: str | None = None
        self._consent: Any = _Unasked
        self._case: Any = _Unasked
        self._received: Any = _Unasked
        self._done: Any = None
        self._last: str | None = None
        self._asking = 0
        self.named: str | None = None
        """The id that a visitor who has agreed is given; to be set as a cookie."""

        self.is_turned = False
        """Somebody logged in or out: who uses this browser next is another visitor."""

    # ---- who ------------------------------------------------------------------------------

    @property
    def who(self) -> Who:  # type: ignore[override]  # found when it is needed
        """
        Return (customer, anonymous, account, session). Never raises.
        """
        who = self._who
        # Nobody yet: they may log in while the request runs.
        return who if who is not None and who[0] is not None else self._find()

    @property
    def assurance(self) -> str | None:  # type: ignore[override]
        """
        Return how sure that is, None where it is a login.
        """
        if self._who is None or self._who[0] is None:
            self._find()
        return self._claim

    def serve(self, customer: Any, assurance: str | None = None) -> None:
        """
        Say who it is; what happens from here on in this request is theirs.
        """
        before = self._who or (None, None, None, self._session())
        self._who = (customer, *before[1:])
        self._claim = None if assurance == _SURE else assurance
        # Looked at before they were known: what the session remembers may be somebody else's.
        self._case = _Unasked

    def pin(self) -> None:
        """
        Take note of the session before anything changes it, a login that gives it another key say.
        """
        if self._who is None:
            self._who = (None, None, None, self._session())

    def was_another(self, customer: Any) -> bool:
        """
        Say whether somebody else than *customer* is known already, not only claimed.
        """
        before = self._who[0] if self._who is not None and self._claim != "claimed" else None
        return before is not None and str(before) != str(customer)

    def part(self) -> None:
        """
        Take note that the session was somebody else's: it is no visitor of whoever comes now.
        """
        self._who = (None, None, None, None)

    def look(self) -> None:
        """
        Find out who it is before anything can log them out. What cannot be told so early is asked
        again when it is needed.
        """
        if self._who is not None or self._asking:
            return
        self._asking = get_ident()
        try:
            customer, assurance = self._customer(self._request)
        except Exception:  # noqa: BLE001 - the host's function may need what is not there yet
            customer = assurance = None
        finally:
            self._asking = 0
        if customer is not None:
            self._known(customer, assurance, self._session())

    def _find(self) -> Who:
        here = get_ident()
        if self._asking == here:
            # The host's own function that says who it is asks who it is. Another thread of the
            # request that asks meanwhile gets an answer of its own.
            return self._who or (None, None, None, None)
        self._asking = here
        try:
            before = self._who
            session = self._session() if before is None or before[3] is None else before[3]
            who: Who = (None, None, None, session)
            self._who = who
            customer, assurance = self.asked()
            if customer is None:
                return self._told(who)
            return self._known(customer, assurance, session)
        finally:
            self._asking = 0

    def asked(self) -> tuple[Any, str | None]:
        """
        Return (customer, assurance) as the integration says now; (None, None) where nobody is known.
        """
        found: tuple[Any, str | None] | None = self._quietly(self._customer)
        return (None, None) if found is None else found

    def _customer(self, request: Any) -> tuple[Any, str | None]:
        found = self._reader.customer(request)
        if not isinstance(found, tuple):
            return found, None
        customer, assurance = found
        return customer, assurance

    def _known(self, customer: Any, assurance: str | None, session: str | None) -> Who:
        self._claim = None if assurance == _SURE else assurance
        self._who = who = (customer, None, None, session)
        return who

    def _told(self, who: Who) -> Who:
        """
        Return who another service says that it serves.
        """
        if self._received is _Unasked:
            self._received = self._quietly(self._reader.received)
        told = self._received
        if told is not None and told.who[0] is not None:
            claim = told.assurance
            self._claim = None if claim == _SURE else claim
            self._who = who = (*told.who[:3], told.who[3] or who[3])
        return who

    def _session(self) -> str | None:
        session: str | None = self._quietly(self._reader.session)
        if session is None and self._reader.may_name() and self.consent == "granted":
            session = self.named or self._quietly(self._reader.visitor)
            if session is None:
                self.named = session = secrets.token_urlsafe(16)
        return session

    def _quietly(self, ask: Any) -> Any:
        try:
            return ask(self._request)
        except Exception as error:  # noqa: BLE001 - the host's session or login may be broken
            kind = type(error).__name__
            words = "cxsdk: who a request serves is not known: %s in %s"
            voice.say(logging.WARNING, f"guest:{kind:.60}", words, kind, ask.__name__.strip("_"))
            return None

    # ---- consent, language ----------------------------------------------------------------

    @property
    def consent(self) -> str | None:  # type: ignore[override]
        """
        Return what the host knows of their consent.
        """
        if self._consent is _Unasked:
            self._consent = self._quietly(self._reader.consent)
        consent: str | None = self._consent
        return consent

    @property
    def reader(self) -> str:
        """
        Return the language that they read, as ``Accept-Language`` says; for prompts.
        """
        said = self._quietly(lambda request: self._reader.header(request, "accept-language"))
        return reader_of(said or "")

    # ---- what they did last ---------------------------------------------------------------

    @property
    def done(self) -> Any:
        """
        Return the last interaction that is over: of this request, else of an earlier one.
        """
        return self._done if self._done is not None else self._before()

    @done.setter
    def done(self, interaction: Any) -> None:
        self._done = interaction

    @property
    def last(self) -> str | None:
        """
        Return its id.
        """
        if self._last is not None:
            return self._last
        case = self._before()
        return None if case is None else case.interaction_id or None

    @last.setter
    def last(self, interaction_id: str | None) -> None:
        self._last = interaction_id

    def _before(self) -> Case | None:
        if self._case is _Unasked:
            self._case = None  # asked while it is being asked
            self._case = self._quietly(lambda request: self._reader.before(request, self))
        case: Case | None = self._case
        return case

    @property
    def ended_here(self) -> Any:
        """
        Return the last interaction that ended in this request, or None.
        """
        return self._done


class _Unasked:
    """
    Stands for what was not asked yet.
    """


@lru_cache(maxsize=512)
def reader_of(accept_language: str) -> str:
    """
    Return the language tag that a reader likes best, empty where nothing is said (RFC 9110, 12.5.4).
    """
    if not accept_language:
        return ""
    from cxsdk.prompts.faces.origin import reader

    return reader(accept_language[:_LONGEST])
