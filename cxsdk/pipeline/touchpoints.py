"""
A cap on distinct touchpoints, so that an id in a name cannot flood every dashboard.
"""

from __future__ import annotations

import logging
import re
from collections import Counter

from cxsdk._guard import voice
from cxsdk.events.blocks import TOKEN

__all__ = ["OVERFLOW", "Touchpoints"]

OVERFLOW = "x_overflow"

_TOKEN = re.compile(TOKEN)


class Touchpoints:
    """
    The touchpoints seen in this process. Thread-safe: a race admits one or two more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.seen: Counter[str] = Counter()

    def admit(self, name: str) -> str:
        """
        Return *name*, or ``x_overflow`` when it is new and there are too many already.
        """
        if name not in self.seen and not _TOKEN.fullmatch(name):
            # Its model refuses it by name; it must not take a place from those that are right.
            return name
        if name in self.seen or len(self.seen) < self._most:
            self.seen[name] += 1
            return name
        voice.say(
            logging.WARNING,
            "touchpoint_overflow",
            "cxsdk: more than %d touchpoints, %r becomes %r. A touchpoint is a constant in code;"
            " put ids into attributes or refs.",
            self._most,
            name[:80],
            OVERFLOW,
        )
        return OVERFLOW
