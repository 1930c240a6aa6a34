"""
Kill -9 at random moments, also while the collector is away: what was accepted arrives, once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.kill import run

# A multiple of six: two of each six lives end while the collector is away.
KILLS = 54
SEEDS = (7, 8)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_accepted_is_lost_by_kills(tmp_path, capsys):
    """
    A hundred kills at 2,000 events a second: every accepted event is in the collector, once.
    """
    folders = [tmp_path / str(seed) for seed in SEEDS]
    for folder in folders:
        folder.mkdir()
    # Beside each other: most of a life is waiting for its end.
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        runs = [
            pool.submit(run, folder, KILLS, seed=seed)
            for folder, seed in zip(folders, SEEDS, strict=True)
        ]
        reports = [each.result() for each in runs]
    for report in reports:
        with capsys.disabled():
            print(f"\n{report}")
        names = ("kills", "lost", "twice", "wrong", "refused")
        found = {name: getattr(report, name) for name in names}
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
