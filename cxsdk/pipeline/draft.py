"""
The draft: an event on its way, before it is encoded.

Built-in processors work on the draft in place; an `Event` is made only when a team's own
processor or a listener asks for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxsdk.scope import NOWHERE, Where
from cxsdk.typing import Kind

if TYPE_CHECKING:
    from cxsdk.pipeline.customers import Known

__all__ = ["Draft"]

_VITAL = frozenset({"feedback", "reaction", "commitment", "identity", "loss"})
_VITAL_PROMPTS = frozenset({"answered", "partial"})


class Draft:
    """
    One event being captured. Belongs to one thread at a time.

    ``data`` holds the family's own fields in wire form; customer, session, consent, service and
    sdk are added at encoding.
    """

    # Defaults of the class, not slots: most events set only a few, and this is the hot path.
    attributes: dict[str, Any] | None = None
    causation: str | None = None
    correlation: str | None = None
    envelope: dict[str, Any] | None = None
    is_linked = False
    """True: correlation or sampledrate is set."""

    purposes: tuple[str, ...] | None = None
    recorded_ns: int | None = None
    sampledrate: int | None = None
    site: Any = None
    where: Where = NOWHERE

    def __init__(
        self,
        family: str,
        action: str,
        known: Known,
        time_ns: int,
        event_id: str,
        data: dict[str, Any],
    ) -> None:
        self.family = family
        self.action = action
        self.known = known
        self.time_ns = time_ns
        self.id = event_id
        self.data = data

    @property
    def is_vital(self) -> bool:
        """
        Say whether the event goes by the vital lane.
        """
        if self.family in _VITAL:
            return True
        if self.family == "problem":
            return self.known.is_known
        return self.family == "prompt" and self.action in _VITAL_PROMPTS

    @property
    def kind(self) -> int:
        """
        Return the class under which the spool may shed it.
        """
        if self.is_vital:
            return Kind.KEEP
        if self.family == "interaction":
            return Kind.INTERACTION
        return Kind.PROBLEM if self.family == "problem" else Kind.PROMPT

    @property
    def touchpoint(self) -> str | None:
        """
        Return the touchpoint, if the event has one.
        """
        if self.site is not None:
            name: str | None = self.site.touchpoint
            return name
        about = self.data.get("about") or {}
        where = self.data.get("where") or {}
        return where.get("touchpoint") or about.get("touchpoint")
