"""
Running the Python blocks of a page, in order, in one namespace.

How is said by a comment at the top of the page::

    <!-- docs: capture -->    (the default) inside ``cxsdk.testing.capture()``, strict
    <!-- docs: capture, refuses consent -->  the same; the page shows a refusal on purpose
    <!-- docs: collector -->  against a real collector instead of http://127.0.0.1:4180
    <!-- docs: pytest -->     all blocks together are a test module, run by pytest

Blocks that say ``in-django`` in their fence run together, in a project of `tests.docs.project`.
"""

from __future__ import annotations

import contextlib
import linecache
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cxsdk as cx
from cxsdk import _default
from cxsdk.collector import Collector
from cxsdk.testing import capture
from tests.docs.pages import Page
from tests.docs.project import run_in_django

__all__ = ["SHOWN_URL", "run"]

SHOWN_URL = "http://127.0.0.1:4180"


def run(page: Page, folder: Path) -> dict[str, Any]:
    """
    Run *page*; return its namespace. What a block prints is the page's business.
    """
    if page.mode == "pytest":
        _run_as_tests(page, folder)
        return {}
    if page.in_django():
        run_in_django([(block.line, block.text) for block in page.in_django()], page.name, folder)
    namespace: dict[str, Any] = {"__name__": "__docs__", "__file__": str(folder / "page.py")}
    before = signal.getsignal(signal.SIGTERM)
    with _surroundings(page.mode) as url:
        try:
            _execute(page, namespace, url)
            namespace["refused"] = cx.stats().get("refused", {})
        finally:
            signal.signal(signal.SIGTERM, before)
            client = _default.replace(None)
            if client is not None:
                client.close(1.0)
    return namespace


@contextlib.contextmanager
def _surroundings(mode: str) -> Iterator[str]:
    if mode == "collector":
        with Collector() as collector:
            yield collector.url
    else:
        assert mode == "capture", f"no such mode: {mode}"
        with capture():
            yield SHOWN_URL


def _execute(page: Page, namespace: dict[str, Any], url: str) -> None:
    for block in page.python():
        # Blank lines in front: a traceback shows the line of the page.
        source = "\n" * (block.line - 1) + block.text.replace(SHOWN_URL, url)
        name = f"{page.name}:{block.line}"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), namespace)


def _run_as_tests(page: Page, folder: Path) -> None:
    module = folder / "test_page.py"
    module.write_text("\n\n".join(block.text for block in page.python()), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), str(module)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
