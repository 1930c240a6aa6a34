"""
The quick rows of the fault table, and proof that its harness can see a loss.
"""

from __future__ import annotations

import os
import shutil

import pytest

from tests.faults.rows import ROWS, play

QUICK = ("away", "too_large", "forked", "torn_tail", "flipped_bit", "poison", "clock_back")


@pytest.mark.slow
@pytest.mark.parametrize("row", QUICK)
def test_cxsdk_loses_nothing(row):
    """What was accepted arrived, or is counted with its reason; nothing arrived as another."""
    outcome = play(row, "cxsdk")
    assert outcome.accepted > 0
    assert outcome.lost == 0, (ROWS[row].__doc__, outcome)


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="a small disk needs root and mount"
)
def test_a_full_disk_is_counted_exactly():
    """What a full disk and a full memory cannot hold is given up, counted, and nothing more."""
    outcome = play("full_disk", "cxsdk")
    assert outcome.lost == 0, outcome
    assert 0 < outcome.counted < outcome.accepted


@pytest.mark.slow
def test_the_harness_can_see_a_loss():
    """A list in memory, sent once at exit, loses everything when nobody listens."""
    outcome = play("away", "control")
    assert outcome.lost == outcome.accepted > 0
