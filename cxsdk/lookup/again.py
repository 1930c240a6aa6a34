"""
The hot path: the same question about the same customer, while its answer holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.ask import Ask
from cxsdk.lookup.context import CustomerContext
from cxsdk.lookup.people import People, Person
from cxsdk.scope import current_interaction, current_scope

if TYPE_CHECKING:
    from cxsdk.lookup.knowledge import Knowledge

__all__ = ["Again", "Said"]

Said: TypeAlias = tuple[Any, Any, Any, Any, bool]
"""What a call says beside the customer: anonymous, sections, purpose, assurance, refresh. In one
tuple, since naming each of them again at each step would double the price of a lookup."""

_HOLDS_S = 1.0
"""So often the long way is gone all the same: it looks whether what was seen has ended, and whom
other processes forgot."""

_MOST = 8
"""Questions remembered of one customer."""


class Again:
    """
    Gives a context again that was made from memory alone, as long as all of it is fresh, nothing
    new was seen of the customer, and nobody says anything unusual. Safe from any thread.

    Args:
        consent: its plan, where anybody knows of it.

        exempt: purposes that need no consent; for others every question is judged anew.
    """

    def __init__(
        self,
        people: People,
        knowledge: Knowledge,
        consent: Plan | None,
        exempt: frozenset[str],
        clock: Clock,
    ) -> None:
        self._people = people
        self._knowledge = knowledge
        self._overlay = knowledge.overlay
        self._is_shared = knowledge.is_shared
        self._gates = () if consent is None else (consent,)
        self._exempt = exempt
        self._monotonic = clock.monotonic
        self.generation = _fork.current()
        """The process that it belongs to; the engine moves it on in a forked child."""

    def find(self, customer: Any, said: Said) -> CustomerContext | None:
        """
        Return the context that was made of this question before, None where it has to be asked.
        """
        if type(customer) is not str:
            return None
        person = self._people.by_raw.get(customer)
        if person is None or not person.made:
            return None
        try:
            memo = person.made.get(said)
        except TypeError:  # sections as a list
            return None
        if memo is None or not self._holds(person, memo):
            return None
        person.used = True
        made: CustomerContext = memo[3]
        interaction = current_interaction.get()
        if interaction is None:
            return made
        sections = made._sections.values()
        return made.read_by(self._knowledge.reading(interaction, sections))

    def _holds(self, person: Person, memo: tuple[Any, ...]) -> bool:
        if (
            memo[0] <= self._monotonic()
            or memo[1] != self._knowledge.epoch
            or _fork.page[0] != self.generation
        ):
            return False
        overlay = self._overlay
        if overlay is not None and (
            overlay.moved(person.key, memo[2]) or (self._is_shared and overlay.is_due(person.key))
        ):
            return False
        scope = current_scope.get()
        return scope is None or (scope.consent is None is scope.assurance)

    def keep(self, ask: Ask, said: Said, made: CustomerContext) -> CustomerContext:
        """
        Remember *made* for the same question, where that can be; return it.
        """
        person, look = ask.person, ask.look
        entries = person.entries.get(look.purpose)
        scope = current_scope.get()
        if (
            (scope is not None and scope.assurance is not None)
            or ask.word is not None
            or not ask.is_settled
            or look.denied  # each of these is counted
            or look.purpose not in self._exempt
            or entries is None
            or person.raw != ask.customer
            or _fork.page[0] != self.generation
        ):
            return made
        until = self._monotonic() + _HOLDS_S
        for plan in (*look.plans, *self._gates):
            entry = entries.get(plan.name)
            if entry is None and plan.sources:
                return made
            if entry is not None:
                until = min(until, entry.fresh_until)
        if len(ask.memos) >= _MOST:
            ask.memos.clear()
        plain = made if made._on_read is None else made.read_by(None)
        ask.memos[tuple(said)] = (until, ask.epoch, ask.version, plain)
        return made
