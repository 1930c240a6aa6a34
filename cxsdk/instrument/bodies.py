"""
Bodies that are produced after their handler has returned: streams, downloads, server-sent events.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from cxsdk.scope import current_interaction, current_scope

__all__ = ["Ambient", "AsyncBody", "Body", "kept_open"]

End = Callable[[BaseException | None], object]


class Ambient:
    """
    The scope and the interaction of a handler, around each step of its body. Not for two at a time.
    """

    __slots__ = ("_ours", "_theirs")

    def __init__(self) -> None:
        self._ours = (current_scope.get(), current_interaction.get())
        self._theirs: tuple[Any, Any] | None = None

    def __enter__(self) -> None:
        self._theirs = (current_scope.get(), current_interaction.get())
        current_scope.set(self._ours[0])
        current_interaction.set(self._ours[1])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # None: entered within itself. Nobody is left behind.
        theirs, self._theirs = self._theirs or (None, None), None
        current_scope.set(theirs[0])
        current_interaction.set(theirs[1])


class _Ends:
    """
    Tells once how a body ended.
    """

    __slots__ = ("_ambient", "_chunks", "_end", "_is_over", "_steps")

    def __init__(self, chunks: Any, ambient: AbstractContextManager[Any], end: End) -> None:
        self._chunks = chunks
        self._ambient = ambient
        self._end = end
        self._is_over = False
        self._steps: Any = None

    def _over(self, error: BaseException | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._end(error)

    def __del__(self) -> None:
        # A server that never closes what it does not read to its end.
        self._over(GeneratorExit())


class Body(_Ends):
    """
    An iterator over *chunks* as they come: nothing is held back. Closed before the last chunk, or
    let go of, its reader is gone.

    Args:
        chunks: of the host; their ``close`` is called as PEP 3333 wants it.

        ambient: around each step.

        end: gets what ended it: None at its end, `GeneratorExit` where the reader is gone, else what
            *chunks* raised. Called once; raises nothing.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with self._ambient:
                if self._steps is None:
                    self._steps = iter(self._chunks)
                return next(self._steps)
        except StopIteration:
            self._over(None)
            raise
        except BaseException as error:
            self._over(error)
            raise

    def close(self) -> None:
        """
        Close *chunks*; before their end, the reader is gone.
        """
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                with self._ambient:
                    close()
        finally:
            self._over(GeneratorExit())


class AsyncBody(_Ends):
    """
    Like `Body`, over an async iterable.
    """

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            with self._ambient:
                if self._steps is None:
                    self._steps = aiter(self._chunks)
                return await anext(self._steps)
        except StopAsyncIteration:
            self._over(None)
            raise
        except BaseException as error:
            self._over(error)
            raise

    async def aclose(self) -> None:
        """
        Close *chunks*; before their end, the reader is gone.
        """
        try:
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                with self._ambient:
                    await close()
        finally:
            self._over(GeneratorExit())


def kept_open(chunks: Iterable[Any] | AsyncIterable[Any]) -> Any:
    """
    Return *chunks* inside the scope and the interaction of now; the interaction ends with them.
    """
    interaction = current_interaction.get()
    if interaction is None and current_scope.get() is None:
        return chunks
    end: End = _nothing if interaction is None else interaction.hold()
    kind = AsyncBody if hasattr(chunks, "__aiter__") else Body
    return kind(chunks, Ambient(), end)


def _nothing(_: BaseException | None) -> None:
    """
    There is no interaction that would end.
    """
