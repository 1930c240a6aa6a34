"""
The client: looking in, ends, switches, forks, and what it hands from one part to another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk import _default, _exit
from cxsdk._guard import Voice, _is_inner
from cxsdk.testing import capture


@pytest.fixture(autouse=True)
def _on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pytest the spool is memory unless the environment says otherwise."""
    monkeypatch.setenv("CXSDK_SPOOL_MODE", "mmap")


def _client(tmp_path: Path, **options: Any) -> cx.Client:
    spool = cx.SpoolOptions(mode="mmap", directory=tmp_path)
    return cx.Client("shop", collector="null:", spool=spool, **options)


def test_flush_and_close_report_what_was_delivered(tmp_path: Path) -> None:
    """What flush and close delivered is in their report; after close there is nothing to do."""
    client = _client(tmp_path)
    client.record("a", customer="u1")
    flushed = client.flush(10)
    client.record("a", customer="u1")
    closed = client.close(10)

    assert (1, 0) == (flushed.delivered, flushed.pending)
    assert (1, 0) == (closed.delivered, closed.pending)
    assert 0 == client.flush(1).delivered == client.close(1).delivered
    assert ("off", "closed") == (client.health().status, client.health().reason)


def test_the_async_twins_do_the_same(tmp_path: Path) -> None:
    """aflush, aclose and the lifespan deliver from an event loop."""

    async def serve() -> tuple[int, int]:
        client = cx.init(
            "shop", collector="null:", spool=cx.SpoolOptions(mode="mmap", directory=tmp_path)
        )
        client.record("a", customer="u1")
        async with cx.lifespan():
            client.record("a", customer="u2")
        pending = client.stats()["sinks"]["default"]["spooled"]
        client.record("a", customer="u3")
        flushed = await client.aflush(10)
        await client.aclose(10)
        return pending, flushed.delivered

    assert (0, 1) == asyncio.run(serve())
    assert "closed" == cx.health().reason


def test_warm_up_is_ready_before_the_first_event(tmp_path: Path) -> None:
    """warm_up starts delivery, and more than once does no harm; the first event is durable."""
    client = _client(tmp_path)
    client.warm_up()
    client.warm_up()

    assert any(thread.name == "cxsdk-keeper" for thread in threading.enumerate())
    assert client.record("a", customer="u1").durable
    assert "ok" == client.health().status
    assert tmp_path == client.spool_root
    client.close(10)


@pytest.mark.parametrize(("name", "value"), [("CXSDK_DISABLED", "1"), ("CXSDK_SPOOL_MODE", "off")])
def test_a_switch_in_the_environment_wins(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An off switch beats arguments: nothing is captured, no file, no thread."""
    monkeypatch.setenv(name, value)
    threads = threading.active_count()
    client = _client(tmp_path)

    assert "disabled" == client.record("a", customer="u1").reason
    assert ("off", []) == (client.health().status, list(tmp_path.iterdir()))
    assert threads == threading.active_count()
    client.close()


def test_the_sampling_switch_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """CXSDK_INTERACTION_SAMPLE=0 keeps no interaction and every feedback."""
    monkeypatch.setenv("CXSDK_INTERACTION_SAMPLE", "0")
    client = cx.Client("shop", capture=cx.CaptureOptions(sample=1.0))
    with capture() as events:
        assert "sampled" == client.record("a", customer="u1").reason
        assert client.feedback(csat=3, customer="u1")
    assert ["feedback"] == [event.family for event in events]


def test_the_off_file_stops_capture_but_not_delivery_and_close(tmp_path: Path) -> None:
    """With the OFF file events are dropped, flush still delivers, close still closes."""
    others = set(threading.enumerate())
    client = _client(tmp_path)
    client.record("a", customer="u1")
    client._switched(True)

    assert "switched_off" == client.record("a", customer="u1").reason
    assert 0 == client.flush(10).pending
    assert 1 == client.stats()["sinks"]["default"]["delivered"]
    client.close(10)
    client._switched(False)
    assert "closed" == client.record("a", customer="u1").reason
    assert not [
        thread for thread in set(threading.enumerate()) - others if thread.name.startswith("cxsdk-")
    ]


def test_the_off_file_going_away_brings_capture_back(tmp_path: Path) -> None:
    """Capture is on again when the OFF file is gone."""
    client = _client(tmp_path)
    client._switched(True)
    client._switched(False)

    assert client.record("a", customer="u1")
    client.close(10)


def test_a_second_init_closes_one_that_is_switched_off(tmp_path: Path) -> None:
    """A client that the OFF file silenced is closed by the next init all the same."""
    spool = cx.SpoolOptions(mode="mmap", directory=tmp_path)
    first = cx.init("shop", collector="null:", spool=spool)
    first.record("a", customer="u1")
    first._switched(True)
    cx.init("shop")

    assert "closed" == first.health().reason


def test_threads_of_a_forked_child_share_one_set_of_parts(tmp_path: Path) -> None:
    """Threads that renew a child's client at once all write into the spool it delivers."""
    client = _client(tmp_path)
    client.record("a", customer="u1")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        sys.setswitchinterval(1e-6)
        start = threading.Barrier(8)

        def work() -> None:
            start.wait()
            client.record("a", customer="u1")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = client.stats()
        os.write(write, b"%d %d" % (stats["offered"], stats["accepted"]))
        os._exit(0)
    os.waitpid(pid, 0)

    assert b"8 8" == os.read(read, 100)
    os.close(read)
    os.close(write)
    client.close(10)


def test_stats_of_a_forked_child_are_its_own(tmp_path: Path) -> None:
    """A child that only looks in shows its own zeros, not what its parent did."""
    client = _client(tmp_path)
    client.record("a", customer="u1")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, b"%d" % client.stats()["offered"])
        os._exit(0)
    os.waitpid(pid, 0)

    assert b"0" == os.read(read, 100)
    assert 1 == client.stats()["offered"]
    os.close(read)
    os.close(write)
    client.close(10)


