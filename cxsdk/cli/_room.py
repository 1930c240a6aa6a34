"""
What ``cxsdk doctor`` says when the spool fills up: how far, and for whose sake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cxsdk.cli import _screen
from cxsdk.cli._checks import Finding
from cxsdk.config import Settings
from cxsdk.spool import directory, inspect

__all__ = ["room"]

_NEAR = 0.8
"""Share of the cap from which on the sink that is behind is named."""


def room(settings: Settings) -> Iterator[Finding]:
    """
    Look at the room below the cap, and name the sink that has most to get once it is scarce.
    """
    found = list(inspect.spools(settings.spool.directory or directory.default_root()))
    used, cap = sum(each.bytes for each in found), settings.spool.max_bytes
    pending: Counter[str] = Counter()
    for each in found:
        pending.update(each.pending)
    if used < _NEAR * cap or not pending:
        return
    laggard, count = pending.most_common(1)[0]
    oldest = min((each.oldest_ns for each in found if each.oldest_ns), default=0)
    yield Finding(
        "problem",
        "spool",
        f"{_screen.size(used)} of {_screen.size(cap)} are in use; sink {laggard!r} has most to get:"
        f" {count} events, the oldest waiting for {_screen.age(oldest)}",
        "repair that destination: at the cap the oldest interactions are given up, counted",
    )
