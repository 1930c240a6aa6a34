"""
How delivery is doing, for a dashboard; never for a readiness probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

__all__ = ["Health", "Status"]

Status = Literal["ok", "degraded", "holding", "off"]


@attrs.define(frozen=True)
class Health:
    """
    The worst of all sinks, and why.
    """

    status: Status
    """``ok``; ``degraded``: a destination does not answer, events are kept; ``holding``: somebody
    has to repair something; ``off``: there is no sink, or delivery is closed."""

    reason: str = ""
    """In words; empty when ok."""

    sinks: Mapping[str, str] = attrs.field(factory=dict)
    """Name of each sink → ``ok`` or what is wrong with it."""
