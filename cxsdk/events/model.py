"""
The event standard as classes: eight families, the blocks they share, and the CloudEvents envelope.

Three kinds of fact are never mixed in one record: what happened (`Interaction`, `Problem`,
`Commitment`), how the customer saw it (`Feedback`) and what they then did (`Reaction`). Every
class checks its values at construction and raises `InvalidEventError`; nothing is ever ``null``
on the wire, absent means not observed. Instances are frozen and safe to share.
"""

from __future__ import annotations

from cxsdk.events._block import dump, load, plan, schema
from cxsdk.events.blocks import (
    About,
    Answer,
    Consent,
    Customer,
    CustomerId,
    Effort,
    ErrorInfo,
    Expectation,
    Memory,
    Money,
    Party,
    Ref,
    Scale,
    Sdk,
    Service,
    Where,
    Window,
)
from cxsdk.events.envelope import Event, EventType, read_type
from cxsdk.events.families import (
    FAMILIES,
    Commitment,
    Data,
    Feedback,
    Identity,
    Interaction,
    Loss,
    Problem,
    Prompt,
    Reaction,
)

__all__ = [
    "FAMILIES",
    "About",
    "Answer",
    "Commitment",
    "Consent",
    "Customer",
    "CustomerId",
    "Data",
    "Effort",
    "ErrorInfo",
    "Event",
    "EventType",
    "Expectation",
    "Feedback",
    "Identity",
    "Interaction",
    "Loss",
    "Memory",
    "Money",
    "Party",
    "Problem",
    "Prompt",
    "Reaction",
    "Ref",
    "Scale",
    "Sdk",
    "Service",
    "Where",
    "Window",
    "dump",
    "load",
    "plan",
    "read_type",
    "schema",
]
