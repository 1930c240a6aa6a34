"""
The engine: from a question about a customer to a context, within its deadline.

What is in memory and fresh is answered at once; for the rest `flow` says what to wait for.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._guard import caller, is_ours, voice
from cxsdk.errors import CXError, InvalidEventError
from cxsdk.knowing import ErrorCode, Reason
from cxsdk.lookup.again import Again, Said
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.applying import Applying
from cxsdk.lookup.ask import Ask
from cxsdk.lookup.context import CustomerContext
from cxsdk.lookup.counts import Counts
from cxsdk.lookup.flow import Flow
from cxsdk.lookup.holding import Holding
from cxsdk.lookup.loads import Loads
from cxsdk.lookup.people import Key, People
from cxsdk.lookup.section import section_of
from cxsdk.lookup.settler import Settler
from cxsdk.lookup.sources import Source, part
from cxsdk.lookup.waiting import adrive, drive, warn_of_loop
from cxsdk.lookup.whom import Whom
from cxsdk.lookup.work import Loop, Pool
from cxsdk.scope import current_interaction, current_scope

if TYPE_CHECKING:
    from cxsdk.config import Settings
    from cxsdk.lookup.knowledge import Knowledge
    from cxsdk.pipeline.capture import Capture

__all__ = ["Engine"]

_MOST_AT_ONCE = 1000
_LONGEST_S = 600.0


class Engine:
    """
    Looks customers up. Safe from threads, tasks and forks; nothing here raises into a handler
    (in strict mode mistakes of the caller do).

    Args:
        settings: of the client.

        sources: registered providers, in order.

        plans: section → plan, in the order in which sections are shown.

        knowledge: what this service itself saw, and who is who.

        shared: the provider that reads the shared memory, where there is one.

        clock: for ages and lifetimes; waiting goes by the machine's own.
    """

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[Source],
        plans: dict[str, Plan],
        knowledge: Knowledge,
        shared: Source | None,
        clock: Clock,
    ) -> None:
        options = settings.context
        self._settings = settings
        self._strict = settings.strict
        self.sources = tuple(sources)
        self._shared = shared
        self.knowledge = knowledge
        knowledge.changed = self.drop
        self.plans = plans
        self.shared_memory: Any = None
        """The `SharedMemory`, closed with the engine where *owns_memory*."""

        self.owns_memory = False
        self.counts = Counts()
        self.people = People(options.max_customers)
        self.whom = Whom(settings, plans, knowledge, self.people)
        self.holding = Holding(
            self.people,
            clock,
            knowledge.overlaid,
            knowledge.is_forgotten,
            knowledge.heard,
            strict=settings.strict,
        )
        exempt = frozenset(options.without_consent)
        self._again = Again(self.people, knowledge, plans.get("consent"), exempt, clock)
        self._settler = Settler(plans, self.holding, knowledge, exempt, clock)
        self._flow = Flow(
            self._settler,
            self.holding,
            knowledge,
            plans.get("consent"),
            shared,
            options.provider_timeout,
            clock,
            self.counts.add,
        )
        self._begin_process()

    def _begin_process(self) -> None:
        self.loop = Loop()
        for source in self._every_source():
            source.changed = self._changed
            source.begin_process(self.loop)
        self.people.renew()
        self.knowledge.links.renew()
        holding, seen = self.holding, self.knowledge.seen
        self.loads = Loads(holding.keep, self.whom.subject, self.counts.add, holding.now, seen)
        self.helpers = Pool("helper", 2)
        self.applying = Applying(self.sources, self.counts.add, self.knowledge.is_forgotten)
        self._is_closed = False
        self._generation = self._again.generation = _fork.current()

    def _every_source(self) -> tuple[Source, ...]:
        return self.sources if self._shared is None else (*self.sources, self._shared)

    def _own(self) -> None:
        with _fork.own_lock():
            if _fork.current() != self._generation:
                self._begin_process()

    # ---- questions -----------------------------------------------------------------------------

    def context(self, customer: Any, said: Said, timeout: float | None) -> CustomerContext:
        """
        Return what is known of a customer; block up to *timeout* seconds. See `cxsdk.context`.
        """
        try:
            made = self._again.find(customer, said)
            if made is not None:
                return made
            ask = self._ask(customer, *said)
            if ask.is_settled:
                return self._again.keep(ask, said, self._made(ask, 0.0))
            began = time.monotonic()
            warn_of_loop()
            drive(self._flow, self.loads, [ask], self._seconds(timeout), began)
            return self._made(ask, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - judged in there
            return self._failed(customer, said, error)

    async def acontext(
        self,
        customer: Any,
        said: Said,
        timeout: float | None,  # noqa: ASYNC109 - a deadline with partial results
    ) -> CustomerContext:
        """
        Like `context`, without blocking the event loop.
        """
        try:
            made = self._again.find(customer, said)
            if made is not None:
                return made
            ask = self._ask(customer, *said)
            if ask.is_settled:
                return self._again.keep(ask, said, self._made(ask, 0.0))
            began = time.monotonic()
            await adrive(self._flow, self.loads, [ask], self._seconds(timeout), began)
            return self._made(ask, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - judged in there
            return self._failed(customer, said, error)

    def peek(self, customer: Any, said: Said) -> CustomerContext:
        """
        Return what is in memory; asks nobody, waits for nothing.
        """
        try:
            made = self._again.find(customer, said)
            if made is not None:
                return made
            ask = self._ask(customer, *said, peek=True)
            return self._again.keep(ask, said, self._made(ask, 0.0))
        except Exception as error:  # noqa: BLE001 - judged in there
            return self._failed(customer, said, error)

    def contexts(
        self, customers: Iterable[Any], said: Said, timeout: float | None
    ) -> dict[Any, CustomerContext]:
        """
        Return the contexts of up to a thousand customers, in their order; each provider is asked
        in batches.
        """
        began = time.monotonic()
        found = self._asks(customers, said)
        open_ones = [one for one in found.values() if isinstance(one, Ask) and not one.is_settled]
        if open_ones:
            warn_of_loop()
            self._guarded(
                lambda: drive(self._flow, self.loads, open_ones, self._seconds(timeout), began)
            )
        return self._all_made(found, began)

    async def acontexts(
        self,
        customers: Iterable[Any],
        said: Said,
        timeout: float | None,  # noqa: ASYNC109 - a deadline with partial results
    ) -> dict[Any, CustomerContext]:
        """
        Like `contexts`, without blocking the event loop.
        """
        began = time.monotonic()
        found = self._asks(customers, said)
        open_ones = [one for one in found.values() if isinstance(one, Ask) and not one.is_settled]
        try:
            if open_ones:
                await adrive(self._flow, self.loads, open_ones, self._seconds(timeout), began)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._judge(error)
        return self._all_made(found, began)

    def _asks(self, customers: Iterable[Any], said: Said) -> dict[Any, Ask | CustomerContext]:
        """
        Return each customer's question, or its context where no question is open.
        """
        found: dict[Any, Ask | CustomerContext] = {}
        those: list[Any] = []
        self._guarded(lambda: those.extend(itertools.islice(customers, _MOST_AT_ONCE)))
        for who in those:
            try:
                found[who] = self._again.find(who, said) or self._ask(who, *said)
            except Exception as error:  # noqa: BLE001 - judged in there
                made = self._failed(who, said, error)
                if isinstance(who, Hashable):
                    found[who] = made
        return found

    def _all_made(
        self, found: dict[Any, Ask | CustomerContext], began: float
    ) -> dict[Any, CustomerContext]:
        elapsed = time.monotonic() - began
        return {
            who: self._made(one, elapsed) if isinstance(one, Ask) else one
            for who, one in found.items()
        }

    def prefetch(self, customer: Any, said: Said) -> bool:
        """
        Have looked up what is not in memory, and do not wait for it; False where that cannot be.
        """
        patience = self._settings.context.provider_timeout
        try:
            ask = self._ask(customer, *said)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._judge(error)
            return False
        if ask.is_settled:
            return True
        return self.helpers.submit(
            lambda: self._guarded(
                lambda: drive(self._flow, self.loads, [ask], patience, time.monotonic())
            )
        )

    def invalidate(self, customer: Any = None, sections: Iterable[str] | None = None) -> None:
        """
        Have the sections of a customer fetched again by whoever asks next; None: all of them.
        """
        try:
            person, _ = self.whom.person(customer, None, current_scope.get())
            said = (sections,) if isinstance(sections, str) else sections
            self.drop(self.whom.canonical(person).key, said)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._judge(error)

    def _changed(self, source: Source, subject: str | None) -> None:
        """
        Have fetched again what *source* said of *subject*, or of anybody.
        """
        if subject is None:
            self.counts.add("changed_all", source.name)
            for person in self.people.every():
                self.drop(person.key, source.sections)
            return
        self.counts.add("changed", source.name)
        for key in self.whom.keys_of(subject, source.takes):
            self.drop(key, source.sections)

    def drop(self, key: Key, sections: Iterable[str] | None = None) -> None:
        """
        Drop what is held under *key*, and what is on its way there.
        """
        names = None if sections is None else frozenset(sections)
        self.loads.void([key], names)
        person = self.people.find(key)
        if person is not None:
            person.drop(names)

    # ---- whom, and what about ------------------------------------------------------------------

    def _ask(
        self,
        customer: Any,
        anonymous: str | None,
        sections: Any,
        purpose: str | None,
        assurance: str | None,
        refresh: bool,  # noqa: FBT001 - a part of Said
        *,
        peek: bool = False,
    ) -> Ask:
        if _fork.page[0] != self._generation:
            self._own()
        self.knowledge.look()
        scope = current_scope.get()
        person = None
        if anonymous is None and type(customer) is str:
            person = self.people.by_raw.get(customer)
        if person is None:
            person, customer = self.whom.person(customer, anonymous, scope)
        else:
            person.used = True
        if self.knowledge.absorbed:
            person = self.whom.canonical(person)
        if assurance is None:
            assurance = self.whom.assurance_of(person, scope)
        look = self.whom.look(sections, purpose, assurance, person.space)
        ask = Ask(customer, person, look, self.whom.speaking(scope, person))
        self._settler.begin(ask, refresh=refresh, peek=peek)
        if ask.refreshing:
            self._flow.refresh(self.loads, ask)
        return ask

    # ---- waiting -------------------------------------------------------------------------------

    def _seconds(self, timeout: Any) -> float:
        default = self._settings.context.timeout
        if timeout is None:
            return default
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            self._judge(InvalidEventError("context.timeout", "seconds above 0"))
            return default
        return min(float(timeout), _LONGEST_S)

    # ---- what comes of it ----------------------------------------------------------------------

    def _made(self, ask: Ask, elapsed: float) -> CustomerContext:
        look, sections = ask.look, ask.found
        for name, section in look.denied.items():
            self.counts.add(section.reason.value, name)
        if ask.allowed is False:
            self.counts.add("consent_denied", look.purpose)
        if look.denied or len(sections) != len(look.names):
            every = look.denied | sections
            sections = {name: every[name] for name in look.names}
        interaction = current_interaction.get()
        on_read = None
        if interaction is not None:
            on_read = self.knowledge.reading(interaction, sections.values())
        return CustomerContext(
            ask.customer,
            look.purpose,
            look.assurance,
            sections,
            elapsed=elapsed,
            strict=self._strict,
            on_read=on_read,
            wire_id=ask.person.key[1],
        )

    def _failed(self, customer: Any, said: Said, error: Exception) -> CustomerContext:
        self._judge(error)
        _, wanted, purpose, *_ = said
        names = tuple(wanted) if isinstance(wanted, (list, tuple, set)) else tuple(self.plans)
        is_input = isinstance(error, InvalidEventError)
        code = ErrorCode.INVALID_SUBJECT if is_input else ErrorCode.GENERAL
        words = str(error) if isinstance(error, CXError) else type(error).__name__
        sections = {
            str(name): section_of(str(name))(
                str(name),
                None,
                Reason.ERROR,
                error_code=code,
                error_message=words,
                strict=self._strict,
            )
            for name in names
        }
        named = str(purpose or self._settings.purpose)
        return CustomerContext(customer, named, "anonymous", sections, strict=self._strict)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - judged in there
            self._judge(error)

    def _judge(self, error: Exception) -> None:
        """
        Say an error once; raise what is not ours to swallow, and in strict mode the caller's.
        """
        if not is_ours(error) or (self._strict and isinstance(error, CXError)):
            raise error
        kind = getattr(error, "field", type(error).__name__)
        said = error if isinstance(error, CXError) else type(error).__name__
        voice.say(logging.WARNING, f"context:{kind}", "cxsdk: a lookup at %s: %s", caller(), said)

    def attach(self, capture: Capture) -> None:
        """
        Hear of what *capture*, of this process, keeps.
        """
        if _fork.page[0] != self._generation:
            self._own()
        self.knowledge.attach(capture)
        if self.applying:
            capture.listen(self.applying)

    def stats(self) -> dict[str, Any]:
        """
        Return figures: what is held and under way, and of each provider what came of its calls.
        """
        return {
            "customers": len(self.people),
            "evicted": self.people.evicted,
            "in_flight": len(self.loads),
            "counts": self.counts.figures(),
            "providers": {source.name: source.status() for source in self.sources},
            "overlay": self.knowledge.stats(),
        }

    def close(self, seconds: float = 1.0) -> None:
        """
        Let go of threads, connections and what is held. Idempotent.
        """
        if self._is_closed or _fork.page[0] != self._generation:
            return
        self._is_closed = True
        part(self._every_source(), self.loop, seconds)
        self.loads.reap(float("inf"))  # whoever still waits for one that ended
        self.helpers.close()
        self.applying.close()
        self.knowledge.close()
        if self.shared_memory is not None and self.owns_memory:
            self.shared_memory.close()
