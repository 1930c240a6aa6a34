"""
Asking: prompts in context, decided on the server, fair to the customer.
"""

from __future__ import annotations

from cxsdk.prompts.engine import Engine
from cxsdk.prompts.model import (
    Echo,
    FollowUp,
    FrequencyCap,
    Prompt,
    QuotaRule,
    Sampling,
    Trigger,
)
from cxsdk.prompts.offer import Offer, Receipt, Suppressed
from cxsdk.prompts.question import Choice, Question, ShowIf, umux_lite

__all__ = [
    "Choice",
    "Echo",
    "Engine",
    "FollowUp",
    "FrequencyCap",
    "Offer",
    "Prompt",
    "Question",
    "QuotaRule",
    "Receipt",
    "Sampling",
    "ShowIf",
    "Suppressed",
    "Trigger",
    "umux_lite",
]
