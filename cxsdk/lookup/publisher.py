"""
The publisher: takes what was seen to the shared memory, on a thread of its own, so that no emit
ever waits for a network.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from cxsdk._guard import voice
from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.journal import read
from cxsdk.remembering import SharedMemory, Told

__all__ = ["Publisher"]

Key = tuple[str, str]

_BATCH = 200
_RETRY_S = 1.0


class Publisher:
    """
    Puts things into a shared memory in their order. Its daemon thread, ``cxsdk-memory-put``,
    begins with the first of them.

    While the memory is down a bounded number waits, the oldest go first, counted and said once.
    Thread-safe, also from a signal handler. After a fork the overlay makes a new one.

    Args:
        name: gives the subject of a key.

        keep_s: seconds for which an event is kept.

        note: called with the name of what is worth a look.

        most: things that wait at most.

        max_bytes: bytes of them at most.
    """

    def __init__(
        self,
        shared: SharedMemory,
        name: Callable[[Key], str],
        keep_s: float,
        note: Callable[[str], None],
        *,
        most: int = 5000,
        max_bytes: int = 8 * 2**20,
    ) -> None:
        self._shared = shared
        self._name = name
        self._keep_s = keep_s
        self._note = note
        self._most = most
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Key, Any, bool]] = deque()
        self._bytes = 0
        self._under_way = 0
        # Its `put` may be called by a signal handler that interrupted another `put`.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._put = self._done = 0
        self._marks: list[tuple[int, threading.Event]] = []
        self._is_closed = self._is_down = False
        self.lost = self.failures = self.published = 0

    # ---- for everybody --------------------------------------------------------------------

    def put(self, key: Key, what: Any, is_contact: bool = False) -> None:  # noqa: FBT001, FBT002
        """
        Take an encoded event (bytes), a `Told`, or a call to be made in its turn. Never blocks.
        """
        with self._lock:
            if self._is_closed:
                return
            waiting = self._waiting
            waiting.append((key, what, is_contact))
            self._put += 1
            self._bytes += _size(what)
            if len(waiting) > self._most or self._bytes > self._max_bytes:
                self._shed()
            is_first = len(waiting) == 1
        if self._thread is None:
            self._begin()
        if is_first:
            self._bell.put(None)

    def _shed(self) -> None:
        # Not what is on its way right now, if there is anything else.
        first = self._under_way if self._under_way < len(self._waiting) else 0
        for place, (_, what, _is) in enumerate(self._waiting):
            if place >= first and not callable(what):
                first = place
                break
        self._bytes -= _size(self._waiting[first][1])
        del self._waiting[first]
        self._finished(1)
        self.lost += 1
        self._note("memory_lost")
        words = "cxsdk: the shared memory is away or slow, others will not hear of some events"
        voice.say(logging.WARNING, "memory:lost", words)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is not None or self._is_closed or sys.is_finalizing():
                return
            thread = threading.Thread(target=self._work, name="cxsdk-memory-put", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the next one, or whoever settles, tries again
            self._thread = thread

    def forget(self, keys: Collection[Key]) -> int:
        """
        Give up what waits of *keys*; return how many things that were.
        """
        with self._lock:
            kept = deque(one for one in self._waiting if one[0] not in keys)
            gone = len(self._waiting) - len(kept)
            self._waiting = kept
            self._bytes = sum(_size(what) for _, what, _ in kept)
            self._finished(gone)
        return gone

    def settle(self, seconds: float) -> None:
        """
        Wait until all that was put before is in the memory.

        Raises:
            StoreUnavailableError: it is not, after *seconds* or because the memory is away.
        """
        with self._lock:
            wanted = self._put
            if self._done >= wanted:
                return
            heard = threading.Event()
            self._marks.append((wanted, heard))
        self._begin()
        self._bell.put(None)  # try now what was to be tried later
        heard.wait(seconds)
        if self._done < wanted:
            raise StoreUnavailableError("the shared memory has not got all yet")

    def close(self, seconds: float = 1.0) -> None:
        """
        Put what waits, for up to *seconds*, and end the thread. Idempotent.
        """
        if self._is_closed:
            return
        try:
            self.settle(seconds)
        except StoreUnavailableError as error:
            voice.say(logging.WARNING, "memory:put", "cxsdk: not all is remembered: %s", error)
        with self._lock:
            self._is_closed = True
            thread = self._thread
        self._bell.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def stats(self) -> dict[str, Any]:
        """
        Return the figures as plain data.
        """
        with self._lock:
            return {
                "waiting": len(self._waiting),
                "published": self.published,
                "lost": self.lost,
                "failures": self.failures,
                "is_down": self._is_down,
            }

    # ---- the thread -----------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            while not self._bell.empty():
                self._bell.get()  # all of them say the same
            with self._lock:
                run = self._head()
                self._under_way = len(run)
                is_over = self._is_closed and (self._is_down or not run)
            if is_over:
                return
            if not run:
                self._bell.get()
                continue
            is_done = self._try(run)
            with self._lock:
                self._is_down = not is_done
                self._under_way = 0
                if is_done:
                    self._take_away(run)
                else:
                    self.failures += 1
                    self._wake()
            if not is_done:
                self._rest()

    def _rest(self) -> None:
        try:
            self._bell.get(timeout=_RETRY_S)
        except queue.Empty:
            pass

    def _head(self) -> list[tuple[Key, Any, bool]]:
        """
        Return what can be done in one step: a call, or things up to the next call.
        """
        run: list[tuple[Key, Any, bool]] = []
        for item in self._waiting:
            if callable(item[1]):
                return run or [item]
            run.append(item)
            if len(run) == _BATCH:
                break
        return run

    def _take_away(self, run: list[tuple[Key, Any, bool]]) -> None:
        waiting, count = self._waiting, 0
        # By what they are: meanwhile some may have been given up, and others have come.
        done = {id(item) for item in run}
        while waiting and id(waiting[0]) in done:
            self._bytes -= _size(waiting.popleft()[1])
            count += 1
        self.published += count
        self._finished(count)

    def _finished(self, count: int) -> None:
        self._done += count
        for wanted, heard in self._marks:
            if self._done >= wanted:
                heard.set()
        self._marks = [mark for mark in self._marks if not mark[1].is_set()]

    def _wake(self) -> None:
        marks, self._marks = self._marks, []
        for _, heard in marks:
            heard.set()

    def _try(self, run: list[tuple[Key, Any, bool]]) -> bool:
        try:
            if callable(run[0][1]):
                run[0][1]()
            else:
                told = [one for one in map(self._told, run) if one is not None]
                if told:
                    self._shared.put(told)
        except StoreUnavailableError as error:
            voice.say(logging.WARNING, "memory:put", "cxsdk: not remembered yet: %s", error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a memory of the team's raises
            self._note("memory_error")
            voice.say(logging.ERROR, "memory:error", "cxsdk: the shared memory: %r", error)
        return True

    def _told(self, item: tuple[Key, Any, bool]) -> Told | None:
        key, what, is_contact = item
        if isinstance(what, Told):
            return what
        try:
            seen = read(what, {})
        except Exception:  # noqa: BLE001 - what cannot be read here cannot be read elsewhere
            return None
        shelf = "interactions" if is_contact else "facts"
        return Told(self._name(key), seen.id, shelf, seen.when, self._keep_s, what)  # type: ignore[arg-type]


def _size(what: Any) -> int:
    return len(what) if isinstance(what, bytes) else 0
