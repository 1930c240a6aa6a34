"""
An offer as JSON: what somebody who draws their own form needs, and the words for what goes wrong.

The schemas in ``schemas/`` say what is in it; they are served beside the static files.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from cxsdk.prompts.offer import Offer
from cxsdk.prompts.question import KINDS, Question
from cxsdk.prompts.wording import Wording

__all__ = ["SCHEMAS", "document", "problem", "schema", "wording_of"]

SCHEMAS = ("answer", "offer", "problem")
"""Names of the published JSON Schemas (draft 2020-12)."""

_FOLDER = Path(__file__).parent / "schemas"
_STRINGS = (
    "submit",
    "dismiss",
    "never",
    "sending",
    "optional",
    "already",
    "gone",
    "dismissed",
    "opted_out",
)
_TITLES = {
    "invalid": "An answer does not fit its question",
    "conflict": "This was answered already, and otherwise",
    "gone": "This question is no longer open",
    "unavailable": "The answer cannot be taken at the moment",
    "malformed": "The body cannot be read",
    "too_large": "The body is too large",
    "media_type": "This kind of body is not taken",
    "foreign_origin": "This origin may not answer here",
    "method": "This method is not for this address",
    "not_found": "There is nothing at this address",
}


def wording_of(offer: Offer) -> Wording:
    """
    Return the texts of *offer* as its reader sees them.
    """
    return Wording(offer.prompt, offer.locale, offer.context, offer.offer_id)


def document(offer: Offer, base: str) -> dict[str, Any]:
    """
    Return *offer* as a JSON object; texts are plain, to be escaped by whoever shows them.

    Args:
        base: address under which the endpoint is mounted, such as ``/cx``; with scheme and host
            for readers elsewhere.
    """
    words = wording_of(offer)
    base = base.rstrip("/")
    page = f"{base}/o/{offer.token}"
    found: dict[str, Any] = {
        "schema": f"{base}/static/offer.schema.json",
        "token": offer.token,
        "state": offer.state,
        "stage": offer.stage,
        "expires_at": offer.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "locale": offer.locale,
        "direction": words.direction,
        "questions": [_question(each, words) for each in offer.prompt.questions],
        "strings": {
            **{name: words.words[name] for name in _STRINGS},
            "thank_you": words.thank_you,
            "errors": dict(words.words["errors"]),
        },
        "strings_locale": words.language,
        "urls": {"answer": page, "state": f"{page}/state", "page": page},
    }
    if words.title:
        found["title"] = words.title
    return found


def _question(question: Question, words: Wording) -> dict[str, Any]:
    kind = KINDS[question.kind]
    found: dict[str, Any] = {
        "id": question.id,
        "kind": question.kind,
        "type": _type(question),
        "text": words.text(question),
        "required": question.required,
    }
    said = words.help(question)
    if said:
        found["help"] = said
    if kind.is_text:
        found["max_chars"] = question.max_chars
    else:
        found["options"] = [{"value": v, "label": text} for v, text in words.options(question)]
    if question.scale is not None:
        low, high = words.ends(question)
        ends = {"low_label": low, "high_label": high}
        found["scale"] = {"min": question.scale[0], "max": question.scale[1]}
        found["scale"].update({name: text for name, text in ends.items() if text})
    if question.allow_other:
        found["other"] = {
            "name": f"{question.id}_other",
            "label": words.words["other_text"],
            "max_chars": question.max_chars,
        }
    if question.show_if is not None:
        found["show_if"] = _condition(question)
    return found


def _type(question: Question) -> str:
    kind = KINDS[question.kind]
    if kind.is_text:
        return "text"
    if question.scale is not None:
        return "number"
    return "choices" if kind.is_many else "choice"


def _condition(question: Question) -> dict[str, Any]:
    condition = question.show_if
    assert condition is not None  # noqa: S101 - the caller looked
    found: dict[str, Any] = {"question": condition.question, "op": condition.op}
    value = condition.value
    if condition.op in {"in", "not_in"}:
        found["value"] = list(value) if isinstance(value, (list, tuple)) else [value]
    elif condition.op != "answered":
        found["value"] = value
    return found


def problem(
    status: int,
    code: str,
    detail: str = "",
    errors: Mapping[str, str] | None = None,
    words: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Return an error as RFC 9457 has it (``application/problem+json``).

    Args:
        code: stable name of what is wrong.

        detail: a sentence for the reader.

        errors: question id, or ``""`` for the whole, → code, as in `Receipt.errors`.

        words: the catalogue that says them to the reader.
    """
    found: dict[str, Any] = {
        "type": f"urn:cxsdk:problem:{code}",
        "title": _TITLES[code],
        "status": status,
        "code": code,
    }
    if detail:
        found["detail"] = detail
    if errors:
        said = (words or {}).get("errors", {})
        found["errors"] = [
            {
                "pointer": f"/answers/{name}" if name else "/answers",
                "code": fault,
                "detail": said.get(fault, fault),
            }
            for name, fault in errors.items()
        ]
    return found


def schema(name: str) -> bytes:
    """
    Return a published JSON Schema, one of `SCHEMAS`.
    """
    return (_FOLDER / f"{name}.schema.json").read_bytes()
