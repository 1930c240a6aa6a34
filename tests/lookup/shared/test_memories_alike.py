"""
The shared memories say the same: chances of calls, each compared with the memory in the process.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxsdk.lookup.shared import InProcessMemory
from cxsdk.lookup.shared.redis import RedisMemory
from cxsdk.lookup.shared.sql import SqlMemory
from cxsdk.remembering import Told
from tests.prompts.cap_servers import PostgresDatabase, RedisServer

MOST = 3
SUBJECTS = ("c-1", "c-2", "c-3", "a-1", "a-2")

subjects = st.sampled_from(SUBJECTS)
# The same id is the same thing, so it stands on one shelf and happened at one moment.
KINDS = [
    (f"{name}-{shelf[0]}{at:g}", shelf, at)
    for name in ("e1", "E4", "é5")
    for shelf in ("interactions", "facts", "asked")
    for at in (0.0, -1.5, 1.0, 1e9 + 0.1)
]


def _thing(subject, kind, keep, payload):
    name, shelf, at = kind
    return Told(subject, name, shelf, at, keep, payload)


things = st.builds(
    _thing,
    subjects,
    st.sampled_from(KINDS[:20]),
    st.sampled_from([500.0, 900.0, 700.0, 0.0]),
    st.binary(max_size=3),
)
calls = st.one_of(
    st.tuples(st.just("put"), st.tuples(st.lists(things, max_size=6))),
    st.tuples(st.just("put"), st.tuples(st.lists(things, max_size=6))),
    st.tuples(st.just("link"), st.tuples(subjects, subjects, st.binary(max_size=3))),
    st.tuples(st.just("link"), st.tuples(subjects, subjects)),
    st.tuples(st.just("unlink"), st.tuples(subjects)),
    st.tuples(
        st.just("forget"),
        st.tuples(st.lists(subjects, max_size=2), st.sampled_from([0.0, 0.0, 0.0, 600.0])),
    ),
)


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


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def memory(request, tmp_path):
    """A memory of each kind."""
    if request.param == "sqlite":
        made = SqlMemory(f"sqlite://{tmp_path}/memory.db", timeout=10.0, most=MOST)
    elif request.param == "postgresql":
        made = SqlMemory(request.getfixturevalue("database").url, timeout=10.0, most=MOST)
    else:
        made = RedisMemory(request.getfixturevalue("redis_server").url, timeout=10.0, most=MOST)
    yield made
    made.close()


class Emptied:
    """The same memory under names that no earlier chance used."""

    count = 0

    def __init__(self, memory):
        Emptied.count += 1
        self._memory, self._before = memory, f"n{Emptied.count}-"

    def names(self, value):
        if isinstance(value, str):
            return self._before + value
        if isinstance(value, list | tuple):
            return type(value)(self.names(each) for each in value)
        return attrs.evolve(value, subject=self._before + value.subject)

    def call(self, what, args):
        if what == "forget":
            return self._memory.forget(self.names(args[0]), args[1])
        if what == "put":
            return self._memory.put(self.names(args[0]))
        return getattr(self._memory, what)(*self.names(args[:2]), *args[2:])

    def read(self):
        found = self._memory.read(self.names(SUBJECTS))
        return {name: self.plain(found[self._before + name]) for name in SUBJECTS}

    def plain(self, found):
        cut = len(self._before)
        told = [
            (t.subject[cut:], t.id, t.shelf, t.at, round(t.keep / 100), t.payload)
            for t in found.told
        ]
        absorbed = [each[cut:] for each in found.absorbed]
        linked_to = found.linked_to and found.linked_to[cut:]
        return told, linked_to, absorbed, found.note, found.forgotten


@given(chance=st.lists(calls, max_size=14))
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_memory_says_what_the_one_in_the_process_says(memory, chance):
    """Each call has the same result and leaves the same behind."""
    model, real = Emptied(InProcessMemory(most=MOST)), Emptied(memory)
    for what, args in chance:
        assert real.call(what, args) == model.call(what, args), (what, args)
        assert real.read() == model.read(), (what, args)
