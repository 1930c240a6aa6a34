"""
The shop's side: which parcel is whose, what was promised, and what a carrier's word means for it.
"""

import contextlib
import os
import sqlite3
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException

import cxsdk as cx

TZ = ZoneInfo("Europe/Vienna")
DHL = cx.partner("carrier", org="dhl")
# Where the carrier met somebody. How it told them of the rest we do not know, so nothing is said.
MET = {"person": ("field", "in_person"), "locker": ("self_service", "machine"), None: (None, None)}
OUTCOMES = {"delivered": "success", "delayed": "deferred", "lost": "failure", "returned": "failure"}


@contextlib.contextmanager
def database():
    path = os.environ.get("PARCELS_DB", "parcels.db")
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as db, db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN IMMEDIATE")
        yield db


def open_shop():
    """Nine orders of last week, as a checkout would have left them: shipped, with a promised day."""
    with database() as db:
        db.execute("CREATE TABLE IF NOT EXISTS messages (id PRIMARY KEY, said)")
        db.execute("CREATE TABLE IF NOT EXISTS parcels"
                   " (id PRIMARY KEY, customer, booked, promised, told, told_at, ended)")  # fmt: skip
        then = datetime.now(TZ) - timedelta(7)
        due = then.date() + timedelta(9)
        for n in range(1, 10):
            row = (f"JJD000{n}", f"c-{n}", f"order-{n}", due.isoformat(), due.isoformat(), 0, "")
            new = db.execute("INSERT OR IGNORE INTO parcels VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            if new.rowcount:
                cx.promise("delivery", customer=f"c-{n}", key=row[2], due_date=due, at=then)


def take(message):
    """Once for each id: after a crash before the commit it is all said again, under the same keys."""
    with database() as db:
        parcel = db.execute("SELECT * FROM parcels WHERE id = ?", (message.parcel,)).fetchone()
        if parcel is None:
            raise HTTPException(404, f"{message.parcel} is no parcel of ours, or not yet")
        first = db.execute("SELECT said FROM messages WHERE id = ?", (message.id,)).fetchone()
        if first is not None and first["said"] != repr(message):
            raise HTTPException(409, f"{message.id} said something else the first time")
        if first is None:
            with cx.scope(customer=parcel["customer"]):
                tell(db, message, parcel)
            db.execute("INSERT INTO messages VALUES (?, ?)", (message.id, repr(message)))
        return {"id": message.id, "known": first is not None}


def tell(db, message, parcel):
    channel, medium = MET[message.to]
    cx.record(
        f"parcel.{message.status}", key=message.id, at=message.at, stage="fulfil",
        by=DHL, on_behalf_of="shop", direction="outbound", channel=channel, medium=medium,
        outcome=OUTCOMES.get(message.status),
        refs={"parcel": message.parcel, "order": parcel["booked"]},
    )  # fmt: skip
    if parcel["ended"] == "lost" and message.status == "delivered":
        cx.resolved("delivery_failure", key=f"{message.parcel}-lost", severity="major",
                    resolution="found", at=message.at)  # fmt: skip
    if parcel["ended"] or message.status not in OUTCOMES:
        return  # A promise ends once; a delay that we hear of after that was told to nobody.
    promise = cx.commitment(parcel["booked"])
    (delayed if message.status == "delayed" else ended)(db, message, parcel, promise)


def delayed(db, message, parcel, promise):
    why = {"reason": "carrier_delay", "at": message.at, "key": message.id}
    if message.eta is None:
        promise.at_risk(**why)
    elif message.at.timestamp() > parcel["told_at"]:  # Of two delays the later one holds.
        promise.revised(due_date=message.eta, **why)
        told = (message.eta.isoformat(), message.at.timestamp(), message.parcel)
        db.execute("UPDATE parcels SET told = ?, told_at = ? WHERE id = ?", told)


def ended(db, message, parcel, promise):
    day = message.at.astimezone(TZ).date()
    late_by = max(0, (day - date.fromisoformat(parcel["promised"])).days) * 86_400 or None
    if message.status == "delivered" and day.isoformat() <= parcel["told"]:
        promise.kept(at=message.at, late_by=late_by)
    else:
        why = {"delivered": "late"}.get(message.status, message.status)
        promise.broken(at=message.at, reason=why, late_by=late_by)
    if message.status == "lost":  # Said now, and made good before anybody has to call.
        problem = f"{message.parcel}-lost"
        cx.problem("delivery_failure", key=problem, severity="major", at=message.at)
        cx.promise("refund", key=f"{parcel['booked']}-refund", at=message.at,
                   due_date=day + timedelta(14), refs={"problem": problem})  # fmt: skip
    db.execute("UPDATE parcels SET ended = ? WHERE id = ?", (message.status, message.parcel))
