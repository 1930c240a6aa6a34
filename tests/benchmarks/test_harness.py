"""
The benchmark's own test: that what it counts is right. Never that anything is fast.
"""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.benchmarks.__main__ import QUICK, measure, run, sink
from tests.benchmarks.report import lost, markdown
from tests.benchmarks.subjects import SUBJECTS, versions

INSTALLED = [name for name, version in versions().items() if version]


@pytest.fixture(scope="module")
def url():
    with sink() as address:
        yield address


@pytest.mark.parametrize("name", list(SUBJECTS))
def test_the_sink_counts_what_was_emitted(url, name):
    """Every event of each installed subject is counted, in its own protocol only."""
    if name not in INSTALLED:
        pytest.skip(f"{name} is not installed")
    found = measure(name, "throughput", url, QUICK["throughput"])
    with urllib.request.urlopen(url + "/counts", timeout=10) as reply:
        counts = json.load(reply)
    assert found.get("emitted") == found.get("counted") == QUICK["throughput"] + 200, found
    assert [name] == list(counts)


def test_a_run_reports_every_measure():
    """A quick run of cxsdk alone gives a table with nothing lost and nothing failed."""
    report = run(["cxsdk"], [*QUICK, "backlog"], quick=True, repeats=1, say=lambda line: None)
    text = markdown(report)
    assert lost(report, "cxsdk") == 0
    assert "Failed" not in text
    assert "| 10,000 |" in text
