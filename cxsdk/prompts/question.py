"""
Questions: what is asked, which answers there are, and what an answer means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from cxsdk.errors import ConfigurationError

__all__ = ["KINDS", "Choice", "Kind", "Question", "ShowIf", "umux_lite"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_VERSUS = ("much_worse", "worse", "as_expected", "better", "much_better")
_MOST_POINTS = 11


@attrs.define(frozen=True)
class Kind:
    """
    A kind of question: its scale or its fixed choices, and what it measures.
    """

    instrument: str
    """As in the event standard."""

    dimension: str | None = None
    low: int | None = None
    high: int | None = None
    """Ends of a numeric scale, higher being better."""

    values: tuple[str, ...] = ()
    """Fixed values of a scale of words, from worst to best."""

    has_choices: bool = False
    is_many: bool = False
    is_text: bool = False


KINDS: Mapping[str, Kind] = {
    "versus_expectation": Kind("versus_expectation", "expectation", values=_VERSUS),
    "nps": Kind("nps", "loyalty", 0, 10),
    "csat": Kind("csat", "satisfaction", 1, 5),
    "ces": Kind("ces", "effort", 1, 7),
    "thumbs": Kind("thumbs", "satisfaction", 0, 1),
    "rating": Kind("rating", None, 1, 5),
    "yes_no_partly": Kind("choice", "success", values=("no", "partly", "yes")),
    "emotion": Kind(
        "emotion", "emotion", values=("angry", "frustrated", "neutral", "pleased", "delighted")
    ),
    "single_choice": Kind("choice", has_choices=True),
    "multi_choice": Kind("choice", has_choices=True, is_many=True),
    "text": Kind("open_text", is_text=True),
}
"""Every kind of question by its name."""


@attrs.define(frozen=True, kw_only=True)
class Choice:
    """
    One of several answers; the id stays when the label is reworded or translated.
    """

    id: str
    label: str


@attrs.define(frozen=True, kw_only=True)
class ShowIf:
    """
    Ask a question only after a certain answer to an earlier one.
    """

    question: str
    op: str = "in"
    """``in``, ``not_in``, ``at_most``, ``at_least`` or ``answered``."""

    value: Any = None

    def holds(self, answers: Mapping[str, Any]) -> bool:
        """
        Say whether the question is asked, given the *answers* so far (question id → value).
        """
        given = answers.get(self.question)
        if given is None:
            return False
        if self.op == "answered":
            return True
        if self.op in {"at_most", "at_least"}:
            if isinstance(given, (str, list, tuple)):
                return False
            return bool(given <= self.value if self.op == "at_most" else given >= self.value)
        wanted = self.value if isinstance(self.value, (list, tuple)) else (self.value,)
        many = given if isinstance(given, (list, tuple)) else (given,)
        return any(each in wanted for each in many) is (self.op == "in")


_OPS = ("in", "not_in", "at_most", "at_least", "answered")


@attrs.define(frozen=True, kw_only=True)
class Question:
    """
    One question of a prompt. Texts are plain: no markup, shown as they are.

    Raises:
        ConfigurationError: naming the question and the field.
    """

    id: str
    kind: str = "versus_expectation"
    text: str = ""
    """The question; empty: the standard wording of its kind in the reader's language."""

    help: str = ""
    required: bool = True
    low: int | None = None
    high: int | None = None
    """Ends of the scale of a ``rating``; others bring their own."""

    low_label: str = ""
    high_label: str = ""
    choices: Sequence[Choice] = attrs.field(default=(), converter=tuple)
    allow_other: bool = False
    """Offer a free field beside the choices."""

    shuffle: bool = False
    """Show choices in an order of each offer's own; ``other`` stays last."""

    max_chars: int = 2000
    show_if: ShowIf | None = None
    dimension: str | None = None
    """What is measured, where the kind does not say: ``effort``, ``trust``, …"""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.id, str) or not _NAME.match(self.id):
            raise _wrong(self.id, "id", "lower-case letters, digits and _, at most 40", self.id)
        if self.kind not in KINDS:
            raise _wrong(self.id, "kind", f"one of {', '.join(KINDS)}", self.kind)
        self._check_texts()
        self._check_scale()
        kind = KINDS[self.kind]
        names = [choice.id for choice in self.choices]
        if kind.has_choices and len(names) < 2:
            raise _wrong(self.id, "choices", "at least two", len(names))
        if not kind.has_choices and (names or self.allow_other or self.shuffle):
            raise _wrong(self.id, "choices", f"none for {self.kind}", names or "allow_other")
        bad = [name for name in names if not isinstance(name, str) or not _NAME.match(name)]
        if bad or len(set(names)) < len(names) or "other" in names:
            raise _wrong(
                self.id, "choices", "ids of lower-case letters, each once, none 'other'", names
            )
        condition = self.show_if
        if condition is not None and condition.op not in _OPS:
            raise _wrong(self.id, "show_if.op", f"one of {', '.join(_OPS)}", condition.op)
        if condition is not None and condition.op in {"at_most", "at_least"}:
            value = condition.value
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise _wrong(self.id, "show_if.value", "a number", value)

    def _check_texts(self) -> None:
        if self.kind in {"text", "single_choice", "multi_choice", "rating"} and not self.text:
            raise _wrong(self.id, "text", f"the question itself: {self.kind} has no wording", "")
        for name in ("text", "help", "low_label", "high_label"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise _wrong(self.id, name, "text", value)
            if len(value) > 500:
                raise _wrong(self.id, name, "at most 500 characters", len(value))
        if not isinstance(self.max_chars, int) or not 1 <= self.max_chars <= 2000:
            raise _wrong(self.id, "max_chars", "1 to 2000", self.max_chars)

    def _check_scale(self) -> None:
        if self.kind != "rating":
            if self.low is not None or self.high is not None:
                raise _wrong(self.id, "low", f"none for {self.kind}, which has its own", self.low)
            return
        low, high = self.scale or (1, 5)
        numbers = type(low) is int and type(high) is int
        if not numbers or not 0 <= low < high or high - low >= _MOST_POINTS:
            raise _wrong(self.id, "high", f"a scale of at most {_MOST_POINTS} points", (low, high))

    @property
    def scale(self) -> tuple[int, int] | None:
        """
        Return the ends of the numeric scale, None where answers are no numbers.
        """
        kind = KINDS[self.kind]
        if kind.low is None or kind.high is None:
            return None
        low = kind.low if self.low is None else self.low
        return low, kind.high if self.high is None else self.high

    @property
    def values(self) -> tuple[Any, ...]:
        """
        Return all answers there are, from worst to best where that has a meaning.
        """
        if self.scale is not None:
            return tuple(range(self.scale[0], self.scale[1] + 1))
        return KINDS[self.kind].values or tuple(choice.id for choice in self.choices)


def _wrong(question: Any, field: str, expected: str, got: Any) -> ConfigurationError:
    return ConfigurationError(f"question {question!r}: {field}: expected {expected}, got {got!r}")


def umux_lite(*, product: str = "") -> tuple[Question, Question]:
    """
    Return the two questions of UMUX-Lite (Lewis, Utesch and Maher 2013), 1 to 7 each.
    """
    name = product or "This product"
    low, high = "Strongly disagree", "Strongly agree"
    return (
        Question(
            id="umux_capabilities",
            kind="rating",
            low=1,
            high=7,
            text=f"{name}'s capabilities meet my requirements.",
            low_label=low,
            high_label=high,
        ),
        Question(
            id="umux_ease",
            kind="rating",
            low=1,
            high=7,
            text=f"{name} is easy to use.",
            dimension="effort",
            low_label=low,
            high_label=high,
        ),
    )
