"""
Capture hands each kept event to the memory, and takes nothing about those who were forgotten.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import cxsdk as cx
from cxsdk._ids import new_id
from cxsdk.pipeline.customers import Customers
from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.forgotten import Forgotten
from cxsdk.testing import capture
from cxsdk.testing.clock import FakeClock
from cxsdk.typing import Memory


class Noting:
    """
    Notes what it is given, or fails.
    """

    def __init__(self, *, fails: bool = False) -> None:
        self.taken: list[tuple[Any, str, bool]] = []
        self.fails = fails

    def tap(self, known: Any, payload: bytes, is_interaction: bool) -> None:
        if self.fails:
            json.loads("{")
        self.taken.append((known.key, json.loads(payload)["type"].split(".")[-3], is_interaction))

    def asked(self, *_: Any) -> str | None:
        return None

    def repeats(self, *_: Any) -> tuple[str | None, str | None]:
        return None, None

    def ended(self, *_: Any) -> None:
        pass


def _with(client: cx.Client, memory: Memory) -> None:
    inner = client.capture()
    assert inner is not None
    inner.memory = memory


def _some_events(client: cx.Client) -> None:
    with client.interaction("a", customer="u1"):
        pass
    with client.interaction("a", customer="u1") as i:
        i.reason = "no_stock"
    client.feedback(csat=1, customer="u1")
    with cx.scope(anonymous="v1", consent="granted"), client.interaction("a"):
        pass


EXPECTED = [
    (("id", "u1"), "interaction", True),
    (("id", "u1"), "interaction", True),
    (("id", "u1"), "feedback", False),
    (("anonymous", "v1"), "interaction", True),
]


def test_the_memory_hears_of_every_kept_event_on_every_way() -> None:
    """The plain short way, the careful one, facts, visitors; with and without a listener."""
    for listeners in ([], [lambda _: None]):
        client, memory = cx.Client("shop", collector="null:", listeners=listeners), Noting()
        _with(client, memory)
        _some_events(client)
        _some_events(client)
        assert EXPECTED * 2 == memory.taken
        client.close()


def test_the_memory_hears_of_diverted_events() -> None:
    """In tests of a host the desk sees what the web did, as in production."""
    client, memory = cx.Client("shop"), Noting()
    _with(client, memory)
    with capture():
        _some_events(client)
    assert EXPECTED == memory.taken


def test_the_memory_does_not_hear_of_what_was_not_kept() -> None:
    """No collector, a refusal, a processor that drops: nothing happened as far as we say."""
    for arguments in (
        {},
        {"collector": "null:", "processors": [lambda _: None]},
        {"collector": "null:", "privacy": cx.PrivacyOptions(basis="consent")},
    ):
        client, memory = cx.Client("shop", **arguments), Noting()
        _with(client, memory)
        with client.interaction("a", customer="u1"):
            pass
        assert [] == memory.taken
        client.close()


def test_a_beginning_says_nothing_yet() -> None:
    """Started events would push out what says something."""
    client = cx.Client("shop", collector="null:", capture=cx.CaptureOptions(started=True))
    memory = Noting()
    _with(client, memory)
    with client.interaction("a", customer="u1"):
        pass
    assert [(("id", "u1"), "interaction", True)] == memory.taken
    client.close()


def test_a_memory_that_fails_costs_no_event() -> None:
    """Its error is counted, on the short way and on the careful one."""
    client = cx.Client("shop", collector="null:", strict=True)
    _with(client, Noting(fails=True))
    _some_events(client)

    stats = client.stats()
    assert (4, 4) == (stats["accepted"], stats["noted"]["memory_error"])
    assert {} == stats["refused"]
    client.close()


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (("u1", "v1", None, None), ("id", "u1")),
        ((None, "v1", None, None), ("anonymous", "v1")),
        ((None, None, "acme", None), None),
        ((None, None, None, None), None),
    ],
)
def test_a_customer_has_one_key(who: Any, expected: tuple[str, str] | None) -> None:
    """The id as events carry it, else the visitor's; an account is nobody."""
    assert expected == Customers(None).resolve(who).key


def test_nothing_is_taken_about_forgotten_customers_but_their_wish() -> None:
    """Contacts, facts and consents are dropped and counted; the wish to be erased is delivered."""
    client = cx.Client("shop")
    inner = client.capture()
    assert inner is not None
    inner.forget([inner.known(("u1", None, None, None)).tag])
    with capture(strict=False) as events:
        with client.interaction("a", customer="u1") as i:
            pass
        fact = client.feedback(csat=1, customer="u1")
        said = client.consent("granted", customer="u1")
        known, wish_id = inner.known(("u1", None, None, None)), new_id()
        data = {"identity_id": wish_id, "op": "erasure_requested"}
        wish = inner.fact(
            Draft("identity", "erasure_requested", known, inner.time_ns(), wish_id, data)
        )
        with client.interaction("a", customer="u2"):
            pass

    assert i.result is not None
    assert ["forgotten"] * 3 == [each.reason for each in (i.result, fact, said)]  # type: ignore[union-attr]
    assert wish
    assert ["identity", "interaction"] == [event.family for event in events]
    assert 3 == client.stats()["refused"]["forgotten"]


def test_an_erasure_ends_after_its_time_and_never_names_nobody() -> None:
    """Tags are kept for as long as the tombstone; events about nobody always pass."""
    clock = FakeClock()
    client = cx.Client("shop", clock=clock)
    inner = client.capture()
    assert inner is not None
    forgotten = Forgotten(clock.monotonic_ns)
    assert not forgotten
    forgotten.add([bytes(8)])
    assert not forgotten
    tag = inner.known(("u1", None, None, None)).tag
    inner.forget([tag], 60)
    with capture(strict=False) as events:
        for _ in range(2):
            client.feedback(csat=1, customer="u1")
            clock.advance(60)
        inner.forget([tag])
        inner.forget([tag], 0)
        client.feedback(csat=1, customer="u1")
    assert 2 == len(events)
