"""
Answers: what a form posts, checked against the wording it answers, as the event standard has it.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

import attrs

from cxsdk.prompts.model import Prompt
from cxsdk.prompts.question import KINDS, Question

__all__ = ["Answers", "check"]

_OTHER = "other"
_TEXT_SUFFIX = "_other"
_MOST_FIELDS = 64
_NOTHING: tuple[Any, ...] = (None, "", [])


@attrs.define
class Answers:
    """
    What was answered, and what is wrong with it.
    """

    values: dict[str, Any] = attrs.Factory(dict)
    """Question id → value, for conditions and follow-ups; texts as they are."""

    wire: list[dict[str, Any]] = attrs.Factory(list)
    """Answers as the event standard has them."""

    errors: dict[str, str] = attrs.Factory(dict)
    complete: bool = True
    """Every required question that was asked is answered."""

    @property
    def digest(self) -> bytes:
        """
        Return 16 bytes that are the same for the same answers.
        """
        text = json.dumps(self.wire, sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


def clean(text: str) -> str:
    """
    Return *text* in NFC, without control characters but line breaks and tabs.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    # Cc: control; Cs: halves of surrogate pairs, which no encoding holds.
    kept = (c for c in text if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"})
    return "".join(kept).strip()


def check(prompt: Prompt, given: Mapping[str, Any], *, partial: bool, lang: str) -> Answers:
    """
    Check *given* (question id → text, number or list, as JSON or a form has them).

    Args:
        partial: True: what is required may be missing; the answer is not complete then.

        lang: the language that was shown, stands on texts.
    """
    found = Answers()
    names = {question.id for question in prompt.questions}
    others = {f"{q.id}{_TEXT_SUFFIX}" for q in prompt.questions if q.allow_other}
    unknown = [name for name in given if name not in names | others]
    if unknown or len(given) > _MOST_FIELDS:
        found.errors[""] = "unknown_question"
        return found
    for question in prompt.questions:
        if question.show_if is not None and not question.show_if.holds(found.values):
            continue  # never asked: what a stale form says to it is not heard
        _one(question, given, found, partial=partial, lang=lang)
    if not found.wire and not found.errors and not partial:
        found.errors[""] = "required"
    found.complete = found.complete and bool(found.wire)
    return found


def _one(
    question: Question, given: Mapping[str, Any], found: Answers, *, partial: bool, lang: str
) -> None:
    raw = given.get(question.id)
    answer: dict[str, Any] = {"question": question.id}
    dimension = question.dimension or KINDS[question.kind].dimension
    if dimension:
        answer["dimension"] = dimension
    empty = len(answer)
    error = "" if raw in _NOTHING else _read(question, raw, given, answer, lang)
    if error:
        found.errors[question.id] = error
    elif len(answer) > empty:
        found.values[question.id] = answer.get("values", answer.get("value", answer.get("text")))
        found.wire.append(answer)
    elif question.required:  # also a text of blanks
        found.complete = False
        if not partial:
            found.errors[question.id] = "required"


def _read(
    question: Question, raw: Any, given: Mapping[str, Any], answer: dict[str, Any], lang: str
) -> str:
    if KINDS[question.kind].is_text:
        return _text(question, raw, answer, lang)
    if question.scale is not None:
        return _number(question, raw, answer)
    return _choice(question, raw, given, answer)


def _text(question: Question, raw: Any, answer: dict[str, Any], lang: str) -> str:
    if not isinstance(raw, str):
        return "text"
    text = clean(raw)
    if len(text) > question.max_chars:
        return "too_long"
    if text:
        answer.update({"text": text, "lang": lang})
    return ""


def _number(question: Question, raw: Any, answer: dict[str, Any]) -> str:
    low, high = question.scale or (0, 0)
    if isinstance(raw, str):
        is_number = raw.isascii() and raw.isdigit() and len(raw) <= 3
        raw = int(raw) if is_number else None
    if type(raw) is not int or not low <= raw <= high:
        return "number"
    answer["value"] = raw
    answer["scale"] = {"min": low, "max": high, "better": "higher"}
    return ""


def _choice(question: Question, raw: Any, given: Mapping[str, Any], answer: dict[str, Any]) -> str:
    many = KINDS[question.kind].is_many
    chosen = list(raw) if isinstance(raw, (list, tuple)) else [raw]
    allowed = set(question.values) | ({_OTHER} if question.allow_other else set())
    is_fine = all(isinstance(each, str) and each in allowed for each in chosen)
    if not is_fine or len(set(chosen)) < len(chosen) or (not many and len(chosen) != 1):
        return "choice"
    if many:
        answer["values"] = chosen
    else:
        answer["value"] = chosen[0]
    if _OTHER in chosen:
        text = given.get(f"{question.id}{_TEXT_SUFFIX}", "")
        if not isinstance(text, str):
            return "text"
        text = clean(text)
        if len(text) > question.max_chars:
            return "too_long"
        if text:
            answer["text"] = text
    return ""
