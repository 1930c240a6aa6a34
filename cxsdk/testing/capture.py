"""
``capture()``: what the code under test emits, as events, without a collector or a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cxsdk import _default
from cxsdk.client import Client
from cxsdk.events.codec import decode
from cxsdk.pipeline.capture import diversions

if TYPE_CHECKING:
    from cxsdk.events.model import Event

__all__ = ["Captured", "capture"]


class Captured(list["Event"]):
    """
    The captured events, in the order in which they were emitted.
    """

    def of(self, family: str, action: str | None = None) -> list[Event]:
        """
        Return the events of *family*, and of *action* if given.
        """
        return [
            event
            for event in self
            if event.family == family and (action is None or event.action == action)
        ]

    def one(self, family: str, action: str | None = None) -> Event:
        """
        Return the only event of *family*.

        Raises:
            AssertionError: there is none, or more than one.
        """
        found = self.of(family, action)
        if len(found) != 1:
            seen = ", ".join(event.type for event in self) or "nothing"
            raise AssertionError(f"expected one {family} event, got {len(found)} (all: {seen})")
        return found[0]

    def touchpoints(self) -> list[str]:
        """
        Return the touchpoints of the interactions, in order.
        """
        return [event.data.where.touchpoint for event in self.of("interaction")]


@contextmanager
def capture(*, strict: bool = True) -> Iterator[Captured]:
    """
    Divert the events of every client into a list; nothing is spooled or sent.

    Every event is read back with the strict codec, so a captured event is a valid one.

    Args:
        strict: raise what production would only count and log, for the default client; where
            ``init`` has not run, one is made for the time being.
    """
    captured = Captured()

    def divert(payload: bytes) -> None:
        captured.append(decode(payload, strict=True))

    own = Client("test", strict=strict) if _default.client() is None else None
    if own is not None:
        _default.replace(own)
    client = _default.client()
    inner = client.capture() if client is not None else None
    was_strict = inner is not None and inner.strict
    if inner is not None:
        inner.strict = strict
    diversions.append(divert)
    try:
        yield captured
    finally:
        diversions.remove(divert)
        if inner is not None:
            inner.strict = was_strict
        if own is not None:
            own.close()
            # An ``init`` of the code under test may have taken its place meanwhile.
            if _default.client() is own:
                _default.replace(None)
