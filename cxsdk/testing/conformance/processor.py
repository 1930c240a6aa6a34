"""
What every processor owes: the numbered guarantees of `cxsdk.typing.Processor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cxsdk.events import codec
from cxsdk.testing.captured import capture

if TYPE_CHECKING:
    from cxsdk.events.model import Event
    from cxsdk.typing import Processor

__all__ = ["ProcessorConformance"]


class ProcessorConformance:
    """
    Subclass it and override `processor`; also `events` for events that yours is about.
    """

    @pytest.fixture
    def processor(self) -> Processor:
        """
        The processor under test.
        """
        raise NotImplementedError

    @pytest.fixture
    def events(self) -> list[Event]:
        """
        Events to run it over: by default one of most families.
        """
        import cxsdk as cx

        with capture() as captured, cx.scope(customer="u1", consent="granted", channel="web"):
            with cx.interaction("conformance.check") as i:
                i.attributes.update(plan="gold", n=3)
            cx.feedback(csat=4, text="fine")
            cx.reaction("renew")
            cx.problem("slow", detail="took long")
            cx.promise("callback", period="P1D")
            cx.consent("granted")
        return list(captured)

    def test_1_returns_an_event_or_none(self, processor: Processor, events: list[Any]) -> None:
        """
        Every event comes back as a valid event, or as None.
        """
        for event in events:
            result = processor(event)
            if result is not None:
                assert codec.decode(codec.encode(result), strict=True) == result

    def test_1_keeps_the_identity(self, processor: Processor, events: list[Any]) -> None:
        """
        Id, time and type stay as they are: the key under which the event counts once.
        """
        for event in events:
            result = processor(event)
            if result is not None:
                kept = (result.id, result.time, result.type)
                assert kept == (event.id, event.time, event.type)

    def test_2_does_not_raise(self, processor: Processor, events: list[Any]) -> None:
        """
        No event of the standard makes it raise; an exception would drop the event.
        """
        for event in events:
            processor(event)

    def test_3_is_pure(self, processor: Processor, events: list[Any]) -> None:
        """
        The same event gives the same result. How quick it is, a benchmark must say.
        """
        for event in events:
            assert processor(event) == processor(event)
