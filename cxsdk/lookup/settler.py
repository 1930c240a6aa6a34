"""
What of a question can be answered from memory, and what has to be fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cxsdk._clock import Clock
from cxsdk.knowing import Reason
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.ask import Ask
from cxsdk.lookup.gate import allows, word_of
from cxsdk.lookup.holding import Holding
from cxsdk.lookup.people import Entry, Key
from cxsdk.lookup.section import Section

if TYPE_CHECKING:
    from cxsdk.lookup.knowledge import Knowledge

__all__ = ["Settler"]


class Settler:
    """
    Settles questions as far as memory goes; asks nobody. Safe from any thread.

    Args:
        plans: section → plan.

        exempt: purposes that need no consent.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        holding: Holding,
        knowledge: Knowledge,
        exempt: frozenset[str],
        clock: Clock,
    ) -> None:
        self._consent = plans.get("consent")
        self._holding = holding
        self._knowledge = knowledge
        self._exempt = exempt
        self._monotonic = clock.monotonic

    def begin(self, ask: Ask, *, refresh: bool, peek: bool) -> None:
        """
        Settle *ask* as far as memory goes.
        """
        knowledge, person, look = self._knowledge, ask.person, ask.look
        ask.epoch = knowledge.epoch
        if knowledge.overlay is not None:
            ask.version = knowledge.overlay.version(person.key)
        if knowledge.forgotten and knowledge.is_forgotten(person.key):
            ask.end(Reason.FORGOTTEN)
            return
        journal = knowledge.journal(person.key)
        now = self._monotonic()
        if look.checks_consent or journal is not None or ask.word is not None:
            ask.allowed = self.allows(ask, journal, now, is_asked=False)
            if not ask.allowed:
                if ask.allowed is None and not peek:
                    ask.is_due = knowledge.is_shared and knowledge.is_due(person.key)
                    return
                ask.allowed = False
                ask.end()
        self.take(ask, journal, now, refresh=refresh, peek=peek)
        if knowledge.is_shared and not peek and knowledge.is_due(person.key):
            ask.is_due = True

    def take(self, ask: Ask, journal: Any, now: float, *, refresh: bool, peek: bool) -> None:
        """
        Take from memory what *ask* may have; note what is missing and what is to be refreshed.
        """
        found, look = ask.found, ask.look
        entries = ask.person.entries.get(look.purpose)
        for plan in look.plans:
            if plan.name in found:
                continue
            entry = None if entries is None else entries.get(plan.name)
            if entry is not None and entry.fresh_until > now and not refresh:
                section = entry.section
                if journal is not None:
                    section = self._fresh(ask.person.key, plan, entry, journal)
            else:
                section = self._held(ask, plan, entry, now, refresh=refresh, peek=peek)
                if section is not None and journal is not None:
                    section = self._holding.laid(plan, section, None, journal)
            if section is None:
                ask.missing.append(plan)
                if peek:
                    # Of "there is nothing" only what happened since is left.
                    section = self._holding.unknown(plan, Reason.NOT_REQUESTED)
                    section = self._holding.laid(plan, section, None, journal)
            if section is not None:
                found[plan.name] = section

    def _fresh(self, key: Key, plan: Plan, entry: Entry, journal: Any) -> Section[Any] | None:
        if entry.section is None or (
            entry.is_negative and entry.seen != self._knowledge.seen(key, plan.name)
        ):
            return None  # there was nothing, but something happened since
        return self._holding.laid(plan, entry.section, entry, journal)

    def _held(
        self,
        ask: Ask,
        plan: Plan,
        entry: Entry | None,
        now: float,
        *,
        refresh: bool,
        peek: bool,
    ) -> Section[Any] | None:
        """
        Return what can be said of a section that is not fresh, None where it has to be fetched.
        """
        holding = self._holding
        if not plan.sources:
            return holding.unknown(plan, Reason.LOCAL, words="no provider has it")
        can_ask = entry is None or now >= entry.retry_at
        if entry is not None and entry.section is not None and now < entry.stale_until:
            if peek or not can_ask:
                return holding.stale(entry)
            if refresh:
                return None
            ask.refreshing.append(plan)
            return holding.stale(entry)
        if entry is not None and entry.failure is not None and not can_ask:
            return holding.fallback(plan, entry.failure)
        return holding.unknown(plan, Reason.NOT_REQUESTED) if peek else None

    def allows(self, ask: Ask, journal: Any, now: float, *, is_asked: bool) -> bool | None:
        """
        Say whether consent allows the purpose of *ask*; None: a provider has to be asked first.

        Args:
            is_asked: it was; what is not known now is unknown.
        """
        purpose, person, plan = ask.look.purpose, ask.person, self._consent
        needs = purpose not in self._exempt
        value = None
        is_heard = True
        if plan is not None and plan.sources:
            entry = person.entry(purpose, "consent")
            can_ask = entry is None or now >= entry.retry_at
            if entry is not None and entry.section is not None and now < entry.stale_until:
                value = entry.section.value
                is_heard = entry.section.error_code is None
                if now >= entry.fresh_until and can_ask and not is_asked:
                    ask.refreshing.append(plan)
            elif can_ask and not is_asked:
                return None
        if journal is not None:
            value = self._knowledge.overlaid("consent", value, None, 0.0, journal, 1)
        word = word_of(value, purpose, needs_consent=needs, is_heard=is_heard)
        said = self._knowledge.said(person) if needs else None
        words = (word, ask.scope_word(needs_consent=needs), said)
        return allows(words, needs_consent=needs)
