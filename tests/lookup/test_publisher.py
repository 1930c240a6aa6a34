"""
The publisher brings things to the shared memory in their order, and never makes anybody wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.overlay import subject_of
from cxsdk.lookup.publisher import Publisher
from cxsdk.remembering import Told
from tests.lookup import wires
from tests.lookup.fake_memory import FakeMemory

KEY = ("id", "u1")


def _threads() -> set[threading.Thread]:
    # Themselves and not by name: those of other tests may still be ending.
    return {each for each in threading.enumerate() if each.name == "cxsdk-memory-put"}


def test_the_thread_begins_with_the_first_event_and_ends_with_close() -> None:
    """Whoever has a memory and never emits pays for no thread."""
    before = _threads()
    publisher = Publisher(FakeMemory(), subject_of, 60, lambda _: None)
    assert _threads() - before == set()

    publisher.put(KEY, wires.contact("i1", 1), True)
    publisher.settle(5)
    (begun,) = _threads() - before
    publisher.close()
    publisher.close()
    assert not begun.is_alive()
    publisher.put(KEY, wires.contact("i2", 1), True)
    assert 0 == publisher.stats()["waiting"]


def test_what_waits_while_the_memory_is_away_is_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The oldest go first, are counted, and it is said once."""
    memory, notes = FakeMemory(), []
    memory.is_down = True
    publisher = Publisher(memory, subject_of, 60, notes.append, most=3)
    with caplog.at_level(logging.WARNING, "cxsdk"):
        for number in range(10):
            publisher.put(KEY, wires.contact(f"i{number}", number), True)
        with pytest.raises(StoreUnavailableError):
            publisher.settle(5)
    assert 7 == publisher.stats()["lost"]
    assert ["memory_lost"] * 7 == notes
    assert 1 == sum("will not hear" in record.message for record in caplog.records)

    memory.is_down = False
    publisher.settle(5)
    kept = list(memory.told[subject_of(KEY)])
    # The first ones may have been on their way when the others came.
    assert (3, "i9") == (len(kept), kept[-1])
    assert 3 == publisher.stats()["published"]
    publisher.close()


def test_large_events_are_bounded_by_their_bytes() -> None:
    """A few huge events do not fill the process while the memory is away."""
    memory = FakeMemory()
    memory.is_down = True
    publisher = Publisher(memory, subject_of, 60, lambda _: None, max_bytes=3000)
    for number in range(10):
        publisher.put(KEY, wires.contact(f"i{number}", number, note="x" * 900), True)
    assert 2 == publisher.stats()["waiting"]
    publisher.close()


def test_a_link_is_made_between_what_came_before_and_after() -> None:
    """Order counts: what was said before a link belongs to the absorbed one."""
    memory, order = FakeMemory(), []
    put = memory.put

    def spy(told: Sequence[Told]) -> None:
        order.extend(one.id for one in told)
        put(told)

    memory.put = spy  # type: ignore[method-assign]
    memory.is_down = True
    publisher = Publisher(memory, subject_of, 60, lambda _: None)
    publisher.put(KEY, wires.contact("i1", 1), True)
    publisher.put(KEY, lambda: order.append("link"))
    publisher.put(KEY, wires.contact("i2", 2), True)
    memory.is_down = False
    publisher.settle(5)

    assert [name for number, name in enumerate(order) if name not in order[:number]] == [
        "i1",
        "link",
        "i2",
    ]
    publisher.close()


def test_a_memory_that_raises_something_else_loses_its_batch_only() -> None:
    """A bug in there is counted, and the next events go on."""
    memory, notes = FakeMemory(), []
    publisher = Publisher(memory, subject_of, 60, notes.append)

    def boom() -> None:
        raise RuntimeError("boom")

    publisher.put(KEY, boom)
    publisher.put(KEY, b"no event", True)
    publisher.put(KEY, wires.contact("i1", 1), True)
    publisher.settle(5)

    assert ["memory_error"] == notes
    assert ["i1"] == list(memory.told[subject_of(KEY)])
    publisher.close()


def test_a_close_while_the_memory_is_away_is_over_soon() -> None:
    """Nobody waits at the end of the process for what cannot be reached."""
    memory = FakeMemory()
    memory.is_down = True
    before = _threads()
    publisher = Publisher(memory, subject_of, 60, lambda _: None)
    publisher.put(KEY, wires.contact("i1", 1), True)
    (begun,) = _threads() - before

    publisher.close(30)

    assert not begun.is_alive()


def test_what_is_on_its_way_is_not_given_up() -> None:
    """A memory that is slow gets what it was given; the oldest of the others go."""
    memory, go, began = FakeMemory(), threading.Event(), threading.Event()
    put = memory.put

    def slow(told: Sequence[Told]) -> None:
        began.set()
        assert go.wait(30)
        put(told)

    memory.put = slow  # type: ignore[method-assign]
    publisher = Publisher(memory, subject_of, 60, lambda _: None, most=3)
    publisher.put(KEY, wires.contact("i0", 0), True)
    assert began.wait(30)
    for number in range(1, 6):
        publisher.put(KEY, wires.contact(f"i{number}", number), True)
    go.set()
    publisher.settle(30)

    assert ["i0", "i4", "i5"] == list(memory.told[subject_of(KEY)])
    assert (3, 3) == (publisher.lost, publisher.published)
    publisher.close()
