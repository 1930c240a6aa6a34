"""
What a verb says of an event, and what a sink's ``send`` may say of a batch. Found in `cxsdk.typing` like all that crosses rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import attrs

__all__ = [
    "Accepted",
    "Delivered",
    "Dropped",
    "Hold",
    "Partial",
    "Refused",
    "Retry",
    "SendResult",
    "Split",
]


@attrs.define(slots=True)
class Accepted:
    """
    The event is ours to deliver. Truthy.
    """

    id: str
    """The event's id: the key under which every collector holds it once."""

    durable: bool
    """True: on disk (or in a mapped file) and safe from the death of the process."""

    waits: bool = False
    """True: kept at the commit of the host's transaction, never said if that is rolled back."""


@attrs.define(slots=True)
class Dropped:
    """
    The event was not taken. Falsy, so that ``if not cx.feedback(...)`` reads as it should.
    """

    reason: str
    """A stable code: ``no_customer``, ``consent``, ``sampled``, ``closed``, …"""

    detail: str = ""
    """What to do about it, in words."""

    durable: ClassVar[bool] = False
    waits: ClassVar[bool] = False
    """Nothing is kept. Here so that what is asked of `Accepted` raises in nobody's handler."""

    def __bool__(self) -> bool:
        return False


@attrs.define(slots=True, frozen=True)
class Delivered:
    """
    The destination has all of the batch (duplicates included).
    """


@attrs.define(slots=True, frozen=True)
class Partial:
    """
    The destination answered per event. Indices not named were delivered.
    """

    refused: Mapping[int, str] = attrs.field(factory=dict)
    """index → the destination's words; these become dead letters. Words that begin with
    ``too_large`` say that the event alone is to blame."""

    retry: frozenset[int] = frozenset()
    """Indices to send again later."""

    unnamed: int = 0
    """So many of the others were refused, and nobody says which: counted as dropped, for what was
    taken must not go again."""

    words: str = ""
    """What the destination says about the unnamed ones."""


@attrs.define(slots=True, frozen=True)
class Retry:
    """
    Not now: nothing is known to be wrong with the events.
    """

    reason: str
    after: float | None = None
    """Seconds the destination asked to wait, a minimum."""

    throttled: bool = False
    """The destination is well and said "slower" (429, 402): no failure for the breaker."""

    uncertain: bool = False
    """The request may have arrived (timeout after sending): costs more retry budget."""


@attrs.define(slots=True, frozen=True)
class Split:
    """
    Too large at once: send halves.
    """

    reason: str


@attrs.define(slots=True, frozen=True)
class Refused:
    """
    The destination says that something in the batch is wrong; delivery finds out what.
    """

    reason: str
    detail: str = ""


@attrs.define(slots=True, frozen=True)
class Hold:
    """
    Nothing can go until someone repairs something: credentials, the URL, a certificate.
    """

    reason: str
    probe_after: float = 300.0
    """Seconds until one batch is tried again."""

    backoff_to: float = 300.0
    """The probe interval doubles up to this many seconds."""


SendResult: TypeAlias = Delivered | Partial | Retry | Split | Refused | Hold
