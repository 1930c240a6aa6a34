"""
From providers and plans as a team names them to what the engine goes by. Mistakes raise here, when
the client is made, and nowhere later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxsdk._clock import Clock
from cxsdk.errors import ConfigurationError
from cxsdk.knowing import SectionPlan
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.items import LISTS, RECORDS
from cxsdk.lookup.sources import Source

__all__ = ["DEFAULTS", "resolve_plans", "sources_of"]

DEFAULTS: Mapping[str, SectionPlan] = {
    "consent": SectionPlan(ttl=20.0, stale_for=40.0),
    "identity": SectionPlan(ttl=300.0),
    "profile": SectionPlan(ttl=300.0),
}
"""Plans of sections that have other lives than the rest."""

_LOCAL = ("interactions", "feedback", "problems", "commitments", "reactions", "consent")
"""Sections of which this service itself sees something."""


def sources_of(providers: Sequence[Any], workers: int, clock: Clock) -> tuple[Source, ...]:
    """
    Return *providers* as sources.

    Raises:
        ConfigurationError: one is none, or two have one name.
    """
    made = tuple(Source(each, workers, clock) for each in providers)
    names = [source.name for source in made]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"context.providers: expected names that differ, got {name!r} twice"
            )
    return made


def resolve_plans(
    sources: Iterable[Source], said: Mapping[str, SectionPlan], *, has_overlay: bool
) -> dict[str, Plan]:
    """
    Return section → plan, typed sections first.

    Raises:
        ConfigurationError: a plan names a provider that there is not, or one without the section;
            or nobody has its section.
    """
    every = {source.name: source for source in sources}
    names = {name for source in every.values() for name in source.sections} | set(said)
    if has_overlay:
        names |= set(_LOCAL)
    typed = [name for name in (*RECORDS, *LISTS) if name in names]
    made = {}
    for name in (*typed, *sorted(names - set(typed))):
        plan = said.get(name) or DEFAULTS.get(name) or SectionPlan()
        made[name] = Plan(name, plan, _chosen(name, plan, every, has_overlay=has_overlay))
    return made


def _chosen(
    name: str, plan: SectionPlan, every: Mapping[str, Source], *, has_overlay: bool
) -> tuple[Source, ...]:
    able = [source for source in every.values() if name in source.sections]
    for wanted in plan.providers:
        if wanted not in every:
            known = ", ".join(every) or "none"
            raise ConfigurationError(
                f"context.plans[{name!r}].providers: expected names among {known}, got {wanted!r}"
            )
        if every[wanted] not in able:
            raise ConfigurationError(
                f"context.plans[{name!r}].providers: {wanted} has no such section; it has"
                f" {', '.join(sorted(every[wanted].sections))}"
            )
    if not able and not (has_overlay and name in _LOCAL):
        known = ", ".join(sorted({one for each in every.values() for one in each.sections}))
        raise ConfigurationError(
            f"context.plans[{name!r}]: expected a section that a provider has: {known or 'none'}"
        )
    chosen = [every[wanted] for wanted in plan.providers] if plan.providers else able
    return tuple(dict.fromkeys(chosen))
