"""
Functions as sources: of any kind, called with an id, answered in plain data.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import functools
import inspect
import uuid

import pytest

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import UNCHANGED, ErrorCode, Failed, Found
from cxsdk.lookup import CallableProvider, provider
from cxsdk.lookup.items import Commitment
from tests.lookup.providers.sources import request


class Crm:
    def __init__(self, known):
        self.known = known

    def __call__(self, who):
        return self.known.get(who)

    def of(self, book, who):
        return book.get(who)


class AsyncCrm(Crm):
    async def __call__(self, who):
        return self.known.get(who)

    async def of(self, book, who):
        return book.get(who)


KNOWN = {"c-1": {"profile": {"name": "Ann"}, "other": 1}}


async def ask(who):
    return KNOWN.get(who)


def fetched(made, asked):
    told = made.fetch(asked)
    return asyncio.run(awaited(told)) if inspect.isawaitable(told) else told


async def awaited(told):
    return await told


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (KNOWN.get, False),
        (Crm(KNOWN), False),
        (functools.partial(Crm(KNOWN).of, KNOWN), False),
        (lambda who: KNOWN.get(f"{who}"), False),
        (ask, True),
        (AsyncCrm(KNOWN), True),
        (functools.partial(AsyncCrm(KNOWN).of, KNOWN), True),
        (
            functools.partial(
                functools.partial(AsyncCrm(KNOWN)),
            ),
            True,
        ),
    ],
)
def test_a_function_is_of_any_kind(function, is_async):
    """Whether it is async is found out at construction; what else it says is left out."""
    made = CallableProvider("crm", ("profile",), function)
    assert inspect.iscoroutinefunction(made.fetch) == is_async
    answers = fetched(made, request("c-1", "c-2", sections=("profile", "weather")))
    assert answers == {"c-1": {"profile": {"name": "Ann"}}, "c-2": {}}
    assert repr(made) == "CallableProvider('crm', sections=['profile'])"
    assert isinstance(made, CallableProvider)


@pytest.mark.parametrize("is_async", [False, True])
def test_only_the_functions_that_are_asked_for_run(is_async):
    """Each section has its own; one that fails leaves the others alone."""
    ran = []

    def of(section):
        def run(who):
            ran.append(section)
            if section == "broken":
                raise LookupError(who)
            return [section]

        async def arun(who):
            return run(who)

        return arun if is_async else run

    names = ("profile", "orders", "broken")
    made = CallableProvider("crm", names, {name: of(name) for name in names})
    assert fetched(made, request("c-1", sections=("orders",))) == {"c-1": {"orders": ["orders"]}}
    assert ran == ["orders"]
    answer = fetched(made, request("c-1", sections=names))["c-1"]
    assert answer["broken"] == Failed(ErrorCode.GENERAL, "crm: LookupError")
    assert answer["profile"] == ["profile"]


def test_a_decorator_makes_a_provider():
    """The function is still there to be called."""

    @provider("crm", sections=("profile",), visibility_lag=30, takes="wire")
    def crm(who):
        return {"profile": {"name": who}}

    @provider("ticket", sections=("problems",))
    async def tickets(who):
        return {"problems": []}

    assert crm.function("c-1") == {"profile": {"name": "c-1"}}
    assert (crm.name, crm.visibility_lag, crm.takes) == ("crm", 30.0, "wire")
    assert inspect.iscoroutinefunction(tickets.fetch)


class Colour(enum.Enum):
    RED = "red"


def test_values_become_plain_and_their_own():
    """Moments, decimals, enums, sets, structs; changed later, the answer is as it was."""
    inner = {"at": dt.datetime(2026, 11, 20, 10), "n": decimal.Decimal("1.50")}
    value = {
        "inner": inner,
        "day": dt.date(2026, 11, 20),
        "id": uuid.UUID(int=7),
        "colour": Colour.RED,
        "some": (each for each in (1, 2)),
        7: True,
        "promise": Commitment(id="p-1", made_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        "never": float("inf"),
    }
    made = CallableProvider("crm", ("profile",), lambda _: {"profile": value})
    found = made.fetch(request("c-1"))["c-1"]["profile"]
    inner["n"] = 3
    promise = found.pop("promise")
    assert (promise["id"], promise["made_at"]) == ("p-1", "2026-01-01T00:00:00Z")
    assert found == {
        "inner": {"at": "2026-11-20T10:00:00+00:00", "n": 1.5},
        "day": "2026-11-20",
        "id": "00000000-0000-0000-0000-000000000007",
        "colour": "red",
        "some": [1, 2],
        "7": True,
        "never": None,
    }


def test_words_of_the_seam_are_passed_on():
    """Found with its age and version, Failed, UNCHANGED and None."""
    at = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    said = {
        "a": Found(decimal.Decimal(2), at, "v1", truncated=True),
        "b": Failed(ErrorCode.AUTH, "no"),
        "c": UNCHANGED,
        "d": None,
    }
    made = CallableProvider("crm", tuple(said), lambda _: said)
    answer = made.fetch(request("c-1", sections=made.sections))["c-1"]
    assert answer == {**said, "a": Found(2, at, "v1", truncated=True)}


def loop_of_itself():
    found = {}
    found["me"] = found
    return found


@pytest.mark.parametrize("value", [object(), b"x", {"x": object()}, loop_of_itself()])
def test_what_is_not_plain_fails_alone(value):
    """The other sections are answered."""
    said = {"profile": value, "orders": [1]}
    made = CallableProvider("crm", tuple(said), lambda _: said)
    answer = made.fetch(request("c-1", sections=made.sections))["c-1"]
    assert answer["profile"] == Failed(ErrorCode.PARSE_ERROR, "crm: no plain data")
    assert answer["orders"] == [1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyError("c-1001"), ErrorCode.GENERAL),
        (TimeoutError("c-1001"), ErrorCode.DEADLINE_EXCEEDED),
        (ConnectionRefusedError("c-1001"), ErrorCode.CONNECTION),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_function_raises_is_never_nothing(error, code, is_async):
    """It has a code, and its words, which may hold an id, are not repeated."""

    def fail(_):
        raise error

    async def afail(_):
        raise error

    made = CallableProvider("crm", ("profile",), afail if is_async else fail)
    with pytest.raises(ProviderError) as caught:
        fetched(made, request("c-1001"))
    assert caught.value.error_code == code
    assert str(caught.value) == f"crm: {type(error).__name__}"
    assert caught.value.__cause__ is error


def test_an_error_of_the_seam_keeps_its_words():
    """A function may say itself what went wrong, and when to come back."""

    def fail(_):
        raise ProviderError(ErrorCode.RATE_LIMITED, "slowly", retry_after=5)

    with pytest.raises(ProviderError, match="slowly") as caught:
        CallableProvider("crm", ("profile",), fail).fetch(request("c-1"))
    assert (caught.value.error_code, caught.value.retry_after) == (ErrorCode.RATE_LIMITED, 5)


def test_a_list_is_no_answer():
    """An answer is section → value; what is not is an error that says so."""
    with pytest.raises(ProviderError, match="expected section → value or None, got list"):
        CallableProvider("crm", ("profile",), lambda _: []).fetch(request("c-1"))


def test_a_hidden_coroutine_is_found_out():
    """A function that only returns what is async is told to be async itself."""
    made = CallableProvider("crm", ("profile",), lambda who: ask(f"{who}"))
    with pytest.raises(ProviderError, match="async def"):
        made.fetch(request("c-1"))


def test_without_time_nothing_is_called():
    """A deadline that is past."""
    ran = []
    with pytest.raises(ProviderError, match="out of time"):
        CallableProvider("crm", ("profile",), ran.append).fetch(request("c-1", seconds=-1))
    assert ran == []


@pytest.mark.parametrize("is_async", [False, True])
def test_close_is_called_once(is_async):
    """Of the kind that the function is."""
    closed = []

    async def aclose():
        closed.append(1)

    made = CallableProvider(
        "crm",
        ("profile",),
        ask if is_async else KNOWN.get,
        close=aclose if is_async else lambda: closed.append(1),
    )
    for _ in range(2):
        told = made.close()
        if is_async:
            asyncio.run(awaited(told))
    assert closed == [1]


def test_a_subclass_stays_what_it_is():
    """Also with an async function."""

    class Mine(CallableProvider):
        def greet(self):
            return self.name

    made = Mine("crm", ("profile",), ask)
    assert isinstance(made, Mine)
    assert made.greet() == "crm"
    assert fetched(made, request("c-1"))["c-1"] == {"profile": {"name": "Ann"}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("CRM", ("profile",), KNOWN.get), "name"),
        (("crm", ("profile", 7), KNOWN.get), "sections"),
        (("crm", ("profile",), None), "can be called"),
        (("crm", ("profile", "x"), {"profile": KNOWN.get}), "one for each"),
        (("crm", ("profile", "x"), {"profile": KNOWN.get, "x": ask}), "two providers"),
        (("crm", ("profile",), {"profile": 7}), "can be called"),
    ],
)
def test_what_is_wrong_is_said_at_once(arguments, words):
    """The error names the argument and what is expected."""
    with pytest.raises(ConfigurationError, match=words):
        CallableProvider(*arguments)
