"""
The kinds of value a field of the standard may hold.

Each kind knows five things about its values: whether one is right, how it is written on the wire,
how it is read back, its JSON Schema, and its words for people. Models, validators, codec, schemas
and documentation all come from the annotations of the models, so they cannot disagree.
"""

from __future__ import annotations

from cxsdk.events._kind import Kind, describe, under
from cxsdk.events._scalars import Choice, Flag, Number, Scalar, Text, Whole
from cxsdk.events._shapes import Day, Instant, Json, Listing, Traits

__all__ = [
    "Choice",
    "Day",
    "Flag",
    "Instant",
    "Json",
    "Kind",
    "Listing",
    "Number",
    "Scalar",
    "Text",
    "Traits",
    "Whole",
    "describe",
    "under",
]
