"""
The tables of the collector's SQLite file, and the steps that bring an older file up to date.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from cxsdk.collector.standings import refold_all
from cxsdk.errors import ConfigurationError

__all__ = ["VERSION", "migrate"]

_APPLICATION = 0x43585344
"""``CXSD`` in the header of the file, so that another program's database is never written to."""

_FIRST = """
CREATE TABLE events (
    n INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    family TEXT NOT NULL,
    action TEXT NOT NULL,
    time INTEGER NOT NULL,
    received INTEGER NOT NULL,
    entity TEXT NOT NULL,
    customer TEXT,
    touchpoint TEXT,
    channel TEXT,
    stage TEXT,
    outcome TEXT,
    goal_met TEXT,
    instance TEXT,
    lane TEXT,
    seq INTEGER,
    weight INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (id, source)
);
CREATE INDEX events_by_time ON events (time);
CREATE INDEX events_by_family ON events (
    family, time, action, touchpoint, channel, stage, outcome, goal_met, weight, customer
);
CREATE INDEX events_by_arrival ON events (received, time);
CREATE TABLE customer_events (
    space TEXT NOT NULL,
    value TEXT NOT NULL,
    event INTEGER NOT NULL,
    PRIMARY KEY (space, value, event)
) WITHOUT ROWID;
CREATE TABLE customers (
    space TEXT NOT NULL,
    value TEXT NOT NULL,
    events INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (space, value)
) WITHOUT ROWID;
CREATE INDEX customers_by_last ON customers (last);
CREATE TABLE links (
    space TEXT NOT NULL,
    value TEXT NOT NULL,
    other_space TEXT NOT NULL,
    other_value TEXT NOT NULL,
    op TEXT NOT NULL,
    time INTEGER NOT NULL,
    event INTEGER NOT NULL
);
CREATE INDEX links_by_one ON links (space, value);
CREATE INDEX links_by_other ON links (other_space, other_value);
CREATE TABLE lanes (
    instance TEXT NOT NULL,
    lane TEXT NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    events INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (instance, lane)
) WITHOUT ROWID;
CREATE TABLE refusals (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    received INTEGER NOT NULL,
    id TEXT,
    type TEXT,
    code TEXT NOT NULL,
    reason TEXT NOT NULL
);
"""

_RETOLD = """
CREATE TABLE retold (
    instance TEXT NOT NULL,
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (instance, lane, seq)
) WITHOUT ROWID;
"""
"""Sequence numbers of events told before by another process, or refused, so that they are no gap."""

_STANDINGS = """
ALTER TABLE events ADD COLUMN recorded INTEGER;
UPDATE events SET recorded = CAST(strftime('%s', json_extract(body, '$.recordedtime')) AS INTEGER)
  * 1000000 + CAST(substr(strftime('%f', json_extract(body, '$.recordedtime')), 4) AS INTEGER) * 1000
  WHERE json_extract(body, '$.recordedtime') IS NOT NULL;
DROP INDEX events_by_arrival;
CREATE INDEX events_by_arrival ON events (received, time, recorded);
CREATE INDEX events_by_commitment ON events (entity) WHERE family = 'commitment';
CREATE INDEX events_superseding ON events (json_extract(body, '$.data.supersedes'))
  WHERE family = 'feedback' AND json_extract(body, '$.data.supersedes') IS NOT NULL;
CREATE TABLE promises (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    changed INTEGER NOT NULL,
    made INTEGER,
    kind TEXT,
    duty TEXT,
    promised_by TEXT,
    due INTEGER,
    due_text TEXT,
    by_day INTEGER NOT NULL,
    space TEXT,
    value TEXT,
    lateness_ms INTEGER,
    fulfilled INTEGER,
    was_late INTEGER NOT NULL
);
CREATE INDEX promises_by_standing ON promises (state, duty, due, was_late, changed);
CREATE INDEX promises_by_due ON promises (due, id)
  WHERE duty = 'deliver_by' AND state NOT IN ('broken', 'cancelled', 'expired', 'kept')
  AND state <> 'paused';
CREATE TABLE promise_keys (
    space TEXT NOT NULL,
    value TEXT NOT NULL,
    promise TEXT NOT NULL,
    PRIMARY KEY (space, value, promise)
) WITHOUT ROWID;
INSERT OR IGNORE INTO promise_keys SELECT c.space, c.value, e.entity
  FROM customer_events c JOIN events e ON e.n = c.event WHERE e.family = 'commitment';
"""
"""When something was told, where later than it happened; and how each promise stands."""


def _nothing(_: sqlite3.Connection) -> None:
    pass


_STEPS: tuple[tuple[str, Callable[[sqlite3.Connection], None]], ...] = (
    (_FIRST, _nothing),
    (_RETOLD, _nothing),
    (_STANDINGS, refold_all),
)
"""
Step *i* brings a file of version *i* to version *i* + 1: a script, and what SQL cannot do.

A released script never changes.
"""

VERSION = len(_STEPS)


def migrate(db: sqlite3.Connection) -> None:
    """
    Create or update the tables, each step in its own transaction.

    Raises:
        ConfigurationError: the file belongs to another program or to a newer cxsdk.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application not in {0, _APPLICATION} or (application == 0 and tables):
        raise ConfigurationError("collector: the file is a database of another program")
    if version > VERSION:
        raise ConfigurationError(
            f"collector: the file has version {version}, this cxsdk knows {VERSION}; update cxsdk"
        )
    for step in range(version, VERSION):
        script, complete = _STEPS[step]
        db.executescript(f"BEGIN IMMEDIATE;\n{script}")
        complete(db)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {step + 1}")
        db.execute("COMMIT")
