"""
Deciding: may this prompt be asked of this customer about this, and if not, why not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from cxsdk.asking import OPEN, Cap, History, Quota, Request
from cxsdk.pipeline.customers import Known
from cxsdk.prompts.cases import Case
from cxsdk.prompts.model import FrequencyCap, Prompt, default_caps
from cxsdk.prompts.rules import Answered as AnsweredRule
from cxsdk.prompts.rules import (
    Attribute,
    Facts,
    NoOpenProblem,
    NotAfterFailure,
    NotSeen,
    QuietHours,
    Segment,
    TenureAtLeast,
)
from cxsdk.prompts.rules import Dismissed as DismissedRule
from cxsdk.prompts.sampling import is_in

__all__ = ["Asked", "Verdict", "caps_of", "matching_locale", "quotas_of", "subject_of", "verdicts"]

YEAR = 365 * 86_400.0
FAILURE = "failure"
_REASONS = {
    "global": "cap_global",
    "group": "cap_group",
    "prompt": "cap_prompt",
    "session": "cap_session",
    "account": "cap_account",
}
_ELSEWHERE = (NotSeen, AnsweredRule, DismissedRule, NotAfterFailure, QuietHours)
"""Rules that look at no attribute; a team's own may look at anything."""

_NOT_OF_HISTORY = (Attribute, NoOpenProblem, Segment, TenureAtLeast, QuietHours)
"""Rules that look at no history."""

_ENDS = ("answered", "dismissed")
_ORDER = ("global", "group", "prompt", "account", "session")


def subject_of(kind: str, value: str) -> str:
    """
    Return the opaque id under which a cap store knows somebody.
    """
    return f"{kind}-{hashlib.blake2b(value.encode(), digest_size=12).hexdigest()}"


@attrs.define(frozen=True, kw_only=True)
class Asked:
    """
    Who would be asked, about what, where.
    """

    known: Known
    case: Case
    channel: str
    locale: str
    now: float
    consent: str = "unknown"
    tz: str = "UTC"
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    is_recall: bool = False
    is_due: bool = False
    """It waited: that its trigger held and that it was chosen was decided when that began."""

    customer: Any = None
    """The customer as the host has them, for the host's own `attributes`."""

    visitor: str = ""
    """The subject that a known customer had before they were known, where that can be told."""

    @property
    def subject(self) -> str:
        """
        Return the customer, or else the visitor, as the cap store knows them; empty: nobody.
        """
        block = self.known.block or {}
        if "id" in block:
            return subject_of("c", block["id"])
        return subject_of("a", block["anonymous_id"]) if "anonymous_id" in block else ""

    def unit(self, kind: str) -> str:
        """
        Return the id that sampling looks at; the customer where there is no such thing.
        """
        block = self.known.block or {}
        if kind == "account" and "account_id" in block:
            return subject_of("g", block["account_id"])
        if kind == "interaction" and self.case.interaction_id:
            return self.case.interaction_id
        return self.subject


@attrs.define(frozen=True)
class Verdict:
    """
    What one rule says.
    """

    rule: str
    """Name of the rule, such as ``trigger`` or ``NotAfterFailure``."""

    reason: str = ""
    """Code of the refusal; empty: it allows."""


def needs_history(prompt: Prompt) -> bool:
    """
    Say whether the rules of *prompt* look at what the cap store remembers.
    """
    return prompt.trigger.count > 1 or any(
        not isinstance(each, _NOT_OF_HISTORY) for each in prompt.eligibility
    )


def needs_attributes(prompt: Prompt) -> bool:
    """
    Say whether the rules of *prompt* look at what the host says of a customer.
    """
    return any(not isinstance(each, _ELSEWHERE) for each in prompt.eligibility)


def cheap_verdicts(prompt: Prompt, asked: Asked) -> Iterator[Verdict]:
    """
    Yield what can be said without a store, in the order in which it is asked.
    """
    yield Verdict("status", "" if prompt.status == "live" else "not_live")
    now = datetime.fromtimestamp(asked.now, UTC)
    early = prompt.starts_at is not None and now < prompt.starts_at
    late = prompt.ends_at is not None and now >= prompt.ends_at
    yield Verdict("window", "out_of_window" if early or late else "")
    yield Verdict("channel", "" if asked.channel in prompt.channels else "wrong_channel")
    yield Verdict("customer", "" if asked.subject else "no_customer")
    is_fine = asked.is_recall or asked.is_due or _is_triggered(prompt, asked)
    yield Verdict("trigger", "" if is_fine else "trigger_mismatch")
    yield Verdict("consent", "" if _consents(prompt, asked) else "no_consent")
    is_shown = not prompt.needs_locale or matching_locale(prompt, asked.locale) is not None
    yield Verdict("locale", "" if is_shown else "no_locale")
    if not (asked.is_recall or asked.is_due):
        sampling = prompt.sampling
        is_chosen = is_in(sampling, prompt.key, asked.unit(sampling.unit), asked.now)
        yield Verdict("sampling", "" if is_chosen else "not_sampled")


def count_reason(prompt: Prompt, asked: Asked, history: History) -> str:
    """
    Return the refusal of a trigger that wants several and has fewer; empty where it holds.
    """
    trigger = prompt.trigger
    if trigger.count <= 1 or asked.is_recall or asked.is_due:
        return ""
    since = history.now - trigger.within
    found = sum(moment > since for moment in history.marks.get(f"event:{prompt.key}", ()))
    return "" if found >= trigger.count else "trigger_count"


