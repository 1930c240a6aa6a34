"""
What becomes of a promise, folded from its events in the order of (time, instance, seq).

A promise to deliver by a time is *overdue* once that time has passed and nobody said kept or
broken; a promise in force until a time is *over* then, never broken, and stands in no kept rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
import msgspec

from cxsdk._clock import rfc3339, to_ns
from cxsdk.collector.row import Key

__all__ = ["ENDED", "Promise", "due_instant", "fold"]

ENDED = frozenset({"kept", "broken", "expired", "cancelled"})
"""States after which nothing is due any more."""
_PERIOD = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?"
    r"(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z"
)


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


@lru_cache(maxsize=256)
def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _micros(moment: datetime) -> int:
    return to_ns(moment) // 1000


def _instant(text: str | None) -> int | None:
    # RFC 3339 allows a small t and z, which `fromisoformat` does not know.
    return _micros(datetime.fromisoformat(text.upper())) if text else None


def _end_of(day: date, zone: tzinfo | None) -> int | None:
    """
    Return the midnight that ends *day* in *zone*; not 24 hours on, which DST would make wrong.
    """
    if zone is None or day >= date(9999, 12, 30):
        return None
    following = day + timedelta(days=1)
    return _micros(datetime(following.year, following.month, following.day, tzinfo=zone))


def _after(start: datetime, period: str) -> datetime | None:
    found = _PERIOD.match(period)
    if found is None:
        return None
    years, months, weeks, days, hours, minutes = (int(part or 0) for part in found.groups()[:6])
    month = start.month - 1 + months + 12 * years
    try:
        moved = _on_last_day(start, start.year + month // 12, month % 12 + 1)
        moved += timedelta(weeks=weeks, days=days)
        # Hours are elapsed time, days are calendar days: arithmetic in UTC for the former.
        elapsed = timedelta(hours=hours, minutes=minutes, seconds=float(found[7] or 0))
        return moved.astimezone(UTC) + elapsed
    except (ValueError, OverflowError):
        return None


def _on_last_day(start: datetime, year: int, month: int) -> datetime:
    """
    Return *start* in another month; the 31st becomes the last day where there is none.
    """
    first = date(year + month // 12, month % 12 + 1, 1)
    last = (first - timedelta(days=1)).day
    return start.replace(year=year, month=month, day=min(start.day, last))


def due_instant(said: _Said, time: int) -> tuple[int | None, str | None]:
    """
    Return the first moment at which what an event promises is late, and the promise in words.
    """
    if said.due_at:
        return _instant(said.due_at), said.due_at
    zone_name = said.where.tz if said.where else None
    if said.due_date:
        due = _end_of(date.fromisoformat(said.due_date), _zone(zone_name))
        return due, f"{said.due_date} ({zone_name})"
    if said.window:
        return _instant(said.window.to), f"{said.window.start} to {said.window.to}"
    if said.period:
        start = _instant(said.made_at)
        base = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start or time)
        end = _after(base.astimezone(_zone(zone_name) or UTC), said.period)
        return (_micros(end), f"{rfc3339(end)} ({said.period})") if end else (None, said.period)
    return None, None


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
            promise.made = _instant(said.made_at) or time
        for name in ("kind", "duty", "promised_by", "lateness_ms"):
            value = getattr(said, name)
            if value is not None:
                setattr(promise, name, value)
        due, text = due_instant(said, time)
        if text is not None:
            promise.due, promise.due_text = due, text
            promise.by_day = said.due_at is None and said.due_date is not None
        if action == "kept":
            promise.fulfilled = _instant(said.fulfilled_at) or time
    return found
