"""
What the collector takes from one request before it says no.
"""

from __future__ import annotations

from typing import Any

import attrs

from cxsdk.errors import ConfigurationError

__all__ = ["Limits"]


def _above_zero(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if value <= 0:
        raise ConfigurationError(f"Limits.{attribute.name}: expected a number above 0, got {value}")


@attrs.define(frozen=True, kw_only=True)
class Limits:
    """
    Bounds of one request, of one event and of the refusals kept. Frozen, safe to share.

    Raises:
        ConfigurationError: a limit is 0 or less.
    """

    body_bytes: int = attrs.field(default=2 * 1024 * 1024, validator=_above_zero)
    """Longest request body as it comes over the wire, in bytes; more is answered 413."""

    inflated_bytes: int = attrs.field(default=8 * 1024 * 1024, validator=_above_zero)
    """Longest body after gzip or deflate, in bytes, checked while inflating."""

    event_bytes: int = attrs.field(default=64_000, validator=_above_zero)
    """Longest single event, in bytes; a longer one is refused, the others are kept."""

    events: int = attrs.field(default=2_000, validator=_above_zero)
    """Most events in one request; more is answered 413, so that a sender halves its batch."""

    depth: int = attrs.field(default=32, validator=_above_zero)
    """Deepest nesting of one event, in levels."""

    body_seconds: float = attrs.field(default=30.0, validator=_above_zero)
    """Longest time a client may take to send its body; then 408."""

    refusals_kept: int = attrs.field(default=10_000, validator=_above_zero)
    """Refused events remembered (never their content); the oldest go first."""
