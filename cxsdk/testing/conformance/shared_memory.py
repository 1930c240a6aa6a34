"""
What every `SharedMemory` must do: tests for each numbered guarantee of the Protocol.

Subclass it in a test module::

    class TestMyMemory(SharedMemoryConformance):
        secrets = ("s3cret",)

        @pytest.fixture(autouse=True)
        def _place(self, tmp_path):
            self.path = tmp_path / "memory"

        def make_memory(self):
            return MyMemory(self.path, password="s3cret", most=self.most)
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.remembering import Remembered, SharedMemory, Shelf, Told

__all__ = ["SharedMemoryConformance"]

_ANN, _BEN, _VISITOR, _OTHER = "c-ann", "c-ben", "a-visitor", "a-other"
_SLACK_S = 1.0


def _told(
    subject: str,
    name: str,
    at: float = 1000.0,
    *,
    shelf: Shelf = "interactions",
    keep: float = 3600.0,
    payload: bytes = b"p",
) -> Told:
    return Told(subject, name, shelf, at, keep, payload)


def _until(holds: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.01)


def _patiently(call: Callable[[], Any]) -> Any:
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


class SharedMemoryConformance:
    """
    Tests of guarantees 1 to 8, with races between processes.
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

    # ---- 1: what is put is read

    def test_1_what_was_put_is_read_elsewhere(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        Each field comes back as it was given, oldest first, also to another process; of whom
        nothing is known is said too.
        """
        payload = bytes(range(256)) + b" \n "
        later = _told(_ANN, "e 2/ä", 2000.25, shelf="facts", payload=payload)
        memory.put([later, _told(_ANN, "e-1", -1.5, payload=b""), _told(_BEN, "e-1")])
        found = other.read([_ANN, _OTHER])
        assert list(found) == [_ANN, _OTHER]
        assert found[_OTHER] == Remembered()
        first, second = found[_ANN].told
        assert (first.id, first.at, first.shelf, first.payload) == (
            "e-1",
            -1.5,
            "interactions",
            b"",
        )
        assert (second.subject, second.id, second.shelf) == (_ANN, "e 2/ä", "facts")
        assert (second.at, second.payload) == (2000.25, payload)
        assert 3590 < second.keep <= 3600

    def test_1_nothing_is_asked_of_nothing(self, memory: SharedMemory) -> None:
        """
        Without subjects there is no answer, and without things nothing happens.
        """
        memory.put([])
        assert dict(memory.read([])) == {}
        assert memory.forget([], 60) == 0

    def test_1_processes_at_once_lose_nothing(self, memory: SharedMemory) -> None:
        """
        Many put and link at the same time, about the same subjects and their own: all is there.
        """

        def work(number: int, mine: SharedMemory) -> None:
            for each in range(self.race_things):
                things = [
                    _told(f"v-{number}-{each}", f"mine-{number}-{each}", each),
                    _told(f"c-{each}", f"all-{number}", number, shelf="facts"),
                ]
                _patiently(lambda t=things: mine.put(t))  # type: ignore[misc]
                who = f"v-{number}-{each}"
                assert _patiently(lambda w=who: mine.link(w, f"w-{number}"))  # type: ignore[misc]
                assert _patiently(lambda: mine.link(f"w-{number}", "w-all"))

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

    # ---- 2: the same id is the same thing

    def test_2_an_id_that_is_there_changes_nothing(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        Whatever else is told under it, in one call or two; another subject's is another thing.
        """
        memory.put([_told(_ANN, "e-1"), _told(_ANN, "e-1", 5.0, payload=b"again")])
        other.put([_told(_ANN, "e-1", 3000.0, shelf="facts", payload=b"again")])
        other.put([_told(_BEN, "e-1", payload=b"ben's")])
        found = memory.read([_ANN, _BEN])
        assert [(t.at, t.shelf, t.payload) for t in found[_ANN].told] == [
            (1000.0, "interactions", b"p")
        ]
        assert [t.payload for t in found[_BEN].told] == [b"ben's"]

    def test_2_of_the_forgotten_nothing_is_kept(self, memory: SharedMemory) -> None:
        """
        While the tombstone stands; of others in the same call it is.
        """
        assert memory.forget([_ANN], 3600) == 0
        memory.put([_told(_ANN, "e-1"), _told(_BEN, "e-2")])
        found = memory.read([_ANN, _BEN])
        assert found[_ANN] == Remembered(forgotten=True)
        assert [each.id for each in found[_BEN].told] == ["e-2"]

    # ---- 3: bounds

    def test_3_the_newest_stay(self, memory: SharedMemory) -> None:
        """
        Per shelf, by when they happened and not by when they were put; of one moment, the higher
        id is the newer.
        """
        moments = [7, 3, 9, 1, 8, 2, 6, 4, 5, 0]
        memory.put([_told(_ANN, f"e-{at}", float(at)) for at in moments])
        memory.put([_told(_ANN, "f-1", 100.0, shelf="facts")])
        for name in ("B", "a", "ä", "C", "b", "A"):
            memory.put([_told(_BEN, name, 5.0)])
        expected = [f"e-{at}" for at in sorted(moments)[-self.most :]]
        assert self.names(memory, _ANN) == [*expected, "f-1"]
        assert self.names(memory, _BEN) == ["A", "B", "C", "a", "b", "ä"][-self.most :]
        memory.put([_told(_ANN, "e-old", -1.0)])
        assert self.names(memory, _ANN) == [*expected, "f-1"]

    def test_3_what_is_over_is_gone(self, memory: SharedMemory) -> None:
        """
        After its seconds, and not before; it takes no place of others, and its id is free.
        """
        short = [_told(_ANN, f"short-{at}", 50.0 + at, keep=0.3) for at in range(self.most - 1)]
        memory.put([*short, _told(_ANN, "long", 49.0)])
        memory.put([_told(_ANN, "never", 99.0, keep=0.0), _told(_ANN, "neither", 99.0, keep=-5.0)])
        assert not {"never", "neither"} & set(self.names(memory, _ANN))
        _until(lambda: self.names(memory, _ANN) == ["long"], "the end of short things")
        memory.put([_told(_ANN, f"old-{at}", float(at)) for at in range(self.most - 2)])
        memory.put([_told(_ANN, "short-0", 99.0, payload=b"new")])
        expected = [f"old-{at}" for at in range(self.most - 2)]
        assert self.names(memory, _ANN) == [*expected, "long", "short-0"]

    # ---- 4: links

    def test_4_a_link_moves_what_is_told(self, memory: SharedMemory, other: SharedMemory) -> None:
        """
        All of it, bounded as ever, what is there already stays as it is; later things follow.
        """
        memory.put([_told(_VISITOR, "v-1", 1.0), _told(_VISITOR, "both", 2.0, payload=b"v")])
        memory.put([_told(_ANN, "both", 3.0, payload=b"a")])
        assert memory.link(_VISITOR, _ANN, b"\x00 why")
        other.put([_told(_VISITOR, "v-2", 4.0)])
        found = other.read([_VISITOR, _ANN])
        assert found[_VISITOR] == Remembered(linked_to=_ANN, note=b"\x00 why")
        assert [(t.subject, t.id) for t in found[_ANN].told] == [
            (_ANN, "v-1"),
            (_ANN, "both"),
            (_ANN, "v-2"),
        ]
        assert found[_ANN].told[1].payload == b"a"
        assert (found[_ANN].linked_to, found[_ANN].absorbed) == (None, (_VISITOR,))
        assert found[_ANN].note == b""
        more = [_told(_VISITOR, f"m-{at}", 10.0 + at) for at in range(self.most)]
        memory.put(more)
        assert self.names(memory, _ANN) == [each.id for each in more]

    def test_4_who_is_a_part_of_one_is_of_no_other(self, memory: SharedMemory) -> None:
        """
        A second link is refused and changes nothing; the same again is fine; nobody is a part of
        itself.
        """
        assert memory.link(_VISITOR, _ANN, b"first")
        assert not memory.link(_VISITOR, _BEN, b"second")
        assert not memory.link(_ANN, _ANN)
        assert not memory.link(_ANN, _VISITOR)
        found = memory.read([_VISITOR, _BEN, _ANN])
        assert found[_VISITOR] == Remembered(linked_to=_ANN, note=b"first")
        assert (found[_BEN], found[_ANN].linked_to) == (Remembered(), None)
        assert memory.link(_VISITOR, _ANN, b"again")
        assert memory.read([_VISITOR])[_VISITOR].note == b"again"

    def test_4_who_was_absorbed_comes_along(self, memory: SharedMemory) -> None:
        """
        A link of a subject takes those that became it, and unlinking takes them back; each leads
        straight to where its things are.
        """
        assert memory.link(_VISITOR, _ANN, b"one")
        assert memory.link(_ANN, _BEN)
        assert memory.link(_OTHER, _VISITOR)
        memory.put([_told(_VISITOR, "v-1")])
        found = memory.read([_VISITOR, _BEN, _OTHER, _ANN])
        assert found[_VISITOR] == Remembered(linked_to=_BEN, note=b"one")
        assert (found[_OTHER].linked_to, found[_ANN].absorbed) == (_BEN, ())
        assert found[_BEN].absorbed == tuple(sorted((_OTHER, _VISITOR, _ANN)))
        assert [each.id for each in found[_BEN].told] == ["v-1"]
        assert memory.unlink(_ANN)
        found = memory.read([_VISITOR, _BEN, _OTHER, _ANN])
        assert (found[_VISITOR].linked_to, found[_OTHER].linked_to) == (_ANN, _ANN)
        assert (found[_ANN].linked_to, found[_BEN].absorbed) == (None, ())
        assert found[_ANN].absorbed == tuple(sorted((_OTHER, _VISITOR)))

    def test_4_unlinking_moves_nothing_back(self, memory: SharedMemory) -> None:
        """
        What was told stays where it is, later things do not follow; without a link it is False.
        """
        memory.put([_told(_VISITOR, "v-1")])
        assert not memory.unlink(_VISITOR)
        assert memory.link(_VISITOR, _ANN)
        assert memory.unlink(_VISITOR)
        assert not memory.unlink(_VISITOR)
        memory.put([_told(_VISITOR, "v-2")])
        found = memory.read([_VISITOR, _ANN])
        assert ([t.id for t in found[_ANN].told], found[_ANN].absorbed) == (["v-1"], ())
        assert ([t.id for t in found[_VISITOR].told], found[_VISITOR].linked_to) == (["v-2"], None)
        assert memory.link(_VISITOR, _BEN)

    def test_4_nothing_is_put_beside_a_link(self, memory: SharedMemory) -> None:
        """
        While some put, others link: nothing is left under a subject that was absorbed.
        """

        def work(number: int, mine: SharedMemory) -> None:
            for each in range(self.race_things):
                for turn in range(4):
                    thing = _told(f"v-{each}", f"e-{number}-{turn}", number)
                    _patiently(lambda t=thing: mine.put([t]))  # type: ignore[misc]
                    if number % 4 == turn:
                        _patiently(lambda e=each: mine.link(f"v-{e}", f"c-{e}"))  # type: ignore[misc]

        self.at_once(work)
        found = memory.read([f"v-{each}" for each in range(self.race_things)])
        assert [each.told for each in found.values() if each.told] == []
        last = self.race_processes - 1
        expected = sorted((n, f"e-{n}-{t}") for n in range(last + 1) for t in range(4))
        for each in range(self.race_things):
            assert self.names(memory, f"c-{each}") == [e for _, e in expected][-self.most :]

    # ---- 5: forgetting

    def test_5_nothing_is_left_but_a_tombstone(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        Of the subjects and of those they absorbed; others keep what they have.
        """
        memory.put([_told(_VISITOR, "v-1"), _told(_ANN, "a-1"), _told(_BEN, "b-1")])
        assert memory.link(_VISITOR, _ANN)
        assert memory.forget([_ANN, _ANN], 3600) == 2
        gone = Remembered(forgotten=True)
        assert dict(other.read([_ANN, _VISITOR])) == {_ANN: gone, _VISITOR: gone}
        assert self.names(other, _BEN) == ["b-1"]
        other.put([_told(_VISITOR, "v-2"), _told(_ANN, "a-2")])
        assert dict(memory.read([_ANN, _VISITOR])) == {_ANN: gone, _VISITOR: gone}
        assert memory.forget([_ANN, _VISITOR], 0) == 0
        assert memory.read([_ANN])[_ANN] == gone

    def test_5_who_was_absorbed_is_forgotten_alone(self, memory: SharedMemory) -> None:
        """
        What was put under it is gone from where it went; what the other one did itself stays.
        """
        memory.put([_told(_VISITOR, "v-1"), _told(_OTHER, "o-1"), _told(_ANN, "a-1")])
        assert memory.link(_OTHER, _VISITOR)
        assert memory.link(_VISITOR, _ANN)
        memory.put([_told(_VISITOR, "v-2")])
        assert memory.forget([_VISITOR], 3600) == 3
        found = memory.read([_VISITOR, _OTHER, _ANN])
        assert found[_VISITOR] == found[_OTHER] == Remembered(forgotten=True)
        assert ([t.id for t in found[_ANN].told], found[_ANN].absorbed) == (["a-1"], ())

    def test_5_the_tombstone_ends(self, memory: SharedMemory) -> None:
        """
        After its seconds the subject begins anew; without seconds there is none.
        """
        memory.put([_told(_ANN, "a-1"), _told(_BEN, "b-1")])
        assert memory.link(_VISITOR, _ANN)
        assert memory.forget([_ANN], 0) == 1
        assert dict(memory.read([_ANN, _VISITOR])) == {_ANN: Remembered(), _VISITOR: Remembered()}
        assert memory.forget([_BEN], 0.3) == 1
        _until(lambda: not memory.read([_BEN])[_BEN].forgotten, "the end of the tombstone")
        memory.put([_told(_BEN, "b-1"), _told(_ANN, "a-1")])
        assert (self.names(memory, _BEN), self.names(memory, _ANN)) == (["b-1"], ["a-1"])

    def test_5_the_forgotten_are_linked_to_nobody(self, memory: SharedMemory) -> None:
        """
        A link is something that would be known of them.
        """
        memory.forget([_ANN], 3600)
        memory.put([_told(_VISITOR, "v-1")])
        assert not memory.link(_VISITOR, _ANN)
        assert not memory.link(_ANN, _BEN)
        assert self.names(memory, _VISITOR) == ["v-1"]
        assert memory.read([_BEN])[_BEN] == Remembered()

    # ---- 6: news

    def test_6_changes_elsewhere_are_heard(self, memory: SharedMemory, other: SharedMemory) -> None:
        """
        Of every kind, and none of this memory's own; or it says that it cannot.
        """
        heard: list[str | None] = []
        if not memory.subscribe(heard.append):
            return
        _until(lambda: None in heard, "the first word")
        memory.put([_told(_BEN, "b-1")])
        changes: list[tuple[Callable[[], object], set[str]]] = [
            (lambda: other.put([_told(_VISITOR, "v-1")]), {_VISITOR}),
            (lambda: other.link(_VISITOR, _ANN), {_VISITOR, _ANN}),
            (lambda: other.put([_told(_VISITOR, "v-2")]), {_ANN}),
            (lambda: other.unlink(_VISITOR), {_VISITOR, _ANN}),
            (lambda: other.forget([_ANN], 60), {_ANN}),
        ]
        for change, whose in changes:
            before = len(heard)
            change()
            _until(lambda w=whose, b=before: w <= set(heard[b:]), "news")  # type: ignore[misc]
        assert _BEN not in heard

    def test_6_who_fails_to_hear_is_called_again(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        An error of the listener's ends nothing.
        """
        heard: list[str | None] = []

        def hear(subject: str | None) -> None:
            heard.append(subject)
            raise ValueError("mine")

        if not memory.subscribe(hear):
            return
        _until(lambda: None in heard, "the first word")
        other.put([_told(_ANN, "a-1")])
        _until(lambda: _ANN in heard, "news")
        other.put([_told(_BEN, "b-1")])
        _until(lambda: _BEN in heard, "news after an error")

    def test_6_closing_ends_the_thread(self, memory: SharedMemory) -> None:
        """
        Nothing runs on after `close`.
        """
        before = set(threading.enumerate())
        heard: list[str | None] = []
        if memory.subscribe(heard.append):
            _until(lambda: None in heard, "the first word")
        memory.close()
        _until(lambda: set(threading.enumerate()) <= before, "the end of the thread")

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
                    _patiently(lambda n=name: memory.put([_told(n, "e-1")]))  # type: ignore[misc]
                    _patiently(lambda n=name: memory.read([n]))  # type: ignore[misc]
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
        memory.put([_told(_ANN, "parent-1", 1.0)])
        mine: list[str | None] = []
        can_hear = memory.subscribe(mine.append)
        heard: list[str | None] = []

        def child() -> None:
            assert self.names(memory, _ANN) == ["parent-1"]
            if memory.subscribe(heard.append):
                _until(lambda: None in heard, "the first word")
            memory.put([_told(_ANN, "child", 2.0)])
            if can_hear:
                _until(lambda: _BEN in heard, "news in the child")
            memory.close()

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        _until(lambda: "child" in self.names(memory, _ANN), "the child's")
        if can_hear:
            _until(lambda: _ANN in mine, "news of the child")
        memory.put([_told(_BEN, "b-1")])
        process.join()
        assert process.exitcode == 0
        memory.put([_told(_ANN, "parent-2", 3.0)])
        assert self.names(memory, _ANN) == ["parent-1", "child", "parent-2"]

    def test_7_a_memory_that_is_away_says_so_in_time(self) -> None:
        """
        Every method raises `StoreUnavailableError`, no later than *timeout*.
        """
        for broken in self.make_broken_memories():
            calls: list[Callable[[], Any]] = [
                lambda m=broken: m.put([_told(_ANN, "e-1", payload=b"a customer's words")]),  # type: ignore[misc]
                lambda m=broken: m.read([_ANN]),  # type: ignore[misc]
                lambda m=broken: m.link(_VISITOR, _ANN),  # type: ignore[misc]
                lambda m=broken: m.unlink(_VISITOR),  # type: ignore[misc]
                lambda m=broken: m.forget([_ANN], 60),  # type: ignore[misc]
            ]
            for call in calls:
                began = time.monotonic()
                with pytest.raises(StoreUnavailableError) as caught:
                    call()
                timeout: float = broken.timeout  # type: ignore[attr-defined]
                assert time.monotonic() - began < timeout + _SLACK_S
                self.shows_nothing(f"{caught.value!r} {caught.value} {broken!r}")
            broken.close()

    def test_7_a_closed_memory_says_so(self, memory: SharedMemory) -> None:
        """
        After `close`, which may be called twice, nothing is opened again.
        """
        memory.put([_told(_ANN, "e-1")])
        memory.close()
        memory.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            memory.read([_ANN])

    # ---- 8: secrets

    def shows_nothing(self, shown: str) -> None:
        """
        Check that no credentials, payload or subject are in *shown*.
        """
        for secret in (*self.secrets, "a customer's words", _ANN):
            assert secret not in shown

    def test_8_nothing_secret_is_shown(self, memory: SharedMemory) -> None:
        """
        Neither credentials nor a payload are in ``repr()``.
        """
        memory.put([_told(_ANN, "e-1", payload=b"a customer's words")])
        self.shows_nothing(repr(memory))
