"""
The real collector for all of the matrix, and the two sides of each comparison.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import attrs
import pytest

from tests.acceptance.kill import Collector
from tests.lifecycle.life import Ledger, running, until


@pytest.fixture(scope="session")
def collector(tmp_path_factory):
    """The real collector in a process of its own."""
    collector = Collector(tmp_path_factory.mktemp("collector"))
    collector.up()
    yield collector
    collector.close()


@pytest.fixture
def ledger(tmp_path, collector, request):
    """Who accepted what, and what of it is at the collector; a service of its own per test."""
    service = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")[-70:].strip("-")
    return Ledger(tmp_path, collector, service)


@pytest.fixture
def inherit(ledger):
    """Let a process that emits nothing deliver what is left, as the next start would."""

    def inherit():
        if ledger.missing():
            with running("import app, time; time.sleep(60)", ledger) as heir:
                until(lambda: not ledger.missing(), f"{ledger.missing()}\n{heir.words()}")

    return inherit


def missing(what):
    """Skip for want of a package or program; fail where all of them must be there."""
    if os.environ.get("CXSDK_REQUIRE_SERVICES"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


@pytest.fixture
def record():
    """Keep what was measured, for the page; see ``page.py``."""

    def record(name, what, outcome):
        path = os.environ.get("LIFECYCLE_REPORT")
        if path:
            with Path(path).open("a") as file:
                file.write(json.dumps([name, what, attrs.asdict(outcome)]) + "\n")
        return outcome

    return record
