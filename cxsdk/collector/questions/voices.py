"""
Whether a customer said anything: when they last gave feedback, complained, reacted, were asked.
"""

from __future__ import annotations

import sqlite3

import attrs

from cxsdk.collector.people import People
from cxsdk.collector.row import Key

__all__ = ["SILENCE", "Voice", "voices"]

# A problem that the customer reported is a complaint; what a model inferred nobody said.
_HEARD = """
SELECT customer, max(time), CASE family
    WHEN 'prompt' THEN 'asked'
    WHEN 'feedback' THEN 'feedback'
    WHEN 'problem' THEN 'complained'
    ELSE CASE WHEN json_extract(body, '$.data.reaction') IN ('complain', 'dispute', 'escalate')
      THEN 'complained' ELSE 'reacted' END END AS said
  FROM events
  WHERE time >= ? AND customer IS NOT NULL AND (
    (family = 'prompt' AND action <> 'suppressed')
    OR (family = 'feedback' AND coalesce(json_extract(body, '$.data.source'), '') <> 'inferred')
    OR (family = 'problem' AND json_extract(body, '$.data.reported_by.kind') = 'customer')
    OR family = 'reaction')
  GROUP BY customer, said
"""


@attrs.define
class Voice:
    """
    When each was last heard of one customer, microseconds since 1970; -1: never.
    """

    asked: int = -1
    """Offered a question."""

    feedback: int = -1
    complained: int = -1
    """Complained, disputed, escalated, or reported a problem."""

    reacted: int = -1
    """Any other reaction; what a customer did is no word, though it may say a lot."""

    def spoke(self, since: int) -> bool:
        """
        Say whether they gave feedback or complained from *since* on.
        """
        return max(self.feedback, self.complained) >= since


SILENCE = Voice()
"""Nothing was heard. Not to be changed."""


def voices(db: sqlite3.Connection, people: People, since: int) -> dict[Key, Voice]:
    """
    Return what was heard from *since* on, of each customer who said anything.
    """
    found: dict[Key, Voice] = {}
    for customer, time, said in db.execute(_HEARD, (since,)):
        space, _, value = customer.partition(":")
        voice = found.setdefault(people.face((space, value)), Voice())
        setattr(voice, said, max(getattr(voice, said), time))
    return found
