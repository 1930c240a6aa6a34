"""
What stands between the engine and its host: nothing raises into a handler, every no is counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cxsdk._guard import is_ours, voice
from cxsdk.errors import CXError, StoreUnavailableError
from cxsdk.prompts.deadline import Deadline
from cxsdk.prompts.deciding import Asked
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.offer import Suppressed

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture

__all__ = ["Calls"]

T = TypeVar("T")
_PATIENCE_S = 5.0


class Calls:
    """
    The guards of an engine's calls.

    Args:
        capture: returns the capture that events go through, None where it is off.

        deadline: seconds that a decision may take; an answer may take longer.
    """

    def __init__(self, capture: Callable[[], Capture | None], deadline: float) -> None:
        self._capture = capture
        self.deadline = deadline
        self.patience = max(_PATIENCE_S, deadline)
        """Longest wait for the store, in seconds, by who answers."""

        self._deadline = Deadline(self.deadline)
        self._patience = Deadline(self.patience)
        self.refused: Counter[str] = Counter()

    def guarded(self, decide: Callable[[], T], key: str | None) -> T | Suppressed:
        """
        Return what *decide* returns, or that nobody is asked because it failed.
        """
        try:
            return decide()
        except StoreUnavailableError as error:
            return self._unavailable(error, key)
        except Exception as error:
            if not is_ours(error):
                raise
            return self._failed(error, key)

    def _failed(self, error: Exception, key: str | None) -> Suppressed:
        if self.is_strict:
            raise error
        code = error.code if isinstance(error, CXError) else "internal"
        voice.say(logging.ERROR, f"prompts:{code}", "cxsdk: nobody is asked: %r", error)
        return self.suppress(None, None, code, key or "")

    @property
    def is_strict(self) -> bool:
        """
        Say whether what is wrong is raised.
        """
        capture = self._capture()
        return capture is not None and capture.strict

    def safely(self, what: Callable[[], T], otherwise: T) -> T:
        """
        Return what *what* returns; *otherwise* where it fails, which is said and in strict mode
        raised.
        """
        try:
            return what()
        except Exception as error:
            if self.is_strict or not is_ours(error):
                raise
            voice.say(logging.ERROR, "prompts:internal", "cxsdk: a prompt failed: %r", error)
            return otherwise

    def ask(self, call: Callable[[], T]) -> T:
        """
        Return what a *call* of the store's returns, waiting a few seconds at most.

        Raises:
            StoreUnavailableError: it is not back in time, or raised whatever it raised.
        """

        def tried() -> T:
            try:
                return call()
            except StoreUnavailableError:
                raise
            except Exception as error:
                raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

        return self._patience.call(tried)

    def _unavailable(self, error: StoreUnavailableError, key: str | None) -> Suppressed:
        voice.say(logging.WARNING, "prompts:store", "cxsdk: nobody is asked: %s", error)
        return self.suppress(None, None, "store_unavailable", key or "")

    def suppress(
        self,
        prompt: Prompt | None,
        asked: Asked | None,
        reason: str,
        key: str = "",
        *,
        retry_in: float | None = None,
    ) -> Suppressed:
        """
        Count that nobody is asked, and why.
        """
        self.refused[reason] += 1
        if prompt is not None and asked is not None:
            self.tell(prompt, asked, reason)
        return Suppressed(reason, prompt.key if prompt else key, retry_in)

    def tell(self, prompt: Prompt, asked: Asked, reason: str) -> None:
        """
        Record a refusal as an event, where that is wanted.
        """

    def close(self) -> None:
        """
        Let go of threads. Idempotent.
        """
        self._deadline.close()
        self._patience.close()
