"""
A shop's customers are more than memory has room for.
"""

from __future__ import annotations

import os

import pytest

from tests.lookup.many import MOST, OVERLAY_BYTES, run

CUSTOMERS = int(os.environ.get("LOOKUP_CUSTOMERS", "20000"))


@pytest.mark.slow
def test_twice_as_many_customers_as_there_is_room_for_leave_what_there_is_room_for() -> None:
    """
    Each is known and their own event is seen; afterwards no more than `max_customers` are held, and
    the overlay keeps to its bytes.
    """
    figures = run(CUSTOMERS)
    print(f"\n{figures}")
    assert (figures["known"], figures["local"]) == (CUSTOMERS, CUSTOMERS)
    assert figures["held"] == figures["by_raw"] == MOST
    assert figures["evicted"] == CUSTOMERS - MOST
    assert MOST < figures["overlay_bytes"] <= OVERLAY_BYTES
    assert figures["in_flight"] == 0
