"""
Shared fixtures: every test begins without a default client and leaves none behind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cxsdk import _default, _guard


@pytest.fixture(autouse=True)
def _no_default_client() -> Iterator[None]:
    _default.replace(None)
    _guard.voice._seen.clear()
    yield
    left = _default.replace(None)
    if left is not None:
        left.close(0)
