"""
What the conformance suite of cap stores asks for, and the processes that it asks in.
"""

from __future__ import annotations

import abc
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import pytest

from cxsdk.asking import Cap, CapStore, Denied, Quota, Request, Reserved
from cxsdk.errors import StoreUnavailableError

__all__ = ["ANN", "BEN", "DAY", "GAP", "CapStoreUnderTest", "any_cap", "ask", "patiently"]

T = TypeVar("T")
DAY = 86_400.0
GAP = 7 * DAY
ANN, BEN = "c-ann", "c-ben"
_PATIENCE_S = 20.0
_time = time.time  # as it was before a test set it


def any_cap(subject: str = ANN, **rules: Any) -> Cap:
    """
    Return the cap on everything that *subject* is asked: by default once in seven days.
    """
    return Cap("any", subject, "cap_global", **(rules or {"within": GAP}))


def ask(offer_id: str, subject: str = ANN, **how: Any) -> Request:
    """
    Return a request with the cap of `any_cap` and ten minutes to answer.
    """
    given = {"caps": (any_cap(subject),), "expires_in": 600.0, "record": b"\x00record\xff", **how}
    return Request(offer_id=offer_id, prompt=given.pop("prompt", "p"), subject=subject, **given)


def patiently(call: Callable[[], T]) -> T:
    """
    Return what *call* returns, made again while the store is too busy to say.
    """
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except StoreUnavailableError:
            if time.monotonic() > end:
                raise


class CapStoreUnderTest(abc.ABC):
    """
    What a subclass of the conformance suite says about its store.
    """

    secrets: Sequence[str] = ()
    """What the stores were given and must not show."""

    max_seconds: float = 2.0
    """How long a call may take when the store does not answer."""

    is_shared = True
    """False: the store is one process's own; races are between threads then."""

    race_processes = 16
    race_customers = 330
    race_quota = 300

    shift = 0.0
    """Seconds by which the clock of every store that `make_store` returned is to be ahead."""

    @abc.abstractmethod
    def make_store(self) -> CapStore:
        """
        Open the store of this test, as each process would; a new test has a new, empty one. Its
        clock is ahead by `shift`, looked at in each call.
        """

    def make_broken_stores(self) -> Sequence[CapStore]:
        """
        Return stores that cannot be asked: nobody listens, nobody answers, a wrong password.
        """
        return ()

    def clock(self) -> float:
        """
        Return seconds since 1970, ahead by `shift`: for stores that are given a clock.
        """
        return _time() + self.shift

    def later(self, seconds: float) -> None:
        """
        Let time go by.
        """
        self.shift += seconds

    @pytest.fixture
    def store(self) -> Iterator[CapStore]:
        """
        Open, then close, the store.
        """
        made = self.make_store()
        yield made
        made.close()

    def granted(self, store: CapStore, request: Request) -> None:
        """
        Check that *request* is granted.
        """
        result = store.reserve(request)
        assert result == Reserved(request.offer_id), f"expected a reservation, got {result!r}"

    def refused(self, store: CapStore, request: Request, reason: str) -> Denied:
        """
        Check that *request* is refused for *reason*.
        """
        result = store.reserve(request)
        assert isinstance(result, Denied), f"expected {reason}, got {result!r}"
        assert result.reason == reason
        return result

    # ---- processes

    def at_once(self, count: int, work: Callable[[int, CapStore], T]) -> list[T]:
        """
        Call *work* with a number and a store of its own in *count* processes that begin together;
        return what each returned.
        """
        if not self.is_shared:
            return self._in_threads(count, work)
        context = multiprocessing.get_context("fork")
        barrier = context.Barrier(count)

        def run(number: int, told: Connection) -> None:
            try:
                barrier.wait(_PATIENCE_S)
                store = self.make_store()
                told.send((True, work(number, store)))
                store.close()
            except BaseException as error:  # noqa: BLE001 - told to the test
                told.send((False, repr(error)))

        ends = [context.Pipe(duplex=False) for _ in range(count)]
        children = [
            context.Process(target=run, args=(number, told), daemon=True)
            for number, (_, told) in enumerate(ends)
        ]
        with warnings.catch_warnings():
            # A test runner may have threads; the children use none of what those hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            for child in children:
                child.start()
        results = []
        for (heard, told), child in zip(ends, children, strict=True):
            told.close()
            is_well, result = heard.recv()
            heard.close()
            child.join(_PATIENCE_S)
            assert is_well, result
            results.append(result)
        return results

    def _in_threads(self, count: int, work: Callable[[int, CapStore], T]) -> list[T]:
        results: list[Any] = [None] * count
        barrier = threading.Barrier(count)

        def run(number: int) -> None:
            barrier.wait(_PATIENCE_S)
            results[number] = work(number, self.make_store())

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def killed(self, work: Callable[[CapStore], object]) -> None:
        """
        Call *work* in a process that is killed right after it.
        """
        if not self.is_shared:
            pytest.skip("a store of one process dies with it")

        def run() -> None:
            work(self.make_store())
            os.kill(os.getpid(), signal.SIGKILL)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = multiprocessing.get_context("fork").Process(target=run, daemon=True)
            child.start()
        child.join(_PATIENCE_S)
        assert child.exitcode == -signal.SIGKILL

    def quotas(self, limit: int) -> tuple[Quota, ...]:
        """
        Return one quota of *limit* answers.
        """
        return (Quota("p:all", limit),)
