"""
Answers as scores take them: numbers, answers of the event standard, whole feedback events.

What is inferred, skipped, superseded or asked again (``stage`` recall) is no answer to score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from cxsdk.errors import InvalidEventError

__all__ = ["SCALES", "Given", "Held", "held", "is_of", "read"]

SCALES: Mapping[str, tuple[float, float]] = {
    "nps": (0, 10),
    "csat": (1, 5),
    "ces": (1, 7),
    "umux_lite": (2, 14),
}
"""Instrument → ends of its scale; of UMUX-Lite those of the sum of its two answers."""

_DIMENSIONS = {"nps": "loyalty", "csat": "satisfaction", "ces": "effort"}
_UMUX = ("umux_capabilities", "umux_ease")
_VERSUS = {"much_worse": -2, "worse": -1, "as_expected": 0, "better": 1, "much_better": 2}


@attrs.define(frozen=True)
class Given:
    """
    One number that was answered, or *count* of the same.
    """

    value: float
    probability: float = 1.0
    """Inclusion probability: how likely it was that this customer would be asked, above 0 to 1."""

    count: int = 1

    @property
    def weight(self) -> float:
        """
        Return 1/π: how many customers this one stands for.
        """
        return 1 / self.probability


def read(given: Iterable[Any], instrument: str, question: str | None) -> Iterator[Given]:
    """
    Yield what *given* holds of an instrument.

    Args:
        given: `Given`, numbers, answers (``{"question": …, "value": …}``), or feedback: its data,
            or the whole event. Of a feedback at most one answer counts. Other events are passed
            over.

        instrument: a key of `SCALES`; empty: numbers on any scale.

        question: id of the question; None: an answer is of the instrument when its question has
            that name, when it measures the same dimension on the same scale, or when the feedback
            says that it is of the instrument.

    Raises:
        InvalidEventError: a number beside the scale, or something else than the above.
    """
    feedback: list[Mapping[str, Any]] = []
    for each in given:
        if isinstance(each, Mapping):
            if "question" in each:
                feedback.append({"answers": [each]})
            else:
                feedback.append(each)
        else:
            yield _plain(each, instrument)
    for data in held(feedback).values() if feedback else ():
        if data.get("stage") == "recall":
            continue
        value = _umux(data) if instrument == "umux_lite" else _one(data, instrument, question)
        if value is not None:
            yield Given(value, data.get("inclusion_probability") or 1.0)


def _plain(each: Any, instrument: str) -> Given:
    if instrument == "umux_lite" and isinstance(each, (tuple, list)) and len(each) == 2:
        for part in each:
            _on_scale(part, (1, 7), instrument)
        return Given(each[0] + each[1])
    found = each if isinstance(each, Given) else Given(each)
    _on_scale(found.value, SCALES.get(instrument), instrument or "mean")
    if not 0 < found.probability <= 1:
        raise InvalidEventError("probability", "above 0, to 1", repr(found.probability))
    return found


def _on_scale(value: Any, scale: tuple[float, float] | None, instrument: str) -> None:
    low, high = scale or (float("-inf"), float("inf"))
    if not _is_number(value) or not low <= value <= high:
        raise InvalidEventError(instrument, f"a number {low:g} to {high:g}", f"{value!r:.40}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _ends(answer: Mapping[str, Any]) -> tuple[float, float] | None:
    scale = answer.get("scale")
    return (scale["min"], scale["max"]) if isinstance(scale, Mapping) else None


def _upward(answer: Mapping[str, Any]) -> float | None:
    """
    Return the number of an answer with higher being better; None where it has none.
    """
    value, scale = answer.get("value"), answer.get("scale")
    if answer.get("skipped") or value is None or not _is_number(value):
        return None
    found: float = value
    if isinstance(scale, Mapping) and scale.get("better") == "lower":
        found = scale["min"] + scale["max"] - found
    return found


def _one(data: Mapping[str, Any], instrument: str, question: str | None) -> float | None:
    scale = SCALES.get(instrument)
    for answer in data.get("answers", ()):
        value = _upward(answer)
        if value is None or (scale is not None and _ends(answer) not in {None, scale}):
            continue
        if scale is not None and not scale[0] <= value <= scale[1]:
            continue
        wanted = question or instrument
        if answer["question"] == wanted:
            return value
        if question is None and is_of(
            instrument, answer["question"], answer.get("dimension"), data.get("instrument")
        ):
            return value
    return None


def is_of(instrument: str, question: str, dimension: str | None, told: str | None) -> bool:
    """
    Say whether an answer on the scale of *instrument* is one of its, though named otherwise.

    Args:
        told: the instrument that the feedback names.
    """
    if question.startswith("umux_"):  # effort on 1 to 7, and a half of another instrument
        return False
    return told == instrument if dimension is None else dimension == _DIMENSIONS.get(instrument)


def _umux(data: Mapping[str, Any]) -> float | None:
    found = {
        answer["question"]: _upward(answer)
        for answer in data.get("answers", ())
        if _ends(answer) in {None, (1, 7)}
    }
    first, second = (found.get(name) for name in _UMUX)
    return None if first is None or second is None else first + second


class Held(dict[str, Mapping[str, Any]]):
    """
    Feedback by its id, as it holds: stated, and superseded by nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._later: dict[str, str] = {}

    def latest(self, name: Any) -> str:
        """
        Return the id of what holds in the place of feedback *name*.
        """
        seen: set[str] = set()
        while name in self._later and name not in seen:
            seen.add(name)
            name = self._later[name]
        return str(name)

    def points(self, data: Mapping[str, Any]) -> dict[tuple[str, tuple[float, float]], float]:
        """
        Return (question, scale) → number of each answer that has one.
        """
        found: dict[tuple[str, tuple[float, float]], float] = {}
        for answer in data.get("answers", ()):
            value, scale = _upward(answer), _ends(answer)
            if value is not None and scale is not None:
                found[answer["question"], scale] = value
            elif answer.get("value") in _VERSUS:
                found[answer["question"], (-2, 2)] = _VERSUS[answer["value"]]
        return found


def held(events: Iterable[Mapping[str, Any]]) -> Held:
    """
    Return the feedback among *events* that holds.

    Raises:
        InvalidEventError: something that is no event and no data of one.
    """
    found = Held()
    for number, event in enumerate(events):
        data = event.get("data", event) if isinstance(event, Mapping) else None
        if not isinstance(data, Mapping):
            raise InvalidEventError("feedback", "an event or its data", type(event).__name__)
        if "answers" not in data or data.get("source", "stated") != "stated":
            continue
        name = data.get("feedback_id") or f"{number}"
        found[name] = data
        if data.get("supersedes"):
            found._later[data["supersedes"]] = name
    for name in found._later:
        found.pop(name, None)
    return found
