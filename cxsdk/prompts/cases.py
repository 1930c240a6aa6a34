"""
What an offer is about: the interaction that just ended, also after a redirect to another worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from cxsdk.errors import InvalidEventError
from cxsdk.prompts.token import Seal
from cxsdk.scope import current_interaction, current_scope

__all__ = ["NOTHING", "OPEN", "Case", "case_of", "case_of_event"]

_SHORT = ("outcome", "goal_met")


@attrs.define(frozen=True, kw_only=True)
class Case:
    """
    An interaction that is over, as triggers and answers need it.
    """

    interaction_id: str = ""
    touchpoint: str = ""
    happened_at: float = 0.0
    """When it was over, seconds since 1970."""

    data: Mapping[str, Any] = attrs.field(factory=dict)
    """``outcome``, ``goal_met``, ``attributes`` and whatever else is known of it."""

    @property
    def outcome(self) -> str:
        """
        Return the outcome, ``unknown`` where there is none.
        """
        return str(self.data.get("outcome", "unknown"))


NOTHING = Case()
"""About nothing in particular: the relationship."""

OPEN = Case(interaction_id="open")
"""Stands for an interaction that is still open: nobody can be asked about it yet."""


def case_of(about: Any, seal: Seal) -> Case:
    """
    Return what an offer is about.

    Args:
        about: None (the open interaction, else the last one of this scope), an interaction, or
            what `remember` returned for one.

        seal: reads the latter.

    Raises:
        InvalidEventError: it is something else, or what was remembered was tampered with.
    """
    if about is None:
        current = current_interaction.get()
        if current is not None:
            return _of_interaction(current)
        scope = current_scope.get()
        done = None if scope is None else scope.done
        about = NOTHING if done is None else done
    if isinstance(about, Case):
        return about
    if isinstance(about, str):
        return _of_memory(about, seal)
    # Of the type: nothing of a stranger is called on the host's thread.
    if hasattr(type(about), "interaction_id") and hasattr(type(about), "_site"):
        return _of_interaction(about)
    raise InvalidEventError(
        "about", "an interaction, or what cx.prompts.remember() returned", type(about).__name__
    )


def _of_interaction(interaction: Any) -> Case:
    if getattr(interaction, "_capture", None) is not None:
        return OPEN
    if interaction.result is None or not interaction.result:
        return NOTHING  # it never began, or was not taken: there is nothing to refer to
    data = {name.lstrip("_"): value for name, value in interaction._fields.items()}
    data.setdefault("outcome", "success")
    data["attributes"] = dict(interaction.attributes or {})
    return Case(
        interaction_id=interaction.interaction_id,
        touchpoint=interaction._site.touchpoint,
        happened_at=interaction._began_ns / 1e9,
        data=data,
    )


def case_of_event(data: Mapping[str, Any], at: float, namespace: str) -> Case:
    """
    Return the case of an ``interaction.completed`` event, given its *data* in wire form.
    """
    where = data.get("where") or {}
    attributes = (data.get("ext") or {}).get(namespace) or {}
    return Case(
        interaction_id=data["interaction_id"],
        touchpoint=where.get("touchpoint", ""),
        happened_at=at,
        data={**data, "attributes": attributes},
    )


def memory_of(case: Case, seal: Seal) -> str:
    """
    Return a signed text that another worker reads back; empty where there is nothing.
    """
    if case is OPEN or not case.interaction_id:
        return ""
    short = {name: case.data[name] for name in _SHORT if case.data.get(name) is not None}
    return seal.close([case.interaction_id, case.touchpoint, round(case.happened_at, 3), short])


def _of_memory(text: str, seal: Seal) -> Case:
    if not text:
        return NOTHING
    body = seal.open(text)
    if body is None:
        raise InvalidEventError("about", "what cx.prompts.remember() returned", "another text")
    interaction_id, touchpoint, happened_at, data = body
    return Case(
        interaction_id=interaction_id,
        touchpoint=touchpoint,
        happened_at=happened_at,
        data=data,
    )
