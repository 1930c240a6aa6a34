"""
Erasure: through every place, under every id, and so that nothing brings the customer back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import Reason, Subject
from cxsdk.testing.clock import FakeClock
from tests.lookup.conftest import Told, ToldAsync

SECRET = b"k" * 32
RAW = "customer-4711-raw"
WORDS = "my-very-own-words"


class Forgetful(Told):
    """
    Notes whom it was told to forget.
    """

    gone: list[Subject]

    def forget(self, subject: Subject) -> str:
        self.__dict__.setdefault("gone", []).append(subject)
        return "done"


def _story(client: cx.Client, customer: str = RAW) -> None:
    with cx.scope(customer=customer):
        with client.interaction("shop.buy") as i:
            i.attributes["note"] = WORDS
        client.feedback(csat=1, text=WORDS, about=cx.About(touchpoint="shop.buy"))
        client.context(timeout=30)


def test_every_place_is_erased_and_says_so(make: Any) -> None:
    """
    Cache, overlay, undelivered events and providers are done; one that cannot is unsupported.
    """
    able, unable = Forgetful("able", {"plan": "x"}), Told("unable", {"orders": [1]})
    client = make(able, unable)
    _story(client)
    receipt = client.forget(RAW)
    assert receipt.complete
    assert dict(receipt.places) == {
        "cache": "done",
        "overlay": "done",
        "undelivered": "done",
        "able": "done",
        "unable": "unsupported",
    }
    assert receipt.erased["cache"] >= 2
    assert receipt.erased["overlay"] == 2
    assert able.gone == [Subject(RAW)]
    assert receipt.id


def test_a_forgotten_customer_is_said_to_be_and_stays_so(make: Any) -> None:
    """
    Lookups answer FORGOTTEN and ask nobody; later events are dropped as such, also feedback.
    """
    provider = Told("crm", {"plan": "x"})
    client = make(provider)
    _story(client)
    asked = provider.calls
    client.forget(RAW)
    assert set(client.context(RAW).reasons.values()) == {Reason.FORGOTTEN}
    assert provider.calls == asked
    for dropped in (
        client.record("shop.buy", customer=RAW),
        client.feedback(csat=5, customer=RAW, about=cx.About(touchpoint="shop.buy")),
        client.promise("callback", customer=RAW, due_date=date(2027, 1, 1), tz="UTC"),
    ):
        assert (bool(dropped), dropped.reason) == (False, "forgotten")
    assert client.record("shop.buy", customer="somebody else")


def test_erasing_without_suppression_lets_the_customer_come_again(make: Any) -> None:
    """
    suppress=False: what was held is gone, and a new story begins.
    """
    provider = Told("crm", {"plan": "x"})
    client = make(provider)
    _story(client)
    receipt = client.forget(RAW, suppress=False)
    assert receipt.suppressed_until is None
    assert client.context(RAW, sections=("interactions",)).interactions.any() is None
    assert client.record("shop.buy", customer=RAW)
    assert len(client.context(RAW, sections=("interactions",)).interactions) == 1


@pytest.mark.parametrize("colour", [Told, ToldAsync])
def test_an_answer_on_its_way_does_not_bring_them_back(make: Any, colour: Any) -> None:
    """
    Forgotten while a provider thinks: its answer is kept nowhere, and the waiter is told.
    """
    provider = colour("crm", {"profile": {"name": "Ada"}})
    provider.open.clear()
    client = make(provider)
    seen: list[Any] = []

    def look() -> None:
        seen.append(client.context(RAW, sections=("profile",), timeout=30).profile)

    waiter = threading.Thread(target=look)
    waiter.start()
    provider.wait_entered()
    client.forget(RAW)
    provider.open.set()
    waiter.join(30)
    assert (seen[0].reason, seen[0].value) == (Reason.FORGOTTEN, None)
    engine = client.knower.engine
    assert [person for person in engine.people.every() if person.entries] == []


def test_all_ids_of_a_customer_are_forgotten_together(make: Any) -> None:
    """
    Linked ids and the visits that became them go with whichever id is named.
    """
    provider = Forgetful("crm", {"plan": "x"}, spaces=("id", "anonymous"))
    client = make(provider)
    client.identify("new", anonymous_id="visit-1")
    client.link(keep="new", absorb="old")
    client.forget("old")
    assert {(one.space, one.id) for one in provider.gone} == {
        ("id", "new"),
        ("id", "old"),
        ("anonymous", "visit-1"),
    }
    for said in ({"customer": "new"}, {"customer": "old"}, {"anonymous": "visit-1"}):
        assert set(client.context(**said).reasons.values()) == {Reason.FORGOTTEN}


def test_a_provider_that_hangs_or_fails_is_told_and_the_rest_is_done(make: Any) -> None:
    """
    The receipt says pending and failed, and is not complete; nothing of it raises.
    """

    class Hangs(Told):
        def forget(self, _: Subject) -> str:
            self.open.wait(30)
            return "done"

    class Fails(Told):
        def forget(self, _: Subject) -> str:
            raise RuntimeError("no")

    hangs, fails = Hangs("hangs", {"a": 1}), Fails("fails", {"b": 1})
    hangs.open.clear()
    client = make(hangs, fails)
    receipt = client.forget(RAW, timeout=0.2)
    assert (receipt.places["hangs"], receipt.places["fails"]) == ("pending", "failed")
    assert not receipt.complete
    assert receipt.places["undelivered"] == "done"


def test_an_async_forget_is_awaited(make: Any) -> None:
    """
    aforget, and a provider whose forget is a coroutine.
    """

    class Async(ToldAsync):
        async def forget(self, _: Subject) -> str:
            await asyncio.sleep(0)
            return "done"

    client = make(Async("crm", {"plan": "x"}))
    assert asyncio.run(client.aforget(RAW)).places["crm"] == "done"


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Any]:
    """
    Clients with a spool on disk and a key, as they come and go.
    """
    made: list[cx.Client] = []

    def client(collector: str = "http://127.0.0.1:9", **options: Any) -> cx.Client:
        one = cx.Client(
            "shop",
            collector=collector,
            spool=cx.SpoolOptions(mode="mmap", directory=tmp_path / "spool"),
            privacy=cx.PrivacyOptions(key=SECRET, redact=False),
            delivery=cx.DeliveryOptions(drain_seconds=0.1),
            context=cx.ContextOptions(**options),
        )
        made.append(one)
        return one

    yield client
    for one in made:
        one.close(0)


def _bytes_below(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_nothing_is_found_in_the_bytes_of_any_store(durable: Any, tmp_path: Path) -> None:
    """
    Before: the words are in spool and shared memory. After: in no byte of any file.
    """
    memory = f"sqlite:///{tmp_path / 'memory.db'}"
    client = durable(memory=memory)
    _story(client)
    client.knower.settle()
    assert WORDS.encode() in _bytes_below(tmp_path)
    wire = client.capture().known((RAW, None, None, None)).block["id"].encode()
    receipt = client.forget(RAW)
    assert receipt.complete
    assert receipt.places["shared"] == "done"
    left = _bytes_below(tmp_path)
    assert WORDS.encode() not in left
    assert RAW.encode() not in left
    # The pseudonym stands in the wish to be erased, which is on its way to the collectors.
    assert left.count(wire) == left.count(b"erasure_requested") == 2
    client.close(0)


def test_a_tombstone_holds_in_the_next_process(durable: Any, tmp_path: Path) -> None:
    """
    After a restart without a shared memory the customer is still forgotten, by every id.
    """
    first = durable(timeout=0.1)
    first.link(keep="new", absorb=RAW)
    first.forget(RAW)
    first.close(0)
    second = durable()
    assert second.record("shop.buy", customer=RAW).reason == "forgotten"
    assert set(second.context("new").reasons.values()) == {Reason.FORGOTTEN}
    assert second.record("shop.buy", customer="other")
    names = (tmp_path / "spool" / ".forgotten").rglob("tombstones")
    text = b"".join(path.read_bytes() for path in names)
    assert RAW.encode() not in text
    assert len(text.split()) == 2 * 3


def test_another_process_of_the_host_hears_of_it(durable: Any) -> None:
    """
    Two clients over one spool root: what one forgets, the other answers FORGOTTEN for.
    """
    one, other = durable(), durable()
    with other.interaction("shop.buy", customer=RAW):
        pass
    one.forget(RAW)
    for _ in range(500):
        # The keeper of the other one looks about once a second while events come in.
        if not other.record("shop.buy", customer=RAW):
            break
        time.sleep(0.02)
    assert other.record("shop.buy", customer=RAW).reason == "forgotten"
    assert set(other.context(RAW).reasons.values()) == {Reason.FORGOTTEN}


def test_what_was_just_given_is_not_given_again_after_an_erasure_elsewhere(make: Any) -> None:
    """
    A tombstone that this process only hears of ends the answers that it holds at once.
    """
    client = make(Told("crm", {"plan": "x"}), clock=FakeClock())
    for _ in range(3):
        held = client.context(RAW, sections=("plan",), timeout=30)
    assert held["plan"].value == "x"
    knowledge = client.lookups().knowledge
    knowledge.bury([("id", RAW)], knowledge._now() + 100)
    assert client.context(RAW, sections=("plan",))["plan"].reason is Reason.FORGOTTEN


def test_a_damaged_tombstone_file_names_nobody(durable: Any, tmp_path: Path) -> None:
    """
    Torn and foreign lines are passed over; the whole ones hold.
    """
    first = durable()
    first.forget(RAW)
    first.close(0)
    path = next((tmp_path / "spool" / ".forgotten").rglob("tombstones"))
    path.write_bytes(b"\xff\xfe torn\nx y z\n" + path.read_bytes() + b"abc")
    assert durable().record("shop.buy", customer=RAW).reason == "forgotten"


def test_an_export_is_what_is_held_with_its_sources(make: Any) -> None:
    """
    Ids, sections with source and time, and events; plain data that JSON can say.
    """
    import json

    client = make(Told("crm", {"profile": {"name": "Ada", "plan": "gold"}, "orders": [{"id": 1}]}))
    _story(client)
    client.context(RAW, sections=("profile", "orders"), timeout=30)
    shown = json.loads(json.dumps(client.export(RAW)))
    assert shown["ids"] == [{"space": "id", "id": RAW}]
    assert shown["sections"]["support"]["profile"]["value"]["attributes"] == {"plan": "gold"}
    assert shown["sections"]["support"]["profile"]["source"] == "crm"
    assert [event["type"].split(".")[2] for event in shown["events"]] == ["interaction", "feedback"]
    assert not shown["forgotten"]


def test_erasure_without_init_raises() -> None:
    """
    Whoever erases must know that nothing was: this verb is not silent.
    """
    with pytest.raises(cx.ConfigurationError):
        cx.forget(RAW)
