"""
CloudEvents over HTTP: a batch is ``[`` + the spooled bytes joined by ``,`` + ``]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from cxsdk._clock import rfc3339_ns
from cxsdk.config import Settings
from cxsdk.sinks._destination import HttpDestination
from cxsdk.sinks._endpoint import checked_url
from cxsdk.typing import Batch, Delivered, Partial, Refused, SendResult, Split

__all__ = ["HttpSink"]


@attrs.define(slots=False, eq=False, repr=False)
class HttpSink(HttpDestination):
    """
    Sends CloudEvents to one HTTP endpoint. `send` is for one thread at a time; `close` for any.

    Raises:
        ConfigurationError: the URL, a header or another argument is wrong.
    """

    default_path: ClassVar[str] = "/events"

    batch: bool = attrs.field(default=True, kw_only=True)
    """False: one structured CloudEvent per request, for destinations that know no batches."""

    _closing_count: str = attrs.field(default="", init=False)

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> HttpSink:
        """
        Return a sink for *url* with the API key of *settings*.

        Raises:
            ConfigurationError: the URL is wrong.
        """
        in_url = checked_url(url).username is not None
        return cls(url, api_key=None if in_url else settings.api_key)

    def count_out(self, instance: str, counts: Mapping[str, int]) -> None:
        """
        Say with each request from now on how many events *instance* numbered in each lane.

        For the end of a process: without it nobody could miss the last ones of a lane.
        """
        lanes = "".join(f"; {lane}={count}" for lane, count in sorted(counts.items()))
        self._closing_count = f"{instance}{lanes}"

    def _send(self, batch: Batch) -> SendResult:
        if not self.batch:
            return self._send_singles(batch)
        return self._post_as(batch.body(), "application/cloudevents-batch+json", batch)

    def _post_as(self, body: bytes, kind: str, batch: Batch) -> SendResult:
        # When it was sent stands beside the body, which is the same over attempts.
        sent_at = rfc3339_ns(self.clock.time_ns())
        more = {"Idempotency-Key": batch.key, "CXSDK-Sent-At": sent_at}
        if self._closing_count:
            more["CXSDK-Closing-Count"] = self._closing_count
        return self._post(body, kind, batch.records, more)

    def _send_singles(self, batch: Batch) -> SendResult:
        refused: dict[int, str] = {}
        for index, record in enumerate(batch.records):
            one = Batch(records=(record,), key=f"{batch.key}.{index}", attempt=batch.attempt)
            result = self._post_as(record.payload, "application/cloudevents+json", one)
            if isinstance(result, Delivered):
                continue
            if isinstance(result, Refused):
                refused[index] = f"{result.reason} {result.detail}".strip()
            elif isinstance(result, Split):
                refused[index] = "too_large"
            elif isinstance(result, Partial) and result.refused:
                refused[index] = result.refused[0]
            elif index == 0:
                return result
            else:
                return Partial(refused=refused, retry=frozenset(range(index, len(batch))))
        if len(batch) == 1 and isinstance(result, (Refused, Split)):
            return result
        return Partial(refused=refused) if refused else Delivered()
