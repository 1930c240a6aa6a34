"""
Show how a prompt reads: as text, or as the JSON or HTML that a page would get.

The token in it is none, and nothing that is answered to it is taken.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cxsdk.cli import _screen
from cxsdk.cli.prompts._choice import chosen, pairs
from cxsdk.errors import ConfigurationError
from cxsdk.prompts.deciding import matching_locale
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.offer import Offer
from cxsdk.prompts.question import Question
from cxsdk.prompts.wording import Wording

__all__ = ["configure", "run"]

_FORMS = ("text", "json", "html")


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("prompt", metavar="PROMPT", help="its key")
    parser.add_argument("--locale", metavar="TAG", help="the reader's language; else its own")
    parser.add_argument("--as", dest="form", choices=_FORMS, default="text", help="form (text)")
    parser.add_argument(
        "--context", action="append", default=[], metavar="NAME=VALUE", help="a value for {NAME}"
    )


def run(options: argparse.Namespace) -> int:
    """
    Show it; return 0.

    Raises:
        ConfigurationError: there is no such prompt, or not in this language.
        ExtraMissingError: Jinja2 is missing, for HTML.
    """
    prompt = chosen(options.path, options.prompt)
    locale = prompt.language
    if options.locale:
        found = matching_locale(prompt, options.locale)
        if found is None:
            known = ", ".join((prompt.language, *prompt.locales))
            raise ConfigurationError(
                f"prompt {prompt.key!r}: no text for {options.locale!r}; there is {known}"
            )
        locale = found
    context = {name: str(value) for name, value in pairs(options.context, "--context").items()}
    unknown = sorted(context.keys() - set(prompt.context_fields))
    if unknown:
        raise ConfigurationError(f"--context: {unknown[0]!r} is not among context_fields")
    if options.form == "text":
        print("\n".join(_lines(prompt, Wording(prompt, locale, context, "preview"))))
        return 0
    offer = Offer(
        token="preview",  # noqa: S106 - stands where one would
        offer_id="preview",
        prompt=prompt,
        channel=prompt.channels[0],
        locale=locale,
        expires_at=datetime.now(UTC) + timedelta(seconds=prompt.ttl(prompt.channels[0])),
        context=context,
    )
    face = getattr(offer, f"as_{options.form}", None)
    if face is None:
        raise ConfigurationError(f"--as {options.form}: this version of cxsdk has no such face")
    shown = face()
    if options.form == "json":
        _screen.show_json(shown)
    else:
        print(shown)
    return 0


def _lines(prompt: Prompt, wording: Wording) -> Iterator[str]:
    if wording.title:
        yield wording.title
        yield ""
    for question in prompt.questions:
        yield from _question(question, wording)
        yield ""
    yield f"afterwards: {wording.thank_you}"


def _question(question: Question, wording: Wording) -> Iterator[str]:
    condition = question.show_if
    marks = [] if question.required else [str(wording.words["optional"])]
    if condition is not None:
        said = "" if condition.value is None else f" {condition.value}"
        marks.append(f"only if {condition.question} {condition.op}{said}")
    yield wording.text(question) + (f" ({'; '.join(marks)})" if marks else "")
    if wording.help(question):
        yield f"  {wording.help(question)}"
    if question.scale is not None and question.kind != "thumbs":
        low, high = wording.ends(question)
        numbers = " ".join(str(value) for value in question.values)
        yield "  " + "  ".join(part for part in (low, numbers, high) if part)
    elif question.values:
        for _, label in wording.options(question):
            yield f"  ( ) {label}"
    else:
        yield f"  {'_' * 40} {wording.words['characters'].format(n=question.max_chars)}"
