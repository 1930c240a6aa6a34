"""
Bodies of requests, read with limits: forms and JSON, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qs

import attrs
import msgspec

from cxsdk.prompts.model import Prompt
from cxsdk.prompts.question import KINDS

__all__ = ["MOST_BYTES", "Fault", "Said", "Step", "answers_of", "chosen_in", "read", "step_of"]

MOST_BYTES = 16 * 1024
_MOST_FIELDS = 64
_ACTION = "cx-action"
_RETURN = "cx-return"
_HEADING = "cx-heading"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = (
    "multipart/form-data is not taken: there are no files to send. "
    f"Post {_FORM} or application/json."
)


class Fault(Exception):  # noqa: N818 - of a request, not of ours
    """
    A request that is refused before it is looked into.

    Args:
        status: of HTTP.

        code: as in `problem`.

        detail: a sentence for whoever sent it.
    """

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    answers: dict[str, str | int | float | bool | list[str | int] | None]
    partial: bool = False


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    state: Literal["shown", "started", "dismissed"]
    reason: Literal["close", "escape", "not_now", "never_ask", "timeout", "navigated"] | None = None


_read_answer = msgspec.json.Decoder(_Answer).decode
_read_step = msgspec.json.Decoder(_Step).decode
Step = _Step


@attrs.define(frozen=True)
class Said:
    """
    What a body says.
    """

    fields: Mapping[str, Any]
    """Field → list of texts in a form, value in JSON."""

    is_json: bool = False
    is_partial: bool = False
    action: str = "answer"
    return_to: str = ""
    heading: int = 2
    """Level of headings in the page that the form stands in."""


def _form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(
            body.decode("utf-8", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Fault(400, "malformed", f"At most {_MOST_FIELDS} fields.") from None


def _kind(content_type: str, body: bytes) -> str:
    if len(body) > MOST_BYTES:
        raise Fault(413, "too_large", f"At most {MOST_BYTES} bytes.")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        raise Fault(415, "media_type", _MULTIPART)
    if kind not in {_FORM, "application/json"}:
        raise Fault(415, "media_type", f"Post {_FORM} or application/json.")
    return kind


def read(content_type: str, body: bytes) -> Said:
    """
    Return what the body of an answer says.

    Raises:
        Fault: 413, 415, or 400 where it cannot be read.
    """
    if _kind(content_type, body) == "application/json":
        try:
            found = _read_answer(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Fault(400, "malformed", str(error)[:200]) from None
        return Said(found.answers, is_json=True, is_partial=found.partial)
    fields = _form(body)
    action = fields.pop(_ACTION, ["answer"])[-1]
    back = fields.pop(_RETURN, [""])[-1]
    level = fields.pop(_HEADING, ["2"])[-1]
    heading = int(level) if level in {"1", "2", "3", "4", "5", "6"} else 2
    return Said(fields, action=action, return_to=back, heading=heading)


def step_of(content_type: str, body: bytes) -> Step:
    """
    Return what the body of a step in an offer's life says.

    Raises:
        Fault: 413, 415, or 400 where it cannot be read.
    """
    kind = _kind(content_type, body)
    try:
        if kind == "application/json":
            return _read_step(body)
        return msgspec.convert({name: each[-1] for name, each in _form(body).items()}, Step)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(400, "malformed", str(error)[:200]) from None


def answers_of(prompt: Prompt, said: Said) -> dict[str, Any]:
    """
    Return question id → value as `Engine.submit` takes it.

    A field that comes twice stays a list, which only questions with several answers allow.
    """
    if said.is_json:
        return dict(said.fields)
    many = {q.id for q in prompt.questions if KINDS[q.kind].is_many}
    return {
        name: values if name in many or len(values) > 1 else values[0]
        for name, values in said.fields.items()
    }


def chosen_in(prompt: Prompt, query: str) -> dict[str, list[str]]:
    """
    Return what the address of a page chooses beforehand: ``v`` for the first question, or its id.

    Only answers that there are; a text is never written for its reader.
    """
    try:
        fields = parse_qs(query, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError:
        return {}
    found = {}
    for question in prompt.questions:
        values = fields.get(question.id, [])
        if question is prompt.questions[0] and not values:
            values = fields.get("v", [])
        known = [value for value in values if value in map(str, question.values)]
        if known:
            found[question.id] = known if KINDS[question.kind].is_many else known[:1]
    return found
