"""
A cap store in this process's memory: for tests, and for one process that may forget.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from cxsdk import _fork
from cxsdk.asking import (
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

__all__ = ["MemoryCapStore"]

_YEAR = 365 * 86_400.0
_MOST_OFFERS = 100
_MOST_MARKS = 100
_STEPS: tuple[OfferState, ...] = ("reserved", "shown", "started", "partial")


@attrs.define
class _Entry:
    """
    One offer with what it spends.
    """

    offer: StoredOffer
    clocks: frozenset[tuple[str, str]]
    """(subject, clock) of each of its caps."""

    quotas: dict[str, int]
    unique: str
    digest: bytes = b""
    answered_at: float | None = None


class MemoryCapStore:
    """
    A `CapStore` that ends with its process. Thread-safe; a forked child begins with none.

    Args:
        time_s: seconds since 1970, for tests.
    """

    def __init__(self, time_s: Callable[[], float] = time.time) -> None:
        self._time = time_s
        self._begin_process()

    def _begin_process(self) -> None:
        self._generation = _fork.current()
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._aliases: dict[str, str] = {}
        self._out: set[str] = set()
        self._dues: dict[str, tuple[float, Due]] = {}
        self._marks: dict[tuple[str, str], dict[str, float]] = {}

    def _enter(self) -> Any:
        if self._generation != _fork.current():
            self._begin_process()
        return self._lock

    def _who(self, subject: str) -> str:
        return self._aliases.get(subject, subject)

    def _live(self, entry: _Entry, now: float) -> bool:
        return entry.offer.state in OPEN and entry.offer.expires_at > now

    # ---- reserving

    def reserve(self, request: Request) -> Reserved | Denied:
        """
        Reserve an offer, if all rules allow it.
        """
        with self._enter():
            now = self._time()
            denied = self._refusal(request, now)
            if denied is not None:
                return denied
            offer = StoredOffer(
                request.offer_id,
                request.prompt,
                self._who(request.subject),
                "reserved",
                request.record,
                now,
                now + request.expires_in,
            )
            clocks = frozenset((self._who(cap.subject), cap.clock) for cap in request.caps)
            quotas = {quota.key: quota.limit for quota in request.quotas}
            entry = _Entry(offer, clocks, quotas, request.unique)
            self._entries[request.offer_id] = entry
            return Reserved(request.offer_id)

    def _refusal(self, request: Request, now: float) -> Denied | None:
        subject = self._who(request.subject)
        if subject in self._out:
            return Denied("opted_out")
        costing = [e for e in self._entries.values() if self._costs(e, now)]
        for entry in costing:
            if entry.offer.subject == subject and self._live(entry, now):
                return Denied("in_flight", entry.offer.expires_at - now)
        if request.unique and any(e.unique == request.unique for e in costing):
            return Denied("already_asked")
        for cap in request.caps:
            mine = [e for e in costing if (self._who(cap.subject), cap.clock) in e.clocks]
            denied = self._capped(cap, mine, now)
            if denied is not None:
                return denied
        for quota in request.quotas:
            if sum(quota.key in e.quotas and self._counts(e, now) for e in costing) >= quota.limit:
                return Denied("quota_full")
        return None

    def _costs(self, entry: _Entry, now: float) -> bool:
        # Unseen and over: as if it had never been.
        return (
            entry.offer.shown_at is not None
            or entry.answered_at is not None
            or self._live(entry, now)
        )

    def _counts(self, entry: _Entry, now: float) -> bool:
        return entry.answered_at is not None or self._live(entry, now)

    def _capped(self, cap: Any, mine: Sequence[_Entry], now: float) -> Denied | None:
        if cap.within:
            since = now - cap.within
            moments = sorted(self._moment(e) for e in mine)
            recent = [moment for moment in moments if moment > since]
            if len(recent) >= cap.most:
                return Denied(cap.reason, recent[-cap.most] - since)
        for state, gap in (("dismissed", cap.after_dismissal), ("answered", cap.after_answer)):
            ends = [
                e.offer.ended_at
                for e in mine
                if e.offer.state == state and e.offer.ended_at is not None
            ]
            if gap and ends and max(ends) > now - gap:
                return Denied(cap.reason, max(ends) + gap - now)
        return None

    def _moment(self, entry: _Entry) -> float:
        shown = entry.offer.shown_at
        return entry.offer.reserved_at if shown is None else shown

    def release(self, offer_id: str) -> None:
        """
        Take a reservation back as if it had never been; one that was shown stays.
        """
        with self._enter():
            entry = self._entries.get(offer_id)
            if entry is not None and entry.offer.state == "reserved":
                del self._entries[offer_id]

    # ---- the life of an offer

    def find(self, offer_id: str) -> StoredOffer | None:
        """
        Return an offer, or None where there is none.
        """
        with self._enter():
            entry = self._entries.get(offer_id)
            if entry is None:
                return None
            now = self._time()
            offer = attrs.evolve(entry.offer, now=now)
            is_over = offer.state in OPEN and offer.expires_at <= now
            return attrs.evolve(offer, state="lapsed") if is_over else offer

    def advance(self, offer_id: str, to: OfferState) -> StoredOffer | None:
        """
        Move an open offer on; return it if this call did.
        """
        with self._enter():
            entry = self._entries.get(offer_id)
            now = self._time()
            if entry is None or not self._live(entry, now):
                return None
            offer = entry.offer
            if to in _STEPS and _STEPS.index(to) <= _STEPS.index(offer.state):
                return None
            shown = offer.shown_at
            if shown is None and to != "revoked":
                shown = now  # whoever started or dismissed it has seen it
            ended = now if to in {"dismissed", "revoked"} else None
            entry.offer = attrs.evolve(offer, state=to, shown_at=shown, ended_at=ended)
            return attrs.evolve(entry.offer, now=now)

    def answer(
        self, offer_id: str, digest: bytes, *, complete: bool, revise_for: float = 0.0
    ) -> Answered:
        """
        Take an answer whose content has *digest*.
        """
        with self._enter():
            entry = self._entries.get(offer_id)
            now = self._time()
            if entry is None:
                return Answered("gone")
            offer = entry.offer
            if entry.digest == digest and offer.revision:
                return Answered("same", offer.revision, attrs.evolve(offer, now=now))
            if offer.state == "answered":
                assert entry.answered_at is not None  # noqa: S101
                if now >= entry.answered_at + revise_for:
                    return Answered("conflict", offer.revision, attrs.evolve(offer, now=now))
            elif not self._live(entry, now):
                return Answered("gone")
            others = [
                e for e in self._entries.values() if e is not entry and e.answered_at is not None
            ]
            over = any(
                sum(key in other.quotas for other in others) >= limit
                for key, limit in entry.quotas.items()
            )
            is_done = complete or offer.state == "answered"
            if is_done and entry.answered_at is None:
                entry.answered_at = now
            entry.digest = digest
            entry.offer = attrs.evolve(
                offer,
                state="answered" if is_done else "partial",
                shown_at=now if offer.shown_at is None else offer.shown_at,
                ended_at=entry.answered_at,
                revision=offer.revision + 1,
            )
            outcome: Any = "first" if offer.revision == 0 else "revised"
            found = attrs.evolve(entry.offer, now=now)
            return Answered(outcome, found.revision, found, over_quota=over)

    # ---- subjects

    def history(self, subject: str) -> History:
        """
        Return what is known of a subject.
        """
        with self._enter():
            who, now = self._who(subject), self._time()
            mine = [e.offer for e in self._entries.values() if e.offer.subject == who]
            mine.sort(key=lambda offer: -offer.reserved_at)
            marks = {
                topic: tuple(sorted(found.values()))
                for (whose, topic), found in self._marks.items()
                if whose == who
            }
            return History(tuple(mine[:_MOST_OFFERS]), who in self._out, marks, now)

    def mark(self, subject: str, topic: str, unique: str, keep: float) -> None:
        """
        Enter that something happened to a subject now.
        """
        with self._enter():
            now = self._time()
            found = self._marks.setdefault((self._who(subject), topic), {})
            found.setdefault(unique, now)
            for name in [n for n, moment in found.items() if moment <= now - keep]:
                del found[name]
            while len(found) > _MOST_MARKS:
                del found[min(found, key=found.__getitem__)]

    def opt_out(self, subject: str) -> None:
        """
        Never ask this subject again.
        """
        with self._enter():
            self._out.add(self._who(subject))

    def merge(self, subject: str, into: str) -> None:
        """
        Join the history of *subject* to that of *into*.
        """
        with self._enter():
            old, new = subject, self._who(into)
            if old == new or old in self._aliases:
                return
            self._aliases = {a: new if t == old else t for a, t in self._aliases.items()}
            self._aliases[old] = new
            for entry in self._entries.values():
                if entry.offer.subject == old:
                    entry.offer = attrs.evolve(entry.offer, subject=new)
                entry.clocks = frozenset((new if s == old else s, c) for s, c in entry.clocks)
            for (whose, topic), found in list(self._marks.items()):
                if whose == old:
                    self._marks.setdefault((new, topic), {}).update(found)
                    del self._marks[whose, topic]
            for name, (moment, due) in list(self._dues.items()):
                if due.subject == old:
                    self._dues[name] = (moment, attrs.evolve(due, subject=new))
            if old in self._out:
                self._out.add(new)

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks and what is due of a subject.
        """
        with self._enter():
            who = self._who(subject)
            mine = [name for name, e in self._entries.items() if e.offer.subject == who]
            for name in mine:
                del self._entries[name]
            for whose, topic in [key for key in self._marks if key[0] == who]:
                del self._marks[whose, topic]
            self.cancel(who)
            self._aliases = {a: t for a, t in self._aliases.items() if who not in {a, t}}
            return len(mine)

    # ---- later

    def sweep(self, limit: int = 500) -> Sequence[StoredOffer]:
        """
        End open offers whose time is over; return them as they were before.
        """
        with self._enter():
            now = self._time()
            over = [
                e
                for e in self._entries.values()
                if e.offer.state in OPEN and not self._live(e, now)
            ][:limit]
            before = [attrs.evolve(entry.offer, now=now) for entry in over]
            for entry in over:
                entry.offer = attrs.evolve(entry.offer, state="lapsed", ended_at=now)
            for name, entry in list(self._entries.items()):
                if entry.offer.reserved_at < now - _YEAR:
                    del self._entries[name]
            return before

    def schedule(self, due: Due) -> bool:
        """
        Keep something for later; return False where its id is known already.
        """
        with self._enter():
            if due.due_id in self._dues:
                return False
            due = attrs.evolve(due, subject=self._who(due.subject))
            self._dues[due.due_id] = (self._time() + due.in_s, due)
            return True

    def cancel(self, subject: str, topic: str = "") -> int:
        """
        Drop what is due of *subject*, all of it or that of *topic*.
        """
        with self._enter():
            who = self._who(subject)
            mine = [
                name
                for name, (_, due) in self._dues.items()
                if due.subject == who and topic in {"", due.topic}
            ]
            for name in mine:
                del self._dues[name]
            return len(mine)

    def take_due(self, subject: str | None = None, limit: int = 50) -> Sequence[Due]:
        """
        Take out what has come due, of one subject or of all.
        """
        with self._enter():
            now = self._time()
            who = None if subject is None else self._who(subject)
            ready = sorted(
                (moment, name)
                for name, (moment, due) in self._dues.items()
                if moment <= now and who in {None, due.subject}
            )[:limit]
            return [
                attrs.evolve(self._dues.pop(name)[1], in_s=moment - now) for moment, name in ready
            ]

    def counts(self) -> dict[str, Any]:
        """
        Return figures for ``cxsdk doctor``.
        """
        with self._enter():
            states: dict[str, int] = {}
            quotas: dict[str, int] = {}
            for entry in self._entries.values():
                states[entry.offer.state] = states.get(entry.offer.state, 0) + 1
                for key in entry.quotas if entry.answered_at is not None else ():
                    quotas[key] = quotas.get(key, 0) + 1
            return {"offers": states, "due": len(self._dues), "answers": quotas}

    def close(self) -> None:
        """
        Nothing to release.
        """
