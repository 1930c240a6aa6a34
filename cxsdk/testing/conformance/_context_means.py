"""
What a subclass of the conformance suite says about its context provider, and how it is asked.
"""

from __future__ import annotations

import abc
import asyncio
import copy
import inspect
import multiprocessing
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import pytest

from cxsdk.knowing import ContextProvider, Failed, Found, LookupRequest, Space, Subject

__all__ = [
    "ANN",
    "BEN",
    "ENOUGH_S",
    "SLACK_S",
    "ContextProviderUnderTest",
    "gathered",
    "in_child",
    "in_threads",
    "is_async",
    "value",
]

_PATIENCE_S = 60.0
ENOUGH_S = 30.0
SLACK_S = 3.0
ANN, BEN = "c-1001", "c-2002"


class ContextProviderUnderTest(abc.ABC):
    """
    A provider, its source, and what the source is to know.
    """

    secrets: Sequence[str] = ()
    """What the provider was given and must not show."""

    values: ClassVar[Mapping[str, Any]] = {
        "profile": {"name": "Ann of the tests"},
        "interactions": [{"id": "i-1", "summary": "called about a parcel"}],
    }
    """Section → a value, plain data, as `put` saves and the provider returns it."""

    space: Space = "id"

    knows = True
    """False: a provider that never knows anything; tests that need something are skipped."""

    hostile: Sequence[str] = (
        "",
        ".",
        "..",
        "../c-1001",
        "x/../c-1001",
        "c-1001/",
        "c-1001?",
        "c-1001#x",
        "%2e%2e/c-1001",
        "c-1001%00",
        "c-1001\r\nX: y",
        "c-*",
        "*",
        "%",
        "{id}",
        "c-1001' OR '1'='1",
        "a b/é?#",
        "c-1001" * 5000,
        "\ud800",
    )
    """Ids that a source could take for something else than an id."""

    @abc.abstractmethod
    def make_provider(self) -> ContextProvider:
        """
        Make a provider over the source of this test, which knows what `put` said.
        """

    def put(self, identifier: str, section: str, value: Any) -> None:
        """
        Have the source say *value*, plain data, from now on.
        """
        raise NotImplementedError

    def make_dead(self) -> Sequence[ContextProvider]:
        """
        Return providers whose source refuses: nobody listens, or the password is wrong.
        """
        return ()

    def make_hanging(self) -> Sequence[ContextProvider]:
        """
        Return providers whose source takes the question and never answers.
        """
        return ()

    # ---- means

    @pytest.fixture
    def loop(self) -> Iterator[asyncio.Runner]:
        """
        Run what is async on one loop for the length of a test.
        """
        with asyncio.Runner() as runner:
            self._loop = runner
            yield runner

    @pytest.fixture
    def provider(self, loop: asyncio.Runner) -> Iterator[ContextProvider]:
        """
        Make, then close, the provider.
        """
        made = self.make_provider()
        yield made
        self.close(made)

    def fetch(
        self, provider: ContextProvider, *identifiers: str, seconds: float = ENOUGH_S, **more: Any
    ) -> Mapping[str, Mapping[str, Any]]:
        """
        Fetch on this thread, or on a loop where the provider is async.
        """
        told = provider.fetch(self.request(*identifiers, seconds=seconds, **more))
        if not inspect.isawaitable(told):
            return told
        return self._loop.run(awaited(told))

    def request(self, *identifiers: str, seconds: float = ENOUGH_S, **more: Any) -> LookupRequest:
        """
        Return a request for all sections of `values`, whose deadline is in *seconds*.
        """
        return LookupRequest(
            subjects=tuple(Subject(each, self.space) for each in identifiers),
            sections=more.pop("sections", frozenset(self.values)),
            purpose="support",
            deadline=time.monotonic() + seconds,
            **more,
        )

    def close(self, provider: ContextProvider) -> None:
        """
        Close, where there is something to close.
        """
        told = provider.close() if hasattr(provider, "close") else None
        if inspect.isawaitable(told):
            self._loop.run(awaited(told))

    def fill(self, *identifiers: str) -> None:
        """
        Have the source know the customers, each with an own mark in every text.
        """
        if not self.knows:
            pytest.skip("a provider that knows nothing")
        for identifier in identifiers:
            for section in self.values:
                self.put(identifier, section, self.of(identifier, section))

    def of(self, identifier: str, section: str) -> Any:
        """
        Return the value of a customer.
        """
        return marked(copy.deepcopy(self.values[section]), identifier)

    def plain(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return what was found of one customer, without what is nothing.
        """
        found = {name: value(said) for name, said in answer.items()}
        return {name: value for name, value in found.items() if value is not None}

    def expected(self, identifier: str) -> dict[str, Any]:
        """
        Return what is to be found of a customer.
        """
        return {section: self.of(identifier, section) for section in self.values}

    def refused(self, provider: ContextProvider, *identifiers: str, seconds: float) -> None:
        """
        Check that nothing could be found out, and that this is said.
        """
        try:
            answers = self.fetch(provider, *identifiers, seconds=seconds)
        except Exception:  # noqa: BLE001 - whatever it raises says so
            return
        for identifier in identifiers:
            said = answers.get(identifier, {})
            assert set(said) >= set(self.values), "an outage looks like nothing there"
            assert all(isinstance(each, Failed) for each in said.values())


def value(said: Any) -> Any:
    """
    Return what was said of a section, which has not failed.
    """
    assert not isinstance(said, Failed), said
    return said.value if isinstance(said, Found) else said


def marked(value: Any, identifier: str) -> Any:
    """
    Return *data* with the customer's mark in each text.
    """
    if isinstance(value, dict):
        return {name: marked(item, identifier) for name, item in value.items()}
    if isinstance(value, list):
        return [marked(item, identifier) for item in value]
    return f"{value} ({identifier[-4:]})" if isinstance(value, str) else value


def is_async(provider: ContextProvider) -> bool:
    """
    Say whether `fetch` is a coroutine function.
    """
    return inspect.iscoroutinefunction(provider.fetch)


async def awaited(told: Any) -> Any:
    """
    Return what comes of *told*.
    """
    return await told


async def gathered(provider: ContextProvider, requests: Sequence[LookupRequest]) -> list[Any]:
    """
    Fetch all *requests* at a time.
    """
    return await asyncio.gather(*(awaited(provider.fetch(each)) for each in requests))


def in_threads(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """
    Make all *calls* at a time, each on a thread of its own; return what they return.
    """
    results: list[Any] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(number: int) -> None:
        barrier.wait(_PATIENCE_S)
        try:
            results[number] = calls[number]()
        except Exception as error:  # noqa: BLE001 - told to the test
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE_S)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def in_child(work: Callable[[], Any]) -> Any:
    """
    Return what *work* returns in a forked child.
    """
    context = multiprocessing.get_context("fork")
    heard, told = context.Pipe(duplex=False)

    def run(end: Connection) -> None:
        try:
            end.send((True, work()))
        except BaseException as error:  # noqa: BLE001 - told to the test
            end.send((False, repr(error)))

    with warnings.catch_warnings():
        # A test runner may have threads; the child uses none of what those hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=run, args=(told,), daemon=True)
        child.start()
    told.close()
    assert heard.poll(_PATIENCE_S), "the child hangs"
    is_well, result = heard.recv()
    heard.close()
    child.join(_PATIENCE_S)
    assert is_well, result
    return result
