"""
The words of the standard: which values a field may take, and the families with their actions.

An open vocabulary also takes ``x_…`` values of a team's own; a closed one changes only with MODEL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = [
    "ACTIONS",
    "ACTION_FIELDS",
    "ACTUAL_FIELDS",
    "ASSURANCE",
    "ATTRIBUTION",
    "BASIS_OF_EXPECTATION",
    "BETTER",
    "CHANNEL",
    "COMMITMENT_KIND",
    "COMMITMENT_STATE",
    "CONSENT_STATE",
    "CUSTOMER_KIND",
    "DIMENSION",
    "DIRECTION",
    "DUTY",
    "EVIDENCE",
    "FAMILY",
    "FEEDBACK_SCOPE",
    "FEEDBACK_STAGE",
    "GOAL_MET",
    "IDENTITY_OP",
    "ID_STATE",
    "INSTRUMENT",
    "LANE",
    "LAYERS",
    "LEGAL_BASIS",
    "MASS_MEDIA",
    "MEDIUM",
    "MET",
    "OUTCOME",
    "OWN_VALUE",
    "PARTNER_ROLE",
    "PARTY_KIND",
    "PERCEPTION_FIELDS",
    "PROBLEM",
    "PROMPT_ACTION",
    "REACTION",
    "SCHEMA_VERSION",
    "SEVERITY",
    "SOURCE",
    "STAGE",
    "TIME_PRECISION",
    "VERSUS",
    "VIA",
    "Vocabulary",
]

OWN_VALUE = re.compile(r"x_[a-z0-9_]{1,40}\Z")

SCHEMA_VERSION = {
    "interaction": "1-0-0",
    "problem": "1-0-0",
    "commitment": "1-0-0",
    "feedback": "1-0-0",
    "reaction": "1-0-0",
    "identity": "1-0-0",
    "prompt": "1-0-0",
    "loss": "1-0-0",
}
"""SchemaVer (MODEL-REVISION-ADDITION) of each family; moves only when the schema file does."""

ACTIONS: dict[str, tuple[str, ...]] = {
    "interaction": ("completed", "started"),
    "problem": ("encountered", "resolved"),
    "commitment": (
        "made",
        "revised",
        "paused",
        "at_risk",
        "kept",
        "broken",
        "expired",
        "cancelled",
    ),
    "feedback": ("given",),
    "reaction": ("observed",),
    "identity": ("identified", "linked", "unlinked", "consent_changed", "erasure_requested"),
    "prompt": (
        "offered",
        "shown",
        "started",
        "answered",
        "partial",
        "dismissed",
        "lapsed",
        "revoked",
        "suppressed",
    ),
    "loss": ("recorded",),
}

ACTION_FIELDS = {"commitment": "state", "identity": "op", "prompt": "action"}
"""Where a family repeats its action inside ``data``; the two must agree."""

LAYERS = {
    "interaction": "actual",
    "problem": "actual",
    "commitment": "actual",
    "feedback": "perception",
    "reaction": "reaction",
}

PERCEPTION_FIELDS = frozenset(
    {
        "answers",
        "versus_expectation",
        "rating",
        "csat",
        "nps",
        "ces",
        "satisfaction",
        "sentiment",
        "score",
        "stars",
        "supersedes",
        "emotion",
    }
)
"""What a customer says never stands in a record of what happened."""


ACTUAL_FIELDS = frozenset(
    {"duration_ms", "effort", "error", "goal_met", "outcome", "recovered", "severity", "wait_ms"}
)
"""What happened never stands in a record of what a customer says."""


class Vocabulary:
    """
    The allowed values of a field. Immutable by convention; safe to share.

    Args:
        name: the field.

        values: the listed values.

        is_open: whether ``x_…`` values of a team's own are right too.

        refused: values that are wrong for a reason of their own, for every reader.

        instead: what to do about a refused value, in words.
    """

    # Plain classes here and in kinds.py: an attrs class costs half a millisecond of import.
    __slots__ = ("instead", "is_open", "name", "refused", "values")

    def __init__(
        self,
        name: str,
        values: Iterable[str],
        *,
        is_open: bool = True,
        refused: Iterable[str] = (),
        instead: str = "",
    ) -> None:
        self.name = name
        self.values = tuple(values)
        self.is_open = is_open
        self.refused = tuple(refused)
        self.instead = instead

    def __repr__(self) -> str:
        return f"<Vocabulary {self.name}: {' '.join(self.values)}>"

    def __contains__(self, value: object) -> bool:
        if value in self.values:
            return True
        return self.is_open and isinstance(value, str) and OWN_VALUE.match(value) is not None

    def expected(self) -> str:
        """
        Return the values in words, for an error.
        """
        listed = ", ".join(self.values)
        return f"one of {listed}" + (" or x_…" if self.is_open else "")


def _open(name: str, values: str, refused: Iterable[str] = (), instead: str = "") -> Vocabulary:
    return Vocabulary(name, values.split(), refused=refused, instead=instead)


def _closed(name: str, values: str) -> Vocabulary:
    return Vocabulary(name, values.split(), is_open=False)


MASS_MEDIA = (
    "banner",
    "billboard",
    "cinema",
    "display",
    "display_ad",
    "newspaper",
    "outdoor",
    "print",
    "radio",
    "tv",
    "tv_ad",
)
CHANNEL = _open(
    "channel",
    "contact_center web mobile_app self_service store field in_product community mail api unknown",
    refused=MASS_MEDIA,
    instead="a channel to one addressable customer; mass media are no interactions",
)
MEDIUM = _open(
    "medium",
    "voice video chat messaging email post web_page app_screen in_person device machine unknown",
)
STAGE = _open("stage", "discover evaluate order fulfil onboard use bill support renew leave")
DIRECTION = _closed("direction", "inbound outbound")
PARTY_KIND = _open("kind", "company employee automated ai_agent partner customer")
PARTNER_ROLE = _open(
    "partner_role",
    "dealer reseller agency service_firm carrier marketplace outsourcer franchise",
)
CUSTOMER_KIND = _open("kind", "person household organization unknown")
ID_STATE = _open("state", "ambiguous authenticated logged_out")
OUTCOME = _open("outcome", "success partial failure abandoned transferred deferred unknown")
GOAL_MET = _open("goal_met", "yes partly no unknown")
MET = _open("met", "yes no unknown")
BASIS_OF_EXPECTATION = _open("basis", "promise sla policy norm customer_stated")
CONSENT_STATE = _open("state", "granted denied pending unknown not_required")
LEGAL_BASIS = _open(
    "basis",
    "consent contract legal_obligation vital_interest public_task legitimate_interest",
)
TIME_PRECISION = _open("time_precision", "exact minute hour day month unknown")
LANE = _closed("lane", "vital bulk")

SOURCE = _open("source", "stated inferred")
FEEDBACK_SCOPE = _open("scope", "transactional relational product")
INSTRUMENT = _open(
    "instrument",
    "versus_expectation nps csat ces rating stars thumbs emoji emotion open_text review"
    " umux_lite choice custom",
)
VERSUS = _open("versus_expectation", "much_worse worse as_expected better much_better")
DIMENSION = _open("dimension", "success effort emotion satisfaction loyalty trust expectation")
BETTER = _closed("better", "higher lower middle")
FEEDBACK_STAGE = _open("stage", "experience recall")

REACTION = _open(
    "reaction",
    "repurchase renew upgrade downgrade cancel churn refer advocate complain dispute"
    " return escalate contact_again switch_channel lapse win_back",
    refused=("purchase",),
    instead="repurchase, or for a first purchase an interaction of stage order",
)
EVIDENCE = _open("evidence", "observed declared inferred")
ATTRIBUTION = _open("attribution", "asserted rule model none")
VIA = _open("via", "direct partner regulator public_review social")

PROBLEM = _open(
    "problem",
    "error crash hang slow unavailable dead_end validation data_wrong not_found access_denied"
    " not_understood billing_error delivery_failure defect",
)
SEVERITY = _open("severity", "info minor major blocking")

COMMITMENT_KIND = _open(
    "kind",
    "callback delivery response resolution repair refund warranty appointment price"
    " availability sla",
)
DUTY = _closed("duty", "deliver_by in_force_until")
COMMITMENT_STATE = Vocabulary("state", ACTIONS["commitment"], is_open=False)

IDENTITY_OP = Vocabulary("op", ACTIONS["identity"], is_open=False)
ASSURANCE = _open("assurance", "anonymous claimed authenticated verified")

PROMPT_ACTION = Vocabulary("action", ACTIONS["prompt"], is_open=False)
FAMILY = Vocabulary("family", tuple(ACTIONS), is_open=False)
