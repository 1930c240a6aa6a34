"""
When a promise is due: an instant, a day in its zone, a window, or a period from when it was made.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cxsdk._clock import rfc3339, to_ns

__all__ = ["due_instant", "instant"]

_PERIOD = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?"
    r"(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z"
)


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


def instant(text: str | None) -> int | None:
    """
    Return RFC 3339 text as microseconds since 1970; None for none.

    Raises:
        ValueError: it is no time.
    """
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


def due_instant(
    time: int,
    *,
    due_at: str | None = None,
    due_date: str | None = None,
    window: tuple[str, str] | None = None,
    period: str | None = None,
    made_at: str | None = None,
    tz: str | None = None,
) -> tuple[int | None, str | None]:
    """
    Return the first moment at which what an event promises is late or over (microseconds since
    1970; None where that cannot be known), and the promise in words (None where nothing was said).

    Args:
        time: when the event says that it happened; a *period* without *made_at* begins then.

        due_at, due_date, window, period, made_at, tz: the event's own fields, as text.

    Raises:
        ValueError: a time is none.
    """
    if due_at:
        return instant(due_at), due_at
    if due_date:
        return _end_of(date.fromisoformat(due_date), _zone(tz)), f"{due_date} ({tz})"
    if window:
        return instant(window[1]), f"{window[0]} to {window[1]}"
    if period:
        start = instant(made_at)
        base = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start or time)
        end = _after(base.astimezone(_zone(tz) or UTC), period)
        return (_micros(end), f"{rfc3339(end)} ({period})") if end else (None, period)
    return None, None
