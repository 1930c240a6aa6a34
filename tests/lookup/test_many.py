"""
A shop's customers are more than memory has room for.
"""

from __future__ import annotations

import pytest

from tests.lookup.many import MOST, OVERLAY_BYTES, run


@pytest.mark.slow
def test_a_hundred_thousand_customers_leave_ten_thousand_held() -> None:
    """
    Each is known and their own event is seen; afterwards no more than `max_customers` are held, and
    the overlay keeps to its bytes.
    """
    figures = run(100_000)
    print(f"\n{figures}")
    assert (figures["known"], figures["local"]) == (100_000, 100_000)
    assert figures["held"] == figures["by_raw"] == MOST
    assert figures["evicted"] == 100_000 - MOST
    assert MOST < figures["overlay_bytes"] <= OVERLAY_BYTES
    assert figures["in_flight"] == 0
