"""
A cap store in tables: all that SQLite and PostgreSQL have in common.

What differs is how a transaction begins, what it locks, and where the time comes from.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

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
from cxsdk.prompts.stores import _statements as sql
from cxsdk.prompts.stores._decision import (
    MOST_MARKS,
    MOST_OFFERS,
    UNSEEN_KEPT_S,
    YEAR_S,
    Spent,
    answered,
    capped,
    moved,
    newest,
    viewed,
)
from cxsdk.prompts.stores._work import Statement, Work, chunks, marks, offer_of, pairs

__all__ = ["SqlCapStore"]

_DAY_S = 86_400.0
_DROPPED = 500
"""Offers that one sweep drops, at most, of each kind."""


class SqlCapStore(abc.ABC):
    """
    The methods of a `CapStore` over `Work`.
    """

    for_update = ""
    """What locks the rows of a SELECT, where the transaction alone does not."""

    skip_locked = ""
    """The same, leaving out rows that somebody else has locked."""

    old_rows: tuple[tuple[str, float], ...] = (
        (sql.OLD_MARKS, 0.0),
        (sql.OLD_DUES, LATE_S),
        (sql.OLD_ALIASES, YEAR_S),
    )
    """What deletes rows of no use, with the age in seconds at which they are."""

    @abc.abstractmethod
    def _transaction(self, *, durable: bool = False) -> AbstractContextManager[Work]:
        """
        Begin a transaction; commit it at the end, roll it back on an exception.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """

    @abc.abstractmethod
    def _about(
        self, subjects: Collection[str], *, also: Iterable[str] = (), durable: bool = False
    ) -> AbstractContextManager[Work]:
        """
        Begin a transaction that nobody else has about these subjects, or whoever they are now,
        nor about the names *also*; `Work.who` and `Work.now` are set.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """

    # ---- reserving

    def reserve(self, request: Request) -> Reserved | Denied:
        """
        Reserve an offer, if all rules allow it.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        subjects = {request.subject, *(cap.subject for cap in request.caps)}
        also = (request.unique,) if request.unique else ()
        with self._about(subjects, also=also) as work:
            denied = self._refusal(work, request)
            if denied is None:
                denied = self._full(work, request)
            if denied is not None:
                return denied
            self._enter(work, request)
            return Reserved(request.offer_id)

    def _refusal(self, work: Work, request: Request) -> Denied | None:
        who, now = work.who, work.now
        subject = who[request.subject]
        unique = request.unique or None
        places = {
            (who[cap.subject], cap.clock): None
            for cap in request.caps
            if cap.within or cap.after_dismissal or cap.after_answer
        }
        statements: list[Statement] = [
            (sql.OPTED_OUT, (subject,)),
            (sql.IN_FLIGHT, (subject, now)),
            (sql.KNOWN, (request.offer_id, unique, now)),
        ]
        if places:
            values = [value for place in places for value in place]
            statements.append((sql.ON_CLOCKS.format(pairs(len(places), 2)), values))
        out, live, known, *entered = work.run(*statements)
        if out:
            return Denied("opted_out")
        if live[0][0] is not None:
            return Denied("in_flight", live[0][0] - now)
        if known:
            return Denied("already_asked")
        spent: dict[tuple[str, str], list[Spent]] = {place: [] for place in places}
        for row in entered[0] if entered else ():
            spent[row[0], row[1]].append(Spent(*row[2:]))
        for cap in request.caps:
            denied = capped(cap, spent.get((who[cap.subject], cap.clock), ()), now)
            if denied is not None:
                return denied
        return None

    def _full(self, work: Work, request: Request) -> Denied | None:
        # Locked last and in one order, so that nobody waits with a quota in hand. The clock was
        # read before: what seems alive by it may be over by now, never the other way round.
        if not request.quotas:
            return None
        keys = sorted({quota.key for quota in request.quotas})
        made = [(sql.MAKE_QUOTA, (key,)) for key in keys]
        locked = [(sql.ANSWERS + self.for_update, (key,)) for key in keys]
        alive = [(sql.TAKEN_ALIVE, (key, work.now)) for key in keys]
        found = work.run(*made, *locked, *alive)[len(keys) :]
        taken = {
            key: answers[0][0] + live[0][0]
            for key, answers, live in zip(keys, found[: len(keys)], found[len(keys) :], strict=True)
        }
        is_full = any(taken[quota.key] >= quota.limit for quota in request.quotas)
        return Denied("quota_full") if is_full else None

    def _enter(self, work: Work, request: Request) -> None:
        who, now, name = work.who, work.now, request.offer_id
        expires_at = now + request.expires_in
        offer = (name, request.prompt, who[request.subject], request.record, now, expires_at)
        statements: list[Statement] = [(sql.ENTER, (*offer, b"", request.unique or None))]
        places = {(who[cap.subject], cap.clock): None for cap in request.caps}
        if places:
            values = [value for place in places for value in (*place, name)]
            statements.append((sql.ENTER_CLOCKS.format(pairs(len(places), 3)), values))
        for key, limit in {quota.key: quota.limit for quota in request.quotas}.items():
            statements.append((sql.TAKE, (key, name, expires_at, limit)))
        work.run(*statements)

    def release(self, offer_id: str) -> None:
        """
        Take a reservation back as if it had never been; one that was shown stays.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            if work.run((sql.RESERVED + self.for_update, (offer_id,)))[0]:
                self._drop(work, [offer_id])

    def _drop(self, work: Work, names: Sequence[str]) -> None:
        for chunk in chunks(names):
            work.run(*((each.format(marks(len(chunk))), chunk) for each in sql.DROP))

    # ---- the life of an offer

    def find(self, offer_id: str) -> StoredOffer | None:
        """
        Return an offer, or None where there is none.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            (rows,) = work.ask((sql.FIND, (offer_id,)))
            return viewed(offer_of(rows[0], work.now), work.now) if rows else None

    def advance(self, offer_id: str, to: OfferState) -> StoredOffer | None:
        """
        Move an open offer on; return it if this call did.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            (rows,) = work.ask((sql.FIND + self.for_update, (offer_id,)))
            if not rows:
                return None
            after = moved(offer_of(rows[0], work.now), to, work.now)
            if after is None:
                return None
            statements = [self._moved(after, bytes(rows[0][10]))]
            if after.state not in OPEN:
                statements.append((sql.GIVE_BACK, (offer_id,)))
            work.run(*statements)
            return after

    def _moved(self, after: StoredOffer, digest: bytes) -> Statement:
        values = (after.state, after.shown_at, after.ended_at, after.revision, digest)
        return sql.MOVE, (*values, after.offer_id)

    def answer(
        self, offer_id: str, digest: bytes, *, complete: bool, revise_for: float = 0.0
    ) -> Answered:
        """
        Take an answer whose content has *digest*.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction(durable=True) as work:
            # The quotas are locked before the clock is read, so that no reservation finds this
            # offer over and its answer not yet there.
            lock = self.for_update and f"{self.for_update} OF q"
            rows, quotas = work.ask(
                (sql.FIND + self.for_update, (offer_id,)), (sql.QUOTAS_OF + lock, (offer_id,))
            )
            if not rows:
                return Answered("gone")
            before = offer_of(rows[0], work.now)
            outcome, after = answered(
                before,
                bytes(rows[0][10]),
                digest,
                work.now,
                complete=complete,
                revise_for=revise_for,
            )
            if outcome == "gone":
                return Answered("gone")
            if outcome in {"same", "conflict"}:
                return Answered(outcome, after.revision, after)
            is_counted = before.state == "answered"
            over = any(answers - is_counted >= limit for _, limit, answers in quotas)
            statements = [self._moved(after, digest)]
            if after.state == "answered" and not is_counted:
                statements += [(sql.COUNT_ANSWER, (key,)) for key, _, _ in quotas]
                statements.append((sql.SPEND, (offer_id,)))
            work.run(*statements)
            return Answered(outcome, after.revision, after, over_quota=over)

    # ---- subjects

    def history(self, subject: str) -> History:
        """
        Return what is known of a subject.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        who = (subject, subject)
        with self._transaction() as work:
            rows, out, marked = work.ask(
                (sql.OFFERS_OF, (*who, MOST_OFFERS)), (sql.IS_OUT, who), (sql.MARKS_OF, who)
            )
            now = work.now
        offers = [offer_of(row, now) for row in rows]
        topics: dict[str, list[float]] = {}
        for topic, moment, until in marked:
            if until > now:
                topics.setdefault(topic, []).append(moment)
        return History(
            tuple(offer for offer in offers if offer.reserved_at > now - YEAR_S),
            bool(out),
            {topic: newest(moments) for topic, moments in topics.items()},
            now,
        )

    def mark(self, subject: str, topic: str, unique: str, keep: float) -> None:
        """
        Enter that something happened to a subject now.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._about({subject}) as work:
            who, now = work.who[subject], work.now
            work.run(
                (sql.UNMARK, (who, topic, now)),
                (sql.MARK, (who, topic, unique, now, now + keep)),
                (sql.TRIM_MARKS, (who, topic, who, topic, MOST_MARKS)),
            )

    def opt_out(self, subject: str) -> None:
        """
        Never ask this subject again.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._about({subject}, durable=True) as work:
            work.run((sql.OPT_OUT, (work.who[subject],)))

    def merge(self, subject: str, into: str) -> None:
        """
        Join the history of *subject* to that of *into*.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._about({subject, into}) as work:
            now, new = work.now, work.who[into]
            if work.who[subject] != subject:
                work.run((sql.SEE_ALIAS, (now, subject, new, now - _DAY_S)))
            elif subject != new:
                pair = (new, subject)
                work.run(
                    *((each, pair) for each in sql.MERGE),
                    (sql.MAKE_ALIAS, (subject, new, now)),
                )

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks and what is due of a subject.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        # One erasure at a time: each takes rows from the clocks of others, who may be next.
        with self._about({subject}, also=("erasure",), durable=True) as work:
            who = work.who[subject]
            (rows,) = work.run((sql.NAMES_OF + self.for_update, (who,)))
            self._drop(work, [row[0] for row in rows])
            work.run((sql.OPT_OUT_ALIASES, (who, who)), *((each, (who,)) for each in sql.FORGET))
        return len(rows)

    # ---- later

    def sweep(self, limit: int = 500) -> Sequence[StoredOffer]:
        """
        End open offers whose time is over; return them as they were before.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            work.ask()
            now = work.now
            (rows,) = work.run((sql.OVER + self.skip_locked, (now, limit)))
            for chunk in chunks([row[0] for row in rows]):
                listed = marks(len(chunk))
                work.run(
                    (sql.LAPSE.format(listed), (now, *chunk)), (sql.UNTAKE.format(listed), chunk)
                )
            seen, unseen, *_ = work.run(
                (sql.OLD_SEEN + self.skip_locked, (now - YEAR_S, _DROPPED)),
                (sql.OLD_UNSEEN + self.skip_locked, (now - UNSEEN_KEPT_S, _DROPPED)),
                *((each, (now - age,)) for each, age in self.old_rows),
            )
            self._drop(work, [row[0] for row in (*seen, *unseen)])
        return [offer_of(row, now) for row in rows]

    def schedule(self, due: Due) -> bool:
        """
        Keep something for later; return False where its id is known already.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._about({due.subject}) as work:
            who, at = work.who[due.subject], work.now + due.in_s
            return work.change((sql.SCHEDULE, (due.due_id, who, at, due.record, due.topic))) == 1

    def cancel(self, subject: str, topic: str = "") -> int:
        """
        Drop what is due of *subject*, all of it or that of *topic*.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            return work.change((sql.CANCEL, (subject, subject, topic, topic)))

    def take_due(
        self,
        subject: str | None = None,
        limit: int = 50,
        topics: Collection[str] | None = None,
    ) -> Sequence[Due]:
        """
        Take out what has come due, of one subject or of all, about *topics* or anything.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            work.ask()
            now = work.now
            about = "" if topics is None else sql.ABOUT.format(marks(len(topics)) or "NULL")
            mine = "" if subject is None else sql.MINE
            whose = () if subject is None else (subject, subject)
            asked = sql.DUE.format(mine=mine, about=about) + self.skip_locked
            (rows,) = work.run((asked, (now, *whose, *(topics or ()), limit)))
            for chunk in chunks([row[0] for row in rows]):
                work.run((sql.TAKE_OUT.format(marks(len(chunk))), chunk))
        return [Due(row[0], row[1], row[2] - now, bytes(row[3]), row[4]) for row in rows]

    def counts(self) -> Mapping[str, Any]:
        """
        Return figures for ``cxsdk doctor``.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        with self._transaction() as work:
            states, dues, answers = work.run(
                (sql.STATES, ()), (sql.DUES, ()), (sql.ALL_ANSWERS, ())
            )
        return {
            "offers": {row[0]: row[1] for row in states},
            "due": dues[0][0],
            "answers": {row[0]: row[1] for row in answers},
        }
