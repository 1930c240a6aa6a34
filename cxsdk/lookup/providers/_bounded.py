"""
Work on a thread of its own, waited for until a deadline and no longer.

For clients whose own timeouts begin at seconds, count anew with every read, or end at the name
lookup. Who waits is back in time whatever the server does; the thread ends when its client does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

from cxsdk.errors import ProviderError
from cxsdk.knowing import ErrorCode
from cxsdk.lookup.providers._base import PerProcess

__all__ = ["Bounded", "Leash"]

T = TypeVar("T")


class Leash:
    """
    A way to end what the thread is waiting for.
    """

    def __init__(self) -> None:
        # Between `let_go` and `pull`: a connection that is back in its pool is somebody else's.
        self._lock = threading.Lock()
        self._held: Any = None
        self._is_pulled = False

    def hold(self, connection: Any) -> None:
        """
        Name the driver's connection that is being waited for.

        Raises:
            TimeoutError: nobody waits for it any more.
        """
        with self._lock:
            if self._is_pulled:
                raise TimeoutError
            self._held = connection

    def let_go(self) -> None:
        """
        Say that it is not waited for any more.
        """
        with self._lock:
            self._held = None

    def pull(self) -> None:
        """
        End the wait: a query of SQLite is interrupted, a socket shut down.
        """
        with self._lock:
            self._is_pulled = True
            held = self._held
            if held is None:
                return
            with contextlib.suppress(Exception):
                if hasattr(held, "interrupt"):
                    held.interrupt()
                elif hasattr(held, "fileno"):
                    _shut(held.fileno())


def _shut(descriptor: int) -> None:
    # Only shut down: closed under the thread's feet, the number could be another file's by then.
    mine = socket.socket(fileno=os.dup(descriptor))
    try:
        mine.shutdown(socket.SHUT_RDWR)
    finally:
        mine.close()


class Bounded:
    """
    Runs work for one provider. Safe from any thread and after a fork.

    Args:
        name: of the provider.

        most: threads at a time; those that hang are counted until they end.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._room = PerProcess(lambda: threading.BoundedSemaphore(most))

    def run(self, work: Callable[[Leash], T], deadline: float) -> T:
        """
        Return what *work* returns. Blocks until *deadline*, by `time.monotonic`, at most.

        Raises:
            ProviderError: it is not done by then, or too many others are not.
            Exception: what *work* raised.
        """
        room = self._room.get()
        if not room.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise ProviderError(ErrorCode.BULKHEAD_FULL, f"{self._name}: too many wait for it")
        leash, done = Leash(), threading.Event()
        outcome: list[tuple[bool, Any]] = []

        def run() -> None:
            try:
                outcome.append((True, work(leash)))
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                outcome.append((False, error))
            finally:
                leash.let_go()
                room.release()
                done.set()

        thread = threading.Thread(
            target=Context().run, args=(run,), name=f"cxsdk-{self._name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down
            room.release()
            raise ProviderError(ErrorCode.GENERAL, f"{self._name}: no thread") from None
        if not done.wait(max(0.0, deadline - time.monotonic())):
            leash.pull()
            raise ProviderError(ErrorCode.DEADLINE_EXCEEDED, f"{self._name}: no answer in time")
        is_well, result = outcome[0]
        if not is_well:
            raise result
        return result  # type: ignore[no-any-return]
