"""
Flights: one section of one customer on its way, and the calls of providers that carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from cxsdk.knowing import LookupRequest, Reason
from cxsdk.lookup.answers import Answer, Plan
from cxsdk.lookup.people import Key, Person
from cxsdk.lookup.sources import Outcome, Source

__all__ = ["Flight", "Job", "able", "batches"]

_NO_RAW = "it takes the host's own id, and only the wire form was received"


class Flight:
    """
    One section of one customer on its way. Belongs to `Loads`; `answer` is read by all.
    """

    __slots__ = (
        "answer",
        "expires",
        "is_void",
        "left",
        "outcomes",
        "person",
        "plan",
        "purpose",
        "running",
        "seen",
        "waiters",
    )

    def __init__(
        self,
        person: Person,
        purpose: str,
        plan: Plan,
        sources: list[Source],
        outcomes: list[tuple[Source, Outcome]],
    ) -> None:
        self.person = person
        self.purpose = purpose
        self.plan = plan
        self.left = sources
        self.running = 0
        self.outcomes = outcomes
        self.answer: Answer | None = None
        self.is_void = False
        """True: what it was asked for is not to be kept any more (`invalidate`, `forget`)."""

        self.waiters: list[Callable[[], None]] = []
        self.expires = 0.0
        self.seen = 0
        """What had been seen when it began, for "there is nothing"."""

    def version(self, source: str) -> str | None:
        """
        Return what a provider calls its answer that is held, None where none is.
        """
        entry = self.person.entry(self.purpose, self.plan.name)
        if entry is None or entry.section is None or not self.plan.is_one_by_one:
            return None
        return entry.versions.get(source)


def able(person: Person, plan: Plan) -> tuple[list[Source], list[tuple[Source, Outcome]]]:
    """
    Return who can be asked of *person*, and what is to be said of those who would know but cannot
    be asked: that they have nothing is not known.
    """
    sources = [one for one in plan.sources if person.space in one.spaces]
    if person.raw:
        return sources, []
    unable = [
        (one, Outcome(Reason.UNSUPPORTED, message=f"{one.name}: {_NO_RAW}"))
        for one in sources
        if one.takes == "raw"
    ]
    return [one for one in sources if one.takes != "raw"], unable


class Job:
    """
    One call of a provider, for one or more flights.
    """

    __slots__ = ("at", "expires", "flights", "is_over", "request", "source")

    def __init__(
        self,
        source: Source,
        request: LookupRequest,
        flights: dict[tuple[str, str], Flight],
        at: datetime,
    ) -> None:
        self.source = source
        self.request = request
        self.flights = flights
        self.expires = request.deadline
        self.is_over = False
        self.at = at
        """When it was asked: what happens after that may be missing in the answer."""


def batches(flights: list[Flight], most: int) -> Iterable[list[Flight]]:
    """
    Divide flights into groups about *most* persons each.
    """
    groups: list[list[Flight]] = []
    people: dict[Key, None] = {}
    for flight in flights:
        if flight.person.key not in people:
            if len(people) % most == 0:
                groups.append([])
            people[flight.person.key] = None
        groups[-1].append(flight)
    return groups
