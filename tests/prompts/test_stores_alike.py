"""
The cap stores say the same: long chances of calls, each compared with the store in memory.
"""

from __future__ import annotations

import itertools
import random
import time

import pytest

from cxsdk.asking import Cap, Due, Quota, Request
from cxsdk.prompts.stores import MemoryCapStore
from cxsdk.prompts.stores.sqlite import SqliteCapStore
from tests.prompts.cap_servers import PostgresDatabase, RedisServer

DAY = 86_400.0
SUBJECTS = ("c-1", "c-2", "c-3", "a-1", "a-2")
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def database():
    made = PostgresDatabase()
    yield made
    made.close()


class Shift:
    """How far the stores' clocks are ahead."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def shift():
    return Shift()


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def store(request, tmp_path, shift):
    """An empty store of each kind."""
    if request.param == "sqlite":
        made = SqliteCapStore(tmp_path / "caps.db", time_s=lambda: time.time() + shift())
    elif request.param == "postgresql":
        from cxsdk.prompts.stores.postgres import PostgresCapStore

        url = request.getfixturevalue("database").url
        made = PostgresCapStore(url, timeout=5.0, namespace=f"t{next(NUMBERS)}", shift_s=shift)
        made.create_tables()
    else:
        from cxsdk.prompts.stores.redis import RedisCapStore

        server = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        made = RedisCapStore(server.url, timeout=5.0, shift_s=shift)
    yield made
    made.close()


def calls(chance, count):  # noqa: PLR0912 - a branch for each call
    """Return calls by name with their arguments, and pauses."""
    names = []
    for number in range(count):
        what = chance.choice(
            ["reserve"] * 6
            + ["advance", "answer"] * 4
            + ["pause"] * 3
            + ["history", "mark", "schedule", "take_due", "sweep", "counts", "find"]
            + ["release", "merge", "cancel"]
            + (["forget", "opt_out"] if chance.random() < 0.3 else [])
        )
        who = chance.choice(SUBJECTS)
        name = chance.choice(names) if names else "o-none"
        if what == "reserve":
            name = f"o-{number}"
            names.append(name)
            yield what, (request(chance, name, who),), {}
        elif what == "advance":
            steps = ("shown", "started", "partial", "dismissed", "revoked")
            yield what, (name, chance.choice(steps)), {}
        elif what == "answer":
            how = {
                "complete": chance.random() < 0.7,
                "revise_for": chance.choice([0.0, 0.0, 977.0]),
            }
            yield what, (name, b"%d" % chance.randrange(3)), how
        elif what == "mark":
            topic, keep = chance.choice(["failure", "event:p"]), chance.choice([501.0, 3 * DAY])
            yield what, (who, topic, f"i-{chance.randrange(5)}", keep), {}
        elif what == "schedule":
            delay = chance.choice([-7.0, 499.0, 2 * DAY])
            due = Due(f"d-{chance.randrange(8)}", who, delay, b"r", chance.choice("pq"))
            yield what, (due,), {}
        elif what == "take_due":
            topics = chance.choice([None, None, ["p"], ["p", "q"], []])
            yield what, (chance.choice([None, who]), chance.choice([1, 50]), topics), {}
        elif what == "merge":
            yield what, (who, chance.choice(SUBJECTS)), {}
        elif what == "cancel":
            yield what, (who, chance.choice(["", "p"])), {}
        elif what in {"find", "release"}:
            yield what, (name,), {}
        elif what in {"history", "forget", "opt_out"}:
            yield what, (who,), {}
        elif what == "pause":
            yield what, (chance.choice([113.0, 701.0, DAY, 5 * DAY, 20 * DAY]),), {}
        else:
            yield what, (), {}


def request(chance, name, who):
    """Return a request whose caps, quotas and name meet those of others."""
    most = chance.choice([1, 2])
    caps = [
        Cap("any", who, "cap_global", most=most, within=chance.choice([0.0, 3 * DAY])),
        Cap("prompt:p", who, "cap_prompt", after_dismissal=20 * DAY, after_answer=9 * DAY),
        Cap("session", f"s-{chance.randrange(3)}", "cap_session", within=DAY / 2),
        Cap("account", chance.choice(SUBJECTS), "cap_account", most=4, within=30 * DAY),
    ]
    quotas = [Quota("p:a", chance.choice([4, 9])), Quota("p:b", 6)]
    unique = chance.choice(["", f"p:i-{chance.randrange(6)}"])
    expires_in = chance.choice([599.0, 4 * DAY])
    wanted = chance.sample(caps, chance.randrange(1, 5))
    return Request(name, "p", who, wanted, expires_in, b"r", quotas[: chance.randrange(3)], unique)


def plain(value):
    """Return what a call said, with its times in whole minutes."""
    if isinstance(value, float):
        return round(value / 60)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    names = getattr(type(value), "__attrs_attrs__", None)
    if names is None:
        return value
    told = {each.name: getattr(value, each.name) for each in names}
    return type(value).__name__, {name: plain(each) for name, each in told.items() if name != "now"}


def near(one, other):
    """Say whether two plain values are the same but for a minute that was rounded otherwise."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(near, one, other))
    if type(one) is int and type(other) is int:
        return abs(one - other) <= (1 if max(one, other) > 10_000 else 0) or one == other
    return one == other


def ordered(what, value):
    """Return *value* with what may come in any order, or only at the next sweep, put in one."""
    if what in {"sweep", "take_due"}:
        return sorted(value, key=repr)
    return value


@pytest.mark.parametrize("seed", range(12))
def test_a_store_says_what_the_store_in_memory_says(store, shift, seed):
    """Each of some hundred calls has the same result, and leaves the same histories."""
    model = MemoryCapStore(time_s=lambda: time.time() + shift())
    for number, (what, args, how) in enumerate(calls(random.Random(seed), 250)):
        if what == "pause":
            shift.seconds += args[0]
            continue
        if what == "counts":  # what is over and no longer known may be gone before it is swept
            model.sweep()
            store.sweep()
        wanted = ordered(what, plain(getattr(model, what)(*args, **how)))
        found = ordered(what, plain(getattr(store, what)(*args, **how)))
        assert near(found, wanted), f"call {number}, {what}{args}: {found} is not {wanted}"
    for who in SUBJECTS:
        assert near(plain(store.history(who)), plain(model.history(who)))
    store.sweep()
    model.sweep()
    assert plain(store.counts()) == plain(model.counts())
