"""
Words in an event: what is personal is taken out of them, and they give way when they are too long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from cxsdk._guard import voice
from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.plain import plain
from cxsdk.pipeline.redact import Redactor

__all__ = ["Words", "shorten", "shorten_fact"]

_TRUNCATED = 500
_FREE_TEXT = ("detail", "reason_text", "fingerprint")
_LONGEST_TEXT = 8000
"""Characters of free text that the standard has room for."""

_WITHHELD = "[withheld]"
"""Instead of a text that the team's own redactor could not read."""

_EDGE = 100
"""At a cut half an address or number may stand, which nothing would find."""


class Words:
    """
    Redaction of a draft's attributes and free text. Stateless beside its `Redactor`.

    Args:
        redactor: None where redaction is off.

        longest: characters of one text that are read at all; the rest could never be kept.

        more: the team's own step on free text, after ours.
    """

    def __init__(
        self,
        redactor: Redactor | None,
        longest: int = 32_000,
        more: Callable[[str], str] | None = None,
    ) -> None:
        self._redactor = redactor
        self._longest = longest
        self._more = more

    def clean(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """
        Return *attributes* as JSON-like values, without None and without what is personal.
        """
        cuts: list[int] = []

        def cut(text: str) -> str:
            if len(text) <= self._longest:
                return text
            cuts.append(len(text))
            return self._text(text[: 2 * _TRUNCATED])[:-_EDGE][:_TRUNCATED]

        # First, because the encoder would write out a dataclass, which redaction does not look into.
        attributes = plain(attributes, cut)
        if cuts:
            attributes["truncated"] = True
        return self._redactor.attributes(attributes) if self._redactor else attributes

    def redact(self, draft: Draft) -> None:
        """
        Redact every field of *draft* that may hold words; cut what the standard has no room for.
        """
        data = draft.data
        if draft.attributes:
            draft.attributes = self.clean(draft.attributes)
        if data.get("ext"):
            data["ext"] = self.redacted(plain(data["ext"]))
        if data.get("traits"):
            # None where nothing is left: absent, not an empty mapping.
            data["traits"] = self.redacted(plain(dict(data["traits"]))) or None
        if data.get("expectations"):
            data["expectations"] = self.redacted(data["expectations"])
        cuts = [self._fit(data, name) for name in _FREE_TEXT]
        answers = data.get("answers")
        if answers:
            data["answers"] = [self._redact_answer(answer) for answer in answers]
            cuts += [
                self._fit(answer, "text") for answer in data["answers"] if isinstance(answer, dict)
            ]
        if any(cuts):
            _flag(draft)

    def redacted(self, value: Any) -> Any:
        """
        Return JSON-like *value* as redaction leaves it, where that is on.
        """
        return self._redactor.value(value) if self._redactor else value

    def _fit(self, facts: dict[str, Any], name: str) -> bool:
        """
        Redact the free text *name* and cut it to what the standard takes; say whether it was cut.
        """
        text = facts.get(name)
        if not isinstance(text, str):
            return False
        is_cut = len(text) > self._longest
        fitted = self._text(text[: self._longest])[:-_EDGE] if is_cut else self._text(text)
        if self._more is not None and name != "fingerprint":
            fitted = self._redacted_more(fitted)
        facts[name] = fitted[:_LONGEST_TEXT] if name != "fingerprint" else fitted
        return is_cut or len(facts[name]) < len(fitted)

    def _redacted_more(self, text: str) -> str:
        assert self._more is not None  # noqa: S101 - the caller looked
        try:
            found = self._more(text)
        except Exception as error:  # noqa: BLE001 - a team's code; what it could not read is not kept
            kind = type(error).__name__
            voice.say(logging.ERROR, "redactor", "cxsdk: the redactor raised %s", kind)
            return _WITHHELD
        return found if isinstance(found, str) else _WITHHELD

    def _text(self, text: str) -> str:
        if not text.isascii():
            # Half a character of a broken client must not cost the customer's words.
            text = text.encode("utf-8", "replace").decode()
        return self._redactor.text(text) if self._redactor else text

    def _redact_answer(self, answer: Any) -> Any:
        if not isinstance(answer, dict):
            return answer
        out = dict(answer)
        if isinstance(out.get("value"), str):
            out["value"] = self._text(out["value"])
        if out.get("values"):
            out["values"] = self.redacted(list(out["values"]))
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
    _flag(draft)
    for name in _FREE_TEXT:
        if isinstance(draft.data.get(name), str):
            draft.data[name] = draft.data[name][:_TRUNCATED]
    for answer in draft.data.get("answers") or ():
        if isinstance(answer.get("text"), str):
            answer["text"] = answer["text"][:_TRUNCATED]


def _flag(draft: Draft) -> None:
    flagged = dict(draft.data.get("ext") or {})
    flagged["cxsdk"] = {"truncated": True}
    draft.data["ext"] = flagged
