"""
Shared fixtures: every test begins without a default client and leaves no client open behind.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from cxsdk import _default, _exit, _guard

pytest_plugins = ["pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background: what tests start would be deaf to Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that others use is slow at times; no test here is about time.
hypothesis.settings.register_profile("cxsdk", deadline=None)
hypothesis.settings.load_profile("cxsdk")


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


def _chromium() -> tuple[str | None, str | None]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None, "playwright is not installed"
    return found, None if found else "no Chromium on this machine"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """
    A headless Chromium; a test that needs it is skipped without one, unless services are required.

    For one file: while its driver runs, no other test could call ``asyncio.run``.
    """
    path, why_not = _chromium()
    if why_not:
        if os.environ.get("CXSDK_REQUIRE_SERVICES") == "1":
            pytest.fail(why_not)
        pytest.skip(why_not)
    from playwright.sync_api import sync_playwright

    switches = (
        "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        " disable-component-update disable-sync"
    )
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=path, args=[f"--{switch}" for switch in switches.split()]
        )
        yield browser
        browser.close()
