"""
The gates before a fetch: purpose, assurance, consent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cxsdk._clock import utc_now
from cxsdk.knowing import ASSURANCES, Reason
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.items import Consent
from cxsdk.lookup.section import Section, section_of

__all__ = ["Look", "allows", "word_of"]

_YES = frozenset({"granted", "not_required"})
_NO = frozenset({"denied", "withdrawn"})


class Look:
    """
    A question prepared once: which plans it leads to, and what is refused before anybody is asked.
    """

    __slots__ = (
        "assurance",
        "checks_consent",
        "denied",
        "names",
        "plans",
        "purpose",
        "strict",
        "withheld",
    )

    def __init__(
        self,
        names: tuple[str, ...],
        plans: dict[str, Plan],
        purpose: str,
        assurance: str,
        space: str,
        *,
        checks_consent: bool,
        strict: bool,
    ) -> None:
        self.names = names
        self.purpose = purpose
        self.assurance = assurance
        self.strict = strict
        self.checks_consent = checks_consent
        """Whether consent has a say for this purpose also where nobody said anything here."""

        self.plans: tuple[Plan, ...] = ()
        self.denied: dict[str, Section[Any]] = {}
        found = []
        for name in names:
            plan = plans.get(name)
            section = _refused(name, plan, purpose, assurance, space, plans, strict=strict)
            if section is not None:
                self.denied[name] = section
            elif plan is not None:
                found.append(plan)
        self.plans = tuple(found)
        self.withheld = {plan.name: _withheld(plan.name, strict=strict) for plan in found}


def _refused(
    name: str,
    plan: Plan | None,
    purpose: str,
    assurance: str,
    space: str,
    plans: Iterable[str],
    *,
    strict: bool,
) -> Section[Any] | None:
    """
    Return the section that says why *name* is not looked up, or None where it is.
    """

    def no(reason: Reason, words: str) -> Section[Any]:
        return section_of(name)(name, None, reason, error_message=words, strict=strict)

    if plan is None:
        known = ", ".join(sorted(plans)) or "none"
        return no(Reason.UNSUPPORTED, f"no provider has it; known are {known}")
    if plan.said.purposes is not None and purpose not in plan.said.purposes:
        return no(Reason.PURPOSE_DENIED, f"its plan is for {', '.join(plan.said.purposes)}")
    # A visitor's anonymous id names nobody who could be somebody else.
    wanted = plan.said.min_assurance
    if space == "id" and ASSURANCES.index(assurance) < ASSURANCES.index(wanted):
        return no(Reason.ASSURANCE_TOO_LOW, f"the customer is only {assurance}; wanted is {wanted}")
    return None


def _withheld(name: str, *, strict: bool) -> Section[Any]:
    """
    Return the section that stands for one that consent does not allow.
    """
    return section_of(name)(name, None, Reason.CONSENT_DENIED, strict=strict)


def allows(words: Iterable[str | None], *, needs_consent: bool) -> bool:
    """
    Say whether what was said about consent allows a purpose: the most restrictive word holds.

    Args:
        words: from each who knows anything; None: nothing was said there.

        needs_consent: whether the purpose needs a grant; otherwise only a denial stops it.
    """
    said = [word for word in words if word is not None and word != "unknown"]
    if any(word in _NO for word in said):
        return False
    if not needs_consent:
        return True
    return bool(said) and all(word in _YES for word in said)


def word_of(
    consent: Consent | None, purpose: str, *, needs_consent: bool, is_heard: bool = True
) -> str | None:
    """
    Return what a consent section says for *purpose*, None where it says nothing.

    Args:
        needs_consent: where it does not, only what was said about that very purpose counts.

        is_heard: False: a provider that might deny it was not, so a grant is not believed.
    """
    if consent is None:
        return None
    if not needs_consent:
        said = consent.purposes.get(purpose)
        return None if said is None else said.word(utc_now())
    word = consent.of(purpose)
    return None if word in _YES and not is_heard else word
