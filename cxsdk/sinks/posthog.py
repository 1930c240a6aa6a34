"""
PostHog's batch endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import msgspec

from cxsdk.errors import DecodeError
from cxsdk.events.mappings import posthog, read
from cxsdk.sinks._mapped import KeyedDestination, Part
from cxsdk.sinks._verdict import RETRY_AFTER_CAP, Answer, clean
from cxsdk.typing import Delivered, Hold, Partial, Record, SendResult

__all__ = ["PosthogSink"]

_encode = msgspec.json.Encoder().encode
_FINE = (1, "1", "Ok", "ok")
_SURVEYS = frozenset({"surveys", "survey_responses"})


@attrs.define(slots=False, eq=False, repr=False)
class PosthogSink(KeyedDestination):
    """
    Sends events to PostHog in batches. `send` is for one thread at a time; `close` for any.

    The project API key is `api_key` or stands before the ``@`` of the URL; it travels in the body.

    Raises:
        ConfigurationError: there is no project API key, or the URL, a header or another argument
            is wrong.
    """

    protocol: ClassVar[str] = "posthog"
    key_name: ClassVar[str] = "project key"
    default_path: ClassVar[str] = "/batch/"
    # PostHog refuses a whole batch for one event of more than 1 MB, with what it adds.
    max_event_bytes: ClassVar[int] = 900 * 1024
    max_batch_bytes: ClassVar[int] = 20_000_000

    def _map(self, payload: bytes) -> Part:
        return Part(_encode(posthog.capture(read(payload))))

    def _join(self, parts: Sequence[Part]) -> bytes:
        # No sent_at: PostHog would move every time by how long the request took, and the same
        # event, sent twice, would have two times and count twice.
        batch = b",".join([part.body for part in parts])
        key = _encode(self.api_key)
        return b'{"api_key":%b,"historical_migration":false,"batch":[%b]}' % (key, batch)

    def _credentials(self) -> Mapping[str, str]:
        return {}

    def _meaning(self, answer: Answer, records: Sequence[Record]) -> SendResult:
        result = super()._meaning(answer, records)
        if not isinstance(result, Delivered):
            return result
        said = _object(answer.body)
        if said.get("status", 1) not in _FINE:
            return Hold(f"posthog: status {clean(said['status'], self._hide)}"[:200])
        limited = said.get("quota_limited") or ()
        if "events" in limited:
            # It says yes and throws them away; somebody has to raise the quota.
            return Hold("posthog: quota of events reached", 300.0, RETRY_AFTER_CAP)
        if _SURVEYS.intersection(limited):
            surveys = frozenset(i for i, each in enumerate(records) if _is_survey(each))
            return Partial(retry=surveys) if surveys else result
        return result


def _is_survey(record: Record) -> bool:
    try:
        return posthog.is_survey(read(record.payload))
    except DecodeError:
        return False


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, RecursionError):
        return {}
    return said if isinstance(said, Mapping) else {}
