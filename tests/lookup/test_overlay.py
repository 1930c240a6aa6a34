"""
The overlay shows what just happened, here and in other processes, within all of its bounds.
"""

from __future__ import annotations

import os
import threading

import pytest

from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.asks import Asks, told
from cxsdk.lookup.overlay import Key, Overlay, subject_of
from cxsdk.testing.clock import FakeClock
from tests.lookup import wires
from tests.lookup.fake_memory import FakeMemory

KEY = ("id", "u1")
VISITOR = ("anonymous", "a1")


def _interactions(overlay: Overlay, key: Key = KEY) -> list[str]:
    journal = overlay.journal(key)
    return [] if journal is None else [noted[0] for noted in journal.changes("interactions")]


# ---- bounds ------------------------------------------------------------------------------------


def test_an_entry_ends_after_its_time() -> None:
    """What happened half an hour ago is for the providers to know."""
    clock = FakeClock()
    overlay = Overlay(clock, keep_s=60)
    overlay.tap(KEY, wires.contact("i1", 0), True)
    clock.advance(59)
    overlay.tap(KEY, wires.contact("i2", 59), True)
    assert ["i1", "i2"] == _interactions(overlay)

    clock.advance(1)
    assert ["i2"] == _interactions(overlay)
    clock.advance(59)
    assert overlay.journal(KEY) is None
    assert 0 == overlay.stats()["bytes"]


def test_customers_of_whom_nothing_came_for_longest_go_first() -> None:
    """Over the bound of bytes or of customers somebody else's journal goes, and is counted."""
    notes: list[str] = []
    overlay = Overlay(FakeClock(), max_customers=2, note=notes.append)
    for name in ("u1", "u2", "u3"):
        overlay.tap(("id", name), wires.contact("i", 0), True)

    assert ["memory_evicted"] == notes
    assert 2 == overlay.stats()["customers"]
    assert ["i"] == _interactions(overlay, ("id", "u3"))

    size = overlay.stats()["bytes"] // 2
    overlay = Overlay(FakeClock(), max_bytes=3 * size)
    for number in range(10):
        overlay.tap(("id", f"u{number}"), wires.contact("i", 0), True)
    stats = overlay.stats()
    assert (3, 3 * size, 7) == (stats["customers"], stats["bytes"], stats["evicted"])


def test_one_customer_alone_stays_within_the_bytes() -> None:
    """Where there is nobody else to go, the oldest entries of this one do."""
    overlay = Overlay(FakeClock(), max_bytes=2000)
    for number in range(20):
        overlay.tap(KEY, wires.contact(f"i{number}", number), True)

    kept = _interactions(overlay)
    assert 0 < len(kept) < 10
    assert "i19" == kept[-1]
    assert 2000 >= overlay.stats()["bytes"]


def test_questions_of_ours_are_no_part_of_the_story() -> None:
    """Events of prompts push out nothing, unless a reducer of the team's wants them."""
    payload = wires.event("p", "prompt.shown", 0, {"customer": {"id": "u1"}})
    overlay = Overlay(FakeClock())
    overlay.tap(KEY, payload, False)
    assert overlay.journal(KEY) is None

    overlay = Overlay(FakeClock(), reducers={"prompt": lambda event: [("asked", event["data"])]})
    overlay.tap(KEY, payload, False)
    journal = overlay.journal(KEY)
    assert journal is not None
    assert 1 == len(journal.changes("asked"))


def test_many_threads_keep_the_books_right() -> None:
    """Bytes and entries are right after a race of eight threads."""
    overlay = Overlay(FakeClock(), most=1000)

    def work(number: int) -> None:
        for count in range(200):
            overlay.tap(("id", f"u{count % 3}"), wires.contact(f"{number}-{count}", count), True)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    stats = overlay.stats()
    sizes = [overlay.journal(("id", f"u{n}")).size for n in range(3)]  # type: ignore[union-attr]
    assert (1600, sum(sizes)) == (stats["events"], stats["bytes"])


