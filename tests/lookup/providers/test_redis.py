"""
Redis as a source: what stands where, and a server that is killed, frozen or refuses.
"""

from __future__ import annotations

import json
import signal
import time

import pytest

from cxsdk.errors import ConfigurationError, ExtraMissingError, ProviderError
from cxsdk.knowing import ErrorCode
from cxsdk.lookup import RedisProvider, RedisSection
from tests.lookup.providers.sources import request
from tests.prompts.cap_servers import RedisServer, until
from tests.sinks.brokers import Mute


@pytest.fixture
def make(redis_server):
    """Make providers over an empty server, which are closed at the end."""
    made = []
    redis_server.command("FLUSHALL")

    def make(sections=None, url=redis_server.url, **more):
        provider = RedisProvider(
            url, name="cache", sections=sections or {"profile": "profile:{id}"}, **more
        )
        made.append(provider)
        return provider

    yield make
    for provider in made:
        provider.close()


def failure(provider, *identifiers, **more):
    with pytest.raises(ProviderError) as caught:
        provider.fetch(request(*identifiers, **more))
    return caught.value


# ---- what stands there ---------------------------------------------------------------------


def test_lists_are_cut_to_what_was_asked_for(make, redis_server):
    """The head of a list, the highest scores of a zset; that there is more is said."""
    for number in range(5):
        redis_server.command("RPUSH", "l:c-1", json.dumps({"id": number}))
        redis_server.command("ZADD", "z:c-1", -number, json.dumps({"id": number}))
    provider = make({"l": RedisSection("l:{id}", "list"), "z": RedisSection("z:{id}", "zset")})
    limits = {"l": 2, "z": 5}
    found = provider.fetch(request("c-1", sections=("l", "z"), limits=limits))["c-1"]
    assert ([each["id"] for each in found["l"].value], found["l"].truncated) == ([0, 1], True)
    assert ([each["id"] for each in found["z"].value], found["z"].truncated) == (
        [0, 1, 2, 3, 4],
        False,
    )


def test_a_function_reads_what_is_no_json(make, redis_server):
    """It gets bytes; of a hash a mapping; None from it is nothing."""
    redis_server.command("SET", "p:c-1", "Ann;gold")
    redis_server.command("HSET", "h:c-1", "n", "Ann", "x", "y")
    redis_server.command("RPUSH", "l:c-1", "a", "b")

    def read(raw):
        name, plan = raw.decode().split(";")
        return {"name": name, "attributes": {"plan": plan}}

    provider = make(
        {
            "profile": RedisSection("p:{id}", decode=read),
            "identity": RedisSection("h:{id}", "hash", lambda fields: {"n": fields["n"].decode()}),
            "tags": RedisSection("l:{id}", "list", bytes.decode),
            "none": RedisSection("p:{id}", "string", lambda _: None),
        }
    )
    found = provider.fetch(request("c-1", sections=provider.sections))["c-1"]
    assert {name: each.value for name, each in found.items()} == {
        "profile": {"name": "Ann", "attributes": {"plan": "gold"}},
        "identity": {"n": "Ann"},
        "tags": ["a", "b"],
    }


def test_a_value_has_an_age(make, redis_server):
    """Where it says so itself."""
    redis_server.command("SET", "p:c-1", json.dumps({"meta": {"at": 1_790_000_000}}))
    provider = make({"profile": RedisSection("p:{id}", as_of="meta.at")})
    found = provider.fetch(request("c-1"))["c-1"]["profile"]
    assert found.as_of.timestamp() == 1_790_000_000


def test_what_cannot_be_read_fails_alone(make, redis_server):
    """A key of another type, broken JSON; the failure names no id and no value."""
    redis_server.command("RPUSH", "profile:c-1", "x")
    redis_server.command("SET", "orders:c-1", '{"secret": ')
    redis_server.command("SET", "note:c-1", "fine")
    provider = make(
        {
            "profile": "profile:{id}",
            "orders": "orders:{id}",
            "note": RedisSection("note:{id}", "string"),
        }
    )
    found = provider.fetch(request("c-1", sections=provider.sections))["c-1"]
    assert found["note"].value == "fine"
    for section in ("profile", "orders"):
        assert found[section].code == ErrorCode.PARSE_ERROR
        assert "c-1" not in found[section].message
        assert "secret" not in found[section].message


@pytest.mark.parametrize("identifier", ["../x", "a b/é?#", "x" * 1000, "*", "{id}", "a\\b"])
def test_an_id_stays_in_its_place(make, redis_server, identifier):
    """The key is the template with the id in it, to the letter."""
    provider = make()
    redis_server.command("SET", f"profile:{identifier}", '{"name": "Ann"}')
    assert provider.fetch(request(identifier))[identifier]["profile"].value == {"name": "Ann"}


