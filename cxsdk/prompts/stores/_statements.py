"""
The statements of a cap store in tables, as SQLite (3.24 and later) and PostgreSQL both take them.

``?`` stands for a value, ``{p}`` for what the names of tables begin with, ``{}`` for a list.
"""

from __future__ import annotations

# What is built here holds constants only; every value goes by a placeholder.
# ruff: noqa: S608

VERSION = 1
"""Of the tables; one more with each change that an older cxsdk could not work with."""

SCHEMA = (
    (
        """
        CREATE TABLE IF NOT EXISTS {p}offer (
            offer_id TEXT PRIMARY KEY,
            prompt TEXT NOT NULL,
            subject TEXT NOT NULL,
            state TEXT NOT NULL,
            record {bytes} NOT NULL,
            reserved_at {real} NOT NULL,
            expires_at {real} NOT NULL,
            shown_at {real},
            ended_at {real},
            revision INTEGER NOT NULL,
            digest {bytes} NOT NULL,
            unique_name TEXT
        )
        """
    ),
    "CREATE INDEX IF NOT EXISTS {p}offer_subject ON {p}offer (subject, reserved_at)",
    "CREATE INDEX IF NOT EXISTS {p}offer_unique ON {p}offer (unique_name)",
    (
        "CREATE INDEX IF NOT EXISTS {p}offer_open ON {p}offer (expires_at)"
        " WHERE state IN ('reserved', 'shown', 'started', 'partial')"
    ),
    (
        "CREATE INDEX IF NOT EXISTS {p}offer_seen ON {p}offer (ended_at)"
        " WHERE shown_at IS NOT NULL AND ended_at IS NOT NULL"
    ),
    (
        "CREATE INDEX IF NOT EXISTS {p}offer_unseen ON {p}offer (ended_at)"
        " WHERE shown_at IS NULL AND ended_at IS NOT NULL"
    ),
    (
        """
        CREATE TABLE IF NOT EXISTS {p}clock (
            subject TEXT NOT NULL,
            clock TEXT NOT NULL,
            offer_id TEXT NOT NULL,
            PRIMARY KEY (subject, clock, offer_id)
        ) {flat}
        """
    ),
    "CREATE INDEX IF NOT EXISTS {p}clock_offer ON {p}clock (offer_id)",
    "CREATE TABLE IF NOT EXISTS {p}quota (key TEXT PRIMARY KEY, answers INTEGER NOT NULL)",
    (
        """
        CREATE TABLE IF NOT EXISTS {p}taken (
            key TEXT NOT NULL,
            offer_id TEXT NOT NULL,
            expires_at {real} NOT NULL,
            most INTEGER NOT NULL,
            PRIMARY KEY (key, offer_id)
        ) {flat}
        """
    ),
    "CREATE INDEX IF NOT EXISTS {p}taken_alive ON {p}taken (key, expires_at)",
    "CREATE INDEX IF NOT EXISTS {p}taken_offer ON {p}taken (offer_id)",
    (
        """
        CREATE TABLE IF NOT EXISTS {p}alias (
            subject TEXT PRIMARY KEY, root TEXT NOT NULL, seen_at {real} NOT NULL
        )
        """
    ),
    "CREATE INDEX IF NOT EXISTS {p}alias_root ON {p}alias (root)",
    "CREATE INDEX IF NOT EXISTS {p}alias_seen ON {p}alias (seen_at)",
    "CREATE TABLE IF NOT EXISTS {p}opted_out (subject TEXT PRIMARY KEY)",
    (
        """
        CREATE TABLE IF NOT EXISTS {p}due (
            due_id TEXT PRIMARY KEY,
            subject TEXT NOT NULL,
            due_at {real} NOT NULL,
            record {bytes} NOT NULL,
            topic TEXT NOT NULL
        )
        """
    ),
    "CREATE INDEX IF NOT EXISTS {p}due_at ON {p}due (due_at)",
    "CREATE INDEX IF NOT EXISTS {p}due_subject ON {p}due (subject)",
    (
        """
        CREATE TABLE IF NOT EXISTS {p}mark (
            subject TEXT NOT NULL,
            topic TEXT NOT NULL,
            unique_name TEXT NOT NULL,
            moment {real} NOT NULL,
            until_s {real} NOT NULL,
            PRIMARY KEY (subject, topic, unique_name)
        ) {flat}
        """
    ),
    "CREATE INDEX IF NOT EXISTS {p}mark_until ON {p}mark (until_s)",
)

