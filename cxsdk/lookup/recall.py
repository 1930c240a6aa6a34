"""
Recall: what capture hands to the overlay, and what an open interaction asks of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk.lookup import asks as matters_of
from cxsdk.lookup.asks import Asks, Matter, is_unmet
from cxsdk.lookup.overlay import Key, Overlay

if TYPE_CHECKING:
    from cxsdk.pipeline.customers import Known

__all__ = ["Recall", "note_context"]


class Recall:
    """
    The `cxsdk.typing.Memory` of a client: give it to ``Capture.memory``. Thread-safe; never
    blocks.

    Args:
        overlay: gets the events; it fills *asks* from the shared memory where it was made with
            ``asks=`` the same.

        asks: what customers were asked and came for.
    """

    def __init__(self, overlay: Overlay, asks: Asks) -> None:
        self.overlay = overlay
        self.asks = asks
        if overlay.asks is None:
            overlay.asks = asks
        self._tap = overlay.tap

    def tap(self, known: Known, payload: bytes, is_interaction: bool) -> None:  # noqa: FBT001
        """
        Take an event that was just kept.
        """
        key = known.key
        if key is not None:
            self._tap(key, payload, is_interaction)

    def asked(self, known: Known, question: str, interaction_id: str, at: float) -> str | None:
        """
        Return the id of an earlier interaction in which they were asked *question* in the 30 days
        before *at* (seconds since 1970); empty: they were not; None: who knows.
        """
        key = self._key(known)
        if key is None:
            return None
        before = self.asks.asked(key, question, interaction_id, at)
        if before is not None:
            return before
        if self.overlay.knows(key):
            return ""
        # By the time the interaction ends it may be known.
        self.overlay.want(key)
        return None

    def repeats(
        self,
        known: Known,
        touchpoint: str,
        refs: Sequence[Mapping[str, str]],
        interaction_id: str,
        at: float,
    ) -> tuple[str | None, str | None]:
        """
        Return the id of an interaction at *touchpoint* about one of *refs* in the 7 days before
        *at* in which they did not get what they came for, and the id of their last one.
        """
        key = self._key(known)
        if key is None:
            return None, None
        before = self.asks.unmet(key, touchpoint, refs, interaction_id, at)
        journal = self.overlay.journal(key)
        last = None if journal is None else journal.last_interaction()
        return before, None if last == interaction_id else last

    def ended(
        self, known: Known, touchpoint: str, data: Mapping[str, Any], interaction_id: str, at: float
    ) -> None:
        """
        Take note of an interaction that was kept.
        """
        key = self._key(known)
        if key is None:
            return
        for question in data.get("asked") or ():
            self._add(key, (question,), interaction_id, at, counts=True)
        in_vain = is_unmet(data.get("outcome"), data.get("goal_met"))
        for matter in matters_of.matters(touchpoint, data.get("refs") or ()):
            self._add(key, matter, interaction_id, at, counts=in_vain)

    def _add(
        self, key: Key, matter: Matter, interaction_id: str, at: float, *, counts: bool
    ) -> None:
        if self.asks.add(key, matter, interaction_id, at, counts=counts):
            overlay = self.overlay
            if overlay.is_shared:
                subject = overlay.subject(key)
                said = matters_of.told(subject, matter, interaction_id, at, counts=counts)
                overlay.publish(key, said)

    def _key(self, known: Known) -> Key | None:
        return None if known.key is None else self.overlay.resolve(known.key)

    def close(self, seconds: float = 1.0) -> None:
        """
        End the overlay's thread. Idempotent.
        """
        self.overlay.close(seconds)


def note_context(interaction: Any, *, available: bool, used: bool) -> None:
    """
    Say on an open *interaction* (``cx.current()``) whether context could be had, and whether it
    was looked at; what was once so stays so. Anything else than an open interaction is left alone.
    """
    fields = getattr(interaction, "_fields", None)
    if fields is None or getattr(interaction, "_capture", None) is None:
        return
    said = fields.get("_memory") or {}
    fields["_memory"] = {
        **said,
        "context_available": available or said.get("context_available", False),
        "context_used": used or said.get("context_used", False),
    }
