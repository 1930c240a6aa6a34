"""
Scores of answers and rates of prompts: a value, its 95 % interval and n, never a bare number.

Proportions have adjusted-Wald intervals (Agresti and Coull 1998), the net promoter score the
adjusted Wald of Sauro and Lewis, which adds three answers, three quarters of one at each end (best
of those that Rocks 2016, *The American Statistician* 70, compared); means have t intervals.

Weighted answers count by 1/π, π being their inclusion probability (Horvitz and Thompson 1952; the
ratio of Hájek 1971), and intervals rest on Kish's effective n, (Σw)²/Σw² (*Survey Sampling*, 1965),
in the place of n, as Korn and Graubard (1998) do. "Net Promoter" is a mark of its owners.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from cxsdk.prompts.given import Given, held, read

__all__ = [
    "DISPOSITIONS",
    "Pairs",
    "Rates",
    "Score",
    "ces",
    "csat",
    "mean",
    "nps",
    "pairs",
    "rate",
    "rates",
    "umux_lite",
]

_Z = 1.959963984540054
"""97.5 % of a normal distribution lie below it."""

DISPOSITIONS = ("offered", "shown", "started", "partial", "complete", "dismissed", "lapsed")


@attrs.define(frozen=True)
class Score:
    """
    A figure with what it rests on. Without an answer value and ends are None.

    The ends lie on the scale of the figure, and the value between them.
    """

    value: float | None
    low: float | None
    high: float | None
    """Ends of the 95 % interval."""

    n: int
    """How many answers, or, of a rate, its denominator."""

    effective_n: float = attrs.field(kw_only=True, default=0.0)
    """What *n* is worth with its weights, by Kish; *n* itself where all weigh the same."""


NOTHING = Score(None, None, None, 0)


# ---- scores -------------------------------------------------------------------------------


def nps(given: Iterable[Any], *, question: str | None = None, weighted: bool = False) -> Score:
    """
    Return promoters (9, 10) less detractors (0 to 6) in points, -100 to 100.

    Args:
        given: numbers 0 to 10, `Given`, answers or feedback in wire form; see `given.read`.

        question: id of the question; None: any that is an nps.

        weighted: count each answer by 1 / inclusion probability.
    """
    found = list(read(given, "nps", question))
    n, weight, effective = _weigh(found, weighted=weighted)
    if not n:
        return NOTHING
    promoters = effective * _sum((w for a, w in _each(found, weighted) if a >= 9)) / weight
    detractors = effective * _sum((w for a, w in _each(found, weighted) if a <= 6)) / weight
    value = (promoters - detractors) / effective
    p, d = (promoters + 0.75) / (effective + 3), (detractors + 0.75) / (effective + 3)
    half = _Z * math.sqrt((p + d - (p - d) ** 2) / (effective + 3))
    return _score(value, p - d, half, (-1.0, 1.0), n, effective)


def csat(given: Iterable[Any], *, question: str | None = None, weighted: bool = False) -> Score:
    """
    Return the share of 4 and 5 on the scale of 1 to 5 (top two boxes) in per cent.

    Args: as for `nps`.
    """
    return _share(given, "csat", question, 4, weighted=weighted)


def ces(given: Iterable[Any], *, question: str | None = None, weighted: bool = False) -> Score:
    """
    Return the share of those who agree that it was easy (5 to 7 on 1 to 7) in per cent.

    CES 2.0; a scale that says ``better: lower``, as that of CES 1.0 does, is turned round.

    Args: as for `nps`.
    """
    return _share(given, "ces", question, 5, weighted=weighted)


def umux_lite(given: Iterable[Any], *, weighted: bool = False) -> Score:
    """
    Return the mean of (a + b - 2) · 100 / 12 over both questions, 0 to 100 (Lewis, Utesch and
    Maher 2013), 1 to 7 each; whoever answered one of them only is left out.

    Args:
        given: pairs of numbers, `Given` with such pairs summed up, or feedback in wire form.

        weighted: as for `nps`.
    """
    found = list(read(given, "umux_lite", None))
    step = 100 / 12
    told = [attrs.evolve(each, value=(each.value - 2) * step) for each in found]
    return _mean(told, (0.0, 100.0), step * math.sqrt(2), weighted=weighted)


def mean(
    given: Iterable[Any], *, scale: tuple[float, float], step: float = 1.0, weighted: bool = False
) -> Score:
    """
    Return the mean of numbers on *scale* with a t interval.

    An answer says no more than to the nearest *step*: however alike answers are, their variance
    counts as at least that of rounding, step²/12. Of one answer the interval is the whole scale.
    """
    return _mean(list(read(given, "", None)), scale, step, weighted=weighted)


def _share(
    given: Iterable[Any], instrument: str, question: str | None, least: int, *, weighted: bool
) -> Score:
    found = list(read(given, instrument, question))
    n, weight, effective = _weigh(found, weighted=weighted)
    if not n:
        return NOTHING
    share = _sum((w for a, w in _each(found, weighted) if a >= least)) / weight
    return _proportion(share, n, effective)


def _proportion(share: float, n: int, effective: float) -> Score:
    """
    Return *share* (0 to 1) in per cent with its adjusted-Wald interval.
    """
    z2 = _Z * _Z
    centre = (share * effective + z2 / 2) / (effective + z2)
    half = _Z * math.sqrt(centre * (1 - centre) / (effective + z2))
    return _score(share, centre, half, (0.0, 1.0), n, effective)


def _score(
    value: float, centre: float, half: float, ends: tuple[float, float], n: int, effective: float
) -> Score:
    # An adjusted interval is not centred on the value; of a single answer it may end beside it.
    low = 100 * max(ends[0], min(centre - half, value))
    high = 100 * min(ends[1], max(centre + half, value))
    return Score(100 * value, low, high, n, effective_n=effective)


def _mean(
    found: Sequence[Given], ends: tuple[float, float], step: float, *, weighted: bool
) -> Score:
    n, weight, effective = _weigh(found, weighted=weighted)
    if not n:
        return NOTHING
    value = _sum((a * w for a, w in _each(found, weighted))) / weight
    if effective <= 1:
        return Score(value, *ends, n, effective_n=effective)
    spread = _sum((w * (a - value) ** 2 for a, w in _each(found, weighted))) / weight
    variance = max(spread * effective / (effective - 1), step * step / 12)
    half = _t(effective - 1) * math.sqrt(variance / effective)
    low, high = max(ends[0], value - half), min(ends[1], value + half)
    return Score(value, low, high, n, effective_n=effective)


def _each(found: Sequence[Given], weighted: bool) -> Iterable[tuple[float, float]]:  # noqa: FBT001
    return ((each.value, each.count * (each.weight if weighted else 1.0)) for each in found)


def _weigh(found: Sequence[Given], *, weighted: bool) -> tuple[int, float, float]:
    """
    Return n, the sum of the weights, and Kish's effective n.
    """
    n = sum(each.count for each in found)
    if not weighted:
        return n, float(n), float(n)
    weight = _sum(each.count * each.weight for each in found)
    squares = _sum(each.count * each.weight**2 for each in found)
    return n, weight, weight * weight / squares if squares else 0.0


_sum = math.fsum


def _t(freedom: float) -> float:
    """
    Return the point of Student's t below which 97.5 % lie: exact for 1 and 2 degrees of freedom,
    beyond by Abramowitz and Stegun 26.7.5 (within 0.3 % from 3 on); between them, which only
    weights make, the smaller one's.
    """
    if freedom < 2:
        return 12.706204736432095
    if freedom < 3:
        return 4.302652729911275
    z, v = _Z, freedom
    terms = (
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92_160 * v**4),
    )
    return z + _sum(terms)


# ---- rates --------------------------------------------------------------------------------


@attrs.define(frozen=True)
class Rates:
    """
    What became of offers, in per cent; the *n* of each rate is its denominator.

    Outcome rates in the sense of AAPOR's *Standard Definitions*: whoever was never shown a prompt
    could not respond.
    """

    shown: Score
    """Of all that were offered."""

    response: Score
    """Complete answers of those shown (AAPOR's RR1)."""

    response_with_partial: Score
    """The same with partial answers (RR2)."""

    completion: Score
    """Complete answers of those who started."""

    dismissal: Score
    """Dismissed of those shown."""

    ignore: Score
    """Lapsed without an answer of those shown."""

    counts: Mapping[str, int]
    """Disposition → offers, as they were counted after those that imply others."""


def rates(counts: Mapping[str, int]) -> Rates:
    """
    Return the rates of offers.

    Args:
        counts: of ``offered``, ``shown``, ``started`` how many came that far; of ``partial``,
            ``complete``, ``dismissed`` and ``lapsed`` how many ended so, each offer once, and
            lapsed only those that were shown. What is missing is 0. Whoever answered has started,
            and whoever ended in any way was shown, also where nobody noted that.

    Raises:
        ValueError: a disposition that is none, or less than 0 of one.
    """
    unknown = [name for name in counts if name not in DISPOSITIONS]
    if unknown or any(count < 0 for count in counts.values()):
        known = ", ".join(DISPOSITIONS)
        raise ValueError(f"counts: expected numbers from 0 of {known}, got {dict(counts)!r}")
    found = {name: counts.get(name, 0) for name in DISPOSITIONS}
    answered = found["partial"] + found["complete"]
    found["started"] = max(found["started"], answered)
    ended = answered + found["dismissed"] + found["lapsed"]
    found["shown"] = max(found["shown"], found["started"], ended)
    found["offered"] = max(found["offered"], found["shown"])
    return Rates(
        shown=rate(found["shown"], found["offered"]),
        response=rate(found["complete"], found["shown"]),
        response_with_partial=rate(answered, found["shown"]),
        completion=rate(found["complete"], found["started"]),
        dismissal=rate(found["dismissed"], found["shown"]),
        ignore=rate(found["lapsed"], found["shown"]),
        counts=found,
    )


def rate(count: int, of: int) -> Score:
    """
    Return *count* of *of* in per cent with its adjusted-Wald interval.
    """
    return _proportion(count / of, of, float(of)) if of else NOTHING


# ---- experienced against remembered ---------------------------------------------------------


@attrs.define(frozen=True)
class Pairs:
    """
    One question asked twice of the same people: right after, and again later.
    """

    question: str
    scale: tuple[float, float]
    """Its ends; comparisons with what was expected run from -2 (much worse) to 2 (much better)."""

    experienced: Score
    remembered: Score
    change: Score
    """Mean of remembered less experienced, with the t interval of paired differences."""


def pairs(events: Iterable[Any]) -> tuple[Pairs, ...]:
    """
    Return experienced against remembered, by question and scale, from feedback in wire form.

    A recall belongs to the feedback that its ``echo_of`` names, or to what superseded that one;
    only pairs count of which both have the answer.
    """
    every = held(events)
    first = {data.get("feedback_id"): data for data in every.values()}
    found: dict[tuple[str, tuple[float, float]], list[tuple[float, float]]] = {}
    for data in every.values():
        if data.get("stage") != "recall":
            continue
        before = first.get(every.latest(data.get("echo_of")))
        if before is None or before is data:
            continue
        then, now = every.points(before), every.points(data)
        for key in then.keys() & now.keys():
            found.setdefault(key, []).append((then[key], now[key]))
    return tuple(
        Pairs(
            question,
            scale,
            mean([then for then, _ in both], scale=scale),
            mean([now for _, now in both], scale=scale),
            mean(
                [now - then for then, now in both],
                scale=(scale[0] - scale[1], scale[1] - scale[0]),
            ),
        )
        for (question, scale), both in sorted(found.items())
    )