_OPEN = "('reserved', 'shown', 'started', 'partial')"
_WHO = "COALESCE((SELECT root FROM {p}alias WHERE subject = ?), ?)"
_COLUMNS = (
    "offer_id, prompt, subject, state, record, reserved_at, expires_at, shown_at, ended_at,"
    " revision, digest"
)

# ---- reserving

ALIASES = "SELECT subject, root FROM {{p}}alias WHERE subject IN ({})"
OPTED_OUT = "SELECT 1 FROM {p}opted_out WHERE subject = ?"
IN_FLIGHT = (
    f"SELECT max(expires_at) FROM {{p}}offer WHERE subject = ? AND state IN {_OPEN}"
    " AND expires_at > ?"
)
KNOWN = (
    "SELECT 1 FROM {p}offer WHERE offer_id = ? OR (unique_name = ? AND"
    f" (shown_at IS NOT NULL OR (state IN {_OPEN} AND expires_at > ?)))"
)
ON_CLOCKS = (
    # In this order: SQLite would scan all clocks for a list of pairs.
    "WITH place (subject, clock) AS (VALUES {}) SELECT c.subject, c.clock, o.state, o.reserved_at,"
    " o.expires_at, o.shown_at, o.ended_at FROM place CROSS JOIN {{p}}clock c CROSS JOIN {{p}}offer o"
    " WHERE c.subject = place.subject AND c.clock = place.clock AND o.offer_id = c.offer_id"
)
MAKE_QUOTA = "INSERT INTO {p}quota (key, answers) VALUES (?, 0) ON CONFLICT (key) DO NOTHING"
ANSWERS = "SELECT answers FROM {p}quota WHERE key = ?"
TAKEN_ALIVE = "SELECT count(*) FROM {p}taken WHERE key = ? AND expires_at > ?"
ENTER = (
    "INSERT INTO {p}offer (offer_id, prompt, subject, state, record, reserved_at, expires_at,"
    " revision, digest, unique_name) VALUES (?, ?, ?, 'reserved', ?, ?, ?, 0, ?, ?)"
)
ENTER_CLOCKS = "INSERT INTO {{p}}clock (subject, clock, offer_id) VALUES {}"
TAKE = "INSERT INTO {p}taken (key, offer_id, expires_at, most) VALUES (?, ?, ?, ?)"
RESERVED = "SELECT offer_id FROM {p}offer WHERE offer_id = ? AND state = 'reserved'"

UNTAKE = "DELETE FROM {{p}}taken WHERE offer_id IN ({})"
DROP = (
    UNTAKE,
    "DELETE FROM {{p}}clock WHERE offer_id IN ({})",
    "DELETE FROM {{p}}offer WHERE offer_id IN ({})",
)

# ---- the life of an offer

FIND = f"SELECT {_COLUMNS} FROM {{p}}offer WHERE offer_id = ?"
MOVE = (
    "UPDATE {p}offer SET state = ?, shown_at = ?, ended_at = ?, revision = ?, digest = ?"
    " WHERE offer_id = ?"
)
GIVE_BACK = "DELETE FROM {p}taken WHERE offer_id = ?"
SPEND = "UPDATE {p}taken SET expires_at = 0 WHERE offer_id = ?"
QUOTAS_OF = (
    "SELECT t.key, t.most, q.answers FROM {p}taken t JOIN {p}quota q ON q.key = t.key"
    " WHERE t.offer_id = ? ORDER BY t.key"
)
COUNT_ANSWER = "UPDATE {p}quota SET answers = answers + 1 WHERE key = ?"

# ---- subjects

OFFERS_OF = (
    f"SELECT {_COLUMNS} FROM {{p}}offer WHERE subject = {_WHO} ORDER BY reserved_at DESC LIMIT ?"
)
IS_OUT = f"SELECT 1 FROM {{p}}opted_out WHERE subject = {_WHO}"
MARKS_OF = f"SELECT topic, moment, until_s FROM {{p}}mark WHERE subject = {_WHO}"
UNMARK = "DELETE FROM {p}mark WHERE subject = ? AND topic = ? AND until_s <= ?"
MARK = (
    "INSERT INTO {p}mark (subject, topic, unique_name, moment, until_s) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (subject, topic, unique_name) DO NOTHING"
)
TRIM_MARKS = (
    "DELETE FROM {p}mark WHERE subject = ? AND topic = ? AND unique_name IN"
    " (SELECT unique_name FROM {p}mark WHERE subject = ? AND topic = ?"
    " ORDER BY moment DESC, until_s DESC LIMIT 1000000 OFFSET ?)"
)
OPT_OUT = "INSERT INTO {p}opted_out (subject) VALUES (?) ON CONFLICT (subject) DO NOTHING"

