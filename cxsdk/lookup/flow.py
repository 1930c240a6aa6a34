"""
The flow: which flights a question waits for, and what it makes of them. No I/O of its own, so that
sync and async callers share it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from cxsdk._clock import Clock
from cxsdk.knowing import ErrorCode, Reason, SectionPlan
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.ask import Ask
from cxsdk.lookup.flights import Flight
from cxsdk.lookup.holding import Holding
from cxsdk.lookup.loads import Loads
from cxsdk.lookup.people import Key
from cxsdk.lookup.section import Section
from cxsdk.lookup.settler import Settler
from cxsdk.lookup.sources import Source

if TYPE_CHECKING:
    from cxsdk.lookup.knowledge import Knowledge

__all__ = ["JOURNAL", "Flow", "Steps"]

JOURNAL = "_journal"
"""The pseudo-section whose fetching reads the shared memory into the overlay."""

Steps: TypeAlias = Generator[tuple[list[Flight], float], None, None]
"""Yields flights to wait for, and the share of the time left that may be spent on it."""


class Flow:
    """
    Turns questions into waiting, and flights into sections. Safe from any thread.

    Args:
        patience: seconds that a provider has at least.
    """

    def __init__(
        self,
        settler: Settler,
        holding: Holding,
        knowledge: Knowledge,
        consent: Plan | None,
        shared: Source | None,
        patience: float,
        clock: Clock,
        count: Callable[[str, str], None],
    ) -> None:
        self._settler = settler
        self._holding = holding
        self._knowledge = knowledge
        self._consent = consent
        self._journal = None if shared is None else Plan(JOURNAL, SectionPlan(), (shared,))
        self._patience = patience
        self._monotonic = clock.monotonic
        self._count = count

    def steps(self, loads: Loads, asks: list[Ask], seconds: float) -> Steps:
        """
        Answer *asks*, all for one purpose, within *seconds*.
        """
        patience = max(seconds, self._patience)
        purpose = asks[0].look.purpose
        loading: list[Flight] = []
        due = [ask for ask in asks if ask.is_due]
        if due and self._journal is not None:
            loading = loads.start([(ask.person, (self._journal,)) for ask in due], "", patience)
        undecided = [ask for ask in asks if ask.allowed is None]
        if undecided and self._consent is not None:
            asked = [(ask.person, (self._consent,)) for ask in undecided]
            flights = loads.start(asked, purpose, patience)
            # The memory may be down: half of the time is for the providers.
            yield [*loading, *flights], 0.5 if loading else 1.0
        for ask in undecided:
            self._decide(ask)
        wanted = [(ask.person, tuple(ask.missing)) for ask in asks if ask.missing]
        flights = loads.start(wanted, purpose, patience) if wanted else []
        if flights:
            _hand_out(flights, asks)
        if loading or flights:
            yield [*loading, *flights], 1.0
        for ask in asks:
            self._fill(loads, ask)

    def refresh(self, loads: Loads, ask: Ask) -> None:
        """
        Have fetched again what is given stale. Does not wait.
        """
        loads.start([(ask.person, tuple(ask.refreshing))], ask.look.purpose, self._patience)

    def _decide(self, ask: Ask) -> None:
        journal = self._knowledge.journal(ask.person.key)
        now = self._monotonic()
        ask.allowed = bool(self._settler.allows(ask, journal, now, is_asked=True))
        if not ask.allowed:
            ask.end()
        self._settler.take(ask, journal, now, refresh=False, peek=False)

    def _fill(self, loads: Loads, ask: Ask) -> None:
        """
        Take what the flights came to; what did not come is said to be late.
        """
        knowledge = self._knowledge
        if knowledge.forgotten and knowledge.is_forgotten(ask.person.key):
            ask.end(Reason.FORGOTTEN)
            return
        journal = knowledge.journal(ask.person.key)
        missing, ask.missing = ask.missing, []
        for plan in missing:
            ask.found[plan.name] = self._landed(loads, ask, plan)
        for plan in ask.look.plans:
            section = ask.found[plan.name]
            if section.reason is Reason.CONSENT_DENIED:
                continue  # no default may hide it
            if journal is not None:
                section = self._holding.laid(plan, section, None, journal)
            ask.found[plan.name] = self._holding.fallback(plan, section)

    def _landed(self, loads: Loads, ask: Ask, plan: Plan) -> Section[Any]:
        holding, now = self._holding, self._monotonic()
        flight = ask.flights.get(plan.name)
        answer = None if flight is None else flight.answer
        if answer is None and flight is not None:
            answer = loads.interim(flight)
        entry = ask.person.entry(ask.look.purpose, plan.name)
        if answer is not None and answer.reason in {Reason.RESOLVED, Reason.NOT_FOUND}:
            if answer.unchanged and entry is not None and entry.section is not None:
                return entry.section.but(reason=Reason.RESOLVED)
            if not answer.unchanged:
                return holding.partly(plan, answer)
        if entry is not None and entry.section is not None and now < entry.stale_until:
            return holding.stale(entry)
        if answer is not None:
            return holding.unknown(plan, answer.reason, answer.code, answer.message)
        self._count("timeout", plan.name)
        code = ErrorCode.DEADLINE_EXCEEDED
        return holding.unknown(plan, Reason.TIMEOUT, code, "nobody answered in time")


def _hand_out(flights: list[Flight], asks: list[Ask]) -> None:
    # By key: each flight held against each of a thousand questions took longer than the flights.
    whose: dict[Key, list[Ask]] = {}
    for ask in asks:
        whose.setdefault(ask.person.key, []).append(ask)
    for flight in flights:
        for ask in whose.get(flight.person.key, ()):
            ask.flights[flight.plan.name] = flight
