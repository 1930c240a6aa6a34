"""
The verbs of knowing, over whichever engine there is; and the engine of a client, made at its first
use and ended with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._guard import is_ours, voice
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError, CXError
from cxsdk.scope import Scope

if TYPE_CHECKING:
    from cxsdk.lookup.baggage import Carrier
    from cxsdk.lookup.context import CustomerContext
    from cxsdk.lookup.engine import Engine
    from cxsdk.lookup.forgetting import Eraser
    from cxsdk.lookup.people import Key, Person
    from cxsdk.parts import Parts
    from cxsdk.pipeline.capture import Capture
    from cxsdk.prompts.engine import Engine as Prompts
    from cxsdk.remembering import ForgetReceipt
    from cxsdk.typing import Spool

__all__ = ["Knower", "Knowing"]


class Knowing:
    """
    ``context``, ``acontext``, ``contexts``, ``acontexts``, ``peek``, ``prefetch``, ``invalidate``;
    ``carry``, ``received``; ``forget``, ``aforget``, ``export``, ``aexport``.
    """

    knower: Knower | None

    def lookups(self) -> Engine | None:
        """
        Return the engine, or None where there can be none. Never raises.
        """
        raise NotImplementedError

    def context(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        sections: Sequence[str] | None = None,
        purpose: str | None = None,
        assurance: str | None = None,
        timeout: float | None = None,
        refresh: bool = False,
    ) -> CustomerContext:
        """
        Return what is known of a customer, section by section, each with its reason and its age.

        Always returns, within *timeout*: a section that did not come in time says so, and is there
        the next time. Blocks up to *timeout*; what is in memory takes microseconds. On an event
        loop use `acontext`.

        Args:
            customer: the host's id; else whom the scope serves.

            anonymous: an opaque id of a visitor instead.

            sections: names, such as ``("profile", "problems")``; by default all that there are.

            purpose: what it is for; by default ``init(purpose=)``. Sections are released as their
                plans and the customer's consent allow for it.

            assurance: how sure it is who this is; by default what the scope says of this customer,
                else ``authenticated``. Say ``claimed`` where a header or a caller's number says it.

            timeout: seconds; by default ``context.timeout``.

            refresh: ask the providers also for what is fresh in memory.
        """
        engine = self.lookups()
        if engine is None:
            return _disabled(customer, sections, purpose)
        said = (anonymous, sections, purpose, assurance, refresh)
        return engine.context(customer, said, timeout)

    async def acontext(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        sections: Sequence[str] | None = None,
        purpose: str | None = None,
        assurance: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a deadline with partial results
        refresh: bool = False,
    ) -> CustomerContext:
        """
        Like `context`, without blocking the event loop.
        """
        engine = self.lookups()
        if engine is None:
            return _disabled(customer, sections, purpose)
        said = (anonymous, sections, purpose, assurance, refresh)
        return await engine.acontext(customer, said, timeout)

    def contexts(
        self,
        customers: Iterable[Any],
        *,
        sections: Sequence[str] | None = None,
        purpose: str | None = None,
        assurance: str | None = None,
        timeout: float | None = None,
        refresh: bool = False,
    ) -> dict[Any, CustomerContext]:
        """
        Return the contexts of up to a thousand customers, in their order, within one *timeout*;
        providers that can are asked for many at once.
        """
        engine = self.lookups()
        if engine is None:
            return {who: _disabled(who, sections, purpose) for who in customers}
        return engine.contexts(customers, (None, sections, purpose, assurance, refresh), timeout)

    async def acontexts(
        self,
        customers: Iterable[Any],
        *,
        sections: Sequence[str] | None = None,
        purpose: str | None = None,
        assurance: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a deadline with partial results
        refresh: bool = False,
    ) -> dict[Any, CustomerContext]:
        """
        Like `contexts`, without blocking the event loop.
        """
        engine = self.lookups()
        if engine is None:
            return {who: _disabled(who, sections, purpose) for who in customers}
        said = (None, sections, purpose, assurance, refresh)
        return await engine.acontexts(customers, said, timeout)

    def peek(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        sections: Sequence[str] | None = None,
        purpose: str | None = None,
        assurance: str | None = None,
    ) -> CustomerContext:
        """
        Return what is in memory. Asks nobody and waits for nothing; what is not there is
        ``not_requested``.
        """
        engine = self.lookups()
        if engine is None:
            return _disabled(customer, sections, purpose)
        return engine.peek(customer, (anonymous, sections, purpose, assurance, False))

    def prefetch(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        sections: Sequence[str] | None = None,
        purpose: str | None = None,
        assurance: str | None = None,
    ) -> bool:
        """
        Have looked up what will be wanted soon (a call that queues, a login); does not wait.

        Returns:
            False where nobody can do it now.
        """
        engine = self.lookups()
        if engine is None:
            return False
        return engine.prefetch(customer, (anonymous, sections, purpose, assurance, False))

    def invalidate(self, customer: Any = None, sections: Sequence[str] | None = None) -> None:
        """
        Say that what is held of a customer is no longer so: whoever asks next, asks the providers.

        Args:
            customer: the host's id; else whom the scope serves.

            sections: names; by default all.
        """
        engine = self.lookups()
        if engine is not None:
            engine.invalidate(customer, sections)

    # ---- from service to service ---------------------------------------------------------------

    def carry(self, target: str, headers: Any = None) -> dict[str, str]:
        """
        Return the headers that tell another service of the team's whom the scope serves:
        ``httpx.get(url, headers=cx.carry(url))``.

        Only hosts of ``context.carry_to`` are told; for every other one this is empty. Told are
        the pseudonym, the hashed session, the channel and how sure it is, signed under
        ``privacy.key`` for five minutes. Never blocks, never raises.

        Args:
            target: the URL of the request, or its host.

            headers: those that the request has already; baggage among them is kept.
        """
        knower = self.knower
        return {} if knower is None else knower.carry(target, headers)

    def received(self, headers: Any) -> Scope:
        """
        Return a scope for whom a request of another service is about:
        ``with cx.received(request.headers): …``.

        As sure as that service was where its signature holds, else ``claimed``; of headers that say
        nothing, a scope that says nothing. Never blocks, never raises.

        Args:
            headers: a mapping, pairs of text or bytes, or a WSGI environ.
        """
        knower = self.knower
        return Scope() if knower is None else knower.received(headers)

    # ---- erasure and access -------------------------------------------------------------------

    def forget(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        suppress: bool = True,
        timeout: float = 10.0,
    ) -> ForgetReceipt:
        """
        Erase a customer: under every id that was linked to them, in memory, in the shared memory,
        among the undelivered events, in the prompts' store, and with each provider that can.

        Also records ``identity.erasure_requested``, so that collectors can do their part. Blocks
        on all of these; call it again where the receipt is not ``complete``.

        Args:
            customer: the host's id; else whom the scope serves.

            anonymous: an opaque id of a visitor instead.

            suppress: leave a tombstone: for ``context.suppress_for`` further events about them are
                dropped as ``forgotten``, and a lookup says so. False: erase only.

            timeout: seconds to wait for providers; one that is not done by then is ``pending``.

        Raises:
            InvalidEventError: the id is wrong, or there is nobody.
            ConfigurationError: cxsdk is not set up.
        """
        knower = self._knower_or_raise()
        person = knower.person(customer, anonymous)
        return knower.forget(
            person, lambda: self._say_erasure(person), suppress=suppress, timeout=timeout
        )

    async def aforget(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        suppress: bool = True,
        timeout: float = 10.0,  # noqa: ASYNC109 - handed on
    ) -> ForgetReceipt:
        """
        Like `forget`, without blocking the event loop.
        """
        import asyncio

        said: dict[str, Any] = {"anonymous": anonymous, "suppress": suppress, "timeout": timeout}
        return await asyncio.to_thread(self.forget, customer, **said)

    def export(self, customer: Any = None, *, anonymous: str | None = None) -> dict[str, Any]:
        """
        Return what is held of a customer as plain data, with sources and ages, for a request of
        access: ids, sections in memory, what this service just saw, and what they were asked.

        Blocks on the shared memory and the prompts' store. What providers and collectors hold is
        theirs to hand out.

        Args:
            customer: the host's id; else whom the scope serves.

            anonymous: an opaque id of a visitor instead.

        Raises:
            InvalidEventError: the id is wrong, or there is nobody.
            ConfigurationError: cxsdk is not set up.
        """
        knower = self._knower_or_raise()
        return knower.export(knower.person(customer, anonymous))

    async def aexport(
        self, customer: Any = None, *, anonymous: str | None = None
    ) -> dict[str, Any]:
        """
        Like `export`, without blocking the event loop.
        """
        import asyncio

        return await asyncio.to_thread(self.export, customer, anonymous=anonymous)

    def _knower_or_raise(self) -> Knower:
        # Whoever erases must know that nothing was: this raises where other verbs are silent.
        if self.knower is None:
            raise ConfigurationError("init: expected cx.init(service=…) to have run before")
        return self.knower

    def _say_erasure(self, person: Person) -> str:
        """
        Record the wish; return the event's id, empty where it was not taken.
        """
        raise NotImplementedError


def _disabled(customer: Any, sections: Any, purpose: Any) -> CustomerContext:
    from cxsdk.knowing import Reason
    from cxsdk.lookup.context import CustomerContext
    from cxsdk.lookup.items import LISTS, RECORDS
    from cxsdk.lookup.section import section_of

    names = (*RECORDS, *LISTS) if sections is None else map(str, sections)
    made = {name: section_of(name)(name, None, Reason.DISABLED) for name in names}
    return CustomerContext(customer, str(purpose or "support"), "anonymous", made)


class Knower:
    """
    Holds the engine of one client. Thread-safe.

    Args:
        capture, spool, prompts: return the one in force, None where there is none.
    """

    def __init__(
        self,
        settings: Settings,
        capture: Callable[[], Capture | None],
        spool: Callable[[], Spool | None],
        prompts: Callable[[], Prompts | None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._capture = capture
        self._spool = spool
        self._prompts = prompts
        self._clock = clock
        self.engine: Engine | None = None
        self._is_over = False
        self._baggage: Carrier | None = None

    @property
    def is_wanted(self) -> bool:
        """
        Say whether the team said anything about context: then it is there from the start, so that
        nothing of what happens is missed.
        """
        return "context" in self._settings.said and not self._settings.disabled

    def open(self) -> Engine:
        """
        Return the engine.

        Raises:
            ConfigurationError: a provider, a plan or the shared memory is wrong.
            ExtraMissingError: the shared memory's extra is not installed.
        """
        if self.engine is None:
            from cxsdk.lookup.setup import open_engine

            with _fork.own_lock():
                if self.engine is None:
                    engine = open_engine(self._settings, self._capture, self._clock)
                    self.engine = engine
                    capture = self._capture()
                    if capture is not None:
                        engine.attach(capture)
        return self.engine

    def in_handler(self) -> Engine | None:
        """
        Return the engine for a running handler: None where it is switched off, or where there can
        be none, which is said and in strict mode raised.
        """
        if self.engine is not None:
            return self.engine
        if self._settings.disabled or self._is_over:
            return None
        try:
            return self.open()
        except Exception as error:
            if not is_ours(error) or (self._settings.strict and isinstance(error, CXError)):
                raise
            self._is_over = True
            voice.say(logging.ERROR, "context:none", "cxsdk: nobody is known: %s", error)
            return None

    # ---- from service to service ---------------------------------------------------------------

    def carry(self, target: str, headers: Any) -> dict[str, str]:
        """
        Return headers for another service; see `Knowing.carry`.
        """
        if not self._settings.context.carry_to or self._settings.disabled:
            return {}
        try:
            return self._carrier().outgoing(target, headers)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._say_baggage(error)
            return {}

    def received(self, headers: Any) -> Scope:
        """
        Return a scope of another service's headers; see `Knowing.received`.
        """
        try:
            return self._carrier().incoming(headers)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._say_baggage(error)
            return Scope()

    def _carrier(self) -> Carrier:
        if self._baggage is None:
            from cxsdk.lookup.baggage import Carrier

            settings = self._settings
            self._baggage = Carrier(
                allow=settings.context.carry_to,
                key=settings.privacy.key,
                environment=settings.environment,
                now=lambda: self._clock.time_ns() / 1e9,
            )
        return self._baggage

    @staticmethod
    def _say_baggage(error: Exception) -> None:
        if not is_ours(error):
            raise error
        said = error if isinstance(error, CXError) else type(error).__name__
        voice.say(logging.WARNING, "context:baggage", "cxsdk: nobody travels: %s", said)

    def attach(self, parts: Parts) -> None:
        """
        Let the engine hear of what is kept in this process. There is one where the team said
        anything about context, or where somebody was erased: that holds for every process.
        """
        self._is_over = False
        parts.chores.append(self.look)
        if self.engine is None and (self.is_wanted or self._has_tombstones()):
            self.open()
        if self.engine is not None:
            self.engine.attach(parts.capture)

    def look(self) -> None:
        """
        Take note of what other processes of this host erased. Blocks on the disk for a moment.
        """
        if self._is_over:
            return
        if self.engine is not None:
            self.engine.knowledge.look()
        elif self._has_tombstones():
            self.in_handler()

    def _has_tombstones(self) -> bool:
        settings = self._settings
        if settings.disabled or settings.spool.mode in {"memory", "off"}:
            return False
        from cxsdk.lookup.tombstones import path_of

        return path_of(settings).exists()

    # ---- erasure and access -------------------------------------------------------------------

    def person(self, customer: Any, anonymous: str | None) -> Person:
        """
        Return whom a call is about; who was linked to another, as that one.

        Raises:
            InvalidEventError: the id is wrong, or there is nobody.
        """
        from cxsdk.scope import current_scope

        whom = self.open().whom
        return whom.canonical(whom.person(customer, anonymous, current_scope.get())[0])

    def forget(
        self,
        person: Person,
        say: Callable[[], str],
        *,
        suppress: bool,
        timeout: float,
    ) -> ForgetReceipt:
        """
        Erase a customer everywhere; see `Eraser.forget`.
        """
        seconds = self._settings.context.suppress_for if suppress else 0.0
        return self._eraser().forget(person, say, suppress_for=seconds, timeout=timeout)

    def export(self, person: Person) -> dict[str, Any]:
        """
        Return what is held of a customer; see `Eraser.export`.
        """
        return self._eraser().export(person)

    def _eraser(self) -> Eraser:
        from cxsdk.lookup.forgetting import Eraser

        erasing = {"undelivered": self._unspool, "prompts": self._unask}
        return Eraser(self.open(), erasing, {"prompts": self._asked})

    def _unspool(self, _: Person, keys: tuple[Key, ...]) -> int | None:
        spool = self._spool()
        if spool is None:
            return None
        return sum(spool.erase(tag) for tag in self.open().knowledge.tags(keys))

    def _unask(self, _: Person, keys: tuple[Key, ...]) -> int | None:
        engine = self._asking()
        if engine is None:
            return None
        count = sum(engine.store.forget(each) for each in _asked_as(keys))
        engine.merged.clear()  # whoever was joined to them may come again
        return count

    def _asked(self, _: Person, keys: tuple[Key, ...]) -> list[dict[str, Any]]:
        engine = self._asking()
        return [
            {
                "prompt": offer.prompt,
                "state": offer.state,
                "reserved_at": offer.reserved_at,
                "ended_at": offer.ended_at,
            }
            for subject in (() if engine is None else _asked_as(keys))
            for offer in (engine.store.history(subject).offers if engine else ())
        ]

    def _asking(self) -> Prompts | None:
        # Where no prompt is configured there is no store to open for an erasure.
        said = self._settings.said
        return self._prompts() if "prompts" in said else None

    # ---- looking in, and ends -----------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """
        Return the engine's figures; nothing where it was never used.
        """
        return {} if self.engine is None else self.engine.stats()

    def settle(self) -> None:
        """
        Wait a second at most until other processes can know what happened here.
        """
        recall = None if self.engine is None else self.engine.knowledge.recall
        if recall is None:
            return
        try:
            recall.overlay.settle(1.0)
        except CXError as error:
            voice.say(logging.WARNING, "context:settle", "cxsdk: %s", error)

    def close(self) -> None:
        """
        Let go of threads and connections, a second or two at most. Idempotent.
        """
        self._is_over = True
        engine, self.engine = self.engine, None
        if engine is None:
            return
        try:
            engine.close()
        except Exception as error:  # noqa: BLE001 - a team's own provider may raise anything
            voice.say(logging.WARNING, "context:end", "cxsdk: context ends: %r", error)


def _asked_as(keys: tuple[Key, ...]) -> list[str]:
    """
    Return the subjects under which the prompts' store knows a customer.
    """
    from cxsdk.prompts.deciding import subject_of

    return [subject_of("c" if space == "id" else "a", wire) for space, wire in keys]
