"""
A cap store in this process's memory: for tests, and for one process that may forget.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from cxsdk import _fork
from cxsdk._clock import in_force
from cxsdk.asking import (
    LATE_S,
    OPEN,
    Answered,
    Denied,
    Due,
    History,
    OfferState,
    Request,
    Reserved,
    StoredOffer,
)
from cxsdk.prompts.stores._decision import (
    MOST_MARKS,
    MOST_OFFERS,
    YEAR_S,
    Spent,
    answered,
    capped,
    costs,
    drop_at,
    is_live,
    moved,
    newest,
    viewed,
)

__all__ = ["MemoryCapStore"]


@attrs.define
class _Entry:
    """
    One offer with what it spends.
    """

    offer: StoredOffer
    clocks: set[tuple[str, str]]
    """(subject, clock) of each of its caps."""

    quotas: dict[str, int]
    unique: str
    digest: bytes = b""

    def spent(self) -> Spent:
        """
        Return what its clocks see of it.
        """
        offer = self.offer
        return Spent(
            offer.state, offer.reserved_at, offer.expires_at, offer.shown_at, offer.ended_at
        )


class MemoryCapStore:
    """
    A `CapStore` that ends with its process. Thread-safe; a forked child begins with none.

    Args:
        time_s: seconds since 1970, for tests.
    """

    def __init__(self, time_s: Callable[[], float] = lambda: in_force().time_ns() / 1e9) -> None:
        self._time = time_s
        self._begin_process()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> MemoryCapStore:  # noqa: ARG003
        """
        Return a store for ``memory:``.
        """
        return cls()

    def __repr__(self) -> str:
        return "MemoryCapStore()"

    def _begin_process(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._of_subject: dict[str, set[str]] = defaultdict(set)
        self._of_clock: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._uniques: dict[str, str] = {}
        self._taken: dict[str, set[str]] = defaultdict(set)
        """Quota → offers that were reserved under it and not answered."""

        self._answers: dict[str, int] = {}
        self._aliases: dict[str, str] = {}
        self._out: set[str] = set()
        self._dues: dict[str, tuple[float, Due]] = {}
        self._marks: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
        self._generation = _fork.current()  # last: another thread of the child may look at it

    @contextmanager
    def _now(self) -> Iterator[float]:
        """
        Hold the lock; give the time.
        """
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._begin_process()
        with self._lock:
            yield self._time()

    def _who(self, subject: str) -> str:
        return self._aliases.get(subject, subject)

    # ---- reserving

    def reserve(self, request: Request) -> Reserved | Denied:
        """
        Reserve an offer, if all rules allow it.
        """
        with self._now() as now:
            denied = self._refusal(request, now)
            if denied is not None:
                return denied
            subject = self._who(request.subject)
            offer = StoredOffer(
                request.offer_id,
                request.prompt,
                subject,
                "reserved",
                request.record,
                now,
                now + request.expires_in,
            )
            clocks = {(self._who(cap.subject), cap.clock) for cap in request.caps}
            quotas = {quota.key: quota.limit for quota in request.quotas}
            self._entries[offer.offer_id] = _Entry(offer, clocks, quotas, request.unique)
            self._of_subject[subject].add(offer.offer_id)
            for place in clocks:
                self._of_clock[place].add(offer.offer_id)
            for key in quotas:
                self._taken[key].add(offer.offer_id)
            if request.unique:
                self._uniques[request.unique] = offer.offer_id
            return Reserved(offer.offer_id)

    def _refusal(self, request: Request, now: float) -> Denied | None:
        subject = self._who(request.subject)
        if subject in self._out:
            return Denied("opted_out")
        mine = [self._entries[name].offer for name in self._of_subject.get(subject, ())]
        ends = [o.expires_at for o in mine if is_live(o.state, o.expires_at, now)]
        if ends:
            return Denied("in_flight", max(ends) - now)
        if request.offer_id in self._entries or self._is_taken(request.unique, now):
            return Denied("already_asked")
        for cap in request.caps:
            place = (self._who(cap.subject), cap.clock)
            entered = [self._entries[name].spent() for name in self._of_clock.get(place, ())]
            denied = capped(cap, entered, now)
            if denied is not None:
                return denied
        for quota in request.quotas:
            taken = self._taken.get(quota.key, set())
            taken -= {name for name in taken if self._entries[name].offer.expires_at <= now}
            if len(taken) + self._answers.get(quota.key, 0) >= quota.limit:
                return Denied("quota_full")
        return None

    def _is_taken(self, unique: str, now: float) -> bool:
        entry = self._entries.get(self._uniques.get(unique, "")) if unique else None
        return entry is not None and costs(
            entry.offer.state, entry.offer.expires_at, entry.offer.shown_at, now
        )

    def release(self, offer_id: str) -> None:
        """
        Take a reservation back as if it had never been; one that was shown stays.
        """
        with self._now():
            entry = self._entries.get(offer_id)
            if entry is not None and entry.offer.state == "reserved":
                self._drop(offer_id)

    def _drop(self, offer_id: str) -> None:
        entry = self._entries.pop(offer_id)
        self._take_out(self._of_subject, entry.offer.subject, offer_id)
        for place in entry.clocks:
            self._take_out(self._of_clock, place, offer_id)
        for key in entry.quotas:
            self._take_out(self._taken, key, offer_id)
        if self._uniques.get(entry.unique) == offer_id:
            del self._uniques[entry.unique]

    @staticmethod
    def _take_out(index: dict[Any, set[str]], key: Any, offer_id: str) -> None:
        names = index.get(key, set())
        names.discard(offer_id)
        if not names:
            index.pop(key, None)

    # ---- the life of an offer

    def find(self, offer_id: str) -> StoredOffer | None:
        """
        Return an offer, or None where there is none.
        """
        with self._now() as now:
            entry = self._entries.get(offer_id)
            return None if entry is None else viewed(entry.offer, now)

    def advance(self, offer_id: str, to: OfferState) -> StoredOffer | None:
        """
        Move an open offer on; return it if this call did.
        """
        with self._now() as now:
            entry = self._entries.get(offer_id)
            after = None if entry is None else moved(entry.offer, to, now)
            if entry is not None and after is not None:
                entry.offer = after
                if after.state not in OPEN:
                    for key in entry.quotas:
                        self._take_out(self._taken, key, offer_id)
            return after

    def answer(
        self, offer_id: str, digest: bytes, *, complete: bool, revise_for: float = 0.0
    ) -> Answered:
        """
        Take an answer whose content has *digest*.
        """
        with self._now() as now:
            entry = self._entries.get(offer_id)
            if entry is None:
                return Answered("gone")
            before = entry.offer
            outcome, after = answered(
                before, entry.digest, digest, now, complete=complete, revise_for=revise_for
            )
            if outcome == "gone":
                return Answered("gone")
            if outcome in {"same", "conflict"}:
                return Answered(outcome, after.revision, after)
            is_counted = before.state == "answered"
            over = any(
                self._answers.get(key, 0) - is_counted >= limit
                for key, limit in entry.quotas.items()
            )
            if after.state == "answered" and not is_counted:
                for key in entry.quotas:
                    self._take_out(self._taken, key, offer_id)
                    self._answers[key] = self._answers.get(key, 0) + 1
            entry.offer, entry.digest = after, digest
            return Answered(outcome, after.revision, after, over_quota=over)

    # ---- subjects

    def history(self, subject: str) -> History:
        """
        Return what is known of a subject.
        """
        with self._now() as now:
            who = self._who(subject)
            mine = [self._entries[name].offer for name in self._of_subject.get(who, ())]
            mine = [attrs.evolve(o, now=now) for o in mine if o.reserved_at > now - YEAR_S]
            mine.sort(key=lambda offer: -offer.reserved_at)
            marks = {}
            for (whose, topic), found in self._marks.items():
                moments = [moment for moment, until in found.values() if until > now]
                if whose == who and moments:
                    marks[topic] = newest(moments)
            return History(tuple(mine[:MOST_OFFERS]), who in self._out, marks, now)

    def mark(self, subject: str, topic: str, unique: str, keep: float) -> None:
        """
        Enter that something happened to a subject now.
        """
        with self._now() as now:
            found = self._marks.setdefault((self._who(subject), topic), {})
            if unique not in found or found[unique][1] <= now:
                found[unique] = (now, now + keep)
            self._trim(found, now)

    def _trim(self, found: dict[str, tuple[float, float]], now: float) -> None:
        for name in [name for name, (_, until) in found.items() if until <= now]:
            del found[name]
        while len(found) > MOST_MARKS:
            del found[min(found, key=found.__getitem__)]

    def opt_out(self, subject: str) -> None:
        """
        Never ask this subject again.
        """
        with self._now():
            self._out.add(self._who(subject))

    def merge(self, subject: str, into: str) -> None:
        """
        Join the history of *subject* to that of *into*.
        """
        with self._now() as now:
            new = self._who(into)
            if subject in self._aliases or subject == new:
                return
            self._aliases = {a: new if t == subject else t for a, t in self._aliases.items()}
            self._aliases[subject] = new
            for name in self._of_subject.pop(subject, ()):
                entry = self._entries[name]
                entry.offer = attrs.evolve(entry.offer, subject=new)
                self._of_subject[new].add(name)
            for old in [place for place in self._of_clock if place[0] == subject]:
                for name in self._of_clock.pop(old):
                    self._entries[name].clocks ^= {old}
                    self._entries[name].clocks |= {(new, old[1])}
                    self._of_clock[new, old[1]].add(name)
            for topic in [topic for whose, topic in self._marks if whose == subject]:
                found = self._marks.setdefault((new, topic), {})
                for unique, mark in self._marks.pop((subject, topic)).items():
                    found[unique] = min(mark, found.get(unique, mark))
                self._trim(found, now)
            for name, (moment, due) in self._dues.items():
                if due.subject == subject:
                    self._dues[name] = (moment, attrs.evolve(due, subject=new))
            if subject in self._out:
                self._out.add(new)

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks and what is due of a subject.
        """
        with self._now():
            who = self._who(subject)
            mine = list(self._of_subject.get(who, ()))
            for name in mine:
                self._drop(name)
            for place in [place for place in self._of_clock if place[0] == who]:
                for name in self._of_clock.pop(place):
                    self._entries[name].clocks.discard(place)
            for topic in [topic for whose, topic in self._marks if whose == who]:
                del self._marks[who, topic]
            self.cancel(who)
            theirs = [alias for alias, root in self._aliases.items() if root == who]
            if who in self._out:
                self._out.update(theirs)
            for alias in theirs:
                del self._aliases[alias]
            return len(mine)

    # ---- later

    def sweep(self, limit: int = 500) -> Sequence[StoredOffer]:
        """
        End open offers whose time is over; return them as they were before.
        """
        with self._now() as now:
            over = [
                entry
                for entry in self._entries.values()
                if entry.offer.state in OPEN and entry.offer.expires_at <= now
            ][:limit]
            before = [attrs.evolve(entry.offer, now=now) for entry in over]
            for entry in over:
                entry.offer = attrs.evolve(entry.offer, state="lapsed", ended_at=now)
                for key in entry.quotas:
                    self._take_out(self._taken, key, entry.offer.offer_id)
            ended = [e.offer for e in self._entries.values() if e.offer.state not in OPEN]
            for offer in ended:
                if drop_at(offer) <= now:
                    self._drop(offer.offer_id)
            for found in self._marks.values():
                self._trim(found, now)
            self._marks = {place: found for place, found in self._marks.items() if found}
            for name in [n for n, (at, _) in self._dues.items() if at < now - LATE_S]:
                del self._dues[name]
            return before

    def schedule(self, due: Due) -> bool:
        """
        Keep something for later; return False where its id is known already.
        """
        with self._now() as now:
            if due.due_id in self._dues:
                return False
            due = attrs.evolve(due, subject=self._who(due.subject))
            self._dues[due.due_id] = (now + due.in_s, due)
            return True

    def cancel(self, subject: str, topic: str = "") -> int:
        """
        Drop what is due of *subject*, all of it or that of *topic*.
        """
        with self._now():
            who = self._who(subject)
            mine = [
                name
                for name, (_, due) in self._dues.items()
                if due.subject == who and topic in {"", due.topic}
            ]
            for name in mine:
                del self._dues[name]
            return len(mine)

    def take_due(
        self,
        subject: str | None = None,
        limit: int = 50,
        topics: Collection[str] | None = None,
    ) -> Sequence[Due]:
        """
        Take out what has come due, of one subject or of all, about *topics* or anything.
        """
        with self._now() as now:
            who = None if subject is None else self._who(subject)
            ready = sorted(
                (moment, name)
                for name, (moment, due) in self._dues.items()
                if moment <= now
                and who in {None, due.subject}
                and (topics is None or due.topic in topics)
            )[:limit]
            return [
                attrs.evolve(self._dues.pop(name)[1], in_s=moment - now) for moment, name in ready
            ]

    def counts(self) -> Mapping[str, Any]:
        """
        Return figures for ``cxsdk doctor``.
        """
        with self._now():
            states: dict[str, int] = {}
            for entry in self._entries.values():
                states[entry.offer.state] = states.get(entry.offer.state, 0) + 1
            return {"offers": states, "due": len(self._dues), "answers": dict(self._answers)}

    def close(self) -> None:
        """
        Nothing to release.
        """
