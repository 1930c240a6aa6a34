"""
A deadline for calls that may hang: the host's page is not late because a store is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from cxsdk import _fork
from cxsdk.errors import StoreUnavailableError

__all__ = ["Deadline"]

T = TypeVar("T")
_REST_S = (0.5, 30.0)


class _Call(Generic[T]):
    """
    One call on its way; whoever comes first, its end or the deadline, decides.
    """

    def __init__(self, function: Callable[[], T], undo: Callable[[], object] | None) -> None:
        self.function = function
        self.undo = undo
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.given_up = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.wake: Callable[[], object] | None = None

    def run(self) -> None:
        if self.given_up:
            return  # it waited for a thread until nobody waited for it
        try:
            self.result = self.function()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self.error = error
        with self.lock:
            late = self.given_up
            self.done.set()
            wake = self.wake
        if late and self.error is None and self.undo is not None:
            try:
                self.undo()
            except Exception:  # noqa: BLE001, S110 - it expires by itself
                pass
        if wake is not None:
            wake()

    def give_up(self) -> bool:
        """
        Say whether it is too late; nobody waits from now on.
        """
        with self.lock:
            self.given_up = not self.done.is_set()
            return self.given_up


class Deadline:
    """
    Runs calls in a few daemon threads and waits for each no longer than *seconds*.

    After one that was too late nothing is asked for a while, half a second at first and half a
    minute at most, so that a store that hangs costs one wait and not one per page. Thread-safe and
    fork-safe; starts a thread at the first call.

    Args:
        seconds: longest wait.

        threads: calls at a time, at most.

        monotonic: a clock in seconds, for tests.
    """

    def __init__(
        self,
        seconds: float,
        *,
        threads: int = 4,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self._most = threads
        self._monotonic = monotonic
        self._is_closed = False
        self._begin_process()

    def _begin_process(self) -> None:
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._rest = 0.0
        self._closed_until = 0.0
        self._generation = _fork.current()  # last: another thread of the child may look at it

    def call(self, function: Callable[[], T], undo: Callable[[], object] | None = None) -> T:
        """
        Return what *function* returns.

        Args:
            undo: called, in the thread, when it succeeds after nobody waits any more.

        Raises:
            StoreUnavailableError: it was not back in time, or one before it was not.
            Exception: whatever it raised.
        """
        call = self._begin(function, undo)
        try:
            call.done.wait(self.seconds)
        except BaseException:
            call.give_up()  # a signal handler of the host's, say: what comes of it is undone
            raise
        return self._end(call)

    async def acall(self, function: Callable[[], T], undo: Callable[[], object] | None = None) -> T:
        """
        Like `call`, without blocking the event loop.
        """
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # the loop was closed: nobody waits
                pass

        call = self._begin(function, undo, wake)
        try:
            await asyncio.wait_for(event.wait(), self.seconds)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            call.give_up()
            raise
        return self._end(call)

    def _begin(
        self,
        function: Callable[[], T],
        undo: Callable[[], object] | None,
        wake: Callable[[], object] | None = None,
    ) -> _Call[T]:
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._begin_process()
        if self._is_closed:
            raise StoreUnavailableError("the prompt engine is closed")
        if self._monotonic() < self._closed_until:
            raise StoreUnavailableError("the store did not answer a moment ago")
        call = _Call(function, undo)
        call.wake = wake
        with self._lock:
            if not self._idle and self._threads < self._most:
                thread = threading.Thread(target=self._work, name="cxsdk-prompts", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise StoreUnavailableError(f"no thread can be started: {error}") from None
                self._threads += 1
                self._idle += 1
            self._idle -= 1
        self._queue.put(call)
        return call

    def _work(self) -> None:
        queue = self._queue
        while True:
            call = queue.get()
            if call is None:
                return
            call.run()
            with self._lock:
                self._idle += 1

    def _end(self, call: _Call[T]) -> T:
        if call.give_up():
            self._rest = min(max(_REST_S[0], self._rest * 2), _REST_S[1])
            self._closed_until = self._monotonic() + self._rest
            raise StoreUnavailableError(f"the store did not answer within {self.seconds:g} s")
        self._rest = 0.0
        if call.error is not None:
            raise call.error
        result: T = call.result
        return result

    def close(self) -> None:
        """
        Let the threads end after what they do now; later calls are refused. Idempotent.
        """
        self._is_closed = True
        if self._generation != _fork.current():
            return  # the threads are the parent's
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads = self._idle = 0
