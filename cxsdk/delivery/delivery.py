"""
The office between a spool and its sinks: threads, flush, close, health.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.config import DeliveryOptions
from cxsdk.delivery.keeper import Keeper
from cxsdk.delivery.line import Line
from cxsdk.delivery.waiter import Waiter
from cxsdk.typing import DeliveryReport, Health, Sink, Spool

if TYPE_CHECKING:
    import asyncio

__all__ = ["Delivery"]

_LONG_S = 3600.0
_STUMBLE_S = 1.0
_GRACE_S = 0.1
_SLICE_S = 0.01


def _unnoted(what: str, count: int) -> None:
    pass


class Delivery:
    """
    Sends what is spooled, and goes on until each sink has it. Safe from any thread.

    Making one starts nothing. After a fork the child makes its own and calls `abandon` on the
    one it inherited. What is not delivered at `close` stays in the spool, which is the caller's
    to close.

    Args:
        spool: where events come from.

        sinks: name → sink; the name owns the cursor in the spool.

        options: sizes and waits.

        clock: all time.

        note: counts what is worth a look, such as ``retries``; must not block.

        rng: source of chance, for tests.

        publish: gets the figures of all sinks about once a second while there is something to do,
            from the keeper; may block on a disk.

        speaks: says which process of a host logs a reason; may block on a disk.
    """

    def __init__(
        self,
        spool: Spool,
        sinks: Mapping[str, Sink],
        options: DeliveryOptions,
        *,
        clock: Clock,
        note: Callable[[str, int], None] = _unnoted,
        rng: random.Random | None = None,
        publish: Callable[[dict[str, Any]], None] | None = None,
        speaks: Callable[[str], bool] | None = None,
    ) -> None:
        chance = rng if rng is not None else random.Random()  # noqa: S311 - jitter is no secret
        self._spool = spool
        self._clock = clock
        self._lines = [
            Line(name, sink, spool, options, clock=clock, note=note, rng=chance, speaks=speaks)
            for name, sink in sinks.items()
        ]
        self._keeper = Keeper(
            spool, self._lines, clock=clock, linger=options.linger, publish=publish
        )
        self._lock = threading.RLock()
        self._threads: dict[str, threading.Thread] = {}
        self._at_work: dict[str, threading.Thread] = {}
        self._waiters: list[Waiter] = []
        self._stopped = False
        self._closed = False
        self._unable = ""

    # ---- threads -------------------------------------------------------------------------

    def start(self) -> None:
        """
        Start the keeper and one sender per sink, as daemons. Idempotent and cheap.

        Where no thread can be started (the interpreter goes down), nothing happens: `flush` and
        `close` then send from the caller's thread.
        """
        if self._closed or len(self._at_work) > len(self._lines):
            return
        if sys.is_finalizing():
            return  # a finalizer of the host's: `Thread.start` would wait for ever
        with self._lock:
            if self._closed:
                return
            try:
                self._start_thread("cxsdk-keeper", self._keeper.run, lambda: self._stopped)
                for line in self._lines:
                    self._start_thread(f"cxsdk-send-{line.name}", self._run, line)
                self._unable = ""
            except RuntimeError as error:
                self._unable = str(error)
                voice.say(logging.WARNING, "threads", "events wait for flush or close: %s", error)

    def _start_thread(self, name: str, target: Callable[..., None], argument: Any) -> None:
        known = self._threads.get(name)
        if name in self._at_work or (known is not None and known.is_alive()):
            return
        thread = threading.Thread(
            target=self._work, args=(name, target, argument), name=name, daemon=True
        )
        self._threads[name] = thread
        try:
            thread.start()
        except RuntimeError:
            del self._threads[name]
            raise

    def _work(self, name: str, target: Callable[..., None], argument: Any) -> None:
        # A host's exception thrown into `start` leaves it unknown whether a thread began. The
        # next call makes another; whichever comes first does the work, the other one ends.
        thread = threading.current_thread()
        if self._at_work.setdefault(name, thread) is thread:
            self._threads[name] = thread
            target(argument)

    def _run(self, line: Line) -> None:
        while not self._stopped:
            wait = self._turn(line)
            if wait != 0 and not self._stopped:
                self._clock.wait(line.bell, _LONG_S if wait is None else wait)
                line.bell.clear()
        self._end(line)

    def _turn(self, line: Line) -> float | None:
        try:
            wait = line.turn()
        except Exception as error:  # noqa: BLE001 - a broken spool must not end a sender
            kind = type(error).__name__
            voice.say(logging.ERROR, f"sender:{line.name}:{kind}", "sender stumbled: %s", kind)
            wait = _STUMBLE_S
            line.next_at = self._clock.monotonic() + wait
        for waiter in list(self._waiters):
            waiter.look()
        return wait

    def _end(self, line: Line) -> None:
        """
        Give back what *line* holds and close its sink, on the thread that used it.
        """
        try:
            if not line.lost:
                line.put_back()
        except Exception as error:  # noqa: BLE001 - it is on disk, or it was never ours to keep
            kind = type(error).__name__
            voice.say(logging.ERROR, f"release:{line.name}", "giving back failed: %s", kind)
        try:
            line.sink.close()
        except Exception as error:  # noqa: BLE001 - a sink is anyone's code
            kind = type(error).__name__
            voice.say(logging.WARNING, f"close:{line.name}", "closing the sink failed: %s", kind)

    def wake(self) -> None:
        """
        Say that the spool fills up. Never blocks, safe in a signal handler.
        """
        for line in self._lines:
            line.press()
        self._keeper.bell.set()

    def abandon(self) -> None:
        """
        Forget everything, in a forked child. Touches no lock, thread, file or connection.
        """
        self._stopped = self._closed = True
        for line in self._lines:
            line.lost = True
        self._lines = []
        self._waiters = []
        self._threads = {}
        self._at_work = {}
        self._lock = threading.RLock()

    # ---- flush and close -----------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> DeliveryReport:
        """
        Deliver what was accepted until now; blocks up to *timeout* seconds.

        Back-off is cut short for one attempt, except where the destination asked for time, is on
        hold, or has failed so often that its breaker is open. Returns early when what is left
        cannot be tried before the timeout.
        """
        if self._closed:
            return self._nothing()
        event = threading.Event()
        waiter = self._wait_for(timeout, event.set, final=False)
        self.start()
        self._await(waiter, event)
        return self._report(waiter)

    async def aflush(self, timeout: float = 5.0) -> DeliveryReport:  # noqa: ASYNC109
        """
        Do what `flush` does without blocking the event loop. Starts no executor.
        """
        if self._closed:
            return self._nothing()
        waiter, event = self._wait_in_loop(timeout, final=False)
        self.start()
        await self._await_in_loop(waiter, event)
        return self._report(waiter)

    def close(self, timeout: float = 5.0) -> DeliveryReport:
        """
        Deliver what can be within *timeout* seconds, then stop. Idempotent, starts no thread.

        Blocks up to *timeout* and a tenth of a second more. What is not delivered goes back to
        the spool, except what a sink hangs on, which stays leased. Unlike `flush` it tries once
        more behind an open breaker.
        """
        if not self._begin_close():
            return self._nothing()
        event = threading.Event()
        waiter = self._wait_for(timeout, event.set, final=True)
        self._press_sinks(waiter)
        self._await(waiter, event)
        self._stop()
        for thread in self._running():
            thread.join(waiter.left() + _GRACE_S)
        self._leave_behind()
        return self._report(waiter)

    async def aclose(self, timeout: float = 5.0) -> DeliveryReport:  # noqa: ASYNC109
        """
        Do what `close` does without blocking the event loop.
        """
        if not self._begin_close():
            return self._nothing()
        waiter, event = self._wait_in_loop(timeout, final=True)
        self._press_sinks(waiter)
        await self._await_in_loop(waiter, event)
        self._stop()
        import asyncio

        loop = asyncio.get_running_loop()
        until = loop.time() + waiter.left() + _GRACE_S
        while self._running() and loop.time() < until:  # noqa: ASYNC110 - threads set no event
            await asyncio.sleep(_SLICE_S)
        self._leave_behind()
        return self._report(waiter)

    def _begin_close(self) -> bool:
        with self._lock:
            first = not self._closed
            self._closed = True
        return first

    def _wait_for(self, timeout: float, done: Callable[[], None], *, final: bool) -> Waiter:
        waiter = Waiter(
            self._spool, self._lines, clock=self._clock, timeout=timeout, final=final, done=done
        )
        with self._lock:
            self._waiters = [*self._waiters, waiter]
        waiter.look()
        return waiter

    def _wait_in_loop(self, timeout: float, *, final: bool) -> tuple[Waiter, asyncio.Event]:
        import asyncio

        event = asyncio.Event()
        loop = asyncio.get_running_loop()

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                loop.call_soon_threadsafe(event.set)

        return self._wait_for(timeout, done, final=final), event

    def _await(self, waiter: Waiter, event: threading.Event) -> None:
        if not event.is_set():
            self._send_here(waiter)
        if not event.is_set():
            self._clock.wait(event, waiter.left())

    async def _await_in_loop(self, waiter: Waiter, event: asyncio.Event) -> None:
        import asyncio

        # An event set by call_soon_threadsafe in this very turn shows after one pass of the loop.
        await asyncio.sleep(0)
        if not event.is_set():
            self._send_here(waiter)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), waiter.left() + _SLICE_S)

    def _send_here(self, waiter: Waiter) -> None:
        """
        Send from this thread for each sink that has no sender of its own.
        """
        orphans = [line for line in self._lines if self._thread_of(line) is None]
        while orphans and waiter.left() > 0 and not waiter.look():
            waits = [self._turn(line) for line in orphans]
            if 0 in waits:
                continue
            shortest = min([wait for wait in waits if wait is not None], default=None)
            if shortest is None or shortest > waiter.left():
                return
            self._clock.wait(orphans[0].bell, shortest)
            orphans[0].bell.clear()

    def _press_sinks(self, waiter: Waiter) -> None:
        """
        Tell sinks that can be told how long this process still has.
        """
        for line in self._lines:
            hurry = getattr(line.sink, "hurry", None)
            if callable(hurry):
                hurry(waiter.left())

    def _stop(self) -> None:
        self._stopped = True
        self._keeper.bell.set()
        for line in self._lines:
            line.bell.set()

    def _thread_of(self, line: Line) -> threading.Thread | None:
        return self._threads.get(f"cxsdk-send-{line.name}")

    def _running(self) -> list[threading.Thread]:
        # A sink or listener may close us from one of our own threads.
        own = threading.current_thread()
        return [each for each in self._threads.values() if each.is_alive() and each is not own]

    def _leave_behind(self) -> None:
        for line in self._lines:
            thread = self._thread_of(line)
            if thread is None:
                self._end(line)
            elif thread.is_alive():
                line.lost = True  # it hangs in its sink; when it comes back the spool is not ours

    def _report(self, waiter: Waiter) -> DeliveryReport:
        with self._lock:
            self._waiters = [each for each in self._waiters if each is not waiter]
        return waiter.report()

    def _nothing(self) -> DeliveryReport:
        return DeliveryReport(delivered=0, pending=0, spooled=0, dropped=0, seconds=0.0)

    # ---- figures -------------------------------------------------------------------------

    def health(self) -> Health:
        """
        Say how delivery is doing. Does not block.
        """
        if not self._lines or self._closed:
            return Health("off", "closed" if self._closed else "there is no sink")
        sinks: dict[str, str] = {}
        status: Literal["ok", "degraded", "holding"] = "ok"
        reasons: list[str] = []
        for line in self._lines:
            holding = line.gate.holding
            sinks[line.name] = "ok"
            if holding is not None:
                sinks[line.name] = f"holding: {holding.reason}"
                status = "holding"
            elif line.gate.breaker.state != "closed":
                sinks[line.name] = f"not answering: {line.last_error}"
                status = "degraded" if status == "ok" else status
            if sinks[line.name] != "ok":
                reasons.append(f"{line.name} {sinks[line.name]}")
        if self._unable:
            status = "degraded" if status == "ok" else status
            reasons.append(f"no thread: {self._unable}")
        return Health(status, "; ".join(reasons), sinks)

    def stats(self) -> dict[str, Any]:
        """
        Return the figures of each sink by its name, see `Line.stats`. Does not block.
        """
        return {line.name: line.stats() for line in self._lines}
