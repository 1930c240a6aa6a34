"""
The Olist data set (CSV, from Kaggle) as interactions: a real shop to try prompts on.
"""

from __future__ import annotations

import csv
import gzip
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from cxsdk.errors import ConfigurationError
from cxsdk.events.codec import from_wire
from cxsdk.events.envelope import Event

__all__ = ["olist_events"]

_HERE = ZoneInfo("America/Sao_Paulo")
_SPACE = uuid.UUID("b0f5b3c1-5c0e-5d0a-8c57-1c1d4b6f2a10")


def olist_events(folder: Path) -> Iterator[Event]:
    """
    Yield what happened to each order: it was placed, and handed over where it was.

    The same story as that of ``examples/replay_olist``; a hand-over after the promised day is one
    whose ``goal_met`` is ``partly``. Times of the files have no zone and are those of Sao Paulo.

    Raises:
        ConfigurationError: a file is missing.
    """
    people = {row["customer_id"]: row["customer_unique_id"] for row in _rows(folder, "customers")}
    for row in _rows(folder, "orders"):
        order, person = row["order_id"], people[row["customer_id"]]
        placed = _moment(row["order_purchase_timestamp"])
        yield _interaction(f"placed-{order}", person, "checkout.pay", "order", placed, "yes")
        if row["order_delivered_customer_date"]:
            done = _moment(row["order_delivered_customer_date"])
            due = _moment(row["order_estimated_delivery_date"])
            met = "yes" if done.date() <= due.date() else "partly"
            yield _interaction(f"handover-{order}", person, "parcel.handover", "fulfil", done, met)


def _rows(folder: Path, name: str) -> Iterator[dict[str, str]]:
    plain = folder / f"olist_{name}.csv"
    zipped = folder / f"olist_{name}.csv.gz"
    if plain.exists():
        with plain.open(encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)
    elif zipped.exists():
        with gzip.open(zipped, "rt", encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)
    else:
        raise ConfigurationError(f"{plain} or {zipped.name}: not there")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=_HERE)


def _interaction(
    key: str, person: str, touchpoint: str, stage: str, at: datetime, goal_met: str
) -> Event:
    name = str(uuid.uuid5(_SPACE, key))
    return from_wire(
        {
            "specversion": "1.0",
            "source": "urn:service:olist",
            "type": "dev.cxsdk.interaction.completed.v1",
            "dataschema": "urn:cxsdk:schema:interaction:1-0-0",
            "datacontenttype": "application/json",
            "id": name,
            "subject": f"interaction/{name}",
            "time": at.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "data": {
                "interaction_id": name,
                "customer": {"id": person},
                "where": {
                    "channel": "web",
                    "touchpoint": touchpoint,
                    "stage": stage,
                    "tz": _HERE.key,
                },
                "direction": "inbound" if stage == "order" else "outbound",
                "performed_by": {"kind": "automated" if stage == "order" else "partner"}
                | ({} if stage == "order" else {"partner_role": "carrier"}),
                "outcome": "success",
                "goal_met": goal_met,
            },
        }
    )