@pytest.mark.parametrize("identifier", ["", "17:orders", "x" * 5000, "a\nb", "\ud800"])
def test_an_id_that_leads_to_another_key_is_refused(make, redis_server, identifier):
    """A separator in an id would make a key of another kind."""
    redis_server.command("SET", "customer:17:orders", '{"name": "not a profile"}')
    provider = make({"profile": "customer:{id}"})
    found = provider.fetch(request(identifier))[identifier]["profile"]
    assert found.code == ErrorCode.INVALID_SUBJECT


def test_ids_may_be_made_with_separators(make, redis_server):
    """Where keys are made so, it is said."""
    redis_server.command("SET", "p:urn:1", "{}")
    provider = make({"profile": RedisSection("p:{id}", separators="")})
    assert provider.fetch(request("urn:1"))["urn:1"]["profile"].value == {}


def test_a_request_is_one_round_trip(make, redis_server):
    """All subjects and sections go in one pipeline, over one connection."""
    provider = make({"profile": "profile:{id}", "orders": "orders:{id}"})
    provider.fetch(request("c-0"))
    before = redis_server.command("INFO", "stats")
    provider.fetch(request(*(f"c-{n}" for n in range(50)), sections=provider.sections))
    after = redis_server.command("INFO", "stats")
    commands = after["total_commands_processed"] - before["total_commands_processed"]
    # Besides: that of `before`, and hello and goodbye of the client that asks for INFO.
    assert 100 <= commands <= 108
    assert after["total_connections_received"] - before["total_connections_received"] == 1


# ---- a server that goes away ---------------------------------------------------------------


@pytest.fixture
def own_server(tmp_path):
    """A server that the test may kill."""
    server = RedisServer(tmp_path)
    yield server
    server.close()


def answers(provider):
    try:
        return provider.fetch(request("c-1", seconds=1.0))["c-1"]
    except ProviderError:
        return None


def test_a_killed_server_is_an_outage_until_it_is_back(make, own_server):
    """Refused at once while it is away, answered again soon after."""
    own_server.command("SET", "profile:c-1", '{"name": "Ann"}')
    provider = make(url=own_server.url)
    assert provider.fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}
    own_server.kill()
    for _ in range(3):
        began = time.monotonic()
        assert failure(provider, "c-1", seconds=20.0).error_code == ErrorCode.CONNECTION
        assert time.monotonic() - began < 5.0
    own_server.start()
    until(lambda: answers(provider), "Redis")
    assert provider.fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}


def test_nothing_is_tried_twice(make):
    """A server that hangs up on everybody is asked once."""
    mute = Mute()
    provider = make(url=f"redis://127.0.0.1:{mute.port}")
    assert failure(provider, "c-1").error_code == ErrorCode.CONNECTION
    assert len(mute._held) == 1
    mute.close()


def test_a_frozen_server_ends_at_the_deadline(make, own_server):
    """Also with many at a time, more than there are connections; later it works again."""
    own_server.command("SET", "profile:c-1", '{"name": "Ann"}')
    provider = make(url=own_server.url, timeout=0.5)
    provider.fetch(request("c-1"))
    own_server.send(signal.SIGSTOP)
    began = time.monotonic()
    codes = {failure(provider, "c-1", seconds=0.02).error_code for _ in range(40)}
    assert time.monotonic() - began < 10.0
    assert codes <= {ErrorCode.DEADLINE_EXCEEDED, ErrorCode.BULKHEAD_FULL}
    own_server.send(signal.SIGCONT)
    until(lambda: answers(provider), "Redis")
    assert provider.fetch(request("c-1"))["c-1"]["profile"].value == {"name": "Ann"}


def test_who_may_not_read_is_told_so(make, redis_server):
    """A wrong password, and a user without a right to the keys."""
    redis_server.command("ACL", "SETUSER", "reader", "on", ">pw", "+@all", "~other:*")
    where = redis_server.url.removeprefix("redis://")
    assert failure(make(url=f"redis://reader:no@{where}"), "c-1").error_code == ErrorCode.AUTH
    found = make(url=f"redis://reader:pw@{where}").fetch(request("c-1"))["c-1"]["profile"]
    assert found.code == ErrorCode.AUTH


# ---- what is wrong is said at once ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "http://cache"}, r"cache\.url"),
        ({"timeout": 0}, r"cache\.timeout"),
        ({"sections": {"profile": "profile"}}, r"\{id\}"),
        ({"takes": "hashed"}, "raw or wire"),
    ],
)
def test_what_is_wrong_is_said_at_once(make, arguments, words):
    """The error names the argument and what is expected."""
    with pytest.raises(ConfigurationError, match=words):
        make(**arguments)


def test_an_unknown_kind_is_said_at_once():
    """With those that there are."""
    with pytest.raises(ConfigurationError, match="hash, json, list, string, zset"):
        RedisSection("p:{id}", "stream")


def test_without_redis_the_command_that_installs_it_is_named(monkeypatch):
    """At construction, not at the first fetch."""
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'cxsdk\[redis\]'"):
        RedisProvider("redis://x", name="cache", sections={"profile": "p:{id}"})
