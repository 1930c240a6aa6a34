"""
Loads: one question to a provider at a time for each section of each customer, whoever asks.

A flight is the fetching of one section; callers of all threads and loops join the one that there
is, and none of them can cancel it. It goes from provider to provider as its plan says, and what it
comes to is stored before it is out of the way, so that nobody asks in between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import attrs

from cxsdk._guard import voice
from cxsdk.knowing import ErrorCode, LookupRequest, Reason, Subject
from cxsdk.lookup.answers import Answer, Plan, is_empty, shaped, single, total
from cxsdk.lookup.flights import Flight, Job, able, batches
from cxsdk.lookup.people import Key, Person
from cxsdk.lookup.sources import Outcome, Source, outcome_of

__all__ = ["Loads"]

_GRACE_S = 1.0


_Keep: TypeAlias = Callable[[Flight, Answer], None]
Ids: TypeAlias = Callable[[Person, str], Subject]


class Loads:
    """
    The flights of a client in one process. Thread-safe; no lock is held during a call.

    Args:
        keep: stores what a flight came to; called once for each, and again for what came late.

        ids: a person in the form that a source takes, ``raw`` or ``wire``.

        count: counts something: (what, provider or section).

        now: the wall clock.

        seen: what was seen so far that "there is nothing" may be over; see `Knowledge.seen`.
    """

    def __init__(
        self,
        keep: _Keep,
        ids: Ids,
        count: Callable[[str, str], None],
        now: Callable[[], datetime],
        seen: Callable[[Key, str], int],
    ) -> None:
        self._now = now
        self._seen = seen
        self._keep = keep
        self._ids = ids
        self._count = count
        self._lock = threading.Lock()
        self._flights: dict[tuple[Key, str, str], Flight] = {}
        self._jobs: set[Job] = set()
        self._overdue: set[Job] = set()
        """Those that were given up and may answer yet."""

    def __len__(self) -> int:
        return len(self._flights)

    # ---- starting ------------------------------------------------------------------------------

    def start(
        self, wanted: Iterable[tuple[Person, Iterable[Plan]]], purpose: str, patience: float
    ) -> list[Flight]:
        """
        Return the flights of *wanted*, joining those that there are. Does not wait.

        Args:
            patience: seconds that a provider has.
        """
        self.reap()
        joined: list[Flight] = []
        begun: list[Flight] = []
        now = time.monotonic()
        with self._lock:
            for person, plans in wanted:
                for plan in plans:
                    key = (person.key, purpose, plan.name)
                    flight = self._flights.get(key)
                    if flight is None or flight.expires + _GRACE_S < now:
                        # One that is long over was cut off by an exception thrown into it.
                        flight = self._flights[key] = Flight(
                            person, purpose, plan, *able(person, plan)
                        )
                        flight.expires = now + patience
                        begun.append(flight)
                    else:
                        self._count("joined", plan.name)
                    joined.append(flight)
        try:
            for flight in begun:
                flight.seen = self._seen(flight.person.key, flight.plan.name)
            self._advance(begun, patience)
        except BaseException:
            # A time limit of the host's, thrown into us: whoever comes next begins anew.
            self._withdraw(begun)
            raise
        return joined

    def _withdraw(self, flights: Iterable[Flight]) -> None:
        with self._lock:
            for flight in flights:
                key = (flight.person.key, flight.purpose, flight.plan.name)
                if self._flights.get(key) is flight:
                    del self._flights[key]

    def _advance(self, flights: Iterable[Flight], patience: float) -> None:
        """
        Send each flight to its next provider, or to all of them; end those that have none left.
        """
        groups: dict[tuple[Source, str, frozenset[str]], list[Flight]] = {}
        by_person: dict[tuple[Source, Key], list[Flight]] = {}
        over: list[Flight] = []
        for flight in flights:
            with self._lock:
                if flight.plan.is_one_by_one:
                    sources, flight.left = flight.left[:1], flight.left[1:]
                else:
                    sources, flight.left = flight.left, []
                flight.running += len(sources)
            if not sources:
                over.append(flight)
            for source in sources:
                by_person.setdefault((source, flight.person.key), []).append(flight)
        for (source, _), some in by_person.items():
            sections = frozenset(flight.plan.name for flight in some)
            # Apart by space: answers go by ids, and a visitor may have a customer's.
            space = some[0].person.space
            groups.setdefault((source, space, sections), []).extend(some)
        for (source, _, sections), some in groups.items():
            for part in batches(some, source.max_batch):
                self._send(source, sections, part, patience)
        for flight in over:
            self._finish(flight)

    def _send(
        self, source: Source, sections: frozenset[str], flights: list[Flight], patience: float
    ) -> None:
        asked: dict[tuple[str, str], Flight] = {}
        subjects: dict[str, Subject] = {}
        purpose, at = flights[0].purpose, self._now()
        for flight in flights:
            subject = self._ids(flight.person, source.takes)
            subjects[subject.id] = subject
            asked[subject.id, flight.plan.name] = flight
        plans = {flight.plan.name: flight.plan.said for flight in flights}
        known = {
            key: version
            for key, flight in asked.items()
            if (version := flight.version(source.name)) is not None
        }
        request = LookupRequest(
            subjects=tuple(subjects.values()),
            sections=sections,
            purpose=purpose,
            deadline=time.monotonic() + patience,
            limits={name: plan.limit for name, plan in plans.items()},
            fields={name: frozenset(plan.fields) for name, plan in plans.items() if plan.fields},
            versions=known,
        )
        job = Job(source, request, asked, at)
        with self._lock:
            self._jobs.add(job)
            for flight in flights:
                flight.expires = max(flight.expires, job.expires)
        self._count("loads", source.name)
        refused = source.send(request, patience, lambda answer: self._answered(job, answer))
        if refused is not None:
            self._count("refused", source.name)
            self._take(job, dict.fromkeys(asked, refused))

    # ---- answers ---------------------------------------------------------------------------------

    def _answered(self, job: Job, answer: Any) -> None:
        try:
            self._judge(job, answer)
        except Exception as error:  # noqa: BLE001 - types of a team's own may raise anything
            words = f"{job.source.name} answered with {type(error).__name__}"
            failed = Outcome(Reason.ERROR, code=ErrorCode.PARSE_ERROR, message=words)
            self._take(job, dict.fromkeys(job.flights, failed))
        finally:
            with self._lock:
                self._overdue.discard(job)

    def _judge(self, job: Job, answer: Any) -> None:
        if isinstance(answer, BaseException) and job.is_over:
            return  # was told to the breaker when it was late
        whole = job.source.judge(answer)
        if whole is not None:
            self._count("failed", job.source.name)
            self._take(job, dict.fromkeys(job.flights, whole))
            return
        outcomes = {}
        for key, flight in job.flights.items():
            subject, section = key
            said = answer.get(subject)
            said = said.get(section) if isinstance(said, Mapping) else said
            found = outcome_of(said, job.at)
            outcomes[key] = shaped(flight.plan, found)
        if not self._take(job, outcomes):
            self._came_late(job, outcomes)

    def _take(self, job: Job, outcomes: Mapping[tuple[str, str], Outcome]) -> bool:
        """
        Give each flight what its provider said; once for each job, False afterwards.
        """
        further: list[Flight] = []
        over: list[Flight] = []
        with self._lock:
            if job.is_over:
                return False
            job.is_over = True
            self._jobs.discard(job)
            for key, flight in job.flights.items():
                outcome = outcomes[key]
                flight.outcomes.append((job.source, outcome))
                flight.running -= 1
                if flight.running:
                    continue
                is_done = outcome.reason is Reason.RESOLVED
                (over if is_done or not flight.left else further).append(flight)
        for flight in over:
            self._finish(flight)
        left = job.expires - time.monotonic()
        # The next provider has as long as this one had; whoever waits has an end of their own.
        self._advance(further, max(left, 0.05) if left > 0 else 1.0)
        return True

    def _came_late(self, job: Job, outcomes: Mapping[tuple[str, str], Outcome]) -> None:
        """
        Keep what came after our time limit; nobody waits for it any more.
        """
        for key, flight in job.flights.items():
            outcome = outcomes[key]
            is_one = flight.plan.is_one_by_one
            if outcome.reason is Reason.RESOLVED and is_one and not flight.is_void:
                self._count("late", job.source.name)
                self._keep(flight, single(job.source, outcome))

    def _finish(self, flight: Flight) -> None:
        try:
            answer = total(flight.plan, flight.outcomes)
            if not flight.is_void:
                self._keep(flight, answer)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            kind = type(error).__name__
            voice.say(
                logging.ERROR, f"context:keep:{kind}", "cxsdk: a section is not kept: %r", error
            )
            answer = Answer(Reason.ERROR, code=ErrorCode.GENERAL, message=kind)
        with self._lock:
            flight.answer = answer
            if answer.reason in {Reason.RESOLVED, Reason.NOT_FOUND}:
                self._outdate(flight)
            key = (flight.person.key, flight.purpose, flight.plan.name)
            if self._flights.get(key) is flight:
                del self._flights[key]
            waiters, flight.waiters = flight.waiters, []
        for waiter in waiters:
            waiter()

    def _outdate(self, newer: Flight) -> None:
        """
        Have nothing kept of an earlier question that is answered after *newer* was.
        """
        for one in self._given_up():
            is_same = one.person.key == newer.person.key and one.plan.name == newer.plan.name
            if is_same and one.purpose == newer.purpose and one is not newer:
                one.is_void = True

    # ---- time, and taking back -------------------------------------------------------------------

    def reap(self, now: float | None = None) -> None:
        """
        End the calls whose time is over (at *now*); what they answer later is still kept.
        """
        if not self._jobs:
            return
        now = time.monotonic() if now is None else now
        with self._lock:
            late = [job for job in self._jobs if job.expires <= now]
            self._overdue.update(late)
        for job in late:
            self._count("late", job.source.name)
            self._take(job, dict.fromkeys(job.flights, job.source.late()))

    def interim(self, flight: Flight) -> Answer | None:
        """
        Return what a merge has so far, or None.
        """
        with self._lock:
            found = [
                (source, out) for source, out in flight.outcomes if out.reason is Reason.RESOLVED
            ]
        if not found:
            return None
        answer = total(flight.plan, found)
        if is_empty(answer.value):
            return None  # that there is nothing is for all of them to say
        late = ErrorCode.DEADLINE_EXCEEDED
        return attrs.evolve(answer, truncated=True, code=late, message="a provider is missing")

    def void(self, keys: Iterable[Key], sections: Iterable[str] | None = None) -> None:
        """
        Have nothing kept of what is on its way for *keys*; whoever waits still gets it.
        """
        gone = frozenset(keys)
        named = None if sections is None else frozenset(sections)
        with self._lock:
            for key, flight in list(self._flights.items()):
                if key[0] in gone and (named is None or key[2] in named):
                    flight.is_void = True
                    del self._flights[key]
            for flight in self._given_up():
                if flight.person.key in gone and (named is None or flight.plan.name in named):
                    flight.is_void = True

    def _given_up(self) -> Iterable[Flight]:
        return (flight for job in self._overdue for flight in job.flights.values())

    def wait_for(self, flights: Iterable[Flight], ring: Callable[[], None]) -> Callable[[], None]:
        """
        Call *ring* once all *flights* are over; return what gives up waiting.
        """
        lock = threading.Lock()
        waited = list(flights)
        left = [len(waited)]

        def landed() -> None:
            with lock:
                left[0] -= 1
                is_last = not left[0]
            if is_last:
                ring()

        over = 0
        with self._lock:
            for flight in waited:
                if flight.answer is None:
                    flight.waiters.append(landed)
                else:
                    over += 1
        for _ in range(over):
            landed()

        def leave() -> None:
            with self._lock:
                for flight in waited:
                    if landed in flight.waiters:
                        flight.waiters.remove(landed)

        return leave
