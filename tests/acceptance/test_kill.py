"""
Kill -9 at random moments, also while the collector is away: what was accepted arrives, once.
"""

from __future__ import annotations

import pytest

from tests.acceptance.kill import run

KILLS = 102


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_accepted_is_lost_by_kills(tmp_path, capsys):
    """A hundred kills at 2,000 events a second: every accepted event is in the collector, once."""
    report = run(tmp_path, KILLS, seed=7)
    with capsys.disabled():
        print(f"\n{report}")
    found = {name: getattr(report, name) for name in ("kills", "lost", "twice", "wrong", "refused")}
    assert found == {"kills": KILLS, "lost": 0, "twice": 0, "wrong": 0, "refused": 0}
    assert report.heir == {"offered": 0, "default": 0}
    assert report.in_outage == KILLS // 3
    # Each thread may have published one event that it was not yet told about.
    assert report.extras <= 4 * KILLS
    assert report.accepted > 100 * KILLS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_kill_loop_can_fail(tmp_path, capsys):
    """The negative control: a buffered file in the library's place loses events to the same kills."""
    report = run(tmp_path, 6, seed=7, library="buffered")
    with capsys.disabled():
        print(f"\n{report}")
    assert report.lost > 0
