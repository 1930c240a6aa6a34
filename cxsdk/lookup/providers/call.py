"""
A function of a team's own as a provider.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, TypeAlias

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import ErrorCode, Failed, LookupRequest, Results
from cxsdk.lookup.providers._base import Provider, called, left, said

__all__ = ["CallableProvider", "provider"]

Function: TypeAlias = Callable[[str], Any]
"""Customer id → section → value, or None; or → the value of one section. May be async."""


def _is_async(function: Any) -> bool:
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    # A callable object: what is async is its __call__.
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(
        getattr(type(inner), "__call__", None)  # noqa: B004
    )


def _functions(function: Any) -> tuple[Function, ...]:
    return tuple(function.values()) if isinstance(function, Mapping) else (function,)


class CallableProvider(Provider):
    """
    Asks a function ``f(customer_id)`` that returns ``{section: value}``, or None where there is
    nothing. As safe from threads and tasks, and after a fork, as the function is.

    The function may be ``async``, a `functools.partial` or an object that can be called. A value
    is plain data, or `Found`, `Failed`, `UNCHANGED` or None. Of datetimes, decimals and the like a
    plain copy is made. An async function is cancelled at the deadline; one that is not async has
    to look after its own timeouts.

    Args:
        name: a token, unique among the providers of a client.

        sections: those that the function answers for; what else it returns is left out.

        function: one for all sections, or section → function that returns the section's value,
            of which only those are called that are asked for.

        takes: ``raw`` for the host's own ids, ``wire`` for ids as events carry them.

        spaces: kinds of ids that the function knows. With more than one they must not overlap,
            for the function is not told which it is.

        visibility_lag: seconds until an event shows in the answers.

        close: called once, by `close`; may be async where the function is.

    Raises:
        ConfigurationError: an argument is wrong, or some functions are async and some are not.
    """

    def __new__(cls, *args: Any, **more: Any) -> CallableProvider:
        """
        Make one whose `fetch` is a coroutine function, where the function is.
        """
        function = args[2] if len(args) > 2 else more.get("function")
        is_async = any(_is_async(each) for each in _functions(function))
        return object.__new__(cls._async_kind() if is_async else cls)

    @classmethod
    def _async_kind(cls) -> type[CallableProvider]:
        if cls is CallableProvider:
            return AsyncCallableProvider
        if issubclass(cls, AsyncCallableProvider):
            return cls
        return type(cls.__name__, (cls, AsyncCallableProvider), {})

    def __init__(
        self,
        name: str,
        sections: Collection[str],
        function: Function | Mapping[str, Function],
        *,
        takes: str = "raw",
        spaces: Collection[str] = ("id",),
        visibility_lag: float = 0.0,
        close: Callable[[], Any] | None = None,
    ) -> None:
        self._settle(name, sections, takes, spaces, visibility_lag)
        kinds = {callable(each) and _is_async(each) for each in _functions(function)}
        if not all(callable(each) for each in _functions(function)):
            raise ConfigurationError(f"{name}.function: expected something that can be called")
        if len(kinds) > 1:
            raise ConfigurationError(
                f"{name}.function: expected all of them async or none; make two providers"
            )
        if isinstance(function, Mapping) and set(function) != self.sections:
            raise ConfigurationError(f"{name}.function: expected one for each of sections")
        self.function = function
        self._close = close

    def _calls(self, wanted: frozenset[str]) -> dict[str | None, Function]:
        """
        Return what to call for *wanted*: by section, or one for all of them under None.
        """
        if isinstance(self.function, Mapping):
            return {section: self.function[section] for section in sorted(wanted)}
        return {None: self.function} if wanted else {}

    def fetch(self, request: LookupRequest) -> Results | Awaitable[Results]:
        """
        Answer with what the function says. Blocks as long as it does, or is a coroutine.

        Raises:
            ProviderError: it is closed, there is no time left, or the function raised.
        """
        wanted = self._asked(request)
        found: dict[str, dict[str, Any]] = {}
        for subject in request.subjects:
            found[subject.id] = mine = {}
            for section, function in self._calls(wanted).items():
                left(request, self.name)
                try:
                    mine.update(self._told(self._call(function, subject.id), section, wanted))
                except Exception as error:  # noqa: BLE001 - the team's own code
                    self._fail(error, section, mine)
        return found

    def _call(self, function: Function, identifier: str) -> Any:
        told = function(identifier)
        if inspect.isawaitable(told):
            if inspect.iscoroutine(told):
                told.close()
            raise ProviderError(
                ErrorCode.GENERAL,
                f"{self.name}: the function returned an awaitable; give it as async def",
            )
        return told

    def _told(self, told: Any, section: str | None, wanted: frozenset[str]) -> dict[str, Any]:
        if section is not None:
            told = {section: told}
        if told is None:
            return {}
        if not isinstance(told, Mapping):
            raise ProviderError(
                ErrorCode.PARSE_ERROR,
                f"{self.name}: expected section → value or None, got {type(told).__name__}",
            )
        found: dict[str, Any] = {}
        for name in wanted & set(told):
            try:
                found[name] = said(told[name])
            except (TypeError, RecursionError, ValueError):
                found[name] = Failed(ErrorCode.PARSE_ERROR, f"{self.name}: no plain data")
        return found

    def _fail(self, error: Exception, section: str | None, mine: dict[str, Any]) -> None:
        """
        Enter what a function raised under its section.

        Raises:
            ProviderError: it was the function of all sections.
        """
        meant = self._meaning(error)
        if section is None:
            raise meant from error
        mine[section] = Failed(ErrorCode(meant.error_code), str(meant))

    def _meaning(self, error: Exception) -> ProviderError:
        if isinstance(error, ProviderError):
            return error
        code = ErrorCode.GENERAL
        if isinstance(error, TimeoutError):
            code = ErrorCode.DEADLINE_EXCEEDED
        elif isinstance(error, ConnectionError):
            code = ErrorCode.CONNECTION
        return ProviderError(code, f"{self.name}: {called(error)}")

    def close(self) -> Any:
        """
        End, and call *close*. Idempotent; awaitable where the function is async.
        """
        was_closed, self._is_closed = self._is_closed, True
        if not was_closed and self._close is not None:
            return self._close()
        return None


class AsyncCallableProvider(CallableProvider):
    """
    The same for functions that are async.
    """

    async def fetch(self, request: LookupRequest) -> Results:
        """
        Answer with what the functions say, those of several sections at a time.

        Raises:
            ProviderError: it is closed, there is no time left, or the function raised.
        """
        wanted = self._asked(request)
        found: dict[str, dict[str, Any]] = {}
        for subject in request.subjects:
            found[subject.id] = mine = {}
            calls = self._calls(wanted)
            left(request, self.name)
            answers = await asyncio.gather(
                *(self._acall(each, subject.id, request.deadline) for each in calls.values()),
                return_exceptions=True,
            )
            for section, told in zip(calls, answers, strict=True):
                try:
                    if isinstance(told, BaseException):
                        raise told  # noqa: TRY301 - sorted in one place with what comes of it
                    mine.update(self._told(told, section, wanted))
                except Exception as error:  # noqa: BLE001 - the team's own code
                    self._fail(error, section, mine)
        return found

    async def _acall(self, function: Function, identifier: str, deadline: float) -> Any:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            return await function(identifier)

    async def close(self) -> None:
        """
        End, and call *close*. Idempotent.
        """
        told = super().close()
        if inspect.isawaitable(told):
            await told


def provider(
    name: str, sections: Collection[str], **more: Any
) -> Callable[[Function], CallableProvider]:
    """
    Make a provider of the function below: ``@provider("crm", sections=("profile",))``. The
    function itself is the provider's *function*.

    Args:
        more: as of `CallableProvider`.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def decorate(function: Function) -> CallableProvider:
        return CallableProvider(name, sections, function, **more)

    return decorate
