"""
Races, crashes and processes: the part of the cap stores' conformance suite that needs several.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cxsdk.asking import CapStore, Due, Reserved
from cxsdk.errors import StoreUnavailableError
from cxsdk.testing.conformance._cap_requests import (
    ANN,
    DAY,
    CapStoreUnderTest,
    ask,
    patiently,
)

__all__ = ["CapStoreRaces"]


def _descriptors() -> int:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except FileNotFoundError:
        pytest.skip("this system does not say which files are open")


class CapStoreRaces(CapStoreUnderTest):
    """
    What holds with many processes, a killed one, and a store that is down.
    """

    def test_1_a_quota_and_a_gap_are_exact_in_a_race(self, store: CapStore) -> None:
        """
        Many processes ask for the same customers under one quota and a gap of seven days: as many
        are granted as the quota allows, and nobody twice.
        """

        def work(number: int, mine: CapStore) -> list[str]:
            order = list(range(self.race_customers))
            random.Random(number).shuffle(order)  # noqa: S311 - an order of one's own
            won = []
            for each in order:
                name, customer = f"o-{number}-{each}", f"c-{each}"
                request = ask(name, customer, quotas=self.quotas(self.race_quota))
                if patiently(partial(mine.reserve, request)):
                    won.append(customer)
                    if each % 3:
                        patiently(lambda n=name: mine.advance(n, "shown"))  # type: ignore[misc]
                    if each % 3 == 1:
                        patiently(lambda n=name: mine.answer(n, b"d", complete=True))  # type: ignore[misc]
            return won

        won = [name for each in self.at_once(self.race_processes, work) for name in each]
        assert len(won) == self.race_quota
        assert len(set(won)) == self.race_quota
        offers = patiently(store.counts)["offers"]
        assert sum(offers.values()) == self.race_quota

    def test_1_one_customer_is_granted_one_of_many(self, store: CapStore) -> None:
        """
        All processes ask for one customer at the same moment, several times: one is granted.
        """

        def work(number: int, mine: CapStore) -> int:
            return sum(
                isinstance(
                    patiently(lambda t=turn: mine.reserve(ask(f"o-{number}-{t}"))),  # type: ignore[misc]
                    Reserved,
                )
                for turn in range(5)
            )

        assert sum(self.at_once(self.race_processes, work)) == 1
        assert len(store.history(ANN).offers) == 1

    def test_1_one_interaction_is_asked_about_once(self, store: CapStore) -> None:
        """
        The same unique name, asked for by as many customers as processes, is granted to one.
        """

        def work(number: int, mine: CapStore) -> int:
            requests = [
                ask(f"o-{number}-{each}", f"c-{number}-{each}", unique=f"p:i-{each}")
                for each in range(10)
            ]
            return sum(bool(patiently(partial(mine.reserve, request))) for request in requests)

        assert sum(self.at_once(self.race_processes, work)) == 10

    def test_2_a_crash_before_showing_gives_back(self, store: CapStore) -> None:
        """
        A process is killed between reserving and showing: after the expiry nothing was spent.
        """
        quota = self.quotas(1)
        self.killed(lambda mine: self.granted(mine, ask("o-1", quotas=quota)))
        self.refused(store, ask("o-2"), "in_flight")
        self.refused(store, ask("o-3", "c-other", quotas=quota), "quota_full")
        self.later(601)
        self.granted(store, ask("o-4", quotas=quota))
        assert [offer.offer_id for offer in store.sweep()] == ["o-1"]

    def test_3_one_of_many_answers_is_the_first(self, store: CapStore) -> None:
        """
        Different answers at once: one is the first, the others are told so.
        """
        self.granted(store, ask("o-1", quotas=self.quotas(5)))

        def work(number: int, mine: CapStore) -> str:
            digest = b"answer %d" % number
            return patiently(lambda: mine.answer("o-1", digest, complete=True)).outcome

        outcomes = Counter(self.at_once(self.race_processes, work))
        assert outcomes == {"first": 1, "conflict": self.race_processes - 1}
        assert store.counts()["answers"] == {"p:all": 1}

    def test_3_one_of_many_steps_is_taken(self, store: CapStore) -> None:
        """
        Shown by many at once: one of them moved it.
        """
        names = [f"o-{number}" for number in range(10)]
        for name in names:
            self.granted(store, ask(name, f"c-{name}"))

        def work(_: int, mine: CapStore) -> int:
            moved = [patiently(partial(mine.advance, name, "shown")) for name in names]
            return sum(offer is not None for offer in moved)

        assert sum(self.at_once(self.race_processes, work)) == 10

    def test_3_what_is_due_is_taken_once(self, store: CapStore) -> None:
        """
        Processes that take what is due, a few at a time, take all of it and nothing twice.
        """
        for number in range(100):
            assert store.schedule(Due(f"d-{number}", f"c-{number}", -1.0, b"r"))

        def work(_: int, mine: CapStore) -> list[str]:
            taken: list[str] = []
            while found := patiently(lambda: mine.take_due(None, 7)):
                taken += [due.due_id for due in found]
            return taken

        taken = [name for each in self.at_once(4, work) for name in each]
        assert sorted(taken) == sorted(f"d-{number}" for number in range(100))

    def test_3_what_is_over_is_swept_once(self, store: CapStore) -> None:
        """
        Processes that sweep at the same time end each offer once.
        """
        for number in range(100):
            self.granted(store, ask(f"o-{number}", f"c-{number}"))
        self.later(601)

        def work(_: int, mine: CapStore) -> list[str]:
            ended: list[str] = []
            while found := patiently(lambda: mine.sweep(7)):
                ended += [offer.offer_id for offer in found]
            return ended

        ended = [name for each in self.at_once(4, work) for name in each]
        assert sorted(ended) == sorted(f"o-{number}" for number in range(100))

    def test_4_an_answer_outlives_its_process(self, store: CapStore) -> None:
        """
        Killed right after `answer` returned: the answer holds, and its gap does.
        """
        quota = self.quotas(1)

        def work(mine: CapStore) -> None:
            self.granted(mine, ask("o-1", quotas=quota))
            assert mine.answer("o-1", b"d", complete=True).outcome == "first"

        self.killed(work)
        found = store.find("o-1")
        assert found is not None
        assert (found.state, found.revision) == ("answered", 1)
        assert store.answer("o-1", b"d", complete=True).outcome == "same"
        self.later(6 * DAY)
        self.refused(store, ask("o-2", quotas=quota), "cap_global")
        self.refused(store, ask("o-3", "c-other", quotas=quota), "quota_full")

    def test_7_processes_with_clocks_apart_agree(
        self, store: CapStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A process whose own clock is a month ahead decides by the store's.
        """
        self.granted(store, ask("o-1", expires_in=1e6))
        store.advance("o-1", "dismissed")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 30 * DAY)
        other = self.make_store()
        found, again = store.find("o-1"), other.find("o-1")
        refused = self.refused(other, ask("o-2"), "cap_global")
        other.close()
        assert found is not None
        assert again is not None
        assert abs(again.now - found.now) < 5
        assert refused.retry_in == pytest.approx(7 * DAY, abs=5)

    def test_8_threads_share_a_store(self, store: CapStore) -> None:
        """
        One store object in many threads grants each customer once.
        """

        def work(number: int, _: CapStore) -> int:
            return sum(
                isinstance(
                    patiently(
                        lambda e=each: store.reserve(ask(f"o-{number}-{e}", f"c-{e}"))  # type: ignore[misc]
                    ),
                    Reserved,
                )
                for each in range(20)
            )

        assert sum(self._in_threads(8, work)) == 20

    def test_8_a_forked_child_uses_the_same_object(self, store: CapStore) -> None:
        """
        A store that the parent has used works in a child, and in the parent while and after it.
        """
        if not self.is_shared:
            pytest.skip("a store of one process is empty in a child")
        self.granted(store, ask("o-parent"))

        def work(number: int, _: CapStore) -> str:
            for turn in range(5):
                name = f"o-{number}-{turn}"
                assert patiently(lambda n=name: store.reserve(ask(n, f"c-{n}")))  # type: ignore[misc]
            return getattr(patiently(lambda: store.reserve(ask(f"o-{number}"))), "reason", "")

        assert self.at_once(3, work) == ["in_flight"] * 3
        self.refused(store, ask("o-after"), "in_flight")
        self.granted(store, ask("o-other", "c-other"))
        assert store.counts()["offers"] == {"reserved": 17}

    def test_8_a_store_that_cannot_be_asked_says_so_in_time(self) -> None:
        """
        Every method of a broken store raises `StoreUnavailableError` soon, shows nothing secret,
        and leaves no file open.
        """
        stores = self.make_broken_stores()
        if not stores:
            pytest.skip("this store is never away")
        shown = []
        for store in stores:
            calls: list[Callable[[], object]] = [
                partial(store.reserve, ask("o-1")),
                partial(store.answer, "o-1", b"d", complete=True),
                partial(store.history, ANN),
                partial(store.forget, ANN),
                store.sweep,
            ]
            before = 0
            for turn in range(3):
                for call in calls:
                    began = time.monotonic()
                    with pytest.raises(StoreUnavailableError) as caught:
                        call()
                    assert time.monotonic() - began < self.max_seconds
                    shown += [str(caught.value), repr(caught.value), repr(store)]
                before = before if turn else _descriptors()
            assert _descriptors() <= before + 1
            store.close()
        for secret in self.secrets:
            assert not [text for text in shown if secret in text]
