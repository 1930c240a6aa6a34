"""
One readable line per event, for a look at what a service says.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

import msgspec

from cxsdk.config import Settings
from cxsdk.sinks._verdict import clean
from cxsdk.typing import Batch, Delivered, Retry, SendResult

__all__ = ["ConsoleSink"]

_SHOWN_CHARS = 300


class ConsoleSink:
    """
    Writes to standard error, or to *stream*. `send` is for one thread at a time.

    Control characters are replaced, so no event can move a terminal's cursor or forge a line.

    Args:
        stream: where to write; None: what ``sys.stderr`` is at the time.
    """

    fingerprint = "console:"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._closed = False

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> ConsoleSink:  # noqa: ARG003
        """
        Return a sink; ``console:`` has no parts.
        """
        return cls()

    def __repr__(self) -> str:
        return "ConsoleSink()"

    def send(self, batch: Batch) -> SendResult:
        """
        Write *batch* in one call; blocks as long as the stream does.
        """
        if self._closed:
            return Retry("closed")
        stream = self._stream if self._stream is not None else sys.stderr
        if stream is None:  # pythonw, some daemons: there is nobody to read it
            return Delivered()
        text = "".join(_line(record.payload) + "\n" for record in batch.records)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except (OSError, ValueError) as error:
            return Retry(f"console: {type(error).__name__}")
        return Delivered()

    def close(self) -> None:
        """
        Take no more; the stream stays open, it is not ours. Idempotent.
        """
        self._closed = True


def _line(payload: bytes) -> str:
    try:
        event: Any = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        event = None
    if not isinstance(event, dict):
        return "cx ? " + clean(payload[:_SHOWN_CHARS].decode("utf-8", "replace"))
    data = event.get("data")
    shown = msgspec.json.encode(data).decode() if data is not None else ""
    if len(shown) > _SHOWN_CHARS:
        shown = shown[:_SHOWN_CHARS] + "…"
    words = [event.get("time"), event.get("type"), event.get("subject"), shown]
    return "cx " + " ".join(clean(word) for word in words if word)