def test_a_forked_child_begins_with_an_empty_one_and_a_thread_of_its_own() -> None:
    """A lock or a queue of the parent's is of no use to a child; its own events are published."""
    memory = FakeMemory()
    overlay = Overlay(FakeClock(), shared=memory)
    overlay.tap(KEY, wires.contact("i1", 0), True)
    overlay.settle(5)
    with overlay._lock:
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            try:
                before = _interactions(overlay)
                overlay.tap(KEY, wires.contact("i2", 1), True)
                overlay.settle(5)
                is_put = "i2" in memory.told[subject_of(KEY)]
                os._exit(0 if before == [] and _interactions(overlay) == ["i2"] and is_put else 1)
            finally:
                os._exit(2)
    _, status = os.waitpid(child, 0)
    assert 0 == os.waitstatus_to_exitcode(status)
    assert ["i1"] == _interactions(overlay)
    overlay.close()


# ---- who is who --------------------------------------------------------------------------------


def test_a_link_takes_the_journal_along_at_once() -> None:
    """The agent sees what the visitor did before the login, and what still comes under that id."""
    asks = Asks()
    overlay = Overlay(FakeClock(), asks=asks)
    asks.add(VISITOR, ("order_number",), "i1", 0)
    overlay.tap(VISITOR, wires.contact("i1", 1), True)
    overlay.tap(KEY, wires.contact("i2", 2), True)

    assert 1 == overlay.rekey(VISITOR, KEY)

    assert ["i1", "i2"] == _interactions(overlay)
    overlay.tap(VISITOR, wires.contact("i3", 3), True)
    assert ["i1", "i2", "i3"] == _interactions(overlay) == _interactions(overlay, VISITOR)
    assert KEY == overlay.resolve(VISITOR)
    assert "i1" == asks.asked(KEY, "order_number", "now", 0)
    sizes = overlay.journal(KEY)
    assert sizes is not None
    assert sizes.size == overlay.stats()["bytes"]


def test_links_in_a_row_lead_to_the_last_and_never_in_a_circle() -> None:
    """One into another, that into a third: all of it the third's."""
    a, b, c = ("id", "a"), ("id", "b"), ("id", "c")
    overlay = Overlay(FakeClock())
    overlay.tap(a, wires.contact("i1", 1), True)
    overlay.rekey(a, b)
    overlay.rekey(b, c)

    assert 0 == overlay.rekey(c, a)
    assert c == overlay.resolve(a) == overlay.resolve(b) == overlay.resolve(c)
    assert ["i1"] == _interactions(overlay, a)


def test_an_ended_link_moves_nothing_back() -> None:
    """What comes later is the visitor's own again."""
    overlay = Overlay(FakeClock())
    overlay.tap(VISITOR, wires.contact("i1", 1), True)
    overlay.rekey(VISITOR, KEY)

    overlay.unlink(VISITOR)

    overlay.tap(VISITOR, wires.contact("i2", 2), True)
    assert (["i1"], ["i2"]) == (_interactions(overlay), _interactions(overlay, VISITOR))


def test_an_erasure_takes_absorbed_ids_and_what_waits_along() -> None:
    """Nothing of a forgotten customer stays here, and nothing is published any more."""
    memory = FakeMemory()
    memory.is_down = True
    asks = Asks()
    overlay = Overlay(FakeClock(), shared=memory, asks=asks)
    overlay.tap(VISITOR, wires.contact("i1", 1), True)
    overlay.rekey(VISITOR, KEY)
    overlay.tap(KEY, wires.promise("p", "C-1", "made", 2), False)
    overlay.tap(("id", "u2"), wires.contact("i9", 1), True)
    asks.add(KEY, ("order_number",), "i1", 0)

    assert 3 == overlay.forget(iter([KEY]))

    memory.is_down = False
    overlay.settle(5)
    assert overlay.journal(KEY) is None
    assert overlay.journal(VISITOR) is None
    assert asks.asked(KEY, "order_number", "now", 0) is None
    assert [subject_of(("id", "u2"))] == [name for name, kept in memory.told.items() if kept]
    overlay.close()


# ---- other processes ---------------------------------------------------------------------------


