"""
Races, processes and outages: the part of the shared memories' conformance suite that needs several.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.remembering import SharedMemory, Shelf, Told

__all__ = [
    "ANN",
    "BEN",
    "OTHER",
    "VISITOR",
    "SharedMemoryRaces",
    "told",
    "until",
]

ANN, BEN, VISITOR, OTHER = "c-ann", "c-ben", "a-visitor", "a-other"
_SLACK_S = 1.0


def told(
    subject: str,
    name: str,
    at: float = 1000.0,
    *,
    shelf: Shelf = "interactions",
    keep: float = 3600.0,
    payload: bytes = b"p",
) -> Told:
    """
    Return a thing to tell.
    """
    return Told(subject, name, shelf, at, keep, payload)


def until(holds: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
    """
    Wait until *holds* does, or fail.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.01)


def patiently(call: Callable[[], Any]) -> Any:
    """
    Call again while the memory is busy; every method may be made twice.
    """
    end = time.monotonic() + 60
    while True:
        try:
            return call()
        except StoreUnavailableError:
            assert time.monotonic() < end, "the memory did not come back"
            time.sleep(0.005)


class SharedMemoryRaces:
    """
    What holds with many processes, a forked one, and a memory that is away.
    """

    secrets: Sequence[str] = ()
    """What the memory was given and must not show."""

    is_shared = True
    """False: one process's own; `make_memory` returns the same one each time."""

    most = 5
    """What the memory is to keep per subject and shelf."""

    race_processes = 8
    race_things = 25

    def make_memory(self) -> SharedMemory:
        """
        Return the memory, opened as another process would.
        """
        raise NotImplementedError

    def make_broken_memories(self) -> Sequence[SharedMemory]:
        """
        Return some that cannot be asked, with an attribute *timeout* in seconds.
        """
        return ()

    @pytest.fixture
    def memory(self) -> Iterator[SharedMemory]:
        """
        Return an empty memory; it is closed at the end.
        """
        made = self.make_memory()
        yield made
        made.close()

    @pytest.fixture
    def other(self, memory: SharedMemory) -> Iterator[SharedMemory]:
        """
        Return the same memory as another process has it.
        """
        made = self.make_memory()
        yield made
        made.close()

    @staticmethod
    def names(memory: SharedMemory, subject: str) -> list[str]:
        """
        Return the ids that are remembered of *subject*, oldest first.
        """
        return [each.id for each in memory.read([subject])[subject].told]

    def at_once(self, work: Callable[[int, SharedMemory], None]) -> None:
        """
        Run *work* in many processes, or threads of this one; all must end well.
        """

        def run(number: int) -> None:
            mine = self.make_memory()
            work(number, mine)
            if self.is_shared:
                mine.close()

        numbers = range(self.race_processes)
        if self.is_shared:
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=run, args=(number,)) for number in numbers]
            for child in children:
                child.start()
            for child in children:
                child.join()
            assert [child.exitcode for child in children] == [0] * len(children)
            return
        threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def shows_nothing(self, shown: str) -> None:
        """
        Check that no credentials, payload or subject are in *shown*.
        """
        for secret in (*self.secrets, "a customer's words", ANN):
            assert secret not in shown

    # ---- races

    def test_1_processes_at_once_lose_nothing(self, memory: SharedMemory) -> None:
        """
        Many put and link at the same time, about the same subjects and their own: all is there.
        """

        def work(number: int, mine: SharedMemory) -> None:
            for each in range(self.race_things):
                things = [
                    told(f"v-{number}-{each}", f"mine-{number}-{each}", each),
                    told(f"c-{each}", f"all-{number}", number, shelf="facts"),
                ]
                patiently(lambda t=things: mine.put(t))  # type: ignore[misc]
                who = f"v-{number}-{each}"
                assert patiently(lambda w=who: mine.link(w, f"w-{number}"))  # type: ignore[misc]
                assert patiently(lambda: mine.link(f"w-{number}", "w-all"))

        self.at_once(work)
        numbers = range(self.race_processes)
        for each in range(self.race_things):
            expected = [f"all-{number}" for number in numbers][-self.most :]
            assert self.names(memory, f"c-{each}") == expected
        everybody = {f"w-{number}" for number in numbers}
        everybody |= {f"v-{n}-{each}" for n in numbers for each in range(self.race_things)}
        assert set(memory.read(["w-all"])["w-all"].absorbed) == everybody
        newest = sorted(
            (each, f"mine-{n}-{each}") for n in numbers for each in range(self.race_things)
        )[-self.most :]
        assert self.names(memory, "w-all") == [name for _, name in newest]

    def test_4_nothing_is_put_beside_a_link(self, memory: SharedMemory) -> None:
        """
        While some put, others link: nothing is left under a subject that was absorbed.
        """

        def work(number: int, mine: SharedMemory) -> None:
            for each in range(self.race_things):
                for turn in range(4):
                    thing = told(f"v-{each}", f"e-{number}-{turn}", number)
                    patiently(lambda t=thing: mine.put([t]))  # type: ignore[misc]
                    if number % 4 == turn:
                        patiently(lambda e=each: mine.link(f"v-{e}", f"c-{e}"))  # type: ignore[misc]

        self.at_once(work)
        found = memory.read([f"v-{each}" for each in range(self.race_things)])
        assert [each.told for each in found.values() if each.told] == []
        last = self.race_processes - 1
        expected = sorted((n, f"e-{n}-{t}") for n in range(last + 1) for t in range(4))
        for each in range(self.race_things):
            assert self.names(memory, f"c-{each}") == [e for _, e in expected][-self.most :]

    # ---- 7: threads, forks, and a memory that is away

    def test_7_threads_may_share_it(self, memory: SharedMemory) -> None:
        """
        Calls of many threads at once are all carried out.
        """
        failed: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for each in range(self.race_things):
                    name = f"t-{number}-{each}"
                    patiently(lambda n=name: memory.put([told(n, "e-1")]))  # type: ignore[misc]
                    patiently(lambda n=name: memory.read([n]))  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001 - shown below
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        names = [f"t-{number}-{each}" for number in range(8) for each in range(self.race_things)]
        assert all(self.names(memory, name) == ["e-1"] for name in names)

    def test_7_a_forked_child_uses_it(self, memory: SharedMemory) -> None:
        """
        The child goes on with the parent's memory, also to listen, and so does the parent.
        """
        if not self.is_shared:
            return
        memory.put([told(ANN, "parent-1", 1.0)])
        mine: list[str | None] = []
        can_hear = memory.subscribe(mine.append)
        heard: list[str | None] = []

        def child() -> None:
            assert self.names(memory, ANN) == ["parent-1"]
            if memory.subscribe(heard.append):
                until(lambda: None in heard, "the first word")
            memory.put([told(ANN, "child", 2.0)])
            if can_hear:
                until(lambda: BEN in heard, "news in the child")
            memory.close()

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        until(lambda: "child" in self.names(memory, ANN), "the child's")
        if can_hear:
            until(lambda: ANN in mine, "news of the child")
        memory.put([told(BEN, "b-1")])
        process.join()
        assert process.exitcode == 0
        memory.put([told(ANN, "parent-2", 3.0)])
        assert self.names(memory, ANN) == ["parent-1", "child", "parent-2"]

    def test_7_a_memory_that_is_away_says_so_in_time(self) -> None:
        """
        Every method raises `StoreUnavailableError`, no later than *timeout*.
        """
        for broken in self.make_broken_memories():
            calls: list[Callable[[], Any]] = [
                lambda m=broken: m.put([told(ANN, "e-1", payload=b"a customer's words")]),  # type: ignore[misc]
                lambda m=broken: m.read([ANN]),  # type: ignore[misc]
                lambda m=broken: m.link(VISITOR, ANN),  # type: ignore[misc]
                lambda m=broken: m.unlink(VISITOR),  # type: ignore[misc]
                lambda m=broken: m.forget([ANN], 60),  # type: ignore[misc]
            ]
            for call in calls:
                began = time.monotonic()
                with pytest.raises(StoreUnavailableError) as caught:
                    call()
                timeout: float = broken.timeout  # type: ignore[attr-defined]
                assert time.monotonic() - began < timeout + _SLACK_S
                self.shows_nothing(f"{caught.value!r} {caught.value} {broken!r}")
            broken.close()
