"""
pytest plugin: the fixtures ``cx_events``, ``cx_clock``, ``cx_prompts`` and ``cx_context``.

Loaded by entry point into every session of an environment, so that only pytest is imported here;
clients, models and engines come with the fixture that needs them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cxsdk.testing._stage import Stage
    from cxsdk.testing.asking import Asking
    from cxsdk.testing.captured import Captured
    from cxsdk.testing.clock import FakeClock
    from cxsdk.testing.knowing import Knowing

__all__ = ["cx_clock", "cx_context", "cx_events", "cx_prompts"]

_LENIENT = "cx_lenient: what cxsdk would only count and log in production is not raised here either"
_STRICT = "raise in tests what cxsdk would only count and log in production (default: true)"
_NS = 1_000_000_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    Add ``cx_strict`` to the ini file.
    """
    parser.addini("cx_strict", _STRICT, type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """
    Announce the marker ``cx_lenient``.
    """
    config.addinivalue_line("markers", _LENIENT)


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str] | None:
    """
    Show events by what tells them apart, a line each, where a list of them is compared.
    """
    room = sys.modules.get("cxsdk.testing.captured")
    if room is None or op != "==" or not (isinstance(left, list) and isinstance(right, list)):
        return None
    if isinstance(right, room.Captured):
        left, right = right, left
    return room.compared(left, right) if isinstance(left, room.Captured) else None


@pytest.fixture
def _cx_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    from cxsdk.testing._stage import Stage

    is_lenient = request.node.get_closest_marker("cx_lenient") is not None
    strict = bool(request.config.getini("cx_strict")) and not is_lenient
    with Stage(strict=strict) as stage:
        yield stage


@pytest.fixture
def cx_events(_cx_stage: Stage) -> Iterator[Captured]:
    """
    The events that the test's code emits, as a list; nothing is sent. Strict: what production
    would only log raises here.
    """
    from cxsdk.testing.captured import capture

    with capture(strict=_cx_stage.strict) as captured:
        yield captured


@pytest.fixture
def cx_clock(_cx_stage: Stage) -> FakeClock:
    """
    The clock of cxsdk: it stands still from the second in which the test began until ``advance``
    or ``set`` move it.
    """
    from cxsdk.testing.clock import FakeClock

    clock = FakeClock(epoch_ns=time.time_ns() // _NS * _NS)
    _cx_stage.hold(clock)
    return clock


@pytest.fixture
def cx_prompts(_cx_stage: Stage, cx_events: Captured) -> Asking:  # noqa: ARG001 - answers are kept
    """
    The prompts of the test: which there are, what was decided, and the customers' answers.
    """
    from cxsdk.testing.asking import Asking

    asking = Asking()
    _cx_stage.put(asking._settle, asking._show)
    return asking


@pytest.fixture
def cx_context(_cx_stage: Stage) -> Knowing:
    """
    What is known of customers: what the test says, in place of all providers.
    """
    from cxsdk.testing.knowing import Knowing

    knowing = Knowing()
    _cx_stage.put(knowing._settle, knowing._show)
    return knowing
