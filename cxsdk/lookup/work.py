"""
Where providers run: sync ones on a few threads of their own, async ones on one loop.

Everything runs in an empty `contextvars.Context`, so that a refresh does not carry the identity of
the request that happened to set it off. All threads are daemons and begin with the first work.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

__all__ = ["Loop", "Pool"]

_IDLE_S = 30.0
_GOODBYE_S = 0.3


class Pool:
    """
    A bounded number of threads with a bounded queue: the bulkhead of one provider.

    A provider that hangs holds its own threads and nobody else's. Thread-safe; for one process.

    Args:
        name: of the threads.

        workers: threads at most.

        waiting: calls that may wait for one, at most.
    """

    def __init__(self, name: str, workers: int, waiting: int = 100) -> None:
        self._name = name
        self._workers = workers
        self._most_waiting = waiting
        self._changed = threading.Condition()
        self._queue: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0
        self._is_closed = False

    def submit(self, work: Callable[[], None]) -> bool:
        """
        Have *work* done, which must not raise; False where there is no room.
        """
        with self._changed:
            if self._is_closed or len(self._queue) >= self._most_waiting:
                return False
            self._queue.append(work)
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif self._threads < self._workers and not self._begin():
                if self._threads:
                    return True  # somebody will come to it
                self._queue.remove(work)
                return False
            return True

    def _begin(self) -> bool:
        thread = threading.Thread(target=Context().run, args=(self._run,), daemon=True)
        thread.name = f"cxsdk-context-{self._name}"
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends
            return False
        self._threads += 1
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                is_woken = self._changed.wait_for(lambda: self._queue or self._is_closed, _IDLE_S)
                self._idle -= 1
                if not self._queue:
                    if self._is_closed or not is_woken:
                        self._threads -= 1
                        return
                    continue
                work = self._queue.popleft()
            try:
                work()
            except BaseException:
                with self._changed:
                    self._threads -= 1  # another one takes its place
                raise
            # What it held must not live until the next one comes.
            del work

    def close(self) -> None:
        """
        Take nothing more; threads end after what they are at. Does not wait.
        """
        with self._changed:
            self._is_closed = True
            self._queue.clear()
            self._changed.notify_all()


class Loop:
    """
    One event loop on a daemon thread, so that clients bound to a loop are made once and one load
    serves callers of every loop and thread. Thread-safe; for one process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def submit(self, make: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """
        Run what *make* returns, which must not raise; False where that cannot be.
        """
        with self._lock:
            if self._is_closed or (self._loop is None and not self._begin()):
                return False
            assert self._loop is not None  # noqa: S101 - for the type
            self._loop.call_soon_threadsafe(self._spawn, self._loop, make, context=Context())
            return True

    def _begin(self) -> bool:
        try:
            loop = asyncio.new_event_loop()
        except OSError:  # no more file descriptors
            return False
        thread = threading.Thread(target=Context().run, args=(self._run, loop), daemon=True)
        thread.name = "cxsdk-context-loop"
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            return False
        self._loop, self._thread = loop, thread
        return True

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        is_over = False
        try:
            while not is_over:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit):
                    continue  # of a task of one provider's; the loop is for all of them
                is_over = True
        finally:
            loop.close()

    def _spawn(
        self, loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        task = loop.create_task(make())
        # A loop holds its tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
        """
        Run *last*, cancel what runs, and end the loop; wait up to *seconds* for it. Idempotent.
        """
        with self._lock:
            loop, thread, self._is_closed = self._loop, self._thread, True
            self._loop = None
        if loop is None or thread is None:
            return

        async def end() -> None:
            own = asyncio.current_task()
            for task in [each for each in self._tasks if each is not own]:
                task.cancel()
            try:
                await asyncio.wait_for(last(), seconds)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001, S110 - others' goodbyes
                pass
            await _left(own)
            loop.stop()

        def begin() -> None:
            self._tasks.add(loop.create_task(end()))

        try:
            loop.call_soon_threadsafe(begin, context=Context())
        except RuntimeError:
            return
        if thread is not threading.current_thread():
            thread.join(seconds + 0.5)


async def _left(own: asyncio.Task[Any] | None) -> None:
    """
    Give the cancelled tasks their turns, and cancel those that providers began.
    """
    left = {task for task in asyncio.all_tasks() if task is not own}
    for task in left:
        if not task.cancelling():
            task.cancel()
    if left:
        await asyncio.wait(left, timeout=_GOODBYE_S)
    await asyncio.get_running_loop().shutdown_asyncgens()
