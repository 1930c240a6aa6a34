"""
The provider in memory, and the one that knows nothing.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import cxsdk.lookup
from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import ErrorCode, Failed, Found, Subject
from cxsdk.lookup import InMemoryProvider, NoOpProvider
from tests.lookup.providers.sources import request


@pytest.fixture
def memory():
    """A provider in memory."""
    return InMemoryProvider()


def test_what_was_put_is_found_until_it_is_removed(memory):
    """One section, or all of somebody, or everybody."""
    memory.put("c-1", "profile", {"name": "Ann"})
    memory.put("c-1", "problems", [{"id": "t-1"}])
    memory.put("c-2", "profile", Found({"name": "Ben"}, version="v1"))
    both = ("profile", "problems")
    assert memory.fetch(request("c-1", "c-2", sections=both)) == {
        "c-1": {"profile": {"name": "Ann"}, "problems": [{"id": "t-1"}]},
        "c-2": {"profile": Found({"name": "Ben"}, version="v1")},
    }
    assert memory.remove("c-1", "problems") == 1
    assert memory.fetch(request("c-1", sections=both)) == {"c-1": {"profile": {"name": "Ann"}}}
    assert (memory.remove("c-1"), memory.remove("c-1")) == (1, 0)
    memory.clear()
    assert memory.fetch(request("c-2")) == {"c-2": {}}


def test_customers_and_visitors_are_apart(memory):
    """The same id of another kind is somebody else."""
    memory.put("x", "profile", {"name": "visitor"}, space="anonymous")
    assert memory.fetch(request("x")) == {"x": {}}
    found = memory.fetch(request("x", space="anonymous"))
    assert found == {"x": {"profile": {"name": "visitor"}}}


def test_it_says_what_it_was_asked(memory):
    """Requests in their order, until they are cleared."""
    asked = [request("c-1"), request("c-2", sections=("orders",))]
    for each in asked:
        memory.fetch(each)
    assert memory.asked == tuple(asked)
    memory.clear()
    assert memory.asked == ()


def test_it_can_be_down(memory):
    """As a whole, or for one section."""
    memory.put("c-1", "profile", Failed(ErrorCode.AUTH))
    assert memory.fetch(request("c-1"))["c-1"]["profile"] == Failed(ErrorCode.AUTH)
    memory.failure = ProviderError(ErrorCode.CONNECTION)
    with pytest.raises(ProviderError):
        memory.fetch(request("c-1"))
    assert len(memory.asked) == 2


def test_it_tells_who_listens(memory):
    """Of each change, and of everybody with None; forgetting is one."""
    heard = []
    memory.subscribe(heard.append)
    memory.put("c-1", "profile", {})
    memory.put("c-0", "profile", {})
    assert memory.forget(Subject("c-1", also=("c-0",))) == "done"
    memory.clear()
    assert heard == ["c-1", "c-0", "c-1", "c-0", None]


def test_only_plain_data_is_put(memory):
    """A slip of a test is said where it is made."""
    with pytest.raises(TypeError, match="plain data"):
        memory.put("c-1", "profile", object())


def test_nothing_is_known_of_anybody():
    """By the provider that stands in for none."""
    nothing = NoOpProvider("crm", ("profile",))
    assert nothing.fetch(request("c-1", "c-2")) == {}
    assert nothing.sections == {"profile"}


@pytest.mark.parametrize("spaces", [(), ("session",)])
def test_spaces_are_known_ones(spaces):
    """The error says which there are."""
    with pytest.raises(ConfigurationError, match="id, anonymous or both"):
        InMemoryProvider(spaces=spaces)


def test_the_room_imports_nothing_that_is_not_asked_for():
    """All names are there; only the ones used cost anything."""
    for name in cxsdk.lookup.__all__:
        assert getattr(cxsdk.lookup, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = cxsdk.lookup.nothing_of_the_kind
    code = (
        "import sys, cxsdk.lookup as room\n"
        "for name in room.__all__: getattr(room, name)\n"
        "heavy = {'redis', 'sqlalchemy', 'django', 'httpx', 'httpcore', 'asgiref'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
