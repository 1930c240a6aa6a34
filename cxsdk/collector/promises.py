"""
What becomes of a promise, folded from its events in the order of (time, instance, seq).

A promise to deliver by a time is *overdue* once that time has passed and nobody said kept or
broken; a promise in force until a time is *over* then, never broken, and stands in no kept rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from cxsdk.collector.row import Key
from cxsdk.events.due import due_instant, instant

__all__ = ["ENDED", "Promise", "fold"]

ENDED = frozenset({"kept", "broken", "expired", "cancelled"})
"""States after which nothing is due any more."""


@attrs.define
class Promise:
    """
    One promise as it stands; times in microseconds since 1970.
    """

    id: str
    state: str = "unknown"
    changed: int = 0
    made: int | None = None
    kind: str | None = None
    duty: str | None = None
    promised_by: dict[str, Any] | None = None
    due: int | None = None
    """First moment at which it is late or over."""

    due_text: str | None = None
    """The due time as it was promised: a date and its zone, or an instant."""

    by_day: bool = False
    """Whether a day was promised; the midnight that ends it is late, an instant itself is not."""

    customer: Key | None = None
    lateness_ms: int | None = None
    fulfilled: int | None = None
    standing_now: str | None = None
    """What `standing` returned for the moment of the page."""

    def standing(self, now: int) -> str:
        """
        Return what holds at *now*: the state, or due, overdue, in_force, over derived from it.
        """
        if self.state == "kept":
            return "kept_late" if self.was_late() else "kept"
        if self.state in ENDED:
            return self.state
        past = self.due is not None and self.due <= now
        if self.duty == "in_force_until":
            return "over" if past else "in_force"
        if self.state == "paused":
            return "paused"
        if past and self.duty == "deliver_by":
            return "overdue"
        return "at_risk" if self.state == "at_risk" else "open"

    def was_late(self) -> bool:
        """
        Say whether it was kept after it was due; unknown counts as in time.
        """
        if self.lateness_ms is not None:
            return self.lateness_ms > 0
        if self.fulfilled is None or self.due is None:
            return False
        return self.fulfilled >= self.due if self.by_day else self.fulfilled > self.due


class _Zone(msgspec.Struct):
    tz: str | None = None


class _Span(msgspec.Struct, rename={"start": "from"}):
    start: str
    to: str


class _Said(msgspec.Struct):
    """
    The fields of a commitment event that the fold reads.
    """

    kind: str | None = None
    duty: str | None = None
    promised_by: dict[str, Any] | None = None
    where: _Zone | None = None
    due_at: str | None = None
    due_date: str | None = None
    window: _Span | None = None
    period: str | None = None
    made_at: str | None = None
    fulfilled_at: str | None = None
    lateness_ms: int | None = None


class _Wire(msgspec.Struct):
    data: _Said


_decoder = msgspec.json.Decoder(_Wire)


def fold(rows: Iterable[tuple[str, int, str, str, str | None]]) -> dict[str, Promise]:
    """
    Fold (commitment id, time, action, body, customer) rows, which stand in order, into promises.
    """
    found: dict[str, Promise] = {}
    for entity, time, action, body, customer in rows:
        promise = found.setdefault(entity, Promise(entity))
        said = _decoder.decode(body).data
        promise.state, promise.changed = action, time
        if customer is not None:
            space, _, value = customer.partition(":")
            promise.customer = (space, value)
        if action == "made":
            promise.made = instant(said.made_at) or time
        for name in ("kind", "duty", "promised_by", "lateness_ms"):
            value = getattr(said, name)
            if value is not None:
                setattr(promise, name, value)
        due, text = due_instant(
            time,
            due_at=said.due_at,
            due_date=said.due_date,
            window=(said.window.start, said.window.to) if said.window else None,
            period=said.period,
            made_at=said.made_at,
            tz=said.where.tz if said.where else None,
        )
        if text is not None:
            promise.due, promise.due_text = due, text
            promise.by_day = said.due_at is None and said.due_date is not None
        if action == "kept":
            promise.fulfilled = instant(said.fulfilled_at) or time
    return found
