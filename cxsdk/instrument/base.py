"""
What every verb stands on: the capture in force, and errors that stay away from the host.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

from cxsdk._guard import caller, is_ours, voice
from cxsdk.errors import CXError
from cxsdk.typing import Accepted, Dropped

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture

__all__ = ["Base", "Result", "verb"]

Result: TypeAlias = Accepted | Dropped
P = ParamSpec("P")
S = TypeVar("S", bound="Base")


class Base:
    """
    Something that may have a capture.
    """

    def capture(self) -> Capture | None:
        """
        Return the capture in force, or None when switched off or not set up.
        """
        raise NotImplementedError

    def off(self) -> Dropped:
        """
        Return, and explain once, why nothing is captured.
        """
        raise NotImplementedError

    def refuse(self, error: Exception) -> None:
        """
        Count an event that could not even begin.
        """
        if getattr(error, "counted", False):
            raise error
        capture = self.capture()
        if capture is not None:
            capture._offer()
            capture.reject(error)

    def wrong(self, error: Exception) -> None:
        """
        Count and say once that a field was refused; the event goes on without it.

        Raises:
            CXError: *error*, in strict mode.
        """
        capture = self.capture()
        if capture is None:
            return
        if capture.strict:
            raise error
        capture._ledger.note("field_refused")
        field = getattr(error, "field", type(error).__name__)
        # The words of another's error may hold what its code worked on, such as an id.
        said = error if isinstance(error, CXError) else f"{caller()}: {type(error).__name__}"
        voice.say(logging.WARNING, f"field:{field}", "cxsdk: %s", said)


def verb(
    body: Callable[Concatenate[S, Capture, P], Result],
) -> Callable[Concatenate[S, P], Result]:
    """
    Give *body* the capture in force, and keep its errors from the host.
    """

    @functools.wraps(body)
    def bound(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        capture = self.capture()
        if capture is None:
            return self.off()
        try:
            return body(self, capture, *args, **kwargs)
        except Exception as error:
            if not is_ours(error) or getattr(error, "counted", False):
                raise
            capture._offer()
            return capture.reject(error)

    # The capture is ours to fill in: the signature shown is the caller's.
    shown = inspect.signature(body)
    kept = [p for p in shown.parameters.values() if p.name != "capture"]
    bound.__signature__ = shown.replace(parameters=kept)  # type: ignore[attr-defined]
    return cast("Callable[Concatenate[S, P], Result]", bound)
