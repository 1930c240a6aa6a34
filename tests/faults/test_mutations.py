"""
Each guard of the promise is missed by a test when it is gone.
"""

from __future__ import annotations

import pytest

from tests.faults.mutations import MUTATIONS, is_noticed


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name.replace(" ", "_"))
def test_a_missing_guard_is_noticed(mutation):
    """The tests that know of a guard fail without it; that they pass with it, this run shows."""
    assert is_noticed(mutation, pass_first=False)
