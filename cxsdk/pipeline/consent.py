"""
Consent: what may be captured in which state, as one table (family × state).
"""

from __future__ import annotations

from typing import Any

from cxsdk.config import PrivacyOptions
from cxsdk.errors import InvalidEventError
from cxsdk.events._kind import describe
from cxsdk.events.vocabulary import CONSENT_STATE
from cxsdk.pipeline.customers import Customers, Known
from cxsdk.pipeline.draft import Draft
from cxsdk.typing import Kind

__all__ = ["ConsentGate"]

_ALWAYS = frozenset({"consent_changed", "erasure_requested"})
_STATES = frozenset({"granted", "denied", "unknown", "pending", "not_required"})
_DENIED = ("asked", "detail", "ext", "reason_text", "refs", "traits")


class ConsentGate:
    """
    Decide from family, customer and state whether a draft may be captured, and how much of it.
    """

    def __init__(self, options: PrivacyOptions, customers: Customers) -> None:
        self._customers = customers
        self.words = customers.consents
        """What customers said in this process; empty in most."""

        self.default = options.consent
        self._basis = options.basis
        self._drops_denied = options.when_denied == "drop"
        self.basis_is_consent = options.basis == "consent"
        # Where nothing was said by anyone, nothing is stamped: absent means not observed.
        self._stamps_default = options.consent != "unknown" or options.basis is not None

    def state_of(self, said: str | None, known: Known) -> str:
        """
        Return the state in force: the scope's, else the customer's own word, else the default.

        Raises:
            InvalidEventError: it is no state; a slip in ``denied`` must not count as unknown.
        """
        state = said or self._customers.consent_of(known) or self.default
        if not isinstance(state, str) or state not in CONSENT_STATE:
            raise InvalidEventError("consent.state", CONSENT_STATE.expected(), describe(state))
        return state if state in _STATES else "unknown"

    def admit(self, draft: Draft, state: str) -> bool:
        """
        Say whether *draft* may be captured; take away what a denial does not allow.
        """
        family = draft.family
        if draft.action in _ALWAYS or family in {"loss", "prompt"} or _is_said(draft):
            return True
        if not draft.known.is_known:
            return state in {"granted", "not_required"}
        if self.basis_is_consent and state != "granted":
            return False
        if state == "denied":
            if self._drops_denied:
                return False
            draft.attributes = None
            for name in _DENIED:
                draft.data.pop(name, None)
        return True

    def flag(self, draft: Draft, state: str) -> int:
        """
        Return `Kind.CONSENT_ONLY` when nothing but consent allows the event.
        """
        if state != "granted" or draft.family == "identity" or _is_said(draft):
            return 0
        if self.basis_is_consent or not draft.known.is_known:
            return Kind.CONSENT_ONLY
        return 0

    def block(
        self, said: str | None, state: str, known: Known, purposes: tuple[str, ...] | None
    ) -> dict[str, Any] | None:
        """
        Return the ``consent`` block to stamp on the event, or None where nothing was said.
        """
        stated = said is not None or purposes or self._customers.consent_of(known) is not None
        if not stated and not self._stamps_default:
            return None
        block: dict[str, Any] = {"state": state}
        basis = self._basis if known.is_known else None
        if state == "granted" and basis is None:
            basis = "consent"
        if basis is not None:
            block["basis"] = basis
        if purposes:
            block["purposes"] = list(purposes)
        return block


def _is_said(draft: Draft) -> bool:
    """
    Say whether the customer told us, which is taken whatever the consent; what we observed is not.
    """
    if draft.family == "reaction":
        return bool(draft.data.get("evidence") == "declared")
    return draft.family == "feedback"
