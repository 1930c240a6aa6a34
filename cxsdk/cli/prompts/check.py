"""
Check prompts: every error with file, prompt and field, versions, and what looks odd.

A version is a hash of what is asked; answers refer to it. Exit code 1 when something is wrong, with
--strict also when something looks odd.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from cxsdk.cli import _screen
from cxsdk.prompts.files import Entry, read
from cxsdk.prompts.model import DAY, Prompt, default_caps

__all__ = ["configure", "oddities", "run"]

_MANY = 3
_PLACE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for oddities as well")


def run(options: argparse.Namespace) -> int:
    """
    Check; return 0, or 1 for errors.

    Raises:
        ConfigurationError: there is no such file.
    """
    entries = read(options.path)
    keys = {entry.key for entry in entries}
    errors = [str(entry.error) for entry in entries if entry.error is not None]
    odd = [
        (entry, words)
        for entry in entries
        if entry.prompt is not None
        for words in oddities(entry.prompt, keys)
    ]
    if options.json:
        _screen.show_json(_plain(entries, errors, odd))
    else:
        _show(entries, errors, odd)
    return 1 if errors or (options.strict and odd) else 0


def _plain(
    entries: Sequence[Entry], errors: list[str], odd: list[tuple[Entry, str]]
) -> dict[str, Any]:
    return {
        "prompts": [
            {
                "prompt": entry.key,
                "version": entry.prompt.version,
                "status": entry.prompt.status,
                "file": str(entry.path),
            }
            for entry in entries
            if entry.prompt is not None
        ],
        "errors": errors,
        "warnings": [{"prompt": entry.key, "warning": words} for entry, words in odd],
    }


def _show(entries: Sequence[Entry], errors: list[str], odd: list[tuple[Entry, str]]) -> None:
    rows = [
        (
            entry.key,
            entry.prompt.version,
            entry.prompt.status,
            entry.prompt.scope,
            ", ".join(entry.prompt.channels),
            len(entry.prompt.questions),
            entry.path.name,
        )
        for entry in entries
        if entry.prompt is not None
    ]
    columns = ("prompt", "version", "status", "scope", "channels", "questions", "file")
    _screen.table(columns, rows)
    for entry, words in odd:
        print(f"odd: {entry.path}: prompt {entry.key!r}: {words}")
    for words in errors:
        print(f"wrong: {words}")
    print(f"{len(rows)} prompts, {len(errors)} errors, {len(odd)} oddities")


def oddities(prompt: Prompt, keys: set[str]) -> Iterator[str]:
    """
    Yield what is allowed and seldom meant.

    Args:
        keys: of all prompts there are.
    """
    if len(prompt.questions) > _MANY:
        yield f"{len(prompt.questions)} questions: each one more costs answers"
    if not prompt.caps:
        gaps = {cap.scope: cap.within / DAY for cap in default_caps(prompt.scope)}
        yield (
            f"no cap of its own: by default once in {gaps['prompt']:g} days,"
            f" and any prompt once in {gaps['global']:g}"
        )
    own = [cap for cap in prompt.caps if cap.scope == "prompt"]
    if prompt.scope == "relational" and own and not any(c.within or c.after_answer for c in own):
        yield "relational without a gap: its cap says neither within nor after_answer"
    if prompt.scope == "transactional" and not prompt.trigger.event:
        yield "transactional without trigger.event: asks after any interaction"
    if prompt.sampling.rate == 0:
        yield "sampling.rate is 0: nobody is asked"
    if prompt.ends_at is not None and prompt.ends_at <= datetime.now(UTC):
        yield f"over since {prompt.ends_at:%Y-%m-%d}"
    yield from _odd_texts(prompt)
    named = {rule.prompt for rule in prompt.eligibility if hasattr(rule, "prompt")}
    for name in sorted(named - keys):
        yield f"eligibility names prompt {name!r}, which is not here"


def _odd_texts(prompt: Prompt) -> Iterator[str]:
    for question in prompt.questions:
        if question.kind == "text" and not question.help:
            yield f"question {question.id!r}: text without help: only a standard line stands below"
    texts = [prompt.title, prompt.thank_you]
    texts += [text for q in prompt.questions for text in (q.text, q.help, *_labels(q))]
    shown = {name for text in texts for name in _PLACE.findall(text)}
    for name in sorted(shown - set(prompt.context_fields)):
        yield f"{{{name}}} is shown as it stands: it is not among context_fields"
    for language, words in prompt.locales.items():
        told = words.get("questions", {})
        for question in prompt.questions:
            if question.text and not told.get(question.id, {}).get("text"):
                yield f"{language}: question {question.id!r} is not translated"


def _labels(question: Any) -> tuple[str, ...]:
    labels = [choice.label for choice in question.choices]
    return (question.low_label, question.high_label, *labels)
