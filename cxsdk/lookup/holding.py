"""
Holding: what flights came to, kept in memory, and given again in the right words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cxsdk._clock import Clock, from_ns
from cxsdk.knowing import NOTHING, ErrorCode, Reason
from cxsdk.lookup.answers import Answer, Plan
from cxsdk.lookup.flights import Flight
from cxsdk.lookup.items import LISTS, freeze
from cxsdk.lookup.people import Entry, Key, People
from cxsdk.lookup.section import Section, section_of

__all__ = ["Holding"]

_GRANT_S = 60.0
"""A grant of consent is never served for longer without having been heard again."""

_JITTER = 0.1


class Holding:
    """
    Writes and reads entries. Thread-safe: entries are replaced.

    Args:
        overlaid: lays a journal over a section's value; see `cxsdk.lookup.overlay`.

        is_forgotten: says whether nothing of somebody may be kept.

        learn: takes interactions that a provider told of, for what was asked in them.
    """

    def __init__(
        self,
        people: People,
        clock: Clock,
        overlaid: Callable[..., Any],
        is_forgotten: Callable[[Key], bool],
        learn: Callable[[Key, Any], None],
        *,
        strict: bool,
    ) -> None:
        self._people = people
        self._clock = clock
        self._overlaid = overlaid
        self._strict = strict
        self._is_forgotten = is_forgotten
        self._learn = learn

    def keep(self, flight: Flight, answer: Answer) -> None:
        """
        Keep what a flight came to, unless the customer was forgotten meanwhile.
        """
        person, plan = flight.person, flight.plan
        if plan.name.startswith("_") or self._is_forgotten(person.key):
            return
        held = person.entry(flight.purpose, plan.name)
        entry = self._entry(flight, answer, held)
        # It may have been evicted while the provider thought.
        if plan.name == "interactions" and answer.value:
            self._learn(person.key, answer.value)
        person = self._people.hold(person)
        person.put(flight.purpose, plan.name, entry)
        if self._is_forgotten(person.key):
            # Forgotten between the two lines above: whoever forgot may not have seen this one.
            person.drop()
        elif flight.is_void:
            person.drop(frozenset({plan.name}))

    def _entry(self, flight: Flight, answer: Answer, held: Entry | None) -> Entry:
        plan, now = flight.plan, self._clock.monotonic()
        said = plan.said
        entry = Entry()
        if answer.unchanged and (held is None or held.section is None):
            # It went while the provider looked: ask again, without a version.
            code = ErrorCode.GENERAL
            answer = Answer(Reason.ERROR, code=code, message="what was unchanged is not held")
        if answer.reason is Reason.RESOLVED:
            entry.section = self._section(plan, answer, held)
            entry.fresh_until = now + said.ttl * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            entry.stale_until = entry.fresh_until + said.stale_for
            if plan.name == "consent" and _is_granted(entry.section.value):
                entry.stale_until = min(entry.stale_until, now + _GRANT_S)
            entry.versions = answer.versions or (held.versions if held else entry.versions)
        elif answer.reason is Reason.NOT_FOUND:
            entry.section = self.partly(plan, answer)
            entry.fresh_until = entry.stale_until = now + said.negative_ttl
            entry.is_negative, entry.seen = True, flight.seen
        else:
            if held is not None:
                entry.section, entry.versions = held.section, held.versions
                entry.fresh_until, entry.stale_until = held.fresh_until, held.stale_until
                entry.is_negative, entry.seen = held.is_negative, held.seen
            entry.failure = self._section(plan, answer, None)
            wait = said.ttl if answer.reason is Reason.UNSUPPORTED else said.error_ttl
            entry.retry_at = now + wait
        return entry

    def _section(self, plan: Plan, answer: Answer, held: Entry | None) -> Section[Any]:
        before = held.section if held is not None and answer.unchanged else None
        value = before.value if before is not None else answer.value
        reason = answer.reason
        fetched = None
        if reason in {Reason.RESOLVED, Reason.NOT_FOUND}:
            fetched = self.now()
            reason = Reason.CACHED
        return section_of(plan.name)(
            plan.name,
            value,
            reason,
            source=answer.source,
            as_of=answer.as_of or fetched,
            fetched_at=fetched,
            error_code=answer.code,
            error_message=answer.message,
            truncated=before.truncated if before is not None else answer.truncated,
            provenance=answer.provenance,
            strict=self._strict,
        )

    def now(self) -> datetime:
        """
        Return the time of day by the client's clock.
        """
        return from_ns(self._clock.time_ns())

    # ---- reading -------------------------------------------------------------------------------

    def stale(self, entry: Entry) -> Section[Any]:
        """
        Return a held section as one that is not fresh any more.
        """
        if entry.stale_section is None:
            assert entry.section is not None  # noqa: S101 - for the type; callers looked
            changed: dict[str, Any] = {"reason": Reason.STALE, "stale": True}
            if entry.failure is not None:
                changed["error_code"] = entry.failure.error_code
                changed["error_message"] = entry.failure.error_message
            entry.stale_section = entry.section.but(**changed)
        return entry.stale_section

    def laid(
        self, plan: Plan, section: Section[Any], entry: Entry | None, journal: Any
    ) -> Section[Any]:
        """
        Return *section* with what this service just saw laid over it.

        Under a section that is not known the journal's part shows as `Reason.LOCAL`.
        """
        # Before anything is read: what comes meanwhile is another version.
        version = journal.version
        memo = None if entry is None else entry.laid
        if memo is not None and memo[0] == version and memo[1].reason is section.reason:
            return memo[1]
        lag = max((source.lag for source in plan.sources), default=0.0)
        before = section.value
        value = self._overlaid(plan.name, before, section.as_of, lag, journal, plan.said.limit)
        made = section
        if value is not before and value is not None:
            made = section.but(value=value, source=_with_local(section.source))
            if not section.known and section.reason is not Reason.LOCAL:
                made = made.but(reason=Reason.LOCAL, truncated=True, as_of=self.now())
        if entry is not None:
            entry.laid = (version, made)
        return made

    def fallback(self, plan: Plan, section: Section[Any]) -> Section[Any]:
        """
        Return the plan's default in place of a section that is not known, where there is one.
        """
        if section.known or section.reason is Reason.LOCAL or plan.said.default is NOTHING:
            return section
        default = freeze(plan.said.default)
        return section.but(value=default, reason=Reason.DEFAULT, source="default")

    def partly(self, plan: Plan, answer: Answer) -> Section[Any]:
        """
        Return what is not to be kept: a merge so far, or what was taken back meanwhile.
        """
        value = () if answer.reason is Reason.NOT_FOUND and plan.name in LISTS else answer.value
        return self._section(plan, answer, None).but(value=value, reason=answer.reason)

    def unknown(
        self, plan: Plan, reason: Reason, code: ErrorCode | None = None, words: str = ""
    ) -> Section[Any]:
        """
        Return a section of which nothing is known.
        """
        return section_of(plan.name)(
            plan.name, None, reason, error_code=code, error_message=words, strict=self._strict
        )

    def renew(self) -> None:
        """
        Start anew in a forked child: what is held stays, it is plain data.
        """
        self._people.renew()


def _is_granted(value: Any) -> bool:
    words = [value.state, *(said.state for said in value.purposes.values())] if value else []
    return "granted" in words


def _with_local(source: str) -> str:
    if source == "local" or source.endswith("+local"):
        return source
    return f"{source}+local" if source else "local"


def as_wire(section: Section[Any]) -> Mapping[str, Any]:
    """
    Return a section as plain data, for an export.
    """
    import msgspec

    moments = {"as_of": section.as_of, "fetched_at": section.fetched_at}
    return {
        "value": msgspec.to_builtins(section.value, enc_hook=_plain),
        "reason": section.reason.value,
        "source": section.source,
        **{name: when.astimezone(UTC).isoformat() for name, when in moments.items() if when},
    }


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
