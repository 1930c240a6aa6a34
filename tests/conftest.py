"""
Shared fixtures: every test begins without a default client and leaves no client open behind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cxsdk import _default, _exit, _guard

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _no_default_client() -> Iterator[None]:
    _default.replace(None)
    _guard.voice._seen.clear()
    yield
    left = _default.replace(None)
    if left is not None:
        left.close(0)
    # A test ends as a process would: clients that it made and forgot stop their threads, so that
    # no later test counts them.
    for drain, _budget in list(_exit._drains.values()):
        drain(0.0, True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run browser tests last: their driver keeps an event loop running in the main thread, under
    which no other test could call ``asyncio.run``.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