SEE_ALIAS = "UPDATE {p}alias SET seen_at = ? WHERE subject = ? AND root = ? AND seen_at < ?"
MAKE_ALIAS = "INSERT INTO {p}alias (subject, root, seen_at) VALUES (?, ?, ?)"
_CAST = "CAST(? AS TEXT)"  # a value in a list of columns says nothing of its type
MERGE = (
    "UPDATE {p}alias SET root = ? WHERE root = ?",
    "UPDATE {p}offer SET subject = ? WHERE subject = ?",
    (
        f"INSERT INTO {{p}}clock (subject, clock, offer_id) SELECT {_CAST}, clock, offer_id"
        " FROM {p}clock WHERE subject = ? ON CONFLICT (subject, clock, offer_id) DO NOTHING"
    ),
    f"DELETE FROM {{p}}clock WHERE subject <> {_CAST} AND subject = ?",
    (
        "INSERT INTO {p}mark (subject, topic, unique_name, moment, until_s)"
        f" SELECT {_CAST}, topic, unique_name, moment, until_s FROM {{p}}mark WHERE subject = ?"
        " ON CONFLICT (subject, topic, unique_name) DO UPDATE SET"
        " until_s = CASE WHEN excluded.moment < {p}mark.moment THEN excluded.until_s"
        " ELSE {p}mark.until_s END,"
        " moment = CASE WHEN excluded.moment < {p}mark.moment THEN excluded.moment"
        " ELSE {p}mark.moment END"
    ),
    f"DELETE FROM {{p}}mark WHERE subject <> {_CAST} AND subject = ?",
    "UPDATE {p}due SET subject = ? WHERE subject = ?",
    (
        f"INSERT INTO {{p}}opted_out (subject) SELECT {_CAST} FROM {{p}}opted_out WHERE subject = ?"
        " ON CONFLICT (subject) DO NOTHING"
    ),
)
"""Each takes the subject that stays and the one that becomes it."""

NAMES_OF = "SELECT offer_id FROM {p}offer WHERE subject = ?"
OPT_OUT_ALIASES = (
    "INSERT INTO {p}opted_out (subject) SELECT subject FROM {p}alias WHERE root = ?"
    " AND EXISTS (SELECT 1 FROM {p}opted_out WHERE subject = ?)"
    " ON CONFLICT (subject) DO NOTHING"
)
FORGET = (
    "DELETE FROM {p}clock WHERE subject = ?",
    "DELETE FROM {p}mark WHERE subject = ?",
    "DELETE FROM {p}due WHERE subject = ?",
    "DELETE FROM {p}alias WHERE root = ?",
)

# ---- later

OVER = (
    f"SELECT {_COLUMNS} FROM {{p}}offer WHERE state IN {_OPEN} AND expires_at <= ?"
    " ORDER BY expires_at LIMIT ?"
)
LAPSE = "UPDATE {{p}}offer SET state = 'lapsed', ended_at = ? WHERE offer_id IN ({})"
OLD_SEEN = (
    "SELECT offer_id FROM {p}offer WHERE shown_at IS NOT NULL AND ended_at <= ?"
    " ORDER BY ended_at LIMIT ?"
)
OLD_UNSEEN = (
    "SELECT offer_id FROM {p}offer WHERE shown_at IS NULL AND ended_at <= ?"
    " ORDER BY ended_at LIMIT ?"
)
OLD_MARKS = "DELETE FROM {p}mark WHERE until_s <= ?"
OLD_DUES = "DELETE FROM {p}due WHERE due_at < ?"
OLD_ALIASES = (
    "DELETE FROM {p}alias WHERE seen_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM {p}offer o WHERE o.subject = {p}alias.root)"
    " AND NOT EXISTS (SELECT 1 FROM {p}opted_out x WHERE x.subject = {p}alias.root)"
)
SCHEDULE = (
    "INSERT INTO {p}due (due_id, subject, due_at, record, topic) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (due_id) DO NOTHING"
)
CANCEL = f"DELETE FROM {{p}}due WHERE subject = {_WHO} AND (topic = ? OR ? = '')"
DUE = (
    "SELECT due_id, subject, due_at, record, topic FROM {{p}}due WHERE due_at <= ?{mine}{about}"
    " ORDER BY due_at, due_id LIMIT ?"
)
MINE = f" AND subject = {_WHO}"
ABOUT = " AND topic IN ({})"
TAKE_OUT = "DELETE FROM {{p}}due WHERE due_id IN ({})"

STATES = "SELECT state, count(*) FROM {p}offer GROUP BY state"
DUES = "SELECT count(*) FROM {p}due"
ALL_ANSWERS = "SELECT key, answers FROM {p}quota WHERE answers > 0"
