"""
What a cap store decides, without where it keeps things: pure functions over one offer or several.

Memory, SQLite and PostgreSQL decide by these; Redis says the same in Lua.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import attrs

from cxsdk.asking import OPEN, Cap, Denied, OfferState, StoredOffer

__all__ = [
    "MOST_MARKS",
    "MOST_OFFERS",
    "UNSEEN_KEPT_S",
    "YEAR_S",
    "Spent",
    "answered",
    "capped",
    "costs",
    "drop_at",
    "is_live",
    "moved",
    "newest",
    "viewed",
]

YEAR_S = 365 * 86_400.0
"""No rule looks further back."""

UNSEEN_KEPT_S = 86_400.0
"""How long an offer that ended unseen is kept, for ``explain``: no rule looks at it."""

MOST_OFFERS = 100
MOST_MARKS = 100

_STEPS: tuple[OfferState, ...] = ("reserved", "shown", "started", "partial")
_MOVES = frozenset((*_STEPS, "dismissed", "revoked"))

Outcome: TypeAlias = Literal["first", "same", "revised", "conflict", "gone"]


class Spent(NamedTuple):
    """
    What an earlier offer is to the clocks that it was entered on.
    """

    state: str
    reserved_at: float
    expires_at: float
    shown_at: float | None
    ended_at: float | None


def is_live(state: str, expires_at: float, now: float) -> bool:
    """
    Say whether an offer can be answered.
    """
    return state in OPEN and expires_at > now


def costs(state: str, expires_at: float, shown_at: float | None, now: float) -> bool:
    """
    Say whether an offer counts on its clocks: unseen and over, it is as if it had never been.
    """
    return shown_at is not None or is_live(state, expires_at, now)


def capped(cap: Cap, entries: Iterable[Spent], now: float) -> Denied | None:
    """
    Return the refusal of *cap*, given what was entered on its clock; None: it allows.
    """
    mine = [each for each in entries if costs(each.state, each.expires_at, each.shown_at, now)]
    if cap.within:
        since = now - cap.within
        moments = sorted(e.reserved_at if e.shown_at is None else e.shown_at for e in mine)
        recent = [moment for moment in moments if moment > since]
        if len(recent) >= cap.most:
            # Without any allowed at all there is no moment that could be waited for.
            return Denied(cap.reason, recent[-cap.most] - since if cap.most > 0 else None)
    for state, gap in (("dismissed", cap.after_dismissal), ("answered", cap.after_answer)):
        ends = [e.ended_at for e in mine if e.state == state and e.ended_at is not None]
        if gap and ends and max(ends) > now - gap:
            return Denied(cap.reason, max(ends) + gap - now)
    return None


def viewed(offer: StoredOffer, now: float) -> StoredOffer:
    """
    Return an offer as it is to be shown *now*: one whose time is over as ``lapsed``.
    """
    is_over = offer.state in OPEN and offer.expires_at <= now
    return attrs.evolve(offer, now=now, state="lapsed" if is_over else offer.state)


def moved(offer: StoredOffer, to: OfferState, now: float) -> StoredOffer | None:
    """
    Return *offer* after a step to *to*; None where there is no such step.
    """
    if to not in _MOVES or not is_live(offer.state, offer.expires_at, now):
        return None
    if to in _STEPS and _STEPS.index(to) <= _STEPS.index(offer.state):
        return None
    shown = offer.shown_at
    if shown is None and to != "revoked":
        shown = now  # whoever started or dismissed it has seen it
    ended = now if to in {"dismissed", "revoked"} else None
    return attrs.evolve(offer, state=to, shown_at=shown, ended_at=ended, now=now)


def answered(  # noqa: PLR0913 - what an answer is judged by
    offer: StoredOffer,
    before: bytes,
    digest: bytes,
    now: float,
    *,
    complete: bool,
    revise_for: float,
) -> tuple[Outcome, StoredOffer]:
    """
    Return what becomes of an answer, and the offer after it.

    Args:
        before: digest of the answer that holds; empty before the first.

        digest: of this one.

        complete, revise_for: see `CapStore.answer`.
    """
    seen = attrs.evolve(offer, now=now)
    live = is_live(offer.state, offer.expires_at, now)
    completes = complete and offer.state == "partial" and live
    if offer.revision and before == digest and not completes:
        return "same", seen
    if offer.state == "answered":
        # What was begun before and comes after takes nothing of a whole answer away.
        if not complete or offer.ended_at is None or now >= offer.ended_at + revise_for:
            return "conflict", seen
    elif not live:
        return "gone", seen
    ended = offer.ended_at
    if complete and ended is None:
        ended = now
    after = attrs.evolve(
        seen,
        state="answered" if complete else "partial",
        shown_at=now if offer.shown_at is None else offer.shown_at,
        ended_at=ended,
        revision=offer.revision + 1,
    )
    return ("revised" if offer.revision else "first"), after


def drop_at(offer: StoredOffer) -> float:
    """
    Return when an offer, ended or lapsed, is of no use to any rule.
    """
    over = offer.expires_at if offer.ended_at is None else offer.ended_at
    return over + (UNSEEN_KEPT_S if offer.shown_at is None else YEAR_S)


def newest(moments: Sequence[float]) -> tuple[float, ...]:
    """
    Return the latest of a topic's moments, oldest first.
    """
    return tuple(sorted(moments)[-MOST_MARKS:])