def test_another_process_sees_it_after_a_look() -> None:
    """What one overlay took is in the journal of another one that shares its memory."""
    memory = FakeMemory()
    web, desk = (Overlay(FakeClock(), shared=memory) for _ in range(2))
    web.tap(KEY, wires.contact("i1", 1), True)
    web.tap(KEY, wires.promise("p", "C-1", "made", 2), False)
    web.settle(5)

    assert desk.is_due(KEY)
    desk.load([KEY])

    assert not desk.is_due(KEY)
    journal = desk.journal(KEY)
    assert journal is not None
    assert ["i1"] == _interactions(desk)
    assert {"interactions", "commitments"} == journal.sections
    assert {"interactions": "i1", "facts": "p"} == {
        one.shelf: one.id for one in memory.told[subject_of(KEY)].values()
    }
    web.load([KEY])
    assert ["i1"] == _interactions(web)
    web.close()
    desk.close()


def test_it_is_due_again_when_told_or_after_a_second() -> None:
    """News from elsewhere, a gap in the news, and the safety net of one second."""
    clock, memory = FakeClock(), FakeMemory()
    overlay = Overlay(clock, shared=memory)
    overlay.load([KEY])
    assert not overlay.is_due(KEY)

    memory.tell(subject_of(("id", "somebody")))
    assert not overlay.is_due(KEY)
    memory.tell(subject_of(KEY))
    assert overlay.is_due(KEY)
    overlay.load([KEY])
    assert not overlay.is_due(KEY)
    memory.tell(None)
    assert overlay.is_due(KEY)
    overlay.load([KEY])
    assert overlay.knows(KEY)
    clock.advance(1)
    assert overlay.is_due(KEY)
    assert 1 == memory.calls.count("subscribe")
    clock.advance(100)
    assert overlay.knows(KEY)


def test_where_the_memory_cannot_tell_a_look_is_good_for_a_minute() -> None:
    """Whether something is known to be absent depends on the age of the look."""
    clock = FakeClock()
    overlay = Overlay(clock, shared=FakeMemory(tells=False))
    assert not overlay.knows(KEY)
    overlay.load([KEY])
    clock.advance(59)
    assert overlay.knows(KEY)
    clock.advance(1)
    assert not overlay.knows(KEY)
    assert Overlay(clock).knows(KEY)
    assert not Overlay(clock).is_due(KEY)


def test_news_during_a_look_makes_it_due_again() -> None:
    """What is told of while the answer is under way may not be in it."""
    memory = FakeMemory()
    overlay = Overlay(FakeClock(), shared=memory)
    memory.during_read = lambda: memory.tell(subject_of(KEY))
    for _ in range(2):
        overlay.load([KEY])
        assert overlay.is_due(KEY)

    memory.during_read = lambda: None
    overlay.load([KEY])
    assert not overlay.is_due(KEY)


def test_what_the_memory_no_longer_has_goes_and_ones_own_stays() -> None:
    """Each look takes the place of the one before."""
    memory = FakeMemory()
    desk = Overlay(FakeClock(), shared=memory)
    web = Overlay(FakeClock(), shared=memory)
    web.tap(KEY, wires.contact("i1", 1), True)
    web.settle(5)
    desk.tap(KEY, wires.contact("i2", 2), True)
    desk.settle(5)
    desk.load([KEY])
    assert ["i1", "i2"] == _interactions(desk)

    memory.told.clear()
    desk.load([KEY])
    assert ["i2"] == _interactions(desk)
    desk.close()
    web.close()


def test_a_link_made_elsewhere_is_followed() -> None:
    """Who asks for the visitor gets what the customer has whom they became."""
    memory = FakeMemory()
    web, desk = (Overlay(FakeClock(), shared=memory) for _ in range(2))
    web.tap(VISITOR, wires.contact("i1", 1), True)
    web.rekey(VISITOR, KEY)
    web.tap(KEY, wires.contact("i2", 2), True)
    web.settle(5)

    assert ["put", "link", "put"] == memory.calls[:3]
    desk.load([VISITOR, KEY])

    assert ["i1", "i2"] == _interactions(desk, VISITOR) == _interactions(desk, KEY)
    web.close()
    desk.close()


