"""
The keeper's pace.
"""

from __future__ import annotations

from cxsdk._ledger import SinkCounts
from cxsdk.delivery.keeper import Keeper
from cxsdk.testing.clock import FakeClock


class Estates:
    """A spool that finds one event in each of so many directories, one directory a look."""

    def __init__(self, waiting):
        self.waiting = waiting
        self.adopted = 0

    def maintain(self):
        if self.waiting:
            self.waiting -= 1
            self.adopted += 1

    def counts(self, sink):
        return SinkCounts(adopted=self.adopted)


class Quiet:
    """A line that nothing comes in for."""

    name = "default"

    def notice(self, since):
        return 0


def test_the_keeper_hurries_while_it_adopts():
    """Twenty directories take two seconds and not twenty; then it is quiet again."""
    clock, spool = FakeClock(), Estates(20)
    keeper = Keeper(spool, [Quiet()], clock=clock, linger=1.0)
    began = clock.monotonic()
    while spool.waiting:
        clock.advance(keeper.step())
    assert clock.monotonic() - began < 3.0
    ticks = []
    for _ in range(30):
        ticks.append(keeper.step())
        clock.advance(ticks[-1])
    assert ticks[-10:] == [1.0] * 10
