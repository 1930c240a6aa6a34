"""
The page says what the table of servers claims, and shows a run in which nothing was lost.
"""

from __future__ import annotations

import json

from tests.lifecycle import page
from tests.lifecycle.servers import SERVERS


def test_the_page_shows_the_claims_that_the_tests_hold_servers_to():
    """Whoever adds a server writes the page again."""
    assert page.table("claims") == page.claims(), "run python -m tests.lifecycle.page"


def test_the_measured_run_covers_every_server_and_lost_nothing():
    """Each server has both of its lives on the page, with nothing lost or counted twice."""
    rows = [line.strip("| ").split(" | ") for line in page.table("figures").splitlines()[2:]]
    seen = {(row[0], row[1]) for row in rows}
    lives = {(each.name, what) for each in SERVERS for what in ("graceful end", "kill, reload")}
    assert {(name, "kill, reload" if "kill" in what else what) for name, what in seen} >= lives
    assert all(int(row[2]) > 0 and (row[4], row[5]) == ("0", "0") for row in rows)


def test_figures_of_one_host_and_trouble_are_added_up():
    """Counts add, the longest end counts."""
    outcome = {"accepted": 2, "by_itself": 1, "lost": 0, "twice": 0, "resent": 1, "seconds": 0.5}
    lines = [json.dumps(["a", "b", outcome]), json.dumps(["a", "b", {**outcome, "seconds": 0.25}])]
    assert page.figures(lines).splitlines()[2] == "| a | b | 4 | 2 | 0 | 0 | 2 | 0.5 |"
