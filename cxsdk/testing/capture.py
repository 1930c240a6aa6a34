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
from cxsdk.pipeline.capture import diversions, strictness

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

    Every event is read back with the strict codec, so a captured event is a valid one. Listeners
    hear of it as of one that was kept, so that prompts which wait for an event are asked in tests.

    Args:
        strict: raise what production would only count and log, for the default client and for
            those made in the block; where ``init`` has not run, or that client is closed, one is
            made for the time being.
    """
    captured = Captured()

    def divert(payload: bytes) -> None:
        captured.append(decode(payload, strict=True))

    before = _default.client()
    # A client that an earlier test closed takes nothing any more.
    is_closed = before is not None and before.health().reason == "closed"
    own = Client("test", strict=strict) if before is None or is_closed else None
    if own is not None:
        _default.replace(own)
    client = _default.client()
    inner = client.capture() if client is not None else None
    was_strict = inner is not None and inner.strict
    if inner is not None:
        inner.strict = strict
    diversions.append(divert)
    strictness.append(strict)
    try:
        yield captured
    finally:
        diversions.remove(divert)
        strictness.remove(strict)
        if inner is not None:
            inner.strict = was_strict
        made = _default.client()
        if own is not None:
            own.close()
            # An ``init`` of the code under test may have taken its place meanwhile.
            if made is own:
                _default.replace(before)
        if made is not None and made is not client:
            made._parts.capture.strict = made.settings.strict
