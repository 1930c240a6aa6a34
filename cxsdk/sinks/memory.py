"""
Keeps batches in the process, for tests.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.typing import Batch, Delivered, Retry, SendResult

__all__ = ["MemorySink"]


class MemorySink:
    """
    Keeps the last *max_batches* batches; older ones are forgotten. Safe from any thread.

    Args:
        max_batches: how many batches are kept, at least 1.

        name: tells several memory sinks apart in `fingerprint`.
    """

    def __init__(self, max_batches: int = 1000, *, name: str = "") -> None:
        if max_batches < 1:
            raise ConfigurationError(f"max_batches: expected 1 or more, got {max_batches}")
        self._batches: deque[Batch] = deque(maxlen=max_batches)
        self._lock = threading.Lock()
        self._closed = False
        self._name = name

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> MemorySink:  # noqa: ARG003
        """
        Return a sink for ``memory:`` or ``memory://name?max_batches=100``.

        Raises:
            ConfigurationError: *max_batches* is no number above 0.
        """
        parts = urlsplit(url)
        text = parse_qs(parts.query).get("max_batches", ["1000"])[0]
        try:
            count = int(text)
        except ValueError as error:
            raise ConfigurationError(f"max_batches: expected a number, got {text!r}") from error
        return cls(count, name=parts.netloc or parts.path.strip("/"))

    @property
    def fingerprint(self) -> str:
        """
        Return ``memory:`` and the name.
        """
        return f"memory:{self._name}"

    def __repr__(self) -> str:
        return f"MemorySink(batches={len(self._batches)})"

    @property
    def batches(self) -> list[Batch]:
        """
        The batches that are kept, oldest first.
        """
        with self._lock:
            return list(self._batches)

    @property
    def events(self) -> list[dict[str, Any]]:
        """
        The events that are kept, decoded, oldest first.
        """
        return [
            msgspec.json.decode(record.payload)
            for batch in self.batches
            for record in batch.records
        ]

    def clear(self) -> None:
        """
        Forget everything.
        """
        with self._lock:
            self._batches.clear()

    def send(self, batch: Batch) -> SendResult:
        """
        Keep *batch*. Does not block.
        """
        if self._closed:
            return Retry("closed")
        with self._lock:
            self._batches.append(batch)
        return Delivered()

    def close(self) -> None:
        """
        Take no more; what is kept stays readable. Idempotent.
        """
        self._closed = True
