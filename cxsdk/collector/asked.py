"""
What was asked in context, and what became of it: rates with their denominators, reasons why
nobody was asked, answers beyond a quota, and experienced against remembered.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
import msgspec

from cxsdk.prompts.scores import Pairs, Rates, pairs, rates

__all__ = ["Asked", "Prompt", "Reason", "read"]

_MOST_REASONS = 12
_CHUNK = 400

# An offer ends once. Whoever answered in part has answered, whatever came after; whoever did
# anything with it has seen it, whether that was noted or not.
_OFFERS = """
SELECT prompt, count(*), sum(shown OR started OR dismissed OR lapsed), sum(started),
  sum(partial AND NOT answered), sum(answered),
  sum(dismissed AND NOT answered AND NOT partial),
  sum(lapsed AND NOT answered AND NOT partial AND NOT dismissed)
FROM (
  SELECT json_extract(body, '$.data.prompt_id') AS prompt,
    max(action = 'shown') AS shown,
    max(action IN ('started', 'partial', 'answered')) AS started,
    max(action = 'partial') AS partial,
    max(action = 'answered') AS answered,
    max(action = 'dismissed') AS dismissed,
    max(action = 'lapsed' AND json_extract(body, '$.data.reason') IS NOT 'not_shown') AS lapsed
  FROM events
  WHERE family = 'prompt' AND time >= ? AND action <> 'suppressed'
  GROUP BY 1, entity
)
GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1
"""
_SUPPRESSED = """
SELECT json_extract(body, '$.data.prompt_id') AS prompt, json_extract(body, '$.data.reason'),
  CAST(total(coalesce(json_extract(body, '$.data.offers'), 1)) AS INTEGER) AS n
FROM events WHERE family = 'prompt' AND action = 'suppressed' AND time >= ?
GROUP BY 1, 2 ORDER BY n DESC, 1, 2
"""
_OVER_QUOTA = """
SELECT json_extract(body, '$.data.prompt_id'), count(DISTINCT json_extract(body, '$.data.offer_id'))
FROM events WHERE family = 'feedback' AND time >= ? AND json_extract(body, '$.data.over_quota')
GROUP BY 1
"""
_RECALLS = (
    "SELECT body FROM events WHERE family = 'feedback' AND time >= ?"
    " AND json_extract(body, '$.data.stage') = 'recall'"
)


@attrs.define(frozen=True)
class Prompt:
    """
    One prompt: what became of its offers, each counted once.
    """

    name: str
    rates: Rates
    over_quota: int
    """Answers that came when a quota was full; they are kept, and count like any other."""

    @property
    def open(self) -> int:
        """
        Return how many were shown and have not ended: they may still be answered.
        """
        counts = self.rates.counts
        ended = ("complete", "partial", "dismissed", "lapsed")
        return counts["shown"] - sum(counts[name] for name in ended)


@attrs.define(frozen=True)
class Reason:
    """
    How often a prompt was not asked, and why.
    """

    prompt: str
    reason: str
    n: int


@attrs.define(frozen=True)
class Asked:
    """
    All of it; empty where no prompt was offered in the range.
    """

    prompts: tuple[Prompt, ...]
    reasons: tuple[Reason, ...]
    """The most frequent ones; only services that record suppressions tell them."""

    more_reasons: int
    pairs: tuple[Pairs, ...]

    def __bool__(self) -> bool:
        return bool(self.prompts or self.reasons or self.pairs)


def read(db: sqlite3.Connection, since: int) -> Asked:
    """
    Return what was asked from *since* on (microseconds).
    """
    over = dict(db.execute(_OVER_QUOTA, (since,)).fetchall())
    names = ("offered", "shown", "started", "partial", "complete", "dismissed", "lapsed")
    prompts = tuple(
        Prompt(name, rates(dict(zip(names, counts, strict=True))), over.get(name, 0))
        for name, *counts in db.execute(_OFFERS, (since,))
    )
    reasons = [Reason(*row) for row in db.execute(_SUPPRESSED, (since,))]
    shown = tuple(reasons[:_MOST_REASONS])
    return Asked(prompts, shown, len(reasons) - len(shown), _pairs(db, since))


def _pairs(db: sqlite3.Connection, since: int) -> tuple[Pairs, ...]:
    """
    Compare the recalls of the range with what was said first, however long ago that was.
    """
    found = [msgspec.json.decode(row[0]) for row in db.execute(_RECALLS, (since,))]
    seen: set[str] = set()
    wanted = {one["data"]["echo_of"] for one in found if one["data"].get("echo_of")}
    while wanted:
        seen |= wanted
        fresh = [one for start in range(0, len(wanted), _CHUNK)
                 for one in _first(db, sorted(wanted)[start : start + _CHUNK])]  # fmt: skip
        found += fresh
        # A first answer that was revised: the latest revision holds.
        wanted = {one["data"]["feedback_id"] for one in fresh} - seen
    return pairs(found)


def _first(db: sqlite3.Connection, names: list[str]) -> list[dict[str, Any]]:
    """
    Return the feedback of these ids, and what superseded it.
    """
    marks = ",".join("?" * len(names))
    rows = db.execute(
        "SELECT body FROM events WHERE family = 'feedback' AND (entity IN"  # noqa: S608 - marks
        f" ({marks}) OR json_extract(body, '$.data.supersedes') IN ({marks}))",
        (*names, *names),
    )
    return [msgspec.json.decode(row[0]) for row in rows]
