"""
How promises stand: one row for each, kept beside their events, so that no page folds them all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import msgspec

from cxsdk.collector.promises import ENDED, Promise, fold
from cxsdk.collector.row import Key

__all__ = [
    "COLUMNS",
    "OPEN",
    "PromiseFigures",
    "by_urgency",
    "promise_figures",
    "promise_of",
    "promises",
    "refold",
    "refold_all",
]

OPEN = ("overdue", "at_risk", "open", "paused", "in_force", "over")
"""What `Promise.standing` says of a promise that has not ended, the most urgent first."""

_SHOWN = 10
_CHUNK = 400
COLUMNS = (
    "id, state, changed, made, kind, duty, promised_by, due, due_text, by_day, space, value,"
    " lateness_ms, fulfilled"
)
"""Of the table ``promises``, in the order of `promise_of`."""

_UPSERT = (
    f"INSERT OR REPLACE INTO promises ({COLUMNS}, was_late)"  # noqa: S608 - literals
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ENDED_SQL = ", ".join(f"'{state}'" for state in sorted(ENDED))


@attrs.define(frozen=True)
class PromiseFigures:
    """
    Promises: the open ones as they stand now, the ended ones as they ended in the range.
    """

    open: dict[str, int]
    kept: int
    kept_late: int
    broken: int
    expired: int
    honoured: int
    """In force until its end and kept, such as a warranty that was used; in no kept rate."""

    cancelled: int
    overdue: tuple[Promise, ...]
    """The oldest of the overdue ones; how many there are stands in *open*."""

    @property
    def judged(self) -> int:
        """
        Return the base of the kept rate: deliveries that were kept, late or not, or broken.
        """
        return self.kept + self.kept_late + self.broken

    @property
    def kept_rate(self) -> float | None:
        """
        Return the share kept in time, 0 to 1; late is not kept in time, expired is in no rate.
        """
        return self.kept / self.judged if self.judged else None


# ---- writing ------------------------------------------------------------------------------


def refold(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """
    Work out anew how the promises *ids* stand, in the transaction of *db*.
    """
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        marks = ",".join("?" * len(some))
        rows = db.execute(
            "SELECT entity, time, action, body, customer"  # noqa: S608 - marks only
            # Without being told SQLite would read all commitments.
            " FROM events INDEXED BY events_by_commitment"
            f" WHERE family = 'commitment' AND entity IN ({marks})"
            # What was made and kept at one moment, as imports say by the day, was made first.
            " ORDER BY time, action <> 'made', instance, seq, id",
            some,
        )
        db.executemany(_UPSERT, map(_written, fold(rows).values()))


def refold_all(db: sqlite3.Connection) -> None:
    """
    Work out how all promises stand, for a file that was written without them.
    """
    rows = db.execute("SELECT DISTINCT entity FROM events WHERE family = 'commitment'")
    refold(db, [row[0] for row in rows.fetchall()])


def _written(one: Promise) -> tuple[object, ...]:
    space, value = one.customer or (None, None)
    by = msgspec.json.encode(one.promised_by).decode() if one.promised_by else None
    return (
        *(one.id, one.state, one.changed, one.made, one.kind, one.duty, by, one.due, one.due_text),
        *(one.by_day, space, value, one.lateness_ms, one.fulfilled, one.was_late()),
    )


# ---- reading ------------------------------------------------------------------------------


def promises(db: sqlite3.Connection, keys: tuple[Key, ...] | None = None) -> dict[str, Promise]:
    """
    Return all promises, or those made to one of *keys*, by their id, the longest known first.
    """
    if keys is None:
        return {one.id: one for one in _read(db, "ORDER BY coalesce(made, changed), id", ())}
    marks = ", ".join(["(?, ?)"] * len(keys))
    told = (
        f"WHERE id IN (SELECT promise FROM promise_keys WHERE (space, value) IN (VALUES {marks}))"  # noqa: S608 - marks only
        " ORDER BY coalesce(made, changed), id"
    )
    return {one.id: one for one in _read(db, told, [part for key in keys for part in key])}


def _read(
    db: sqlite3.Connection, told: str, values: Iterable[object], most: int = -1
) -> Iterator[Promise]:
    rows = db.execute(f"SELECT {COLUMNS} FROM promises {told} LIMIT ?", (*values, most))  # noqa: S608 - literals
    return map(promise_of, rows)


def promise_of(row: Sequence[Any]) -> Promise:
    """
    Return the promise that stands in a row of `COLUMNS`.
    """
    return Promise(
        id=row[0],
        state=row[1],
        changed=row[2],
        made=row[3],
        kind=row[4],
        duty=row[5],
        promised_by=msgspec.json.decode(row[6]) if row[6] else None,
        due=row[7],
        due_text=row[8],
        by_day=bool(row[9]),
        customer=(row[10], row[11]) if row[10] is not None else None,
        lateness_ms=row[12],
        fulfilled=row[13],
    )


def by_urgency(every: Iterable[Promise]) -> list[Promise]:
    """
    Return promises whose *standing_now* is set: the open ones, the most urgent first, then the
    ended ones, the latest first.
    """

    def urgency(one: Promise) -> tuple[int, int]:
        if one.state in ENDED:
            return len(OPEN), -one.changed
        return OPEN.index(one.standing_now or "open"), one.due or 0

    return sorted(every, key=urgency)


def promise_figures(db: sqlite3.Connection, since: int, now: int) -> PromiseFigures:
    """
    Count promises by how they stand at *now*; ended ones only where they ended from *since* on.
    """
    rows = db.execute(
        "SELECT state, duty, due <= ?, was_late, changed >= ?, count(*) FROM promises"
        " GROUP BY 1, 2, 3, 4, 5",
        (now, since),
    )
    counts: dict[str, int] = {}
    for state, duty, is_past, was_late, is_recent, n in rows:
        # What makes the members of a group stand alike is enough to ask one of them.
        one = Promise("", state, duty=duty, due=now if is_past else None, lateness_ms=was_late)
        standing = one.standing(now)
        if standing not in OPEN and not is_recent:
            continue
        # What stays in force is not delivered: its keeping is in no kept rate.
        if duty == "in_force_until" and standing in {"kept", "kept_late"}:
            standing = "honoured"
        counts[standing] = counts.get(standing, 0) + n
    return PromiseFigures(
        open={name: counts[name] for name in OPEN if counts.get(name)},
        kept=counts.get("kept", 0),
        kept_late=counts.get("kept_late", 0),
        broken=counts.get("broken", 0),
        expired=counts.get("expired", 0),
        honoured=counts.get("honoured", 0),
        cancelled=counts.get("cancelled", 0),
        overdue=_overdue(db, now),
    )


def _overdue(db: sqlite3.Connection, now: int) -> tuple[Promise, ...]:
    told = (
        f"WHERE duty = 'deliver_by' AND state NOT IN ({_ENDED_SQL}) AND state <> 'paused'"
        " AND due <= ? ORDER BY due, id"
    )
    return tuple(_read(db, told, (now,), _SHOWN))
