"""
Who was erased, and until when nothing is taken about them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cxsdk.pipeline.customers import ANONYMOUS

if TYPE_CHECKING:
    from cxsdk.pipeline.draft import Draft

__all__ = ["Forgotten"]


class Forgotten:
    """
    Tags of customers, each for some time. Falsy while it is empty. Safe from any thread.

    Args:
        monotonic_ns: a clock in nanoseconds.
    """

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._now = monotonic_ns
        self._until: dict[bytes, float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def add(self, tags: Iterable[bytes], seconds: float = math.inf) -> None:
        """
        Keep *tags* for *seconds*, 0 or less to end it. Never blocks.
        """
        now = self._now() / 1e9
        kept = {**self._until, **dict.fromkeys(tags, now + seconds)}
        # Nobody has a tag too, and much of what is said concerns nobody.
        kept.pop(ANONYMOUS.tag, None)
        self._until = {tag: until for tag, until in kept.items() if until > now}

    def has(self, draft: Draft) -> bool:
        """
        Say whether *draft* is not to be taken; a wish to be erased always is.
        """
        until = self._until.get(draft.known.tag)
        if until is None or draft.action == "erasure_requested":
            return False
        return until > self._now() / 1e9
