"""
The examples as processes, with a collector to talk to.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cxsdk.collector import Collector

ROOT = Path(__file__).parents[2] / "examples"


@pytest.fixture
def collector():
    with Collector() as made:
        yield made


@pytest.fixture
def rows(collector):
    """
    Ask the collector's store.
    """

    def ask(sql, *values):
        with collector.store.reading() as db:
            return [tuple(row) for row in db.execute(sql, values)]

    return ask


@pytest.fixture
def environ(tmp_path):
    """
    An environment whose spool is in a folder of this test.
    """
    own = {n: v for n, v in os.environ.items() if not n.startswith("CXSDK_")}
    return own | {"CXSDK_SPOOL_DIR": str(tmp_path / "spool"), "CXSDK_LINGER": "0.1"}


@pytest.fixture
def eventually():
    """
    Look until something is true, for at most 20 seconds; return what it was last.
    """

    def look(is_true):
        end = time.monotonic() + 20
        while not (found := is_true()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    return look


@pytest.fixture
def examples():
    return ROOT


@pytest.fixture
def copied(tmp_path):
    """
    Make a folder that holds what an example holds: what it writes beside itself stays out of here.
    """

    def copy(name):
        folder = tmp_path / name
        folder.mkdir()
        for path in (ROOT / name).iterdir():
            if path.name != "__pycache__":
                (folder / path.name).symlink_to(path)
        return folder

    return copy
