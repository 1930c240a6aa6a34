"""
What the prompt engine and its stores say to each other: the `CapStore` seam.

A cap store remembers who was asked what and when, for all processes of a service, and decides in
one atomic step whether somebody may be asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs

__all__ = [
    "ENDED",
    "LATE_S",
    "OPEN",
    "Answered",
    "Cap",
    "CapStore",
    "Denied",
    "Due",
    "History",
    "OfferState",
    "Quota",
    "Request",
    "Reserved",
    "StoredOffer",
]

OfferState: TypeAlias = Literal[
    "reserved", "shown", "started", "answered", "partial", "dismissed", "lapsed", "revoked"
]

OPEN: tuple[OfferState, ...] = ("reserved", "shown", "started", "partial")
"""States in which an offer may still be answered."""

ENDED: tuple[OfferState, ...] = ("answered", "dismissed", "lapsed", "revoked")
"""States that an offer does not leave; a lapsed one was never seen, or not answered in time."""


LATE_S = 7 * 86_400.0
"""Seconds after its time in which something that is due is still done; then a store drops it."""


@attrs.define(frozen=True)
class Cap:
    """
    One rule about how often somebody may be asked: a clock of a subject, and what it allows.

    Every offer is entered on the clock of each of its caps, so that later requests find it. A
    reservation that lives counts like one that was shown; one that lapsed unseen does not count.
    """

    clock: str
    """What is counted: ``any``, ``prompt:<key>``, ``group:<name>``, ``session``, ``account``, …"""

    subject: str
    """Whose: an opaque id of a customer, session or account. At most 64 ASCII characters."""

    reason: str
    """Code of the refusal: ``cap_prompt``, ``cap_group``, ``cap_global``, ``cap_session``, …"""

    most: int = 1
    """Offers on this clock within *within*, at most."""

    within: float = 0.0
    """Seconds, counted back from now; 0: nothing is checked, the offer is only entered."""

    after_dismissal: float = 0.0
    """Seconds after a dismissal on this clock in which nobody is asked; 0: no such rule."""

    after_answer: float = 0.0
    """Seconds after an answer on this clock in which nobody is asked; 0: no such rule."""


@attrs.define(frozen=True)
class Quota:
    """
    At most so many answers. Strict: answers and living reservations together never exceed it.

    An answer is counted for good, also when its customer is forgotten: the count names nobody.
    """

    key: str
    limit: int


@attrs.define(frozen=True)
class Request:
    """
    What is to be reserved, and under which rules; all of them or nothing.
    """

    offer_id: str
    prompt: str

    subject: str
    """The customer: in flight at most one, opted out or not. See `Cap.subject`."""

    caps: Sequence[Cap]
    """Checked in this order; the first that refuses gives the reason."""

    expires_in: float
    """Seconds until it can be answered no more; unseen by then it has cost nothing."""

    record: bytes
    """The offer as the engine reads it back; opaque to the store."""

    quotas: Sequence[Quota] = ()

    unique: str = ""
    """At most one offer of this name, unless it ended unseen: ``<prompt>:<interaction>``. Known
    for as long as the offer is: a year after its end."""


@attrs.define(frozen=True)
class Reserved:
    """
    It may be shown. Truthy.
    """

    offer_id: str


@attrs.define(frozen=True)
class Denied:
    """
    It may not. Falsy.
    """

    reason: str
    """The cap's own reason, ``opted_out``, ``in_flight``, ``already_asked`` or ``quota_full``."""

    retry_in: float | None = None
    """Seconds after which the rule that refused would not, where that is known."""

    def __bool__(self) -> bool:
        return False


@attrs.define(frozen=True)
class StoredOffer:
    """
    An offer as the store has it. Times are seconds since 1970 by the store's clock.
    """

    offer_id: str
    prompt: str
    subject: str
    state: OfferState
    record: bytes
    reserved_at: float
    expires_at: float
    shown_at: float | None = None
    ended_at: float | None = None
    revision: int = 0
    """Number of the answer that holds; 0 before the first."""

    now: float = 0.0
    """The store's clock when this was read."""


@attrs.define(frozen=True)
class Answered:
    """
    What became of an answer.
    """

    outcome: Literal["first", "same", "revised", "conflict", "gone"]
    """``first``: it holds. ``same``: it is the one that holds already. ``revised``: it takes the
    earlier one's place. ``conflict``: there is another, which stays. ``gone``: too late, or no
    such offer."""

    revision: int = 0
    """1 for the first answer, one more for each revision; 0 when gone."""

    offer: StoredOffer | None = None
    """The offer after it, except when there is none."""

    over_quota: bool = False
    """True: the quota was full without this one; it is kept all the same."""


