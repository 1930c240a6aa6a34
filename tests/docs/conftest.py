"""
Every page runs in a folder of its own, with an environment that says nothing.
"""

from __future__ import annotations

import gc
import os
import warnings

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """
    Keep spools and files of the pages in a temporary folder.
    """
    for name in [name for name in os.environ if name.startswith("CXSDK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CXSDK_STRICT", "1")
    monkeypatch.setenv("CXSDK_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _what_a_page_leaves_open():
    """
    Close what a page's blocks left open here and now: as a program they would simply end, but in
    a test run the collector of garbage would blame a later test.
    """
    gc.freeze()  # what was there before is not gone through again
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.unfreeze()
