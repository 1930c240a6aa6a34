"""
Values of the standard in words for people, and numbers in the form a table wants.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "clock",
    "date",
    "day",
    "due",
    "duration",
    "minus",
    "minute",
    "moment",
    "money",
    "number",
    "party",
    "percent",
    "question",
    "seconds",
    "words",
]

_LETTERS = {"ces": "CES", "csat": "CSAT", "nps": "NPS", "umux_lite": "UMUX-Lite"}
_THIN = "\u202f"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\S+")


# (seconds, unit, seconds of the next smaller unit, that unit)
_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def words(value: Any) -> str:
    """
    Return a token as words: ``much_better`` → much better. Not for names, such as a touchpoint's.
    """
    text = str(value).removeprefix("x_") or str(value)
    return text.replace("_", " ")


def question(value: Any) -> str:
    """
    Return a question or instrument as words; those that are known by letters as these.
    """
    return _LETTERS.get(str(value)) or words(value)


def number(value: Any) -> str:
    """
    Return a number with thin spaces between thousands; text as it is; a flag as yes or no.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", _THIN)
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".").replace(",", _THIN)
    return str(value)


def percent(share: float | None) -> str:
    """
    Return a share of 0 to 1 as a percentage; a dash for None. Never 0 % or 100 % by rounding.
    """
    if share is None:
        return "\u2013"
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", f"{_THIN}%")


def seconds(value: float) -> str:
    """
    Return a length of time in the unit that fits.
    """
    size = abs(value)
    sign = "\u2212" if value < 0 else ""
    if size < 1:
        return f"{sign}{size * 1000:.0f} ms"
    for length, unit, part, small in _UNITS:
        if size >= length:
            whole, rest = divmod(size, length)
            said = f"{sign}{whole:.0f} {unit}"
            return f"{said} {rest // part:.0f} {small}" if rest >= part else said
    return f"{sign}{size:.1f} s"


def duration(milliseconds: float) -> str:
    """
    Return milliseconds in the unit that fits.
    """
    return seconds(milliseconds / 1000)


def minus(text: str) -> str:
    """
    Return a number in text with a minus sign where it has a hyphen; never minus nothing.
    """
    is_nothing = not text.strip("-+0.")
    return text.lstrip("-+") if is_nothing else text.replace("-", "\u2212")


def money(value: dict[str, Any]) -> str:
    """
    Return an amount with its currency.
    """
    return f"{value['amount']} {value['currency']}"


def party(value: dict[str, Any] | None) -> str:
    """
    Return who performed or promised; of a partner also the role and the organisation.
    """
    if not value:
        return "not said"
    parts = [value["kind"], value.get("partner_role"), value.get("org")]
    return " · ".join(words(part) for part in parts if part)


def _utc(micros: int) -> datetime:
    # The standard's years reach from 1 to 9999, as Python's do.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def moment(micros: int) -> str:
    """
    Return microseconds since 1970 as a time in UTC, which the page says once.
    """
    return f"{_utc(micros):%Y-%m-%d %H:%M}"


def minute(text: str) -> str:
    """
    Return an RFC 3339 time as day and minute in UTC, which the page says once.
    """
    return f"{_read(text):%Y-%m-%d %H:%M}"


def day(text: str) -> str:
    """
    Return the day of an RFC 3339 time in UTC, in words.
    """
    found = _read(text)
    return f"{found:%A}, {found.day} {found:%B} {found.year}"


def clock(text: str) -> str:
    """
    Return hours and minutes of an RFC 3339 time in UTC.
    """
    return f"{_read(text):%H:%M}"


def date(text: str) -> str:
    """
    Return the day of an RFC 3339 time in UTC, in digits.
    """
    return f"{_read(text):%Y-%m-%d}"


def _read(text: str) -> datetime:
    # RFC 3339 allows a small t and z, which `fromisoformat` does not know.
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def due(text: str) -> str:
    """
    Return what was promised with its instants shortened to minutes in UTC.
    """

    def shorten(found: re.Match[str]) -> str:
        return f"{_read(found[0]):%Y-%m-%d %H:%M} UTC"

    return _INSTANT.sub(shorten, text)
