"""
An hour without a collector, in seconds: the client's clock is virtual.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cxsdk import Client, SpoolOptions
from cxsdk.testing.clock import FakeClock
from tests.faults.sink import well

if TYPE_CHECKING:
    from tests.faults.rows import Trial

__all__ = ["live_an_hour"]

_HOUR_S = 3600
_A_SECOND = 10


def live_an_hour(trial: Trial) -> None:
    """
    Emit ten events a virtual second while the sink says 503 for an hour; then let it be well.
    """
    trial.sink.reply = lambda _: (503, {})
    clock = FakeClock()
    longest = 0
    with Client(
        "hour",
        collector=trial.sink.url,
        clock=clock,
        spool=SpoolOptions(directory=trial.spool, min_free_bytes=0),
    ) as client:
        for second in range(_HOUR_S):
            for step in range(_A_SECOND):
                number = second * _A_SECOND + step
                before = time.perf_counter_ns()
                taken = client.record(
                    "cart.add", customer=f"c-{number}", attributes={"mark": f"ev-{number:06d}"}
                )
                longest = max(longest, time.perf_counter_ns() - before)
                trial.outcome.accepted += bool(taken)
            clock.advance(1.0)
        asked = trial.sink.requests
        trial.sink.reply = well
        end = time.monotonic() + 60.0
        while trial.arrived < trial.outcome.accepted and time.monotonic() < end:
            clock.advance(1.0)
            time.sleep(0.005)
        began = time.monotonic()
    trial.outcome.exit_s = time.monotonic() - began
    trial.outcome.blocked_ms = longest / 1e6
    trial.outcome.remark = f"{asked} requests during the outage"
