"""
One event in the outbox's table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from cxsdk._ids import new_id
from cxsdk.typing import Lane

__all__ = ["COLUMNS", "TABLE", "Keep", "Row", "Waiting"]

TABLE = "cxsdk_outbox"
COLUMNS = ("id", "service", "environment", "lane", "kind", "tag", "payload", "created")


@attrs.define(frozen=True, eq=False)
class Row:
    """
    An encoded event as the table holds it: what `Spool.append` takes, and whose it is.
    """

    service: str
    environment: str
    lane: Lane
    kind: int
    tag: bytes
    payload: bytes
    id: str = attrs.field(factory=new_id)
    """Of the row, not of the event: two transactions may say the same keyed event, and neither
    must wait for the other."""

    created: int = attrs.field(factory=time.time_ns)
    """Nanoseconds since 1970."""


@attrs.define(frozen=True)
class Waiting:
    """
    What waits in a table for one service in one environment.
    """

    service: str
    environment: str
    rows: int
    oldest: int
    """When the oldest was written, nanoseconds since 1970."""


Keep: TypeAlias = Callable[[Sequence[Row]], Sequence[str]]
"""Gets rows in the order in which they were written; returns the ids of those that are safe
elsewhere now, so that they may go."""