def test_a_broken_meter_costs_no_event(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the host's meter is said once; the event counts as accepted only."""
    module = sys.modules["cxsdk.parts"]

    def register(_: Any) -> None:
        raise RuntimeError("no meter")

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", module)
    monkeypatch.setattr(module, "register_metrics", register)
    client = cx.Client("shop", collector="memory:")

    assert client.record("a", customer="u1")
    assert client.record("a", customer="u1")
    assert (2, 2, {}) == tuple(client.stats()[n] for n in ("offered", "accepted", "refused"))
    assert 1 == sum("no meter" in record.getMessage() for record in caplog.records)
    client.close()


def test_capture_leaves_a_client_that_the_code_under_test_made() -> None:
    """An init inside capture() is not undone by the end of the block."""
    with capture():
        made = cx.init("shop")

    assert made is _default.client()


def test_a_wrong_group_does_not_show_its_key() -> None:
    """The error about a mapping in place of PrivacyOptions does not print the key in it."""
    with pytest.raises(cx.ConfigurationError) as caught:
        cx.Client("shop", privacy={"key": b"0123456789abcdef"})  # type: ignore[arg-type]

    assert "0123" not in str(caught.value)
    with pytest.raises(cx.ConfigurationError, match="bytes"):
        cx.PrivacyOptions(key="0123456789abcdef")  # type: ignore[arg-type]


def test_the_voice_keeps_a_bounded_number_of_reasons() -> None:
    """Reasons without end are held under one word, and known ones are still said hourly."""
    now = [0.0]
    voice = Voice(lambda: now[0])
    said = [voice.say(logging.DEBUG, f"r{number}", "x") for number in range(2000)]
    now[0] += 4000

    assert len(voice._seen) <= 513
    assert 513 == sum(said)
    assert voice.say(logging.DEBUG, "r1", "x")


def test_an_exception_raised_by_an_installed_host_is_not_swallowed() -> None:
    """Only cxsdk, what it calls and the standard library are inside; other packages are not."""
    packages = "/venv/lib/python3.11/site-packages"

    assert not _is_inner(f"{packages}/billiard/pool.py")
    assert not _is_inner(f"{Path(cx.__file__).parent}_shop/app.py")
    assert _is_inner(f"{packages}/msgspec/json.py")
    assert _is_inner(os.__file__)
    assert _is_inner(cx.__file__)


@pytest.mark.parametrize(
    ("name", "value"),
    [("source", "not a uri"), ("source", 5), ("version", 5), ("version", "x" * 201)],
)
def test_what_stands_on_every_event_is_checked_at_init(name: str, value: Any) -> None:
    """A wrong source or version would make every event invalid, so init refuses it by name."""
    with pytest.raises(cx.ConfigurationError, match=f"{name}: expected"):
        cx.Client("shop", **{name: value})


def test_a_wrong_version_in_the_environment_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A deployment does not fail over it; a warning says so."""
    monkeypatch.setenv("CXSDK_VERSION", "x" * 500)
    client = cx.Client("shop")

    assert client.settings.version is None
    assert 1 == sum("CXSDK_VERSION" in record.getMessage() for record in caplog.records)


def test_what_comes_after_the_drain_at_the_end_is_kept_for_the_next(tmp_path: Path) -> None:
    """Exit hooks and threads that go on are not refused: the next client delivers."""
    client = _client(tmp_path)
    assert client.record("early", customer="u1")
    _exit.drain_all()
    assert client.stats()["sinks"]["default"]["delivered"] == 1
    assert (client.health().status, client.flush().delivered) == ("off", 0)
    late = client.record("late", customer="u1")
    assert isinstance(late, cx.Accepted)
    assert late.durable
    assert [thread for thread in threading.enumerate() if thread.name.startswith("cxsdk")] == []
    assert client.stats()["sinks"]["default"]["spooled"] == 1
    client._parts.spool.close()
    heir = _client(tmp_path)
    assert _wait(lambda: heir.stats()["sinks"]["default"]["delivered"] == 1)
    heir.close()


def test_an_interaction_open_at_the_drain_is_kept(tmp_path: Path) -> None:
    """A request that outlives the drain ends as any other."""
    client = _client(tmp_path)
    client.record("early", customer="u1")
    with client.interaction("slow.page", customer="u1") as contact:
        _exit.drain_all()
    assert isinstance(contact.result, cx.Accepted)
    client.close()
    assert client.record("later", customer="u1").reason == "closed"


def test_a_memory_spool_has_no_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the drain such a client says that it is closed, and keeps nothing in vain."""
    monkeypatch.setenv("CXSDK_SPOOL_MODE", "memory")
    client = _client(tmp_path)
    client.record("early", customer="u1")
    _exit.drain_all()
    assert client.record("late", customer="u1").reason == "closed"


def _wait(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()
