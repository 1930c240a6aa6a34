"""
What was shown: an offer keeps the wording that its reader sees, so that a prompt that is reworded
while offers are out makes nobody's answer one to another question.
"""

from __future__ import annotations

from typing import Any

import attrs

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.offer import Bound
from cxsdk.prompts.question import Choice, Question, ShowIf

__all__ = ["rebuilt", "wording_in"]

_TEXTS = ("text", "help", "low_label", "high_label")


def wording_in(prompt: Prompt, locale: str) -> dict[str, Any]:
    """
    Return what a reader of *locale* is shown of *prompt*, as JSON can have it.
    """
    texts = prompt.locales.get(locale, {})
    found: dict[str, Any] = {
        name: texts.get(name, getattr(prompt, name)) for name in ("title", "thank_you")
    }
    translated = texts.get("questions", {})
    found["questions"] = [_told(each, translated.get(each.id, {})) for each in prompt.questions]
    found["fields"] = list(prompt.context_fields)
    return {name: value for name, value in found.items() if value}


def _told(question: Question, texts: Any) -> dict[str, Any]:
    plain = attrs.asdict(question)
    plain.update({name: texts[name] for name in _TEXTS if texts.get(name)})
    labels = texts.get("choices", {})
    plain["choices"] = [[each.id, labels.get(each.id, each.label)] for each in question.choices]
    usual = {each.name: each.default for each in attrs.fields(Question)}
    usual["choices"] = []
    return {name: value for name, value in plain.items() if value != usual[name]}


def rebuilt(prompt: Prompt, bound: Bound) -> Prompt:
    """
    Return *prompt* with the wording that *bound* was offered with; as it is where that is unknown.
    """
    shown = bound.wording
    if not shown:
        return prompt
    try:
        questions: Any = [_question(each) for each in shown["questions"]]
        names = {question.id for question in questions}
        promises: Any = [each for each in prompt.follow_up if each.when.keys() <= names]
        made = attrs.evolve(
            prompt,
            questions=questions,
            title=shown.get("title", ""),
            thank_you=shown.get("thank_you", ""),
            context_fields=shown.get("fields", ()),
            language=bound.locale,
            locales={},
            follow_up=promises,
        )
    except (ConfigurationError, TypeError, KeyError):
        return prompt  # of another cxsdk
    object.__setattr__(made, "version", bound.version)
    return made


def _question(told: dict[str, Any]) -> Question:
    fields = {
        **told,
        "choices": [Choice(id=each[0], label=each[1]) for each in told.get("choices", ())],
    }
    condition = told.get("show_if")
    if condition is not None:
        fields["show_if"] = ShowIf(**condition)
    return Question(**fields)
