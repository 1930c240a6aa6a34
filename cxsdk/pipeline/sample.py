"""
Sampling: keep one interaction in N, whole sessions at a time. Nothing else is ever sampled.
"""

from __future__ import annotations

import zlib

__all__ = ["Sampler"]


class Sampler:
    """
    Decide by the session, else the customer, so that what is kept hangs together.

    Args:
        share: 0 to 1; rounded to one in N, because ``sampledrate`` is a whole number. 0 keeps
            nothing.
    """

    def __init__(self, share: float) -> None:
        self.one_in = round(1 / share) if share > 0 else 0
        self.is_on = self.one_in != 1

    def keeps(self, unit: str) -> bool:
        """
        Say whether the interactions of *unit* are kept; the same answer in every process.
        """
        if self.one_in == 0:
            return False
        return zlib.crc32(unit.encode()) % self.one_in == 0
