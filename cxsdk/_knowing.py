"""
The verbs of knowing, over whichever engine there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk.errors import ConfigurationError
from cxsdk.scope import Scope

if TYPE_CHECKING:
    from cxsdk._knower import Knower
    from cxsdk.lookup.context import CustomerContext
    from cxsdk.lookup.engine import Engine
    from cxsdk.lookup.people import Person
    from cxsdk.remembering import ForgetReceipt

__all__ = ["Knowing"]


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
            return {who: _disabled(who, sections, purpose) for who in customers or ()}
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
            return {who: _disabled(who, sections, purpose) for who in customers or ()}
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