def test_a_link_makes_the_customer_due_again() -> None:
    """Also one that is made while the visitor is read: nothing is kept under an id of nobody."""
    memory = FakeMemory()
    overlay = Overlay(FakeClock(), shared=memory)
    overlay.load([KEY, VISITOR])
    overlay.rekey(VISITOR, KEY)
    assert overlay.is_due(KEY)
    overlay.load([KEY])
    assert not overlay.is_due(VISITOR)
    overlay.unlink(VISITOR)
    assert overlay.is_due(KEY)

    overlay.settle(5)
    other = Overlay(FakeClock(), shared=memory)
    other.tap(VISITOR, wires.contact("i1", 1), True)
    other.settle(5)
    memory.during_read = lambda: overlay.rekey(VISITOR, KEY) and None
    overlay.load([VISITOR])
    memory.during_read = lambda: None
    assert 0 == overlay.stats()["customers"]
    overlay.load([VISITOR])
    assert ["i1"] == _interactions(overlay, KEY)
    overlay.close()
    other.close()


def test_a_link_that_is_refused_is_counted() -> None:
    """The visitor became somebody else in another process."""
    memory, notes = FakeMemory(), []
    memory.links[subject_of(VISITOR)] = "other"
    overlay = Overlay(FakeClock(), shared=memory, note=notes.append)

    overlay.rekey(VISITOR, KEY)
    overlay.settle(5)

    assert ["memory_link_refused"] == notes
    overlay.unlink(VISITOR)
    overlay.settle(5)
    assert {} == memory.links
    overlay.close()


def test_a_tombstone_empties_the_journal() -> None:
    """Who was erased by another process is unknown here after the next look."""
    memory = FakeMemory()
    overlay = Overlay(FakeClock(), shared=memory)
    overlay.tap(KEY, wires.contact("i1", 1), True)
    memory.forget([subject_of(KEY)], 60)

    overlay.load([KEY])

    assert overlay.is_forgotten(KEY)
    assert overlay.journal(KEY) is None
    memory.tombs.clear()
    overlay.load([KEY])
    assert not overlay.is_forgotten(KEY)
    overlay.close()


def test_questions_asked_elsewhere_are_read_along() -> None:
    """The shelf of questions fills the index."""
    memory, asks = FakeMemory(), Asks()
    memory.put([told(subject_of(KEY), ("order_number",), "i1", 1000, counts=True)])
    overlay = Overlay(FakeClock(), shared=memory, asks=asks)

    overlay.load([KEY])

    assert "i1" == asks.asked(KEY, "order_number", "now", 1000)
    assert overlay.journal(KEY) is None


def test_a_memory_that_is_away_fails_the_look_and_no_tap() -> None:
    """The engine hears of it; events stay in the journal and are published when it is back."""
    memory = FakeMemory()
    overlay = Overlay(FakeClock(), shared=memory)
    memory.is_down = True
    overlay.tap(KEY, wires.contact("i1", 1), True)
    with pytest.raises(StoreUnavailableError):
        overlay.load([KEY])
    with pytest.raises(StoreUnavailableError):
        overlay.settle(5)
    assert ["i1"] == _interactions(overlay)
    assert overlay.is_due(KEY)
    assert overlay.stats()["publisher"]["is_down"]

    memory.is_down = False
    overlay.settle(5)
    assert ["i1"] == list(memory.told[subject_of(KEY)])
    assert 1 == overlay.stats()["publisher"]["published"]
    overlay.close()


def test_whatever_a_memory_raises_is_an_outage_to_a_look() -> None:
    """A bug of a team's own memory comes as the error that the engine knows."""
    memory = FakeMemory()

    def boom() -> None:
        raise RuntimeError("boom u1")

    memory.during_read = boom
    overlay = Overlay(FakeClock(), shared=memory)
    with pytest.raises(StoreUnavailableError, match="RuntimeError") as caught:
        overlay.load([KEY])
    assert "u1" not in str(caught.value)


def test_what_is_wanted_is_read_without_waiting() -> None:
    """A question that nobody could answer has the memory read behind the scenes."""
    memory, asks = FakeMemory(), Asks()
    memory.put([told(subject_of(KEY), ("order_number",), "i1", 1000, counts=True)])
    overlay = Overlay(FakeClock(), shared=memory, asks=asks)

    overlay.want(KEY)
    overlay.want(KEY)
    overlay.settle(5)

    assert "i1" == asks.asked(KEY, "order_number", "now", 1000)
    assert 1 == memory.calls.count("read")
    overlay.close()
