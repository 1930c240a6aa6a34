"""
One customer's question on its way to a context.
"""

from __future__ import annotations

from typing import Any

from cxsdk.knowing import Reason
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.flights import Flight
from cxsdk.lookup.gate import Look
from cxsdk.lookup.people import Person
from cxsdk.lookup.section import Section, section_of

__all__ = ["Ask"]


class Ask:
    """
    What was asked, what of it is found, and what is missing. Belongs to one caller.

    Args:
        scope: the caller's, where it serves *person* and says something of consent.
    """

    __slots__ = (
        "allowed",
        "customer",
        "epoch",
        "flights",
        "found",
        "is_due",
        "look",
        "memos",
        "missing",
        "person",
        "purposes",
        "refreshing",
        "version",
        "word",
    )

    def __init__(self, customer: Any, person: Person, look: Look, scope: Any) -> None:
        self.customer = customer
        self.person = person
        self.look = look
        self.found: dict[str, Section[Any]] = {}
        self.missing: list[Plan] = []
        self.refreshing: list[Plan] = []
        """What is given stale and fetched again meanwhile."""

        self.flights: dict[str, Flight] = {}
        self.allowed: bool | None = True
        """Whether consent allows it; None: that has to be found out first."""

        self.memos = person.made
        """Where a context made of this may be remembered: what changes meanwhile replaces it."""

        self.epoch = self.version = 0
        """Of knowledge and journal, when this began."""

        self.is_due = False
        """The shared memory has to be read first."""

        self.word: str | None = None
        """What the scope says of consent."""

        self.purposes: tuple[str, ...] | None = None
        if scope is not None:
            self.word, self.purposes = scope.consent, scope.purposes

    @property
    def is_settled(self) -> bool:
        """
        Say whether nobody has to be asked.
        """
        return not (self.missing or self.is_due) and self.allowed is not None

    def scope_word(self, *, needs_consent: bool) -> str | None:
        """
        Return what the scope says of consent for the purpose, None where it says nothing.
        """
        if self.word is None:
            return None
        if self.purposes:
            return self.word if self.look.purpose in self.purposes else None
        return self.word if needs_consent else None

    def end(self, reason: Reason | None = None) -> None:
        """
        Give no section but consent (*reason* None: consent withholds them), or none at all.
        """
        self.missing, self.refreshing = [], []
        self.is_due = False
        for plan in self.look.plans:
            name = plan.name
            if reason is None:
                if name != "consent":
                    self.found[name] = self.look.withheld[name]
            else:
                strict = self.look.strict
                self.found[name] = section_of(name)(name, None, reason, strict=strict)
