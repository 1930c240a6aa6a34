"""
What is on its way: leased records that are sent together until something became of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs

from cxsdk.typing import Batch, Lane, Record

__all__ = ["Condemned", "Parcel", "Trial"]

_TOLERATED_SHARE = 0.1
_TOLERATED_COUNT = 2


_ID = b'"id":"'


def _key(records: Sequence[Record]) -> str:
    """
    Return a key that is the same whenever these events go in this order.

    Made of their ids, which are never given twice: hashing what stands around them costs as
    much as compressing it.
    """
    return hashlib.blake2b(
        b"\n".join([_id(each.payload) for each in records]), digest_size=16
    ).hexdigest()


def _id(payload: bytes) -> bytes:
    # The envelope's own is the first: before it stand texts only, whose quotes are escaped.
    start = payload.find(_ID) + len(_ID)
    end = payload.find(b'"', start)
    return payload[start:end] if end > start >= len(_ID) else payload


@attrs.define(eq=False)
class Condemned:
    """
    One record that the destination refused, with its words.
    """

    record: Record
    reason: str
    detail: str
    attempts: int


@attrs.define(eq=False)
class Trial:
    """
    One refused batch while it is halved down to the events that are to blame.

    Of n events, k of them bad, this costs at most 2k⌈log₂ n⌉ + 1 requests.
    """

    size: int
    """Events in the batch that was refused."""

    open: int = 1
    """Parcels of it that nothing has become of yet."""

    condemned: list[Condemned] = attrs.Factory(list)

    @property
    def whole(self) -> bool:
        """
        True: not one event of the batch was taken.
        """
        return len(self.condemned) >= self.size

    @property
    def broken(self) -> bool:
        """
        True: so many are refused (over a tenth, and more than 2) that the fault is not theirs.
        """
        return self.blamed > max(_TOLERATED_COUNT, self.size * _TOLERATED_SHARE)

    @property
    def blamed(self) -> int:
        """
        Events that were refused for something else than their size.
        """
        return sum(each.reason != "too_large" for each in self.condemned)


@attrs.define(eq=False)
class Parcel:
    """
    Records of one lane that go as one request. The same parcel, the same ``Idempotency-Key``.
    """

    records: Sequence[Record]
    lane: Lane
    due: float = 0.0
    """Monotonic seconds before which it is not sent again."""

    attempts: int = 0
    trial: Trial | None = None
    leased: float = 0.0
    """Monotonic seconds at which the spool handed it out."""

    size: int = attrs.field(init=False)
    """Payload bytes."""

    _made_key: str = ""

    def __attrs_post_init__(self) -> None:
        self.size = sum([len(record.payload) for record in self.records])

    def __len__(self) -> int:
        return len(self.records)

    def batch(self) -> Batch:
        """
        Return what the sink gets at this attempt.
        """
        if not self._made_key:
            self._made_key = _key(self.records)
        return Batch(records=self.records, key=self._made_key, attempt=max(1, self.attempts))

    def halves(self) -> tuple[Parcel, Parcel]:
        """
        Return the first and second half; a trial then waits for one parcel more.
        """
        if self.trial is not None:
            self.trial.open += 1
        middle = (len(self.records) + 1) // 2
        first, second = self.records[:middle], self.records[middle:]
        made = [
            Parcel(part, self.lane, trial=self.trial, leased=self.leased)
            for part in (first, second)
        ]
        return made[0], made[1]
