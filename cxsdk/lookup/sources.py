"""
A registered provider: how it is called, and what its answers and errors mean.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from cxsdk._clock import Clock
from cxsdk._guard import logger, voice
from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import UNCHANGED, ErrorCode, Failed, Found, LookupRequest, Reason
from cxsdk.lookup.breaker import Breaker
from cxsdk.lookup.work import Loop, Pool

__all__ = ["Outcome", "Source", "outcome_of", "part"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_MOST_TASKS = 100
_NOT_ITS_FAULT = frozenset(
    {ErrorCode.UPSTREAM_4XX, ErrorCode.INVALID_SUBJECT, ErrorCode.BULKHEAD_FULL}
)
_RESERVED = frozenset({"local", "default", "shared"})


class Outcome:
    """
    What one provider said of one section. *value* is as the provider sent it.
    """

    __slots__ = ("as_of", "code", "message", "reason", "truncated", "unchanged", "value", "version")

    def __init__(
        self,
        reason: Reason,
        *,
        value: Any = None,
        as_of: datetime | None = None,
        version: str | None = None,
        truncated: bool = False,
        unchanged: bool = False,
        code: ErrorCode | None = None,
        message: str = "",
    ) -> None:
        self.reason = reason
        self.value = value
        self.as_of = as_of
        self.version = version
        self.truncated = truncated
        self.unchanged = unchanged
        self.code = code
        self.message = message


def outcome_of(said: Any, asked_at: datetime) -> Outcome:
    """
    Return what a provider's word for one section means; it is as of *asked_at* where it does not
    say of when it is.
    """
    if said is UNCHANGED:
        return Outcome(Reason.RESOLVED, unchanged=True, as_of=asked_at)
    if isinstance(said, Failed):
        return Outcome(Reason.ERROR, code=_code(said.code), message=str(said.message))
    found = said if isinstance(said, Found) else Found(said)
    if found.value is None:
        return Outcome(Reason.NOT_FOUND, as_of=found.as_of or asked_at)
    if found.as_of is not None and found.as_of.tzinfo is None:
        code, words = ErrorCode.PARSE_ERROR, "as_of: expected an aware datetime"
        return Outcome(Reason.ERROR, code=code, message=words)
    return Outcome(
        Reason.RESOLVED,
        value=found.value,
        as_of=found.as_of or asked_at,
        version=found.version,
        truncated=found.truncated,
    )


class Source:
    """
    One provider of a client. Thread-safe; `begin_process` before its first use in a process.

    Args:
        provider: what was registered.

        workers: threads of a sync one.

        clock: for tests.

        is_own: it is one of ours, under a name that others must not have.

    Raises:
        ConfigurationError: it is no provider.
    """

    def __init__(self, provider: Any, workers: int, clock: Clock, *, is_own: bool = False) -> None:
        self.provider = provider
        name = getattr(provider, "name", None)
        is_reserved = name in _RESERVED and not is_own
        if not isinstance(name, str) or not _NAME.match(name) or is_reserved:
            raise ConfigurationError(
                "context.providers: expected a provider whose name is a lower-case word, not"
                f" {' or '.join(sorted(_RESERVED))}, got {name!r:.60} of {type(provider).__name__}"
            )
        self.name = name
        sections = getattr(provider, "sections", None)
        if (
            not isinstance(sections, (frozenset, set, tuple, list))
            or not sections
            or not (is_own or all(isinstance(one, str) and _NAME.match(one) for one in sections))
        ):
            raise ConfigurationError(
                f"context.providers: expected {name}.sections to be names, such as"
                " frozenset({'profile'})"
            )
        self.sections = frozenset(sections)
        if not callable(getattr(provider, "fetch", None)):
            raise ConfigurationError(f"context.providers: expected {name}.fetch(request)")
        self.takes = getattr(provider, "takes", "raw")
        if self.takes not in {"raw", "wire"}:
            raise ConfigurationError(f"context.providers: {name}.takes: expected raw or wire")
        spaces = getattr(provider, "spaces", ("id",))
        self.spaces = frozenset((spaces,) if isinstance(spaces, str) else spaces)
        self.max_batch = max(1, int(getattr(provider, "max_batch", 1)))
        self.lag = float(getattr(provider, "visibility_lag", 0.0))
        self.is_async = _is_async(provider.fetch)
        self._clock = clock
        self.changed: Callable[[Source, str | None], None] = lambda *_: None
        """Told of subjects whose answers changed; the engine puts its own here."""

        self._workers = workers
        self.begin_process(Loop())

    def begin_process(self, loop: Loop) -> None:
        """
        Forget threads and what was started: a forked child has neither.
        """
        self._loop = loop
        self._pool = Pool(self.name, self._workers)
        self._tasks = 0
        self._starting: asyncio.Task[None] | None = None
        self.breaker = Breaker(self._clock)
        self._start_lock = threading.Lock()
        begins = (getattr(self.provider, name, None) for name in ("start", "subscribe"))
        self._is_started = not any(map(callable, begins))

    def send(
        self, request: LookupRequest, patience: float, done: Callable[[Any], None]
    ) -> Outcome | None:
        """
        Have the provider asked; *done* gets its answer or the exception, on another thread.

        Returns:
            None, or why it is not asked: then *done* is never called.
        """
        verdict = self.breaker.ask(patience)
        if verdict == "open":
            return Outcome(Reason.CIRCUIT_OPEN, message=f"{self.name} failed too often")
        if verdict == "limited":
            return Outcome(Reason.RATE_LIMITED, code=ErrorCode.RATE_LIMITED)
        if self.is_async:
            is_taken = self._tasks < _MOST_TASKS and self._loop.submit(
                lambda: self._answer_async(request, patience, done)
            )
        else:
            is_taken = self._pool.submit(lambda: self._answer(request, patience, done))
        if is_taken:
            return None
        words = f"all workers of {self.name} are busy"
        return Outcome(Reason.ERROR, code=ErrorCode.BULKHEAD_FULL, message=words)

    def _answer(self, request: LookupRequest, patience: float, done: Callable[[Any], None]) -> None:
        answer: Any
        try:
            if request.deadline <= time.monotonic():
                # Whoever asked is gone, and so is the time that this would have had.
                raise TimeoutError  # noqa: TRY301 - as if it had been too slow
            self._start()
            answer = self.provider.fetch(request)
            if inspect.isawaitable(answer):
                answer = self.await_(answer, patience)
        except BaseException as error:  # noqa: BLE001 - also SystemExit: it is not our thread's end
            answer = error
        done(answer)

    def _start(self) -> None:
        if self._is_started:
            return
        with self._start_lock:
            if not self._is_started:
                for begin in self._beginnings():
                    begun = begin()
                    if inspect.isawaitable(begun):
                        self.await_(begun, 5.0)
                self._is_started = True

    def _beginnings(self) -> Iterator[Callable[[], Any]]:
        start = getattr(self.provider, "start", None)
        if callable(start):
            yield start
        subscribe = getattr(self.provider, "subscribe", None)
        if callable(subscribe):
            yield lambda: subscribe(lambda subject=None: self.changed(self, subject))

    def status(self) -> str:
        """
        Return what the provider says of itself, else how its breaker stands.
        """
        ask = getattr(self.provider, "status", None)
        try:
            return str(ask()) if callable(ask) else self.breaker.state
        except Exception as error:  # noqa: BLE001 - a team's own code
            return type(error).__name__

    def await_(self, awaitable: Any, patience: float) -> Any:
        """
        Run what turned out to be awaitable on the client's loop, and wait for it on this thread.

        Raises:
            TimeoutError: it took longer than *patience* seconds.
        """
        held: list[Any] = []
        is_over = threading.Event()

        async def run() -> None:
            try:
                held.append(await awaitable)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                held.append(error)
            is_over.set()

        if not self._loop.submit(run):
            _drop(awaitable)
            raise TimeoutError
        if not is_over.wait(patience):
            raise TimeoutError
        if isinstance(held[0], BaseException):
            raise held[0]
        return held[0]

    async def _answer_async(
        self, request: LookupRequest, patience: float, done: Callable[[Any], None]
    ) -> None:
        self._tasks += 1
        answer: Any
        try:
            async with asyncio.timeout(patience):
                if not self._is_started:
                    if self._starting is None or self._starting.done():
                        self._starting = asyncio.create_task(self._start_async())
                        self._starting.add_done_callback(_heard)
                    # Whose time is over goes, and who comes meanwhile waits for the same start.
                    await asyncio.shield(self._starting)
                answer = await self.provider.fetch(request)
        except asyncio.CancelledError:
            answer = ProviderError(ErrorCode.PROVIDER_NOT_READY, "the client was closed")
        except BaseException as error:  # noqa: BLE001 - see above
            answer = error
        finally:
            self._tasks -= 1
        done(answer)

    async def _start_async(self) -> None:
        for begin in self._beginnings():
            begun = begin()
            if inspect.isawaitable(begun):
                await begun
        self._is_started = True

    # ---- what it means -------------------------------------------------------------------------

    def judge(self, answer: Any) -> Outcome | None:
        """
        Report to the breaker; return what failed as a whole, or None where there is an answer.
        """
        if isinstance(answer, BaseException):
            outcome, blame, limited = _failure(self.name, answer)
            if limited is not None:
                self.breaker.limited(limited)
            if blame:
                self.breaker.failed()
            elif limited is None:
                self.breaker.succeeded()
            return outcome
        if not isinstance(answer, Mapping):
            self.breaker.failed()
            words = f"expected a mapping of subject ids, got {type(answer).__name__}"
            return Outcome(Reason.ERROR, code=ErrorCode.PARSE_ERROR, message=words)
        self.breaker.succeeded()
        return None

    def late(self) -> Outcome:
        """
        Report to the breaker that our time limit on it is over; return what that means.
        """
        self.breaker.failed()
        return _too_late(self.name)

    def close(self) -> Any:
        """
        End the threads; return what the provider's own `close` returned, to be awaited maybe.
        """
        self._pool.close()
        end = getattr(self.provider, "close", None)
        return end() if callable(end) else None


def _is_async(fetch: Any) -> bool:
    function = fetch if inspect.isroutine(fetch) else getattr(fetch, "__call__", fetch)  # noqa: B004
    return inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
        fetch
    )


def _too_late(name: str) -> Outcome:
    words = f"{name} did not answer in time"
    return Outcome(Reason.TIMEOUT, code=ErrorCode.DEADLINE_EXCEEDED, message=words)


def _failure(name: str, error: BaseException) -> tuple[Outcome, bool, float | None]:
    """
    Return what an exception means, whether the provider is to blame, and for how many seconds it
    asked to be left alone.
    """
    if isinstance(error, ProviderError):
        code = _code(error.error_code)
        is_limit = code is ErrorCode.RATE_LIMITED
        reason = Reason.RATE_LIMITED if is_limit else Reason.ERROR
        if code is ErrorCode.DEADLINE_EXCEEDED:
            reason = Reason.TIMEOUT
        limited = error.retry_after if error.retry_after is not None or not is_limit else 1.0
        blame = code not in _NOT_ITS_FAULT and not is_limit
        words = str(error) if str(error).startswith(name) else f"{name}: {error}"
        return Outcome(reason, code=code, message=words), blame, limited
    logger.debug("cxsdk: context provider %s", name, exc_info=error)
    if isinstance(error, TimeoutError):
        return _too_late(name), True, None
    kind = type(error).__name__
    code = ErrorCode.CONNECTION if isinstance(error, OSError) else ErrorCode.GENERAL
    voice.say(
        logging.WARNING,
        f"context:{name}:{kind}",
        "cxsdk: context provider %s raised %s; its words are logged at DEBUG, since they may hold"
        " what is known of a customer",
        name,
        kind,
    )
    return Outcome(Reason.ERROR, code=code, message=f"{name} raised {kind}"), True, None


def _code(text: Any) -> ErrorCode:
    try:
        return ErrorCode(text)
    except ValueError:
        return ErrorCode.GENERAL


def _heard(task: asyncio.Task[None]) -> None:
    # Whoever waited was told; where nobody did any more, it is no news to asyncio's log.
    if not task.cancelled():
        task.exception()


def _drop(awaitable: Any) -> None:
    """
    End what nobody will await.
    """
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def part(sources: Iterable[Source], loop: Loop, seconds: float) -> None:
    """
    Close *sources* and *loop*; wait up to *seconds* for those whose `close` takes long, and up to
    *seconds* for those whose is async.
    """
    goodbyes = _goodbyes(list(sources), seconds)

    async def say() -> None:
        await asyncio.gather(*goodbyes, return_exceptions=True)

    async def nothing() -> None:
        pass

    if goodbyes and not loop.submit(nothing):  # so that there is a loop
        for said in goodbyes:
            _drop(said)
    loop.close(say, seconds)


def _goodbyes(sources: list[Source], seconds: float) -> tuple[Any, ...]:
    """
    Call `close` of all *sources*, each on a thread: one may hang. Return what is to be awaited.
    """
    said: list[Any] = []
    is_late = False

    def leave(source: Source, over: threading.Event) -> None:
        try:
            goodbye = source.close()
        except Exception as error:  # noqa: BLE001 - a team's own provider
            kind = type(error).__name__
            voice.say(logging.WARNING, "context:close", "cxsdk: %s: %s", source.name, kind)
            goodbye = None
        if inspect.isawaitable(goodbye):
            _drop(goodbye) if is_late else said.append(goodbye)
        over.set()

    pool, end = Pool("close", max(1, len(sources))), time.monotonic() + seconds
    leaving = [(source, threading.Event()) for source in sources]
    for source, over in leaving:
        if not pool.submit(lambda source=source, over=over: leave(source, over)):  # type: ignore[misc]
            leave(source, over)  # the interpreter ends: no more threads
    for _, over in leaving:
        over.wait(max(0.0, end - time.monotonic()))
    is_late = True
    pool.close()
    return tuple(said)
