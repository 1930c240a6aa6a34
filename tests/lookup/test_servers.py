"""
Providers on real servers that are killed or freeze while everybody asks: each call is back in its
time, an outage is never "nothing", and afterwards all is as before.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import cxsdk as cx
from cxsdk.knowing import Reason, SectionPlan
from cxsdk.lookup import SqlProvider
from tests.lookup.backends import (
    CUSTOMERS,
    Backend,
    CollectorProcess,
    Http,
    Postgres,
    Redis,
    queries,
)
from tests.lookup.own_postgres import OwnPostgres
from tests.lookup.test_together import Other
from tests.prompts.cap_servers import until

TIMEOUT = 0.3
SLACK = 1.5
"""Of a machine that others use; what hangs, hangs for longer."""

FRESH = {Reason.RESOLVED, Reason.CACHED}
AWAY = {Reason.TIMEOUT, Reason.ERROR, Reason.CIRCUIT_OPEN}


@attrs.define
class Call:
    """
    What one lookup came to.
    """

    began: float
    seconds: float
    short: Reason
    long: Reason
    values: tuple[Any, Any]
    who: str

    @property
    def is_right(self) -> bool:
        """
        Say whether what is known is the customer's own, and what is not is no value.
        """
        for reason, value in zip((self.short, self.long), self.values, strict=True):
            is_known = reason in {*FRESH, Reason.STALE}
            if is_known != (value is not None) or (is_known and len(value) != 1):
                return False
        return True


class Crowd:
    """
    Eight threads that look customers up, one of them on an event loop, until told to stop.
    """

    def __init__(self, client: cx.Client, short: str, long: str) -> None:
        self._client, self._names = client, (short, long)
        self._over = threading.Event()
        self.calls: list[Call] = []
        self.raised: list[BaseException] = []
        workers = [self._sync] * 7 + [lambda: asyncio.run(self._on_loop())]
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in workers]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test says that there is none
            self.raised.append(error)

    def _sync(self) -> None:
        draw = random.Random(threading.get_ident())
        while not self._over.wait(0.005):
            who, began = draw.choice(CUSTOMERS), time.monotonic()
            self._note(who, began, self._client.context(who, sections=self._names))

    async def _on_loop(self) -> None:
        async def look(start: int) -> None:
            for who in itertools.cycle(CUSTOMERS[start:] + CUSTOMERS[:start]):
                if self._over.is_set():
                    return
                began = time.monotonic()
                self._note(who, began, await self._client.acontext(who, sections=self._names))
                await asyncio.sleep(0.005)

        await asyncio.gather(*(look(start) for start in (0, 5, 10)))

    def _note(self, who: str, began: float, ctx: cx.CustomerContext) -> None:
        short, long = (ctx[name] for name in self._names)
        values = (short.value, long.value)
        seconds = time.monotonic() - began
        self.calls.append(Call(began, seconds, short.reason, long.reason, values, who))

    def since(self, moment: float) -> list[Call]:
        """
        Return the calls that began after *moment*.
        """
        return [call for call in list(self.calls) if call.began > moment]

    def judge(self) -> None:
        """
        Check what holds at all times.
        """
        assert self.raised == []
        assert max(call.seconds for call in self.calls) < TIMEOUT + SLACK
        assert [call for call in self.calls if not call.is_right] == []
        reasons = {reason for call in self.calls for reason in (call.short, call.long)}
        assert reasons <= {*FRESH, *AWAY, Reason.STALE}


def _plans(backend: Any) -> dict[str, SectionPlan]:
    # One that is not given once it is old, and one that is.
    return {
        backend.short: SectionPlan(ttl=0.05, stale_for=0.0, error_ttl=0.05),
        backend.long: SectionPlan(ttl=0.05, stale_for=3600.0, error_ttl=0.05),
    }


def _client(make: Any, backend: Any) -> cx.Client:
    client: cx.Client = make(
        backend.provider(), plans=_plans(backend), timeout=TIMEOUT, provider_timeout=TIMEOUT
    )
    for who in CUSTOMERS:
        until(lambda who=who: _knows(client, backend, who), "what is known")  # type: ignore[misc]
    return client


def _knows(client: cx.Client, backend: Any, who: str) -> bool:
    ctx = client.context(who, sections=(backend.short, backend.long), timeout=5.0)
    return {ctx[backend.short].reason, ctx[backend.long].reason} <= FRESH


@pytest.fixture(params=[Redis, Postgres, CollectorProcess, Http], ids=lambda cls: cls.__name__)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """
    Each kind of server.
    """
    made = request.param(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_server_that_goes_away_while_everybody_asks(make: Any, backend: Any, how: str) -> None:
    """
    Killed or frozen: what is old says why it is not known, what may be stale is given, the breaker
    opens; once the server is back, every customer is known again with nobody's help.
    """
    client = _client(make, backend)
    with Crowd(client, backend.short, backend.long) as crowd:
        until(lambda: len(crowd.calls) > 100, "a hundred calls")
        (backend.kill if how == "killed" else backend.freeze)()
        away = time.monotonic()

        until(lambda: _is_out(crowd), "the outage", 30)
        until(lambda: Reason.CIRCUIT_OPEN in {c.short for c in crowd.since(away)}, "the breaker")
        (backend.start if how == "killed" else backend.thaw)()
        for who in CUSTOMERS:
            until(lambda who=who: _knows(client, backend, who), f"{who} again", 60)  # type: ignore[misc]
    crowd.judge()
    calls = crowd.calls
    print(f"\n{how}: {len(calls)} calls, slowest {max(c.seconds for c in calls) * 1e3:.0f} ms")


# ---- SQLite: no server, but a file that others hold, remove and replace ---------------------------


class File:
    """
    An SQLite database.
    """

    short, long = "short", "long"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "crm.db"
        self.fill()

    def fill(self) -> None:
        """
        Write it beside, and put it in its place.
        """
        beside = self.path.with_name("new.db")
        database = sqlite3.connect(beside)
        database.execute("CREATE TABLE customers (id TEXT PRIMARY KEY)")
        database.executemany("INSERT INTO customers VALUES (?)", [(who,) for who in CUSTOMERS])
        database.commit()
        database.close()
        beside.replace(self.path)

    def provider(self) -> Any:
        return SqlProvider(f"sqlite:///{self.path}", queries("customers"), name="sql")


def test_a_database_file_that_others_hold(make: Any, tmp_path: Path) -> None:
    """
    Locked by another program while everybody asks: told as an outage, and over with the lock.
    """
    file = File(tmp_path)
    client = _client(make, file)
    with Crowd(client, "short", "long") as crowd:
        until(lambda: len(crowd.calls) > 100, "a hundred calls")
        other = sqlite3.connect(file.path, isolation_level=None, timeout=30)
        other.execute("BEGIN EXCLUSIVE")
        until(lambda: _is_out(crowd), "the outage", 30)
        other.execute("ROLLBACK")
        other.close()
        for who in CUSTOMERS:
            until(lambda who=who: _knows(client, file, who), f"{who} again", 60)  # type: ignore[misc]
    crowd.judge()


def test_a_database_file_that_is_removed_and_put_back(make: Any, tmp_path: Path) -> None:
    """
    Without its file the database is away; the file that takes its place is the one that is read.
    """
    file = File(tmp_path)
    client = _client(make, file)
    with Crowd(client, "short", "long") as crowd:
        until(lambda: len(crowd.calls) > 100, "a hundred calls")
        file.path.unlink()
        until(lambda: _is_out(crowd), "the outage", 30)
        assert not file.path.exists()
        file.fill()
        for who in CUSTOMERS:
            until(lambda who=who: _knows(client, file, who), f"{who} again", 60)  # type: ignore[misc]
    crowd.judge()


def _is_out(crowd: Crowd) -> bool:
    mark = time.monotonic()
    until(lambda: len(crowd.since(mark)) > 50, "fifty calls")
    calls = crowd.since(mark)
    shorts, longs = {call.short for call in calls}, {call.long for call in calls}
    return shorts <= AWAY and longs == {Reason.STALE}


# ---- the shared memory ----------------------------------------------------------------------------


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    """
    A cluster that may be killed.
    """
    made = OwnPostgres()
    yield made
    made.close()


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_what_happens_while_the_shared_memory_is_away_is_known_afterwards(
    make: Any, postgres: OwnPostgres, how: str
) -> None:
    """
    PostgreSQL killed or frozen while two processes are at it: calls stay in time, and what the one saw
    before, during and after the outage is known to the other.
    """
    options: dict[str, Any] = {
        "memory": postgres.url,
        "timeout": TIMEOUT,
        "client": {"privacy": cx.PrivacyOptions(key=b"k" * 32)},
    }
    desk = make(**options)
    web = Other(postgres.url)
    seen = {f"v{n}" for n in range(90)}
    try:
        for who in sorted(seen)[:30]:
            web.do("click", customer=who, touchpoint="shop.before")
        web.do("wait")
        (postgres.kill if how == "killed" else postgres.freeze)()
        for who in sorted(seen)[30:60]:
            web.do("click", customer=who, touchpoint="shop.during")
            began = time.monotonic()
            reason = desk.context(who).interactions.reason
            assert time.monotonic() - began < TIMEOUT + SLACK
            assert reason is Reason.LOCAL
        (postgres.start if how == "killed" else postgres.thaw)()
        for who in sorted(seen)[60:]:
            web.do("click", customer=who, touchpoint="shop.after")
        for who in seen:
            until(lambda who=who: len(desk.context(who).interactions.get(())) == 1, who, 30)  # type: ignore[misc]
    finally:
        web.close()


def test_a_shared_memory_that_is_away_for_long_loses_the_oldest(
    make: Any, postgres: OwnPostgres
) -> None:
    """
    Five thousand things wait for the memory; what came before them is counted as lost, and what
    is left is known to others afterwards.
    """
    options: dict[str, Any] = {
        "memory": postgres.url,
        "client": {"privacy": cx.PrivacyOptions(key=b"k" * 32)},
    }
    shop, desk = make(**options), make(**options)
    shop.context("w0", timeout=5.0)
    postgres.kill()
    for n in range(5300):
        assert shop.record("shop.buy", customer=f"w{n}")
    waiting = shop.stats()["context"]["overlay"]["publisher"]
    assert (waiting["waiting"], waiting["lost"]) == (5000, 300)
    postgres.start()
    until(lambda: shop.stats()["context"]["overlay"]["publisher"]["waiting"] == 0, "the rest", 60)

    def clicks(who: str) -> int:
        return len(desk.context(who, timeout=5.0).interactions.get(()))

    until(lambda: clicks("w5299") == 1, "the newest")
    assert [clicks(who) for who in ("w5298", "w2600", "w310")] == [1, 1, 1]
    assert [clicks(who) for who in ("w0", "w100")] == [0, 0]
