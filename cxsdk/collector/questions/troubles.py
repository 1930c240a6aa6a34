"""
What went wrong of late, to begin with: problems, failed contacts and broken promises by name.
"""

from __future__ import annotations

import sqlite3

import attrs

__all__ = ["Trouble", "troubles"]

_MOST = 12
_COUNTED = """
SELECT * FROM (SELECT 'problem' AS field, json_extract(body, '$.data.problem') AS name, count(*) AS n,
    max(time) AS last FROM events WHERE family = 'problem' AND action = 'encountered' GROUP BY 2)
UNION ALL
SELECT 'touchpoint', touchpoint, count(*), max(time) FROM events
  WHERE family = 'interaction' AND action = 'completed' AND outcome = 'failure'
    AND touchpoint IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'kind', kind, count(*), max(changed) FROM promises
  WHERE kind IS NOT NULL AND (state = 'broken'
    OR (state = 'kept' AND was_late AND coalesce(duty, 'deliver_by') = 'deliver_by')) GROUP BY 2
ORDER BY n DESC, field, name LIMIT ?
"""


@attrs.define(frozen=True)
class Trouble:
    """
    One thing that went wrong, how often, and when last (microseconds since 1970).
    """

    field: str
    """``problem``, ``touchpoint`` (its failures) or ``kind`` (of promises broken or kept late)."""

    name: str
    n: int
    last: int


def troubles(db: sqlite3.Connection) -> tuple[Trouble, ...]:
    """
    Return what went wrong most often.
    """
    return tuple(Trouble(*row) for row in db.execute(_COUNTED, (_MOST,)))
