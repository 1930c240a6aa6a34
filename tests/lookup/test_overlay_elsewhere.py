"""
Two processes' overlays over the shared memories that are built in, as a web and a desk have them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cxsdk._clock import SystemClock, rfc3339_ns
from cxsdk.lookup.asks import Asks
from cxsdk.lookup.overlay import Overlay
from cxsdk.lookup.recall import Recall
from cxsdk.lookup.shared import open_memory
from cxsdk.pipeline.customers import Customers
from tests.prompts.cap_servers import RedisServer, until

CUSTOMER = Customers(None).resolve(("u1", None, None, None))
VISITOR = Customers(None).resolve((None, "v1", None, None))
REFS = [{"type": "order", "id": "A-1"}]


def _contact(name: str, ago: float) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": name,
            "source": "urn:service:shop",
            "type": "io.cxsdk.interaction.completed.v1",
            "time": rfc3339_ns(time.time_ns() - int(ago * 1e9)),
            "data": {"interaction_id": name, "where": {"touchpoint": "support.call"}},
        }
    )


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Recall, Recall]]:
    """Two recalls over two connections to one memory."""
    url = f"sqlite:///{tmp_path}/memory.db"
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
    memories = [open_memory(url) for _ in range(2)]
    recalls = []
    for memory in memories:
        asks = Asks()
        recalls.append(Recall(Overlay(SystemClock(), shared=memory, asks=asks), asks))
    yield recalls[0], recalls[1]
    for recall in recalls:
        recall.close()
    for memory in memories:
        memory.close()


def _seen(recall: Recall, key: Any) -> list[str]:
    journal = recall.overlay.journal(key)
    return [] if journal is None else [noted[0] for noted in journal.changes("interactions")]


def test_the_desk_sees_what_the_web_did_before_and_after_the_login(
    pair: tuple[Recall, Recall],
) -> None:
    """Contacts, questions and what was in vain; a link, its end and an erasure."""
    web, desk = pair
    assert CUSTOMER.key is not None
    assert VISITOR.key is not None
    data = {"asked": ["order_number"], "refs": REFS, "outcome": "failure"}
    desk.overlay.load([CUSTOMER.key])

    web.tap(VISITOR, _contact("i1", 5), True)
    web.ended(VISITOR, "support.call", data, "i1", time.time() - 5)
    web.overlay.rekey(VISITOR.key, CUSTOMER.key)
    web.tap(VISITOR, _contact("i2", 3), True)
    web.tap(CUSTOMER, _contact("i3", 1), True)
    web.overlay.settle(10)

    until(lambda: desk.overlay.is_due(CUSTOMER.key), "news or a second")
    desk.overlay.load([CUSTOMER.key, VISITOR.key])
    assert ["i1", "i2", "i3"] == _seen(desk, CUSTOMER.key) == _seen(desk, VISITOR.key)
    assert "i1" == desk.asked(CUSTOMER, "order_number", "now", time.time())

    def knows() -> bool:
        # News may come at any moment, and then it has to be read again.
        desk.overlay.load([CUSTOMER.key])  # type: ignore[list-item]
        return desk.asked(CUSTOMER, "birthday", "now", time.time()) == ""

    until(knows, "a reading that holds")
    found = desk.repeats(CUSTOMER, "support.call", REFS, "now", time.time())
    assert ("i1", "i3") == found

    web.overlay.unlink(VISITOR.key)
    web.tap(VISITOR, _contact("i4", 0), True)
    web.overlay.settle(10)
    desk.overlay.load([VISITOR.key, CUSTOMER.key])
    assert (["i4"], ["i1", "i2", "i3"]) == (_seen(desk, VISITOR.key), _seen(desk, CUSTOMER.key))

    web.overlay.forget([CUSTOMER.key])
    web.overlay._shared.forget([web.overlay.subject(CUSTOMER.key)], 60)  # type: ignore[union-attr]
    desk.overlay.load([CUSTOMER.key])
    assert desk.overlay.is_forgotten(CUSTOMER.key)
    assert [] == _seen(desk, CUSTOMER.key)
    assert desk.asks.asked(CUSTOMER.key, "order_number", "now", time.time()) is None
