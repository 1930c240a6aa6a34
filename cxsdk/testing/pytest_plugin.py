"""
pytest plugin: the ``cx_events`` fixture. Loaded by entry point; the models and the pipeline are
imported only when the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cxsdk.testing.capture import Captured

__all__ = ["cx_events"]


@pytest.fixture
def cx_events() -> Iterator[Captured]:
    """
    The events that the test's code emits, as a list; strict: what production would only log
    raises here.
    """
    from cxsdk.testing.capture import capture

    with capture() as captured:
        yield captured
