"""
Words in an event: what is personal is taken out of them, and they give way when it is too large.
"""

from __future__ import annotations

from typing import Any

from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.encode import plain, without_none
from cxsdk.pipeline.redact import Redactor

__all__ = ["Words", "shorten", "shorten_fact"]

_TRUNCATED = 500
_FREE_TEXT = ("detail", "reason_text", "fingerprint")


class Words:
    """
    Redaction of a draft's attributes and free text. Stateless beside its `Redactor`.

    Args:
        redactor: None where redaction is off.
    """

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor

    def clean(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """
        Return *attributes* as JSON-like values, without None and without what is personal.
        """
        # First, because the encoder would write out a dataclass, which redaction does not look into.
        attributes = without_none(plain(attributes))
        return self._redactor.attributes(attributes) if self._redactor else attributes

    def redact(self, draft: Draft) -> None:
        """
        Redact every field of *draft* that may hold words.
        """
        if draft.attributes:
            draft.attributes = self.clean(draft.attributes)
        if self._redactor is None:
            return
        for name in _FREE_TEXT:
            if isinstance(draft.data.get(name), str):
                draft.data[name] = self._redactor.text(draft.data[name])
        if draft.data.get("traits"):
            draft.data["traits"] = self._redactor.attributes(dict(draft.data["traits"]))
        answers = draft.data.get("answers")
        if answers:
            draft.data["answers"] = [self._redact_answer(answer) for answer in answers]
        if draft.data.get("ext"):
            draft.data["ext"] = self._redactor.value(plain(draft.data["ext"]))
        if draft.data.get("expectations"):
            draft.data["expectations"] = self.redacted(draft.data["expectations"])

    def redacted(self, value: Any) -> Any:
        """
        Return JSON-like *value* as redaction leaves it, where that is on.
        """
        return self._redactor.value(value) if self._redactor else value

    def _redact_answer(self, answer: Any) -> Any:
        if not isinstance(answer, dict) or self._redactor is None:
            return answer
        out = dict(answer)
        for name in ("text", "value"):
            if isinstance(out.get(name), str):
                out[name] = self._redactor.text(out[name])
        if out.get("values"):
            out["values"] = self._redactor.value(list(out["values"]))
        return out


def shorten(draft: Draft) -> None:
    """
    Cut long attributes of *draft*, and say so in one more: free text gives way first.
    """
    if draft.attributes:
        draft.attributes = {
            name: item[:_TRUNCATED] if isinstance(item, str) else item
            for name, item in draft.attributes.items()
        }
        draft.attributes["truncated"] = True


def shorten_fact(draft: Draft) -> None:
    """
    Do what `shorten` does, for the free text of any family too.
    """
    shorten(draft)
    flagged = dict(draft.data.get("ext") or {})
    flagged["cxsdk"] = {"truncated": True}
    draft.data["ext"] = flagged
    for name in _FREE_TEXT:
        if isinstance(draft.data.get(name), str):
            draft.data[name] = draft.data[name][:_TRUNCATED]
    for answer in draft.data.get("answers") or ():
        if isinstance(answer.get("text"), str):
            answer["text"] = answer["text"][:_TRUNCATED]
