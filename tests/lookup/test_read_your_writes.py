"""
What was emitted here or elsewhere is in a context at once and, once the collector has it, there
once: from an event over HTTP to the agent's desk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import SectionPlan
from cxsdk.lookup import CollectorProvider
from tests.lookup.backends import CollectorProcess
from tests.lookup.test_together import Other
from tests.prompts.cap_servers import RedisServer, until

LAG = 1.0
SECTIONS = ("interactions", "commitments")


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    """
    A collector in a process of its own.
    """
    made = CollectorProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
def desk(collector: CollectorProcess) -> Iterator[Callable[..., cx.Client]]:
    """
    Make clients that ask the collector, and send to it.
    """
    made: list[cx.Client] = []

    def client(memory: str = "") -> cx.Client:
        one = cx.Client(
            "desk",
            collector=collector.url,
            spool=cx.SpoolOptions(mode="memory"),
            privacy=cx.PrivacyOptions(key=b"k" * 32),
            context=cx.ContextOptions(
                providers=[CollectorProvider(collector.url, visibility_lag=LAG)],
                plans={name: SectionPlan(ttl=0.1, negative_ttl=0.1) for name in SECTIONS},
                timeout=5.0,
                memory=memory,
            ),
        )
        made.append(one)
        return one

    yield client
    for one in made:
        one.close(5)


def _web(collector: CollectorProcess, memory: str = "") -> Other:
    return Other(memory, collector.url)


def _seen(client: cx.Client) -> tuple[Any, ...]:
    return tuple(client.context("u-web", sections=SECTIONS).interactions.get(()))


def _settled(client: cx.Client) -> bool:
    """
    Say whether the collector's word stands alone; there is one contact at all times.
    """
    seen = _seen(client)
    assert len(seen) == 1
    return not seen[0].local and not client.context("u-web").interactions.source.endswith("local")


def test_what_the_web_sent_is_at_the_desk(collector: Any, desk: Any) -> None:
    """
    Click and promises of another process, over HTTP and the collector: contact, overdue callback,
    and the warranty that ends in thirty days, which ends as expired and never as broken.
    """
    web, client = _web(collector), desk()
    try:
        web.do("click", customer="u-web", touchpoint="checkout.pay")
        web.do("promise", customer="u-web")
        web.do("warranty", customer="u-web", key="w-30", days=30)
        web.do("warranty", customer="u-web", key="w-0", days=-1)
        assert web.do("deliver") == 0
    finally:
        web.close()
    until(lambda: len(_seen(client)) == 1, "the click")
    ctx = client.context("u-web")
    (seen,) = ctx.interactions
    assert (seen.touchpoint, seen.local) == ("checkout.pay", False)
    assert ctx.interactions.source == "collector"
    assert [one.kind for one in ctx.commitments.overdue()] == ["callback"]
    (soon,) = ctx.commitments.expiring_within(31)
    assert soon.kind == "warranty"
    assert ctx.commitments.expiring_within(29) == ()
    assert soon.standing(datetime.now(UTC)) == "in_force"
    assert soon.standing(datetime.now(UTC) + timedelta(days=31)) == "expired"
    assert [one.kind for one in ctx.commitments.standing("expired")] == ["warranty"]


def test_what_this_service_emits_is_there_once(collector: Any, desk: Any) -> None:
    """
    Local at once; beside the collector's word still once, by its id; after the lag the collector's
    alone.
    """
    client = desk()
    assert _seen(client) == ()
    with client.interaction("checkout.pay", customer="u-web"):
        pass
    (seen,) = _seen(client)
    assert seen.local
    assert client.flush(20).pending == 0
    until(lambda: _settled(client), "the collector's word")
    assert _seen(client)[0].id == seen.id


def test_what_another_process_told_the_memory_is_there_once(
    collector: Any, desk: Any, tmp_path: Path
) -> None:
    """
    The shared memory has it within milliseconds and the collector later: never twice, never gone.
    """
    server = RedisServer(tmp_path)
    try:
        client, web = desk(server.url), _web(collector, server.url)
        try:
            web.do("click", customer="u-web", touchpoint="checkout.pay")
            until(lambda: len(_seen(client)) == 1, "the click")
            assert _seen(client)[0].local
            assert web.do("deliver") == 0
            until(lambda: _settled(client), "the collector's word")
        finally:
            web.close()
        client.close(5)
    finally:
        server.close()
