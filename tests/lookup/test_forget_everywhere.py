"""
Erasure, judged by bytes: after `forget` nothing of the customer is in any store, under any id.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import LookupRequest
from cxsdk.lookup import InMemoryProvider
from cxsdk.prompts import Prompt, Question
from cxsdk.prompts.deciding import subject_of
from cxsdk.prompts.stores.postgres import PostgresCapStore
from tests.lookup.backends import ROOT
from tests.lookup.own_postgres import OwnPostgres
from tests.prompts.cap_servers import RedisServer, until

RAW, OLD, VISIT = "customer-4711-raw", "customer-0815-old", "visit-4242-device"
WORDS = b"my-very-own-words"
PROMPT = Prompt(key="loyalty", scope="relational", questions=[Question(id="q")])


class Files:
    """
    Memory and cap store as SQLite files, beside their logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.urls = (f"sqlite:///{folder / 'memory.db'}", f"sqlite:///{folder / 'caps.db'}")

    def bytes(self) -> bytes:
        """
        Return all that is stored.
        """
        return bytes_below(self.folder)

    def close(self) -> None:
        """
        Nothing runs.
        """


class Redis(Files):
    """
    Both in one Redis. Its log on disk is told of apart.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "redis").mkdir()
        self.server = RedisServer(folder / "redis")
        self.urls = (self.server.url, self.server.url)

    def bytes(self) -> bytes:
        found: list[bytes] = []
        command = self.server.command
        read = {
            b"string": ("GET", ()),
            b"hash": ("HGETALL", ()),
            b"zset": ("ZRANGE", (0, -1)),
            b"list": ("LRANGE", (0, -1)),
            b"set": ("SMEMBERS", ()),
        }
        command("CONFIG", "SET", "rdbcompression", "no")
        for key in command("KEYS", "*"):
            verb, more = read[command("TYPE", key)]
            # In words as well: a dump may hold integers and packed lists.
            said = command(verb, key, *more)
            found += [key, repr(said).encode(), command("DUMP", key)]
        return b"\0".join(found)

    def log(self) -> bytes:
        """
        Return what the append-only log has.
        """
        return bytes_below(self.server.folder)

    def rewrite(self) -> None:
        """
        Have the log written anew, in words.
        """
        self.server.command("CONFIG", "SET", "aof-use-rdb-preamble", "no")
        self.server.command("BGREWRITEAOF")
        until(lambda: b"aof_rewrite_in_progress:0" in self._state(), "the rewriting")

    def _state(self) -> bytes:
        info = self.server.command("INFO", "persistence")
        said = "\n".join(f"{name}:{value}" for name, value in info.items())
        return said.encode() if "aof_rewrite_scheduled:0" in said else b""

    def close(self) -> None:
        self.server.close()


class Postgres(Files):
    """
    Both in one PostgreSQL database.
    """

    def __init__(self, _: Path) -> None:
        self.server = OwnPostgres()
        self.urls = (self.server.url, self.server.url)
        caps = PostgresCapStore(self.server.url)
        caps.create_tables()
        caps.close()

    def bytes(self) -> bytes:
        # bytea is dumped in hexadecimal.
        text = self.server.dump()
        found = [text]
        for word in text.replace(b"\\\\x", b"\t").replace(b"\\x", b"\t").split():
            try:
                found.append(bytes.fromhex(word.decode()))
            except ValueError:
                continue
        return b"\0".join(found)

    def close(self) -> None:
        self.server.close()


def bytes_below(folder: Path) -> bytes:
    """
    Return the bytes of all files.
    """
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(params=[Files, Redis, Postgres], ids=["sqlite", "redis", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """
    Where the shared memory and the caps are.
    """
    folder = tmp_path / "stores"
    folder.mkdir()
    made = request.param(folder)
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., cx.Client]]:
    """
    Make clients with a key and a spool on disk, which cannot deliver.
    """
    made: list[cx.Client] = []

    def client(prompts: Any = None, **options: Any) -> cx.Client:
        more = {} if prompts is None else {"prompts": prompts}
        one = cx.Client(
            "shop",
            collector="http://127.0.0.1:9",
            spool=cx.SpoolOptions(mode="mmap", directory=tmp_path / "spool"),
            privacy=cx.PrivacyOptions(key=b"k" * 32, redact=False),
            delivery=cx.DeliveryOptions(drain_seconds=0.1),
            context=cx.ContextOptions(**options),
            **more,
        )
        made.append(one)
        return one

    yield client
    for one in made:
        one.close(0)


def _story(client: cx.Client) -> None:
    with cx.scope(session=VISIT, consent="granted"):
        with client.interaction("product.view") as i:
            i.attributes["note"] = WORDS.decode()
        assert client.identify(RAW)
    about = cx.About(touchpoint="shop.buy")
    assert client.feedback(csat=1, text=WORDS.decode(), customer=OLD, about=about)
    assert client.link(keep=RAW, absorb=OLD)
    with client.interaction("shop.buy", customer=RAW) as i:
        i.attributes["note"] = WORDS.decode()
        i.asks("order_number")
    for who in (RAW, OLD):
        offer = client.prompts.offer("loyalty", customer=who)
        if offer:
            client.prompts.submit(offer.token, {"q": WORDS.decode()})
        client.context(who, timeout=30)
    client.knower.settle()


def _wires(client: cx.Client) -> dict[str, bytes]:
    engine = client.knower.engine
    assert engine is not None
    key = engine.whom.person(RAW, None, None)[0].key
    keys = engine.knowledge.links.every(key)
    return {f"{space}:{wire}": wire.encode() for space, wire in keys}


def test_nothing_of_the_customer_is_in_any_byte(shop: Any, stores: Any, tmp_path: Path) -> None:
    """
    Spool, shared memory, caps and a provider, with a visit before the login and a linked id: raw
    ids and words are nowhere, pseudonyms only in the wish to be erased.
    """
    provider = InMemoryProvider()
    for who in (RAW, OLD):
        provider.put(who, "profile", {"name": WORDS.decode()})
    memory, caps = stores.urls
    prompts = cx.PromptOptions(prompts=[PROMPT], store=caps, deadline=5.0)
    client = shop(prompts, memory=memory, providers=[provider])
    _story(client)
    wires = _wires(client)
    assert len(wires) == 3
    subjects = [subject_of("c", name.partition(":")[2]).encode() for name in wires]
    until(lambda: WORDS in stores.bytes(), "the words in the memory")
    before = stores.bytes()
    assert any(each in before for each in subjects)
    assert WORDS in bytes_below(tmp_path / "spool")

    receipt = client.forget(RAW)
    places = {"cache", "overlay", "shared", "undelivered", "prompts", "memory"}
    assert dict(receipt.places) == dict.fromkeys(places, "done")
    left = stores.bytes()
    for word in (WORDS, RAW.encode(), OLD.encode(), VISIT.encode(), *wires.values(), *subjects):
        assert word not in left, word
    spooled = bytes_below(tmp_path / "spool")
    for word in (WORDS, RAW.encode(), OLD.encode()):
        assert word not in spooled, word
    wishes = spooled.count(b"erasure_requested")
    for wire in wires.values():
        assert spooled.count(wire) <= wishes
    asked = LookupRequest(
        subjects=(), sections=frozenset({"profile"}), purpose="support", deadline=0.0
    )
    assert provider.fetch(asked) == {}
    assert provider.remove(RAW) == provider.remove(OLD) == 0


def test_the_log_of_redis_keeps_it_until_it_is_rewritten(shop: Any, tmp_path: Path) -> None:
    """
    What was written stands in an append-only log until the server writes that anew; then it is
    gone there too.
    """
    folder = tmp_path / "stores"
    folder.mkdir()
    stores = Redis(folder)
    try:
        memory, caps = stores.urls
        prompts = cx.PromptOptions(prompts=[PROMPT], store=caps, deadline=5.0)
        client = shop(prompts, memory=memory)
        _story(client)
        wires = _wires(client)
        until(lambda: WORDS in stores.log(), "the words in the log")
        assert client.forget(RAW).complete
        assert WORDS in stores.log()
        stores.rewrite()
        until(lambda: WORDS not in stores.log(), "the new log")
        left = stores.log()
        for word in (RAW.encode(), OLD.encode(), VISIT.encode(), *wires.values()):
            assert word not in left
        client.close(0)
    finally:
        stores.close()


class Spooler:
    """
    Another process below the same spool root, with an undelivered event of the customer's.
    """

    def __init__(self, root: Path, words: bytes) -> None:
        command = [sys.executable, "-m", "tests.lookup.spooler", str(root), RAW, words.decode()]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def nudge(self) -> None:
        """
        Have it record an event of somebody else's.
        """
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """
        Kill it.
        """
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout):
            if end is not None:
                end.close()


@pytest.mark.parametrize("suppress", [True, False])
def test_undelivered_events_of_other_processes_go_too(
    shop: Any,
    tmp_path: Path,
    suppress: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """
    A process that lives heeds the erasure at its next look, one that died leaves it to its heir:
    soon no file below the root has the words.
    """
    root = tmp_path / "spool"
    dead = Spooler(root, b"words-of-the-dead-one")
    dead.close()
    live = Spooler(root, b"words-of-the-live-one")
    try:
        found = bytes_below(root)
        assert b"words-of-the-dead-one" in found
        assert b"words-of-the-live-one" in found
        client = shop()
        assert client.record("shop.look", customer="somebody else")
        receipt = client.forget(RAW, suppress=suppress)
        assert receipt.places["undelivered"] == "done"

        def is_gone(words: bytes) -> bool:
            live.nudge()
            client.record("shop.look", customer="somebody else")
            return words not in bytes_below(root)

        until(lambda: is_gone(b"words-of-the-live-one"), "the live one's erasure", 40)
        until(lambda: is_gone(b"words-of-the-dead-one"), "the dead one's erasure", 40)
    finally:
        live.close()
