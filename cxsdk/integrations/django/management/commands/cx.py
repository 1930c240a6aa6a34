"""
``manage.py cx``: the command ``cxsdk`` with the settings of the project.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand

from cxsdk import _default
from cxsdk.config import SETTINGS, Settings

__all__ = ["Command"]


class Command(BaseCommand):
    """
    Hands its words over to ``cxsdk``. Exit codes are those of that command.
    """

    help = (
        "The command cxsdk with the settings of this project: 'doctor' says what is set and what"
        " keeps events from arriving, 'spool' and 'outbox' what waits, 'prompts' checks and explains"
        " them, 'context' asks whom to turn to. 'manage.py cx COMMAND --help' says more."
    )
    # It is what one runs when something is wrong.
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own form

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """
        Take everything behind the name of the command as it is.
        """
        parser.add_argument(
            "words",
            nargs=argparse.REMAINDER,
            metavar="COMMAND …",
            help="doctor, prompts, spool, outbox, context, … and its own arguments",
        )

    def handle(self, *_: Any, words: list[str], **__: Any) -> None:
        """
        Run it.

        Raises:
            SystemExit: with the code of the command, where that is not 0.
        """
        from cxsdk.cli import main

        client = _default.client()
        if client is not None:
            _tell(client.settings)
            words = _completed(words, client.settings)
        code = main(words or ["--help"])
        if code:
            raise SystemExit(code)


def _tell(made: Settings) -> None:
    """
    Put what the project's code says where the command reads it; what the environment says stays.
    """
    for row in SETTINGS:
        holder = getattr(made, row.group) if row.group else made
        text = _text(getattr(holder, row.name))
        if text is not None and made.origins.get(row.path) == "argument":
            os.environ.setdefault(row.env, text)


def _text(value: Any) -> str | None:
    """
    Return *value* as its variable would say it; None where no text does, as of a sink.
    """
    if isinstance(value, bytes):
        return value.decode(errors="ignore")
    if isinstance(value, tuple):
        texts = [_text(each) for each in value]
        return None if None in texts else ",".join(str(each) for each in texts)
    plain = (str, int, float, os.PathLike, ZoneInfo)
    return str(value) if isinstance(value, plain) else None


def _completed(words: list[str], made: Settings) -> list[str]:
    """
    Return *words* with the path that the project knows, where it was left out.
    """
    if len(words) < 2 or words[1].startswith("-"):
        return words
    known = {
        "prompts": made.prompts.files,
        "touchpoints": getattr(settings, "BASE_DIR", None),
    }.get(words[0])
    is_said = len(words) > 2 and Path(words[2]).exists()
    return words if known is None or is_said else [*words[:2], str(known), *words[2:]]
