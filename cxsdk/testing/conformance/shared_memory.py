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

import threading
from collections.abc import Callable

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.remembering import Remembered, SharedMemory
from cxsdk.testing.conformance._memory_races import (
    ANN,
    BEN,
    OTHER,
    VISITOR,
    SharedMemoryRaces,
    told,
    until,
)

__all__ = ["SharedMemoryConformance"]


class SharedMemoryConformance(SharedMemoryRaces):
    """
    Tests of guarantees 1 to 8, with races between processes.
    """

    # ---- 1: what is put is read

    def test_1_what_was_put_is_read_elsewhere(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        Each field comes back as it was given, oldest first, also to another process; of whom
        nothing is known is said too.
        """
        payload = bytes(range(256)) + b" \n "
        later = told(ANN, "e 2/ä", 2000.25, shelf="facts", payload=payload)
        memory.put([later, told(ANN, "e-1", -1.5, payload=b""), told(BEN, "e-1")])
        found = other.read([ANN, OTHER])
        assert list(found) == [ANN, OTHER]
        assert found[OTHER] == Remembered()
        first, second = found[ANN].told
        assert (first.id, first.at, first.shelf, first.payload) == (
            "e-1",
            -1.5,
            "interactions",
            b"",
        )
        assert (second.subject, second.id, second.shelf) == (ANN, "e 2/ä", "facts")
        assert (second.at, second.payload) == (2000.25, payload)
        assert 3590 < second.keep <= 3600

    def test_1_nothing_is_asked_of_nothing(self, memory: SharedMemory) -> None:
        """
        Without subjects there is no answer, and without things nothing happens.
        """
        memory.put([])
        assert dict(memory.read([])) == {}
        assert memory.forget([], 60) == 0

    # ---- 2: the same id is the same thing

    def test_2_an_id_that_is_there_changes_nothing(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        Whatever else is told under it, in one call or two; another subject's is another thing.
        """
        memory.put([told(ANN, "e-1"), told(ANN, "e-1", 5.0, payload=b"again")])
        other.put([told(ANN, "e-1", 3000.0, shelf="facts", payload=b"again")])
        other.put([told(BEN, "e-1", payload=b"ben's")])
        found = memory.read([ANN, BEN])
        assert [(t.at, t.shelf, t.payload) for t in found[ANN].told] == [
            (1000.0, "interactions", b"p")
        ]
        assert [t.payload for t in found[BEN].told] == [b"ben's"]

    def test_2_of_the_forgotten_nothing_is_kept(self, memory: SharedMemory) -> None:
        """
        While the tombstone stands; of others in the same call it is.
        """
        assert memory.forget([ANN], 3600) == 0
        memory.put([told(ANN, "e-1"), told(BEN, "e-2")])
        found = memory.read([ANN, BEN])
        assert found[ANN] == Remembered(forgotten=True)
        assert [each.id for each in found[BEN].told] == ["e-2"]

    # ---- 3: bounds

    def test_3_the_newest_stay(self, memory: SharedMemory) -> None:
        """
        Per shelf, by when they happened and not by when they were put; of one moment, the higher
        id is the newer.
        """
        moments = [7, 3, 9, 1, 8, 2, 6, 4, 5, 0]
        memory.put([told(ANN, f"e-{at}", float(at)) for at in moments])
        memory.put([told(ANN, "f-1", 100.0, shelf="facts")])
        for name in ("B", "a", "ä", "C", "b", "A"):
            memory.put([told(BEN, name, 5.0)])
        expected = [f"e-{at}" for at in sorted(moments)[-self.most :]]
        assert self.names(memory, ANN) == [*expected, "f-1"]
        assert self.names(memory, BEN) == ["A", "B", "C", "a", "b", "ä"][-self.most :]
        memory.put([told(ANN, "e-old", -1.0)])
        assert self.names(memory, ANN) == [*expected, "f-1"]

    def test_3_what_is_over_is_gone(self, memory: SharedMemory) -> None:
        """
        After its seconds, and not before; it takes no place of others, and its id is free.
        """
        short = [told(ANN, f"short-{at}", 50.0 + at, keep=0.3) for at in range(self.most - 1)]
        memory.put([*short, told(ANN, "long", 49.0)])
        memory.put([told(ANN, "never", 99.0, keep=0.0), told(ANN, "neither", 99.0, keep=-5.0)])
        assert not {"never", "neither"} & set(self.names(memory, ANN))
        until(lambda: self.names(memory, ANN) == ["long"], "the end of short things")
        memory.put([told(ANN, f"old-{at}", float(at)) for at in range(self.most - 2)])
        memory.put([told(ANN, "short-0", 99.0, payload=b"new")])
        expected = [f"old-{at}" for at in range(self.most - 2)]
        assert self.names(memory, ANN) == [*expected, "long", "short-0"]

    # ---- 4: links

    def test_4_a_link_moves_what_is_told(self, memory: SharedMemory, other: SharedMemory) -> None:
        """
        All of it, bounded as ever, what is there already stays as it is; later things follow.
        """
        memory.put([told(VISITOR, "v-1", 1.0), told(VISITOR, "both", 2.0, payload=b"v")])
        memory.put([told(ANN, "both", 3.0, payload=b"a")])
        assert memory.link(VISITOR, ANN, b"\x00 why")
        other.put([told(VISITOR, "v-2", 4.0)])
        found = other.read([VISITOR, ANN])
        assert found[VISITOR] == Remembered(linked_to=ANN, note=b"\x00 why")
        assert [(t.subject, t.id) for t in found[ANN].told] == [
            (ANN, "v-1"),
            (ANN, "both"),
            (ANN, "v-2"),
        ]
        assert found[ANN].told[1].payload == b"a"
        assert (found[ANN].linked_to, found[ANN].absorbed) == (None, (VISITOR,))
        assert found[ANN].note == b""
        more = [told(VISITOR, f"m-{at}", 10.0 + at) for at in range(self.most)]
        memory.put(more)
        assert self.names(memory, ANN) == [each.id for each in more]

    def test_4_who_is_a_part_of_one_is_of_no_other(self, memory: SharedMemory) -> None:
        """
        A second link is refused and changes nothing; the same again is fine; nobody is a part of
        itself.
        """
        assert memory.link(VISITOR, ANN, b"first")
        assert not memory.link(VISITOR, BEN, b"second")
        assert not memory.link(ANN, ANN)
        assert not memory.link(ANN, VISITOR)
        found = memory.read([VISITOR, BEN, ANN])
        assert found[VISITOR] == Remembered(linked_to=ANN, note=b"first")
        assert (found[BEN], found[ANN].linked_to) == (Remembered(), None)
        assert memory.link(VISITOR, ANN, b"again")
        assert memory.read([VISITOR])[VISITOR].note == b"again"

    def test_4_who_was_absorbed_comes_along(self, memory: SharedMemory) -> None:
        """
        A link of a subject takes those that became it, and unlinking takes them back; each leads
        straight to where its things are.
        """
        assert memory.link(VISITOR, ANN, b"one")
        assert memory.link(ANN, BEN)
        assert memory.link(OTHER, VISITOR)
        memory.put([told(VISITOR, "v-1")])
        found = memory.read([VISITOR, BEN, OTHER, ANN])
        assert found[VISITOR] == Remembered(linked_to=BEN, note=b"one")
        assert (found[OTHER].linked_to, found[ANN].absorbed) == (BEN, ())
        assert found[BEN].absorbed == tuple(sorted((OTHER, VISITOR, ANN)))
        assert [each.id for each in found[BEN].told] == ["v-1"]
        assert memory.unlink(ANN)
        found = memory.read([VISITOR, BEN, OTHER, ANN])
        assert (found[VISITOR].linked_to, found[OTHER].linked_to) == (ANN, ANN)
        assert (found[ANN].linked_to, found[BEN].absorbed) == (None, ())
        assert found[ANN].absorbed == tuple(sorted((OTHER, VISITOR)))

    def test_4_unlinking_moves_nothing_back(self, memory: SharedMemory) -> None:
        """
        What was told stays where it is, later things do not follow; without a link it is False.
        """
        memory.put([told(VISITOR, "v-1")])
        assert not memory.unlink(VISITOR)
        assert memory.link(VISITOR, ANN)
        assert memory.unlink(VISITOR)
        assert not memory.unlink(VISITOR)
        memory.put([told(VISITOR, "v-2")])
        found = memory.read([VISITOR, ANN])
        assert ([t.id for t in found[ANN].told], found[ANN].absorbed) == (["v-1"], ())
        assert ([t.id for t in found[VISITOR].told], found[VISITOR].linked_to) == (["v-2"], None)
        assert memory.link(VISITOR, BEN)

    # ---- 5: forgetting

    def test_5_nothing_is_left_but_a_tombstone(
        self, memory: SharedMemory, other: SharedMemory
    ) -> None:
        """
        Of the subjects and of those they absorbed; others keep what they have.
        """
        memory.put([told(VISITOR, "v-1"), told(ANN, "a-1"), told(BEN, "b-1")])
        assert memory.link(VISITOR, ANN)
        assert memory.forget([ANN, ANN], 3600) == 2
        gone = Remembered(forgotten=True)
        assert dict(other.read([ANN, VISITOR])) == {ANN: gone, VISITOR: gone}
        assert self.names(other, BEN) == ["b-1"]
        other.put([told(VISITOR, "v-2"), told(ANN, "a-2")])
        assert dict(memory.read([ANN, VISITOR])) == {ANN: gone, VISITOR: gone}
        assert memory.forget([ANN, VISITOR], 0) == 0
        assert memory.read([ANN])[ANN] == gone

    def test_5_who_was_absorbed_is_forgotten_alone(self, memory: SharedMemory) -> None:
        """
        What was put under it is gone from where it went; what the other one did itself stays.
        """
        memory.put([told(VISITOR, "v-1"), told(OTHER, "o-1"), told(ANN, "a-1")])
        assert memory.link(OTHER, VISITOR)
        assert memory.link(VISITOR, ANN)
        memory.put([told(VISITOR, "v-2")])
        assert memory.forget([VISITOR], 3600) == 3
        found = memory.read([VISITOR, OTHER, ANN])
        assert found[VISITOR] == found[OTHER] == Remembered(forgotten=True)
        assert ([t.id for t in found[ANN].told], found[ANN].absorbed) == (["a-1"], ())

    def test_5_the_tombstone_ends(self, memory: SharedMemory) -> None:
        """
        After its seconds the subject begins anew; without seconds there is none.
        """
        memory.put([told(ANN, "a-1"), told(BEN, "b-1")])
        assert memory.link(VISITOR, ANN)
        assert memory.forget([ANN], 0) == 1
        assert dict(memory.read([ANN, VISITOR])) == {ANN: Remembered(), VISITOR: Remembered()}
        assert memory.forget([BEN], 0.3) == 1
        until(lambda: not memory.read([BEN])[BEN].forgotten, "the end of the tombstone")
        memory.put([told(BEN, "b-1"), told(ANN, "a-1")])
        assert (self.names(memory, BEN), self.names(memory, ANN)) == (["b-1"], ["a-1"])

    def test_5_the_forgotten_are_linked_to_nobody(self, memory: SharedMemory) -> None:
        """
        A link is something that would be known of them.
        """
        memory.forget([ANN], 3600)
        memory.put([told(VISITOR, "v-1")])
        assert not memory.link(VISITOR, ANN)
        assert not memory.link(ANN, BEN)
        assert self.names(memory, VISITOR) == ["v-1"]
        assert memory.read([BEN])[BEN] == Remembered()

    # ---- 6: news

    def test_6_changes_elsewhere_are_heard(self, memory: SharedMemory, other: SharedMemory) -> None:
        """
        Of every kind, and none of this memory's own; or it says that it cannot.
        """
        heard: list[str | None] = []
        if not memory.subscribe(heard.append):
            return
        until(lambda: None in heard, "the first word")
        memory.put([told(BEN, "b-1")])
        changes: list[tuple[Callable[[], object], set[str]]] = [
            (lambda: other.put([told(VISITOR, "v-1")]), {VISITOR}),
            (lambda: other.link(VISITOR, ANN), {VISITOR, ANN}),
            (lambda: other.put([told(VISITOR, "v-2")]), {ANN}),
            (lambda: other.unlink(VISITOR), {VISITOR, ANN}),
            (lambda: other.forget([ANN], 60), {ANN}),
        ]
        for change, whose in changes:
            before = len(heard)
            change()
            until(lambda w=whose, b=before: w <= set(heard[b:]), "news")  # type: ignore[misc]
        assert BEN not in heard

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
        until(lambda: None in heard, "the first word")
        other.put([told(ANN, "a-1")])
        until(lambda: ANN in heard, "news")
        other.put([told(BEN, "b-1")])
        until(lambda: BEN in heard, "news after an error")

    def test_6_closing_ends_the_thread(self, memory: SharedMemory) -> None:
        """
        Nothing runs on after `close`.
        """
        before = set(threading.enumerate())
        heard: list[str | None] = []
        if memory.subscribe(heard.append):
            until(lambda: None in heard, "the first word")
        memory.close()
        until(lambda: set(threading.enumerate()) <= before, "the end of the thread")

    # ---- 7, 8

    def test_7_a_closed_memory_says_so(self, memory: SharedMemory) -> None:
        """
        After `close`, which may be called twice, nothing is opened again.
        """
        memory.put([told(ANN, "e-1")])
        memory.close()
        memory.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            memory.read([ANN])

    def test_8_nothing_secret_is_shown(self, memory: SharedMemory) -> None:
        """
        Neither credentials nor a payload are in ``repr()``.
        """
        memory.put([told(ANN, "e-1", payload=b"a customer's words")])
        self.shows_nothing(repr(memory))