@attrs.define(frozen=True)
class Due:
    """
    Something to be done later, kept over restarts: a delayed trigger, an echo.
    """

    due_id: str
    """The same id is the same thing: scheduled twice, it is there once."""

    subject: str
    in_s: float
    """Seconds from now."""

    record: bytes
    """Opaque to the store."""

    topic: str = ""
    """What it is about, for `CapStore.cancel`: ``<prompt>:<interaction>``."""


@attrs.define(frozen=True)
class History:
    """
    What a store knows of one subject, for rules and for ``explain``. Times as in `StoredOffer`.
    """

    offers: Sequence[StoredOffer] = ()
    """The latest ones first, a year back at most, 100 at most."""

    opted_out: bool = False

    marks: Mapping[str, Sequence[float]] = attrs.field(factory=dict)
    """Topic → moments entered by `CapStore.mark`, oldest first, the latest 100."""

    now: float = 0.0


class CapStore(Protocol):
    """
    Memory of who was asked what, shared by all processes of a service.

    1. `reserve` checks every rule and enters the offer in one atomic step: of any number of
       processes at once, as many succeed as the rules allow, and none twice for one subject.
    2. An offer that is not `shown` before it expires costs nothing: no cap, no quota.
    3. `advance` and `answer` decide by one conditional update; whatever came first holds.
    4. An answer is on disk (or with the server) when `answer` returns.
    5. `merge` makes two subjects one: every clock of theirs holds for both from now on. Who became
       one already stays with that one, so that customers who share a device stay apart.
    6. `forget` leaves nothing of a subject, nor of who became it, but that they opted out.
    7. Time is the store's own (`now`), so that processes with clocks apart agree.
    8. Safe from any thread and after a fork; no call waits longer than the store's *timeout*.
       What fails raises `StoreUnavailableError` and has changed nothing, or, where that cannot be
       known, what `release` undoes.
    9. ``repr()`` and errors hold no credentials and no record.
    """

    def reserve(self, request: Request) -> Reserved | Denied:
        """
        Reserve an offer, if all rules allow it.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """

    def release(self, offer_id: str) -> None:
        """
        Take a reservation back as if it had never been; one that was shown stays.
        """

    def find(self, offer_id: str) -> StoredOffer | None:
        """
        Return an offer, or None where there is none. One whose time is over shows as ``lapsed``.
        """

    def advance(self, offer_id: str, to: OfferState) -> StoredOffer | None:
        """
        Move an open offer to ``shown``, ``started``, ``partial``, ``dismissed`` or ``revoked``.

        Forward only: ``reserved``, ``shown``, ``started``, ``partial``. Return the offer if this
        call moved it, None if it was there or beyond already, ended, expired or unknown.
        """

    def answer(
        self, offer_id: str, digest: bytes, *, complete: bool, revise_for: float = 0.0
    ) -> Answered:
        """
        Take an answer whose content has *digest* (at most 32 bytes).

        Args:
            complete: False moves the offer to ``partial``; a later, other answer revises it, and so
                does the same one when it is complete.

            revise_for: seconds after the first complete answer in which another complete one takes
                its place.
        """

    def history(self, subject: str) -> History:
        """
        Return what is known of a subject.
        """

    def mark(self, subject: str, topic: str, unique: str, keep: float) -> None:
        """
        Enter that something happened to a subject now; the same *unique* once. Kept *keep* seconds.
        """

    def opt_out(self, subject: str) -> None:
        """
        Never ask this subject again; survives `forget`.
        """

    def merge(self, subject: str, into: str) -> None:
        """
        Join the history of *subject* (an anonymous visitor) to that of *into*.

        Once: a visitor who was joined to somebody is not joined to somebody else, so that two who
        share a browser do not become one.
        """

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks, marks and what is due of a subject; return how many offers there were.

        Its offers also leave the clocks of other subjects (session, account), and other subjects'
        offers leave its clocks.
        """

    def sweep(self, limit: int = 500) -> Sequence[StoredOffer]:
        """
        End up to *limit* open offers whose time is over; return them as they were before.

        Each is returned once, over all processes. Also drops what no rule can look back to.
        """

    def schedule(self, due: Due) -> bool:
        """
        Keep something for later; return False where its id is known already.
        """

    def cancel(self, subject: str, topic: str = "") -> int:
        """
        Drop what is due of *subject*, all of it or that of *topic*; return how many.
        """

    def take_due(
        self,
        subject: str | None = None,
        limit: int = 50,
        topics: Collection[str] | None = None,
    ) -> Sequence[Due]:
        """
        Take out up to *limit* things whose time has come, of one subject or of all, the oldest
        first; those about *topics* only, where given: at most a hundred of them.

        Each is returned once, over all processes. Their `Due.in_s` is 0 or less: how late it is.
        """

    def counts(self) -> Mapping[str, Any]:
        """
        Return figures for ``cxsdk doctor``: offers by state, what is due, answers by quota.
        """

    def close(self) -> None:
        """
        Release connections. Idempotent.
        """
