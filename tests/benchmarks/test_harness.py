"""
The benchmark's own test: that what it counts is right. Never that anything is fast.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest

from tests.benchmarks import lookups, stampede
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


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])
@pytest.mark.parametrize("scenario", stampede.SCENARIOS)
def test_a_stampede_counts_calls_and_right_answers(scenario, is_async):
    """Without a cache every caller makes a call; cxsdk makes one, and asks nobody a second time."""
    every = stampede.CALLERS
    ask = stampede.tasks if is_async else stampede.threads
    assert stampede.Fact(every, every, every) == ask(lambda load: load, scenario)
    assert stampede.Fact(1, every, 0) == stampede.own(scenario, is_async=is_async)


def test_who_gets_nothing_because_another_was_cancelled_is_counted():
    """A cache that hands everybody the first caller's task leaves the others without an answer."""

    def joined(load):
        tasks = []

        async def get(customer):
            if not tasks:
                tasks.append(asyncio.ensure_future(load(customer)))
            return await tasks[0]

        return get

    assert stampede.Fact(1, 0) == stampede.tasks(joined, "cancelled")
    assert stampede.Fact(1, stampede.CALLERS - 1) == stampede.own("cancelled", is_async=True)


def test_every_way_of_a_lookup_is_timed():
    """A short run has a row for each way and nothing that took no time."""
    found = lookups.times(1, 20)
    rows = lookups.time_table(found)
    assert ["hot", "hot, tasks", "cold", "cold, tasks"] == list(found)
    assert all(cost > 0 for ways in found.values() for cost in ways.values())
    assert 2 + sum(map(len, found.values())) == len(rows)


def test_customers_that_pass_through_are_bounded():
    """More customers than there is room for leave as many as there is room for."""
    assert 10_000 == lookups.fresh("passing", 11_000)["held"]
    assert 0 < lookups.fresh("overlaid", 2000)["held"] <= 2000
