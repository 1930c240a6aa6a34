"""
What one destination gets next: lanes, company, retries, probes.
"""

from __future__ import annotations

from cxsdk.config import DeliveryOptions
from cxsdk.delivery.parcel import Parcel, Trial
from cxsdk.delivery.shelf import LANES, Shelf
from cxsdk.delivery.sizer import Sizer
from cxsdk.typing import Lane, Spool

__all__ = ["Picker"]

_LEASE_S = 30.0
_EVERY_FOURTH = 4


class Picker:
    """
    Chooses among what waits on its shelf and what is fresh in the spool.

    Vital goes first, bulk gets every fourth turn; what is due again goes before what is fresh;
    every fourth lease of a lane prefers the backlog. Belongs to one thread at a time, except `notice` and
    `press`.

    Args:
        name: the sink's name.

        spool: where events come from.

        options: sizes and the linger time.
    """

    def __init__(self, name: str, spool: Spool, options: DeliveryOptions) -> None:
        self.shelf = Shelf()
        self.sizer = Sizer(options.max_batch_events, options.max_batch_bytes)
        self.aside = 0
        """Leased events that are on no shelf and not on the wire."""

        self.behind_since: float | None = None
        """Monotonic seconds since which something is pending."""

        self._name = name
        self._spool = spool
        self._linger = options.linger
        self._turns = 0
        self._leases: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._pressed = False
        self._quota = 0
        self._linger_due: float | None = None

    def press(self) -> None:
        """
        Wait for no company. Never blocks, safe in a signal handler.
        """
        self._pressed = True

    def notice(self, since: float) -> tuple[int, bool]:
        """
        Look whether events came in after the moment *since*; return how many are pending and
        whether the sender does not know of them yet.
        """
        pending = self._spool.pending(self._name)
        if pending <= 0:
            self.behind_since = None
            return 0, False
        if self.behind_since is None:
            self.behind_since = since
        if self._linger_due is None and self._fresh_count(pending) > 0:
            # Nobody knows when in the last tick it came: the earliest moment keeps the promise.
            self._linger_due = since + self._linger
            return pending, True
        return pending, False

    def hasten(self) -> None:
        """
        Send what is there now without waiting for company.
        """
        self._quota = max(self._quota, self._fresh_count(self._spool.pending(self._name)))

    def pick(self, now: float) -> Parcel | None:
        """
        Return what goes next, None if nothing does now.
        """
        self._turns += 1
        lanes = LANES if self._turns % _EVERY_FOURTH else LANES[::-1]
        for lane in lanes:
            parcel = self._due(lane, now) or self._fresh(lane, now)
            if parcel is not None:
                return parcel
        return None

    def _due(self, lane: Lane, now: float) -> Parcel | None:
        while (parcel := self.shelf.due(lane, now)) is not None:
            self.shelf.take(parcel)
            fresh = self._still_ours(parcel, now)
            if fresh is None:
                continue
            if fresh.attempts or self.sizer.fits(len(fresh), fresh.size):
                return fresh
            self.shelf.put(*fresh.halves())
        return None

    def _still_ours(self, parcel: Parcel, now: float) -> Parcel | None:
        """
        Lease a parcel anew that has waited long: a customer's events may have been erased.

        The same records come back in the same order, so the key stays, unless some are gone.
        """
        if now - parcel.leased < _LEASE_S:
            return parcel
        if parcel.trial is not None:
            self._dissolve(parcel, parcel.trial)
            return None
        self._spool.release(self._name, parcel.records)
        records = self._spool.lease(self._name, parcel.lane, len(parcel), parcel.size)
        if not records:
            return None
        renewed = Parcel(records, parcel.lane, leased=now)
        renewed.attempts = parcel.attempts
        return renewed

    def _dissolve(self, parcel: Parcel, trial: Trial) -> None:
        """
        Give a whole trial back, to begin it anew with what still stands.
        """
        for other in [each for each in self.shelf if each.trial is trial]:
            self._spool.release(self._name, self.shelf.take(other).records)
        self._spool.release(self._name, parcel.records)
        self._spool.release(self._name, [each.record for each in trial.condemned])
        trial.condemned = []

    def _fresh(self, lane: Lane, now: float) -> Parcel | None:
        if self.shelf.is_full(lane) or not self._ready(now):
            return None
        return self._lease(lane, self.sizer.events, now)

    def _lease(self, lane: Lane, events: int, now: float) -> Parcel | None:
        backlog = self._leases[lane] % _EVERY_FOURTH == _EVERY_FOURTH - 1
        records = self._spool.lease(self._name, lane, events, self.sizer.bytes, backlog=backlog)
        if not records:
            return None
        self._leases[lane] += 1
        self._quota -= len(records)
        return Parcel(records, lane, leased=now)

    def _ready(self, now: float) -> bool:
        """
        Say whether waiting for company is over.
        """
        count = self._fresh_count(self._spool.pending(self._name))
        if count <= 0:
            self._quota = 0
            self._linger_due = self.behind_since = None
            self._pressed = False
            return False
        if self._quota > 0:
            return True
        if self._linger_due is None:
            self._linger_due = now + self._linger
        if self._pressed or count >= self.sizer.events or now >= self._linger_due:
            # What is here now goes now; what comes while it does waits for company again.
            self._pressed = False
            self._quota = count
            self._linger_due = None
            return True
        return False

    def _fresh_count(self, pending: int) -> int:
        return pending - self.shelf.events - self.aside

    def probe(self, now: float) -> Parcel | None:
        """
        Return the smallest thing that there is to ask with.
        """
        smallest = self.shelf.smallest()
        if smallest is None or len(smallest) > 1:
            for lane in LANES:
                single = self._lease(lane, 1, now)
                if single is not None:
                    return single
        if smallest is None:
            return None
        return self._still_ours(self.shelf.take(smallest), now)

    def rest(self, now: float) -> float | None:
        """
        Return the seconds until there may be something to pick, None for "when noticed".
        """
        if self._linger_due is not None and self._linger_due <= now:
            self._linger_due = None  # it was due and brought nothing: the keeper looks again
        moments = [self.shelf.next_due(), self._linger_due]
        known = [moment for moment in moments if moment is not None]
        return max(0.0, min(known) - now) if known else None
