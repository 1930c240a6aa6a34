"""
What every `Spool` must do: one test for each numbered guarantee of the Protocol.

Subclass it in a test module::

    class TestMySpool(SpoolConformance):
        def make_spool(self, tmp_path):
            return MySpool(tmp_path, sinks=("default", "second"))
"""

from __future__ import annotations

import abc
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cxsdk.errors import SpoolFullError
from cxsdk.typing import Kind, Lane, Record, Spool

__all__ = ["SpoolConformance"]

_NOBODY = bytes(8)
_TAG = b"customer"
_MUCH = 1 << 20


def _payload(number: int) -> bytes:
    return b'{"n":%d}' % number


def _payloads(records: Sequence[Record]) -> list[bytes]:
    return [record.payload for record in records]


@contextmanager
def alarms(handler: Callable[..., None]) -> Iterator[None]:
    """
    Give SIGALRM to *handler* for a while; who had its timer before (a test's time limit) gets it
    back. For the main thread.

    Nothing traces meanwhile: a coverage tracer has a lock of its own, which an exception thrown
    into it leaves held.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        sys.settrace(tracer)


class SpoolConformance(abc.ABC):
    """
    Tests of guarantees 1 to 7. The spool under test has the sinks ``default`` and ``second``.
    """

    @abc.abstractmethod
    def make_spool(self, tmp_path: Path) -> Spool:
        """
        Return a fresh, empty spool with the sinks ``default`` and ``second``.
        """

    def make_small_spool(self, tmp_path: Path) -> Spool | None:
        """
        Return a spool that holds less than 10 000 records of a hundred bytes; None: unbounded.
        """
        del tmp_path
        return None

    @pytest.fixture
    def spool(self, tmp_path: Path) -> Any:
        """
        Make, then close, a spool.
        """
        made = self.make_spool(tmp_path)
        yield made
        made.close()

    def fill(self, spool: Spool, count: int, lane: Lane = "bulk", tag: bytes = _NOBODY) -> None:
        """
        Append *count* small numbered records.
        """
        kind = Kind.KEEP if lane == "vital" else Kind.INTERACTION
        for number in range(count):
            spool.append(lane, _payload(number), kind, tag)

    def drain(self, spool: Spool, sink: str, lane: Lane = "bulk") -> list[bytes]:
        """
        Lease and ack until nothing comes; return the payloads.
        """
        found: list[bytes] = []
        while records := spool.lease(sink, lane, 100, _MUCH):
            found.extend(_payloads(records))
            spool.ack(sink, records)
        return found

    @pytest.mark.parametrize("sink", ["default", "second"])
    def test_1_every_sink_gets_every_record_in_order(self, spool: Spool, sink: str) -> None:
        """
        What was appended is leased to each sink, in order, until that sink acks it.
        """
        self.fill(spool, 250)
        assert self.drain(spool, sink) == [_payload(number) for number in range(250)]

    def test_1_a_record_is_in_one_open_lease_per_sink(self, spool: Spool) -> None:
        """
        While a lease is open, another lease of the same sink has other records.
        """
        self.fill(spool, 20)
        first = spool.lease("default", "bulk", 10, _MUCH)
        second = spool.lease("default", "bulk", 100, _MUCH)
        other = spool.lease("second", "bulk", 100, _MUCH)
        assert _payloads(first) + _payloads(second) == [_payload(number) for number in range(20)]
        assert len(other) == 20

    def test_1_lanes_are_apart(self, spool: Spool) -> None:
        """
        A lease of one lane has no record of the other.
        """
        self.fill(spool, 3, "vital")
        assert spool.lease("default", "bulk", 10, _MUCH) == []
        assert {record.lane for record in spool.lease("default", "vital", 10, _MUCH)} == {"vital"}

    def test_1_sizes_are_kept(self, spool: Spool) -> None:
        """
        A lease stays within its bounds, but has one record if there is any.
        """
        self.fill(spool, 10)
        assert len(spool.lease("default", "bulk", 4, _MUCH)) == 4
        assert len(spool.lease("default", "bulk", 100, 1)) == 1
        assert len(spool.lease("default", "bulk", 100, 2 * len(_payload(1)))) == 2

    def test_2_threads_append_at_once(self, spool: Spool) -> None:
        """
        Nothing is lost or doubled when many threads append.
        """
        threads = [threading.Thread(target=self.fill, args=(spool, 500)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(self.drain(spool, "default")) == sorted(
            _payload(number) for number in range(500) for _ in range(4)
        )

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
    def test_2_a_signal_handler_appends(self, spool: Spool) -> None:
        """
        An append from a signal handler that interrupts another one is kept as well.
        """
        wanted: list[bytes] = []
        is_on = True

        def on_alarm(*_: object) -> None:
            payload = b'{"s":%d}' % len(wanted)
            spool.append("bulk", payload, Kind.INTERACTION, _NOBODY)
            wanted.append(payload)
            # Only now the next one: where appends are slow a steady timer would interrupt its own
            # handler for ever.
            if is_on:
                signal.setitimer(signal.ITIMER_REAL, 0.0001)

        with alarms(on_alarm):
            signal.setitimer(signal.ITIMER_REAL, 0.0001)
            self.fill(spool, 5000)
            is_on = False
        found = self.drain(spool, "default")
        expected = sorted([*map(_payload, range(5000)), *wanted])
        assert wanted
        assert len(found) == len(expected)
        assert sorted(found) == expected

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
    def test_2_an_exception_thrown_into_an_append_hides_nothing(self, spool: Spool) -> None:
        """
        A handler's exception passes unchanged, and all that was accepted is found.
        """

        class ThrownError(Exception):
            pass

        def throw(*_: object) -> None:
            raise ThrownError

        accepted: list[bytes] = []
        tried = hits = 0
        # Thrown into somebody's garbage collection hook it would only be printed, not raised.
        gc.disable()
        try:
            with alarms(throw):
                while hits < 200 and tried < 4000:
                    try:
                        signal.setitimer(signal.ITIMER_REAL, 0.00002 + (tried % 17) * 0.000002)
                        for _ in range(40):
                            payload = _payload(tried)
                            tried += 1
                            spool.append("bulk", payload, Kind.INTERACTION, _NOBODY)
                            accepted.append(payload)
                        signal.setitimer(signal.ITIMER_REAL, 0)
                    except ThrownError:
                        hits += 1
        finally:
            gc.enable()
        spool.append("bulk", b"last", Kind.INTERACTION, _NOBODY)
        assert spool.counts("default").balance() == 0
        found = self.drain(spool, "default")
        assert hits > 0
        assert set(accepted) <= set(found)
        assert found[-1] == b"last"
        assert len(found) == len(set(found))

    def test_3_a_full_spool_says_so_and_keeps_nothing(self, tmp_path: Path) -> None:
        """
        `SpoolFullError` is raised when there is no room, and what it refused is not counted.
        """
        spool = self.make_small_spool(tmp_path)
        if spool is None:
            pytest.skip("this spool has no bound of its own")
        kept = self._fill_up(spool)
        with pytest.raises(SpoolFullError):
            spool.append("vital", b"x" * 100, Kind.KEEP, _NOBODY)
        assert spool.counts("default").accepted == kept
        assert len(self.drain(spool, "default", "vital")) == kept
        spool.close()

    def _fill_up(self, spool: Spool) -> int:
        for kept in range(10_000):
            try:
                spool.append("vital", b"x" * 100, Kind.KEEP, _NOBODY)
            except SpoolFullError:
                return kept
        return 10_000

    def test_3_a_closed_spool_is_full(self, spool: Spool) -> None:
        """
        After `close`, append raises `SpoolFullError` and nothing else.
        """
        self.fill(spool, 1)
        spool.close()
        with pytest.raises(SpoolFullError):
            spool.append("bulk", b"{}", Kind.INTERACTION, _NOBODY)
        assert spool.counts("default").accepted == 1

    @pytest.mark.parametrize("backlog", [False, True])
    def test_4_released_records_come_first(self, spool: Spool, backlog: bool) -> None:  # noqa: FBT001
        """
        What was given back is leased again before fresh records.
        """
        self.fill(spool, 30)
        taken = spool.lease("default", "bulk", 10, _MUCH)
        spool.release("default", taken)
        again = spool.lease("default", "bulk", 15, _MUCH, backlog=backlog)
        assert _payloads(again) == [_payload(number) for number in range(15)]

    def test_5_counts_balance_after_each_step(self, spool: Spool) -> None:
        """
        The ledger holds after append, lease, ack, release, bury, drop and erase.
        """
        self.fill(spool, 20)
        self.fill(spool, 3, tag=_TAG)
        taken = spool.lease("default", "bulk", 10, _MUCH)
        counts = spool.counts("default")
        assert (counts.accepted, counts.in_flight, counts.spooled) == (23, 10, 13)
        spool.ack("default", taken[:4])
        spool.ack("default", taken[:4])
        spool.release("default", taken[4:6])
        spool.bury("default", taken[6], "invalid", "said the server", 2)
        spool.drop("default", taken[7:9], "too_large")
        spool.erase(_TAG)
        counts = spool.counts("default")
        assert counts.balance() == 0
        assert (counts.delivered, counts.in_flight, counts.dead_lettered) == (4, 1, 1)
        assert counts.dropped == {"too_large": 2, "erased": 3}
        assert counts.spooled == 23 - 4 - 1 - 1 - 2 - 3
        assert spool.pending("default") == counts.spooled + counts.in_flight
        assert spool.counts("second").spooled == 20

    def test_5_counts_balance_while_everything_moves(self, spool: Spool) -> None:
        """
        Each snapshot balances while threads append, lease and ack.
        """
        done = threading.Event()
        wrong: list[object] = []

        def watch() -> None:
            while not done.is_set():
                counts = spool.counts("default")
                if counts.balance() or counts.spooled < 0:
                    wrong.append(counts)

        def send() -> None:
            while not done.is_set():
                records = spool.lease("default", "bulk", 7, _MUCH)
                spool.ack("default", records[::2])
                spool.release("default", records[1::2])

        threads = [threading.Thread(target=watch), threading.Thread(target=send)]
        for thread in threads:
            thread.start()
        self.fill(spool, 3000)
        done.set()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_6_an_erased_customer_is_leased_no_more(self, spool: Spool) -> None:
        """
        After `erase`, no payload of the customer comes, also not one that was released.
        """
        self.fill(spool, 5, tag=_TAG)
        self.fill(spool, 5, "vital", tag=_TAG)
        spool.append("bulk", b"other", Kind.INTERACTION, b"somebody")
        flying = spool.lease("default", "bulk", 2, _MUCH)
        assert spool.erase(_TAG) == 10
        spool.release("default", flying)
        assert self.drain(spool, "default") == [b"other"]
        assert self.drain(spool, "default", "vital") == []
        assert self.drain(spool, "second") == [b"other"]
        assert spool.counts("default").dropped == {"erased": 10}

    def test_6_consent_only_erases_what_consent_alone_held(self, spool: Spool) -> None:
        """
        With *only_consent* the flagged records go and the others stay.
        """
        spool.append("bulk", b"held", Kind.INTERACTION, _TAG)
        spool.append("bulk", b"flagged", Kind.INTERACTION | Kind.CONSENT_ONLY, _TAG)
        assert spool.erase(_TAG, only_consent=True) == 1
        assert self.drain(spool, "default") == [b"held"]

    def test_7_close_is_idempotent(self, spool: Spool) -> None:
        """
        Closing twice is closing once.
        """
        self.fill(spool, 2)
        spool.close()
        spool.close()

    def test_7_what_is_left_is_there_for_the_next_owner(self, tmp_path: Path) -> None:
        """
        Where durable, a next spool at the same place delivers what the first one did not.
        """
        spool = self.make_spool(tmp_path)
        if not spool.durable:
            spool.close()
            pytest.skip("not durable")
        self.fill(spool, 10)
        spool.ack("default", spool.lease("default", "bulk", 4, _MUCH))
        spool.lease("default", "bulk", 2, _MUCH)
        spool.close()
        heir = self.make_spool(tmp_path)
        heir.maintain()
        assert heir.counts("default").adopted == 6
        assert self.drain(heir, "default") == [_payload(number) for number in range(4, 10)]
        assert len(self.drain(heir, "second")) == 10
        heir.close()
