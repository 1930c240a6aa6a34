"""
The Segment HTTP tracking API, as Segment, RudderStack and other compatible servers take it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import msgspec

from cxsdk._clock import rfc3339_ns
from cxsdk.events.mappings import read, segment
from cxsdk.sinks._mapped import KeyedDestination, Part
from cxsdk.sinks._verdict import Answer, clean
from cxsdk.typing import Record, Refused, SendResult

__all__ = ["SegmentSink"]

_encode = msgspec.json.Encoder().encode


@attrs.define(slots=False, eq=False, repr=False)
class SegmentSink(KeyedDestination):
    """
    Sends track, identify and alias messages in batches. `send` is for one thread at a time;
    `close` for any.

    The write key is `api_key` or stands before the ``@`` of the URL.

    Raises:
        ConfigurationError: there is no write key, or the URL, a header or another argument is
            wrong.
    """

    protocol: ClassVar[str] = "segment"
    key_name: ClassVar[str] = "write key"
    default_path: ClassVar[str] = "/v1/batch"
    max_event_bytes: ClassVar[int] = 32 * 1024
    # Segment says 500KB and not which kind; this is the smaller one.
    max_batch_bytes: ClassVar[int] = 500_000
    # More than these are taken with a 200 and thrown away.
    max_batch_events: ClassVar[int] = 2_500

    def _map(self, payload: bytes) -> Part:
        return Part(_encode(segment.message(read(payload))))

    def _join(self, parts: Sequence[Part]) -> bytes:
        # Fresh at each attempt: the server corrects times by the difference to its own clock.
        sent_at = rfc3339_ns(self.clock.time_ns()).encode()
        batch = b",".join([part.body for part in parts])
        return b'{"batch":[%b],"sentAt":"%b"}' % (batch, sent_at)

    def _credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Basic {_basic(self.api_key)}"}

    def _hide(self, text: str) -> str:
        return super()._hide(text).replace(_basic(self.api_key), "***")

    def _meaning(self, answer: Answer, records: Sequence[Record]) -> SendResult:
        if 200 <= answer.status < 300 and _success(answer.body) is False:
            words = clean(answer.body[:2048].decode("utf-8", "replace"), self._hide)
            return Refused("success: false", words)
        return super()._meaning(answer, records)


def _basic(key: str | None) -> str:
    return base64.b64encode(f"{key}:".encode()).decode()


def _success(body: bytes) -> Any:
    try:
        said = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return said.get("success") if isinstance(said, Mapping) else None