def verdicts(prompt: Prompt, asked: Asked, history: History) -> Iterator[Verdict]:
    """
    Yield what the prompt's own rules say, with the store's memory at hand.
    """
    marks = history.marks
    if prompt.trigger.count > 1:
        yield Verdict("trigger.count", count_reason(prompt, asked, history))
    failures = marks.get(FAILURE, ())
    facts = Facts(
        now=datetime.fromtimestamp(asked.now, UTC),
        attributes=asked.attributes,
        interaction=asked.case.data,
        history=history,
        last_failure=datetime.fromtimestamp(max(failures), UTC) if failures else None,
        tz=asked.tz,
    )
    for rule in prompt.eligibility:
        try:
            allows = rule.allows(facts)
        except Exception:  # noqa: BLE001 - a team's code; who cannot be judged is not asked
            allows = False
        yield Verdict(type(rule).__name__, "" if allows else rule.code)


def first_reason(found: Iterable[Verdict]) -> str:
    """
    Return why not, by the first rule that refuses; empty where all allow.
    """
    return next((verdict.reason for verdict in found if verdict.reason), "")


def cap_verdicts(prompt: Prompt, asked: Asked, history: History) -> Iterator[Verdict]:
    """
    Yield what the caps would say, from the store's memory of this customer; for ``explain``.
    """
    yield Verdict("opted_out", "opted_out" if history.opted_out else "")
    alive = [o for o in history.offers if o.state in OPEN and o.expires_at > history.now]
    yield Verdict("in_flight", "in_flight" if alive else "")
    for cap in caps_of(prompt, asked):
        if cap.clock in {"session", "account"}:
            continue  # another subject's history
        mine = [o for o in history.offers if _is_on(cap.clock, o.prompt, prompt)]
        recent = sum((o.shown_at or 0) > history.now - cap.within for o in mine)
        ended = {state: [o.ended_at or 0 for o in mine if o.state == state] for state in _ENDS}
        gaps = (("dismissed", cap.after_dismissal), ("answered", cap.after_answer))
        is_soon = any(e > history.now - gap for state, gap in gaps for e in ended[state])
        yield Verdict(cap.clock, cap.reason if recent >= cap.most or is_soon else "")


def _is_on(clock: str, asked_before: str, prompt: Prompt) -> bool:
    # Of a group only this prompt's own offers are known to be in it.
    return clock == "any" or asked_before == prompt.key


def _is_triggered(prompt: Prompt, asked: Asked) -> bool:
    case = asked.case
    if case.interaction_id:
        return prompt.trigger.matches(case.touchpoint, case.data)
    # About the relationship: nothing has to have happened, unless the prompt says what.
    return not prompt.trigger.event and prompt.scope == "relational"


def _consents(prompt: Prompt, asked: Asked) -> bool:
    return asked.consent == "granted" if prompt.needs_consent else asked.consent != "denied"


def matching_locale(prompt: Prompt, wanted: str) -> str | None:
    """
    Return the best of a prompt's languages for *wanted* (BCP 47 lookup), None where none fits.
    """
    have = {tag.lower().replace("_", "-"): tag for tag in (prompt.language, *prompt.locales)}
    parts = wanted.lower().replace("_", "-").split("-")
    while parts:
        found = have.get("-".join(parts))
        if found is not None:
            return found
        parts.pop()
    language = wanted.lower().replace("_", "-").split("-")[0]
    return next((tag for low, tag in have.items() if low.split("-")[0] == language), None)


def caps_of(prompt: Prompt, asked: Asked) -> list[Cap]:
    """
    Return the rules that the store checks, the broadest clock first.

    A recall is wanted by the customer's first answer, so only the session is asked; it is entered
    on every clock all the same.
    """
    said: dict[str, list[FrequencyCap]] = {}
    for cap in (*prompt.caps, *default_caps(prompt.scope)):
        known = said.setdefault(cap.scope, [])
        if cap in prompt.caps or not known:
            known.append(cap)
    block = asked.known.block or {}
    account = block.get("account_id")
    subjects = {
        "global": ("any", asked.subject),
        "group": (f"group:{prompt.cap_group}", asked.subject),
        "prompt": (f"prompt:{prompt.key}", asked.subject),
        "session": ("session", asked.known.session and subject_of("s", asked.known.session)),
        "account": ("account", account and subject_of("g", account)),
    }
    caps = []
    for scope in _ORDER:
        clock, subject = subjects[scope]
        for cap in said.get(scope, ()) if subject else ():
            is_asked = not asked.is_recall or scope == "session"
            caps.append(
                Cap(
                    clock,
                    str(subject),
                    _REASONS[scope],
                    most=cap.most,
                    within=min(cap.within, YEAR) if is_asked else 0.0,
                    after_dismissal=cap.after_dismissal if is_asked else 0.0,
                    after_answer=cap.after_answer if is_asked else 0.0,
                )
            )
    return caps


def quotas_of(prompt: Prompt, asked: Asked) -> list[Quota]:
    """
    Return the quotas that an answer about this would count for.
    """
    return [
        Quota(f"{prompt.key}:{quota.name}", quota.limit)
        for quota in prompt.quotas
        if quota.counts(asked.case.data)
    ]


def request_of(prompt: Prompt, asked: Asked, offer_id: str, record: bytes) -> Request:
    """
    Return what the store is asked to reserve.
    """
    stage = "recall" if asked.is_recall else "experience"
    about = asked.case.interaction_id
    return Request(
        offer_id=offer_id,
        prompt=prompt.key,
        subject=asked.subject,
        caps=caps_of(prompt, asked),
        expires_in=prompt.ttl(asked.channel),
        record=record,
        quotas=quotas_of(prompt, asked),
        unique=f"{prompt.key}:{about}:{stage}" if about else "",
    )
