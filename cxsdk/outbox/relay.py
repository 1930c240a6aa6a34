"""
The relay: committed rows to the spool, on a thread and on connections of its own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from cxsdk._guard import voice
from cxsdk.delivery.bell import Bell
from cxsdk.outbox.row import Keep
from cxsdk.outbox.store import Store, name_of, open_store

__all__ = ["MOST_ROWS", "Relay"]

MOST_ROWS = 500
"""Rows of one short transaction."""

_FIRST_LOOK_S = 2.0
_SWEEP_S = 60.0
_GAP_S = 0.05
_AGAIN_S = (0.02, 0.1, 0.5, 2.0, 10.0)
_MOST_BACK_OFF_S = 60.0
_SLICE_S = 0.01


class Relay:
    """
    Looks at the outbox when a transaction was committed here, and about once a minute for what
    others left. Safe from any thread; starts its thread at the first `ring` or `watch`.

    A thread of its own and not the keeper's: a database that hangs must not stop the chores of
    the spool.

    Args:
        keep: takes rows over.

        service, environment: whose rows; those of others are left alone.

        note: counts what is worth a look.
    """

    def __init__(
        self, keep: Keep, service: str, environment: str, *, note: Callable[[str], None]
    ) -> None:
        self._keep = keep
        self._whose = (service, environment)
        self._note = note
        self._stores: dict[str, Store] = {}
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._troubles: dict[str, str] = {}
        self._bell = Bell()
        self._hurry = threading.Event()
        self._turned = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._again: list[float] = []
        self._failures = 0
        self._next = time.monotonic() + _FIRST_LOOK_S
        self._thread: threading.Thread | None = None
        self._stopped = False

    # ---- from the host's threads ----------------------------------------------------------

    def add(self, source: Any) -> None:
        """
        Look after the table behind *source* too: an engine, a URL, ``django:<alias>``.

        Raises:
            ConfigurationError: it leads to no database.
            ExtraMissingError: a package is missing.
        """
        # Asked at every commit, and a URL takes a while to write out.
        if not isinstance(source, str) and source in self._known:
            return
        name = name_of(source)
        if name not in self._stores:
            self._stores.setdefault(name, open_store(source))
        if not isinstance(source, str):
            self._known.add(source)

    def ring(self, *, is_early: bool = False) -> None:
        """
        Say that rows were committed; *is_early*: or will be, in a moment. Never blocks.
        """
        if is_early:
            self._again = list(_AGAIN_S)
        self._bell.set()
        self.watch()

    def watch(self) -> None:
        """
        Start the thread, if it is not there. Idempotent and cheap.
        """
        if self._thread is not None or self._stopped:
            return
        with self._turned:
            if self._thread is not None or self._stopped:
                return
            thread = threading.Thread(target=self._run, name="cxsdk-outbox", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                voice.say(logging.WARNING, "threads", "cxsdk: committed rows wait: %s", error)
                return
            self._thread = thread

    def flush(self, timeout: float) -> None:
        """
        Block until a look that began after this call is over, or *timeout* seconds.
        """
        asked = self._ask()
        if asked:
            with self._turned:
                self._turned.wait_for(lambda: self._is_answered(asked), timeout)

    async def aflush(self, timeout: float) -> None:  # noqa: ASYNC109
        """
        Like `flush`, without blocking the event loop.
        """
        import asyncio

        end = time.monotonic() + timeout
        asked = self._ask()
        while asked and not self._is_answered(asked) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(_SLICE_S)

    def _ask(self) -> int:
        """
        Ask for a look; return its number, 0 where nobody would answer.
        """
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return 0
        with self._turned:
            self._asked += 1
            asked = self._asked
        self._hurry.set()
        self._bell.set()
        return asked

    def _is_answered(self, asked: int) -> bool:
        return self._answered >= asked or self._stopped

    def close(self, timeout: float) -> None:
        """
        Stop; block up to *timeout* seconds for what is under way. Idempotent.
        """
        self._stopped = True
        self._hurry.set()
        self._bell.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def abandon(self) -> None:
        """
        Forget everything in a forked child: connections and threads are the parent's.
        """
        self._stopped = True
        self._stores = {}
        self._thread = None

    def stats(self) -> dict[str, Any]:
        """
        Return the tables looked after, and the last trouble with each.
        """
        return {"tables": sorted(self._stores), "troubles": dict(self._troubles)}

    # ---- on the relay's own thread --------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped:
            self._bell.wait(max(0.0, self._next - time.monotonic()))
            self._bell.clear()
            self._hurry.clear()
            if self._stopped:
                break
            asked = self._asked
            found = self._look()
            self._plan(found=found)
            with self._turned:
                self._answered = asked
                self._turned.notify_all()
            # Many commits a second cost few looks; someone who waits for a flush costs one more.
            if self._asked == asked:
                self._hurry.wait(_GAP_S)
        self._rest()
        with self._turned:
            self._turned.notify_all()

    def _look(self) -> int:
        found = failed = 0
        for name, store in list(self._stores.items()):
            try:
                found += self._empty(store)
                self._troubles.pop(name, None)
            except Exception as error:  # noqa: BLE001 - a database may fail in any way
                failed += 1
                words = self._troubles[name] = store.words_of(error)
                self._note("outbox_failed")
                voice.say(
                    logging.WARNING,
                    f"outbox:{name}",
                    "cxsdk: the outbox in %s waits: %s",
                    name,
                    words,
                )
        self._failures = self._failures + 1 if failed else 0
        return found

    def _empty(self, store: Store) -> int:
        found = 0
        while not self._stopped:
            taken = store.take(*self._whose, MOST_ROWS, self._keep)
            found += taken
            if taken < MOST_ROWS:
                break
        return found

    def _plan(self, *, found: int) -> None:
        """
        Decide when to look next if nobody rings.
        """
        wait = _SWEEP_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter is no secret
        if self._failures:
            wait = min(_MOST_BACK_OFF_S, 0.5 * 2.0 ** min(self._failures, 8))
        if self._again:
            wait = min(wait, self._again.pop(0))
        elif not found:
            self._rest()
        self._next = time.monotonic() + wait

    def _rest(self) -> None:
        """
        Let go of connections: nothing is expected soon.
        """
        for store in list(self._stores.values()):
            try:
                store.rest()
            except Exception as error:  # noqa: BLE001 - a connection may be broken in any way
                voice.say(logging.DEBUG, "outbox_rest", "cxsdk: outbox: %s", type(error).__name__)
