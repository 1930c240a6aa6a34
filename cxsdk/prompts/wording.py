"""
Wording: a prompt's texts in the reader's language, and the words around them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from cxsdk.prompts.model import Prompt
from cxsdk.prompts.question import Question

__all__ = ["Wording", "chrome", "direction_of"]

_RTL = frozenset({"ar", "fa", "he", "ur", "yi", "ps", "sd", "ug", "dv"})
_PLACE = re.compile(r"\{([^{}]*)\}")
_FOLDER = Path(__file__).parent / "locales"


@cache
def _catalogue(language: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))
    return found


@cache
def _languages() -> frozenset[str]:
    return frozenset(path.stem for path in _FOLDER.glob("*.json"))


def chrome(locale: str) -> tuple[str, Mapping[str, Any]]:
    """
    Return the words around questions for *locale*, with their language: the best there is, else
    English.
    """
    parts = locale.lower().replace("_", "-").split("-")
    while parts:
        tag = "-".join(parts)
        if tag in _languages():
            return tag, _catalogue(tag)
        parts.pop()
    return "en", _catalogue("en")


def direction_of(locale: str) -> Literal["ltr", "rtl"]:
    """
    Return which way *locale* (BCP 47) is written.
    """
    return "rtl" if locale.lower().replace("_", "-").split("-")[0] in _RTL else "ltr"


class Wording:
    """
    The texts of one prompt as one reader sees them: plain text, never markup.

    Args:
        prompt: whose texts.

        locale: one of the prompt's languages.

        context: values for ``{name}``; what is missing shows as nothing.

        seed: the order of shuffled choices; an offer's id.
    """

    def __init__(
        self,
        prompt: Prompt,
        locale: str,
        context: Mapping[str, str] | None = None,
        seed: str = "",
    ) -> None:
        self.prompt = prompt
        self.locale = locale
        self.language, self.words = chrome(locale)
        self.direction = direction_of(locale)
        self._context = {name: (context or {}).get(name, "") for name in prompt.context_fields}
        self._seed = seed
        self._texts: Mapping[str, Any] = prompt.locales.get(locale, {})

    def _fill(self, text: str) -> str:
        if "{" not in text or not self._context:
            return text
        # One pass: a value that looks like a placeholder stays what it is.
        return _PLACE.sub(lambda found: self._context.get(found[1], found[0]), text)

    def _of(self, question: Question) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._texts.get("questions", {}).get(question.id, {})
        return found

    @property
    def title(self) -> str:
        """
        Return the heading, empty where there is none.
        """
        return self._fill(self._texts.get("title", self.prompt.title))

    @property
    def thank_you(self) -> str:
        """
        Return what is said after an answer.
        """
        said = self._texts.get("thank_you", self.prompt.thank_you)
        return self._fill(said or self.words["thank_you"])

    def text(self, question: Question) -> str:
        """
        Return the question.
        """
        said = self._of(question).get("text") or question.text
        return self._fill(said or self.words["questions"][question.kind])

    def help(self, question: Question) -> str:
        """
        Return the help below a question, empty where there is none.
        """
        said = self._of(question).get("help") or question.help
        if not said and question.kind == "text":
            said = self.words["no_personal_data"]
        return self._fill(said)

    def ends(self, question: Question) -> tuple[str, str]:
        """
        Return the labels of the two ends of a numeric scale.
        """
        mine = self._of(question)
        low, high = self.words["ends"].get(question.kind, ("", ""))
        return (
            mine.get("low_label") or question.low_label or low,
            mine.get("high_label") or question.high_label or high,
        )

    def label(self, question: Question, value: Any) -> str:
        """
        Return the words of one answer: of a choice, a value of words, or the number itself.
        """
        for choice in question.choices:
            if choice.id == value:
                translated: str = self._of(question).get("choices", {}).get(value, choice.label)
                return self._fill(translated)
        known = self.words["values"].get(question.kind, {})
        return str(known.get(str(value), value))

    def options(self, question: Question) -> list[tuple[Any, str]]:
        """
        Return (value, label) of each answer in the order in which it is shown.
        """
        found = [(value, self.label(question, value)) for value in question.values]
        if question.shuffle:
            random.Random(f"{self._seed}:{question.id}").shuffle(found)  # noqa: S311 - an order
        if question.allow_other:
            found.append(("other", str(self.words["other"])))
        return found
