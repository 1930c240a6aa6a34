"""
Takes everything and keeps nothing, for load tests and dry runs.
"""

from __future__ import annotations

from cxsdk.config import Settings
from cxsdk.typing import Batch, Delivered, Retry, SendResult

__all__ = ["NullSink"]


class NullSink:
    """
    Counts what it is given. `send` is for one thread at a time.
    """

    fingerprint = "null:"

    def __init__(self) -> None:
        self.events = 0
        self._closed = False

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> NullSink:  # noqa: ARG003
        """
        Return a sink; ``null:`` has no parts.
        """
        return cls()

    def __repr__(self) -> str:
        return "NullSink()"

    def send(self, batch: Batch) -> SendResult:
        """
        Count *batch*. Never blocks.
        """
        if self._closed:
            return Retry("closed")
        self.events += len(batch)
        return Delivered()

    def close(self) -> None:
        """
        Take no more. Idempotent.
        """
        self._closed = True
