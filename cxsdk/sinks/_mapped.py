"""
An HTTP destination that has words of its own: each event is mapped, then all go in one request.

Events that the destination could never take, because they are too large for it or cannot be read,
are refused one by one before the request, so that they never cost the others their delivery.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

import attrs

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.sinks._destination import HttpDestination
from cxsdk.sinks._endpoint import without_user
from cxsdk.typing import Batch, Delivered, Partial, Record, SendResult, Split

__all__ = ["KeyedDestination", "MappedDestination", "Part", "plain_url"]


class Part(NamedTuple):
    """
    One event in the destination's words.
    """

    body: bytes
    group: bytes = b""
    """What events that stand together have in common; the sink's own business."""


def plain_url(url: str, protocol: str) -> str:
    """
    Return the address behind ``<protocol>+http://…`` or ``<protocol>+https://…``.

    Raises:
        ConfigurationError: it has another form. The URL is not repeated, it may hold a key.
    """
    scheme, _, rest = url.partition(":")
    inner = scheme.lower().removeprefix(f"{protocol}+")
    if inner not in {"http", "https"} or not rest.startswith("//"):
        raise ConfigurationError(
            f"collector: expected {protocol}+https://host or {protocol}+http://host"
        )
    return f"{inner}:{rest}"


@attrs.define(slots=False, eq=False, repr=False)
class MappedDestination(HttpDestination):
    """
    Maps the events of a batch and posts them together. `send` is for one thread at a time.

    Raises:
        ConfigurationError: the URL, a header or another argument is wrong.
    """

    protocol: ClassVar[str]
    """Stands before ``+https:`` in a URL and in the fingerprint."""

    max_event_bytes: ClassVar[int]
    """The destination's limit for one event, in its own words."""

    max_batch_bytes: ClassVar[int]
    """Its limit for a request, before compression."""

    max_batch_events: ClassVar[int] = 1_000_000

    @property
    def fingerprint(self) -> str:
        """
        Say where this goes and in which words, without credentials or query.
        """
        return f"{self.protocol}+{self._place}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place!r})"

    @abc.abstractmethod
    def _map(self, payload: bytes) -> Part:
        """
        Put one event into the destination's words. May raise what it likes: the event is refused.
        """

    @abc.abstractmethod
    def _join(self, parts: Sequence[Part]) -> bytes:
        """
        Return the body of a request.
        """

    def _kind(self) -> str:
        """
        Return the content type of a request.
        """
        return "application/json"

    def _more(self) -> Mapping[str, str]:
        """
        Return further headers.
        """
        return {}

    def _send(self, batch: Batch) -> SendResult:
        parts: list[Part] = []
        kept: list[int] = []
        refused: dict[int, str] = {}
        for index, record in enumerate(batch.records):
            try:
                part = self._map(record.payload)
            except Exception as error:  # noqa: BLE001 - one odd event must not stop the others
                refused[index] = f"cannot be put into {self.protocol}: {type(error).__name__}"
                continue
            if len(part.body) > self.max_event_bytes:
                refused[index] = (
                    f"too_large: {len(part.body)} bytes, {self.protocol} takes"
                    f" {self.max_event_bytes} an event"
                )
                continue
            parts.append(part)
            kept.append(index)
        if not parts:
            return Partial(refused=refused)
        if len(parts) > self.max_batch_events:
            return Split(f"more than {self.max_batch_events} events")
        body = self._join(parts)
        if len(body) > self.max_batch_bytes and len(parts) > 1:
            return Split(f"{len(body)} bytes, {self.protocol} takes {self.max_batch_bytes}")
        records: list[Record] = [batch.records[index] for index in kept]
        result = self._post(body, self._kind(), records, self._more())
        return _with_refused(result, kept, refused)


@attrs.define(slots=False, eq=False, repr=False)
class KeyedDestination(MappedDestination):
    """
    A destination that takes nothing without a key: `api_key`, or what stands before the ``@`` of
    the URL.

    Raises:
        ConfigurationError: there is no key or there are two, or the URL, a header or another
            argument is wrong.
    """

    key_name: ClassVar[str]
    """What the destination calls its key."""

    def __attrs_post_init__(self) -> None:
        self.url, in_url = without_user(self.url)
        if in_url and self.api_key:
            raise ConfigurationError(f"collector: expected a {self.key_name} once, not twice")
        self.api_key = self.api_key or in_url
        if not self.api_key:
            raise ConfigurationError(
                f"collector: {self.protocol} needs a {self.key_name}: api_key=, or KEY@host"
            )
        super().__attrs_post_init__()

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> Self:
        """
        Return a sink for ``<protocol>+https://host``, with the API key of *settings* unless one
        stands in the URL.

        Raises:
            ConfigurationError: the URL is wrong, or there is no key.
        """
        plain, in_url = without_user(plain_url(url, cls.protocol))
        return cls(plain, api_key=in_url or settings.api_key)


def _with_refused(result: SendResult, kept: list[int], refused: dict[int, str]) -> SendResult:
    """
    Add what was refused before the request to what the destination said of the rest.
    """
    if not refused:
        return result
    if isinstance(result, Delivered):
        return Partial(refused=refused)
    if isinstance(result, Partial):
        named = {kept[index]: words for index, words in result.refused.items()}
        return attrs.evolve(
            result,
            refused={**refused, **named},
            retry=frozenset(kept[index] for index in result.retry),
        )
    return result
