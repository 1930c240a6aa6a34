"""
The conformance suite for processors, on good ones; and that it finds bad ones.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from cxsdk.testing.conformance.processor import ProcessorConformance


class TestStamping(ProcessorConformance):
    """A processor that changes every event conforms."""

    @pytest.fixture
    def processor(self) -> Any:
        """Set a correlation id."""
        return lambda event: attrs.evolve(event, correlationid="c-1")


class TestDropping(ProcessorConformance):
    """A processor that drops some events conforms."""

    @pytest.fixture
    def processor(self) -> Any:
        """Drop reactions."""
        return lambda event: None if event.family == "reaction" else event


SUITE = ProcessorConformance()


class TestBad:
    """Each guarantee that a bad processor breaks is found."""

    @pytest.fixture
    def events(self, cx_events: Any) -> list[Any]:
        """Return one event."""
        import cxsdk as cx

        cx.record("a.b", customer="u1")
        return list(cx_events)

    def test_no_event(self, events: list[Any]) -> None:
        """A result that is no event is found."""
        with pytest.raises((AttributeError, KeyError, AssertionError)):
            SUITE.test_1_returns_an_event_or_none(lambda _: "nonsense", events)

    def test_another_id(self, events: list[Any]) -> None:
        """A changed id is found."""
        with pytest.raises(AssertionError):
            SUITE.test_1_keeps_the_identity(lambda e: attrs.evolve(e, id="other"), events)

    def test_not_pure(self, events: list[Any]) -> None:
        """Another result for the same event is found."""
        results = iter("abcdef")
        with pytest.raises(AssertionError):
            SUITE.test_3_is_pure(lambda e: attrs.evolve(e, correlationid=next(results)), events)
