"""
A journal keeps the last of what was seen of a customer, and reads it when somebody looks.
"""

from __future__ import annotations

from typing import Any

import pytest

from cxsdk.lookup.journal import Journal, read
from cxsdk.lookup.overlay import Overlay
from cxsdk.testing.clock import FakeClock
from tests.lookup import wires

KEY = ("id", "u1")


def _ids(journal: Journal | None, section: str) -> list[str]:
    assert journal is not None
    return [noted[0] for noted in journal.changes(section)]


def test_contacts_do_not_push_out_other_facts() -> None:
    """A hundred page views leave the promise that was made before them."""
    overlay = Overlay(FakeClock(), most=5)
    overlay.tap(KEY, wires.promise("p", "C-1", "made", 0), False)
    for number in range(100):
        overlay.tap(KEY, wires.contact(f"i{number}", number), True)

    journal = overlay.journal(KEY)
    assert ["p"] == _ids(journal, "commitments")
    assert ["i95", "i96", "i97", "i98", "i99"] == _ids(journal, "interactions")


def test_changes_come_in_the_order_in_which_things_happened() -> None:
    """What arrives late stands where it happened."""
    overlay = Overlay(FakeClock())
    for name, seconds in (("b", 20), ("c", 30), ("a", 10)):
        overlay.tap(KEY, wires.contact(name, seconds), True)

    assert ["a", "b", "c"] == _ids(overlay.journal(KEY), "interactions")


def test_what_was_recorded_afterwards_is_known_from_then_on() -> None:
    """The moment of a change is when it was taken in: no provider can have it before."""
    payload = wires.event(
        "late", "interaction.completed", 10, {"interaction_id": "late"}, recorded=500
    )

    seen = read(payload)

    assert wires.moment(10).timestamp() == seen.when
    assert wires.moment(500).timestamp() == seen.known_at


def test_an_event_is_read_once_and_only_when_somebody_looks() -> None:
    """A reducer runs at the first look, not at the tap and not at the second look."""
    runs: list[str] = []

    def reduce(event: Any) -> Any:
        runs.append(event["id"])
        return [("orders", {"id": event["id"]})]

    overlay = Overlay(FakeClock(), reducers={"interaction": reduce})
    overlay.tap(KEY, wires.contact("i1", 1), True)
    assert [] == runs

    journal = overlay.journal(KEY)
    assert ["i1"] == _ids(journal, "orders")
    overlay.tap(KEY, wires.contact("i2", 2), True)
    assert ["i1", "i2"] == _ids(journal, "orders")
    assert ["i1", "i2"] == runs


@pytest.mark.parametrize(
    "payload",
    [b"no json", b"{}", b'{"type":"x","time":"2026-01-01T00:00:00","id":"a","data":{}}'],
    ids=["no JSON", "no event", "no zone"],
)
def test_what_cannot_be_read_is_counted_once_and_left_out(payload: bytes) -> None:
    """One unreadable event hides no other."""
    notes: list[str] = []
    overlay = Overlay(FakeClock(), note=notes.append)
    overlay.tap(KEY, payload, True)
    overlay.tap(KEY, wires.contact("i1", 1), True)

    journal = overlay.journal(KEY)
    assert ["i1"] == _ids(journal, "interactions")
    overlay.tap(KEY, wires.contact("i2", 2), True)
    assert ["i1", "i2"] == _ids(journal, "interactions")
    assert ["memory_unreadable"] == notes


def test_a_reducer_that_fails_costs_its_event_only() -> None:
    """What a team's reducer raises is counted, the others are read."""
    notes: list[str] = []

    def broken(_: Any) -> Any:
        raise RuntimeError("boom")

    overlay = Overlay(FakeClock(), reducers={"commitment": broken}, note=notes.append)
    overlay.tap(KEY, wires.promise("p", "C-1", "made", 0), False)
    overlay.tap(KEY, wires.contact("i1", 1), True)

    assert ["i1"] == _ids(overlay.journal(KEY), "interactions")
    assert ["memory_unreadable"] == notes


def test_the_version_changes_with_what_is_known_and_not_by_looking() -> None:
    """An addition and an end give another version, also one that no journal had before."""
    clock = FakeClock()
    overlay = Overlay(clock, keep_s=60)
    overlay.tap(KEY, wires.contact("i1", 1), True)
    journal = overlay.journal(KEY)
    assert journal is not None
    first = journal.version
    journal.changes("interactions")
    assert first == journal.version

    clock.advance(30)
    overlay.tap(KEY, wires.contact("i2", 31), True)
    second = journal.version
    clock.advance(40)
    assert journal is overlay.journal(KEY)
    third = journal.version
    assert ["i2"] == _ids(journal, "interactions")
    clock.advance(30)
    assert overlay.journal(KEY) is None
    overlay.tap(KEY, wires.contact("i3", 100), True)
    again = overlay.journal(KEY)
    assert again is not None
    assert 4 == len({first, second, third, again.version})


def test_the_last_interaction_is_the_last_that_can_be_read() -> None:
    """The id of the contact before, without a look at all the others."""
    overlay = Overlay(FakeClock())
    overlay.tap(KEY, wires.promise("p", "C-1", "made", 0), False)
    journal = overlay.journal(KEY)
    assert journal is not None
    assert journal.last_interaction() is None

    overlay.tap(KEY, wires.contact("i1", 1), True)
    overlay.tap(KEY, b"no json", True)
    assert "i1" == journal.last_interaction()


def test_the_last_interaction_is_found_without_what_it_means() -> None:
    """It is asked for in an emit, which pays for no reducer; who looks later, does."""
    asked: list[str] = []

    def reducer(event: Any) -> Any:
        asked.append(event["id"])
        return ()

    overlay = Overlay(FakeClock(), reducers={"interaction": reducer})
    overlay.tap(KEY, wires.contact("i1", 1), True)
    overlay.tap(KEY, b'{"data": 1}', True)
    journal = overlay.journal(KEY)
    assert journal is not None

    assert "i1" == journal.last_interaction()
    assert [] == asked
    journal.changes("interactions")
    assert 1 == len(asked)
    assert "i1" == journal.last_interaction()


def test_the_events_can_be_had_as_they_were() -> None:
    """An export shows each event once and whole, also after it was read."""
    overlay = Overlay(FakeClock())
    payloads = [wires.contact("i2", 2), wires.promise("p", "C-1", "made", 1)]
    overlay.tap(KEY, payloads[0], True)
    overlay.tap(KEY, payloads[1], False)
    overlay.tap(KEY, payloads[0], True)
    journal = overlay.journal(KEY)
    assert journal is not None
    journal.changes("interactions")

    assert (payloads[1], payloads[0]) == journal.payloads()
