"""
From the status of a response to the outcome of an interaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from cxsdk.errors import ConfigurationError, InvalidEventError
from cxsdk.events.vocabulary import OUTCOME

__all__ = ["Outcomes", "by_status", "outcomes_of"]

Outcomes: TypeAlias = Mapping[int, tuple[str, str | None]]
"""Status → (outcome, reason)."""

_EXPECTED = "interactions.statuses: expected statuses with outcomes, such as {200: 'failure'}"


def outcomes_of(said: Any) -> Outcomes:
    """
    Return what is written in settings as `Outcomes`; a reason may be left out. None says nothing.

    Raises:
        ConfigurationError: it is something else.
    """
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"{_EXPECTED}, got {type(said).__name__}")
    return {_status(status): _meaning(meaning) for status, meaning in said.items()}


def _status(said: Any) -> int:
    if type(said) is not int or not 100 <= said <= 599:
        raise ConfigurationError(f"{_EXPECTED}, got {said!r:.60}")
    return said


def _meaning(said: Any) -> tuple[str, str | None]:
    from cxsdk.instrument.checks import check_reason

    outcome, reason = said if isinstance(said, (tuple, list)) and len(said) == 2 else (said, None)
    if outcome not in OUTCOME:
        words = f"expected {OUTCOME.expected()}, got {outcome!r:.60}"
        raise ConfigurationError(f"interactions.statuses: {words}")
    if reason is not None:
        try:
            check_reason(reason, "interactions.statuses")
        except InvalidEventError as error:
            raise ConfigurationError(str(error)) from None
    return outcome, reason


def by_status(made: Any, status: int) -> None:
    """
    Give *made* the outcome of an HTTP status, unless the handler said one.
    """
    fields = made._fields
    if status >= 500:
        fields["outcome"] = "failure"
    elif "outcome" not in fields:
        fields["outcome"] = "unknown"
    fields["_error"] = {"type": str(status)}
