"""
Promises that make something good: one commitment for each customer, about what they met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cxsdk._clock import rfc3339
from cxsdk._ids import keyed_id
from cxsdk.errors import ConfigurationError, InvalidEventError
from cxsdk.events.codec import from_wire, schema_urn, subject_of, to_wire
from cxsdk.instrument.facts import IN_FORCE_KINDS

__all__ = ["SOURCE", "commitments"]

SOURCE = "urn:service:cxsdk-context"
"""Who says so; an id is the hash of it and of whom it is promised to and why."""


def commitments(
    customers: Iterable[Mapping[str, Any]],
    kind: str,
    *,
    due: str | None,
    due_days: int | None,
    tz: str,
    now: datetime | None = None,
) -> list[dict[str, Any]]:
    """
    Return a commitment (CloudEvents) for each of *customers*, as ``affected`` names them.

    The key is what is promised to whom, and the first event that it is about: told twice, by
    whomever, it is the same commitment.

    Args:
        customers: with ``customer`` and ``about``.

        kind: ``refund``, ``repair``, ``callback``, …

        due: a day; or

        due_days: days from today.

        tz: the zone in which the day is read.

        now: for tests.

    Raises:
        ConfigurationError: the day, the zone or the kind is wrong.
    """
    moment = now or datetime.now(UTC)
    day = _day(due, due_days, tz, moment)
    try:
        return [
            _commitment(one, kind, day, tz, moment)
            for one in customers
            if one["about"]["event_ids"]
        ]
    except InvalidEventError as error:
        raise ConfigurationError(f"--make-good: {error}") from None


def _day(due: str | None, due_days: int | None, tz: str, now: datetime) -> date:
    try:
        zone = ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError("--tz: expected an IANA zone such as Europe/Vienna") from None
    today = now.astimezone(zone).date()
    try:
        day = today + timedelta(days=due_days) if due_days else date.fromisoformat(due or "")
    except (ValueError, OverflowError):
        raise ConfigurationError("--due: expected a day such as 2026-05-31") from None
    if day < today:
        raise ConfigurationError("--due: expected a day that is not over")
    return day


def _commitment(
    one: Mapping[str, Any], kind: str, day: date, tz: str, now: datetime
) -> dict[str, Any]:
    who, about = one["customer"], one["about"]
    key = f"{kind}:{who['space']}:{who['id']}:{about['event_ids'][0]}"
    data = {
        # The hash, not the key: it holds the id of a customer.
        "commitment_id": keyed_id(SOURCE, f"commitment.{key}"),
        "customer": _customer(who["space"], who["id"]),
        "state": "made",
        "kind": kind,
        "promised_by": {"kind": "company"},
        "duty": "in_force_until" if kind in IN_FORCE_KINDS else "deliver_by",
        "due_date": day.isoformat(),
        "where": {"channel": "unknown", "medium": "unknown", "tz": tz},
        "about": {"event_ids": about["event_ids"], "refs": about["refs"]},
    }
    identity = keyed_id(SOURCE, f"commitment.made.{key}")
    wire = {
        "specversion": "1.0",
        "id": identity,
        "source": SOURCE,
        "type": "dev.cxsdk.commitment.made.v1",
        "dataschema": schema_urn("commitment"),
        "datacontenttype": "application/json",
        "subject": subject_of("commitment", data, identity),
        "time": rfc3339(now),
        "data": data,
    }
    return to_wire(from_wire(wire, strict=True))


def _customer(space: str, value: str) -> dict[str, Any]:
    field = {"id": "id", "anonymous": "anonymous_id", "account": "account_id"}.get(space)
    return {field: value} if field else {"ids": [{"ns": space, "id": value}]}
