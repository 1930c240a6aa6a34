"""
``manage.py cx``: the command ``cxsdk`` with the settings of the project.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand

from cxsdk.config import SETTINGS
from cxsdk.integrations.django.project import project

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
        _tell(project().arguments)
        from cxsdk.cli import main

        code = main(words or ["--help"])
        if code:
            raise SystemExit(code)


def _tell(arguments: Mapping[str, Any]) -> None:
    """
    Put the settings where the command reads them; what the environment says already stays.
    """
    for row in SETTINGS:
        holder = arguments.get(row.group) if row.group else arguments
        text = _text(_of(holder, row.name))
        if text is not None:
            os.environ.setdefault(row.env, text)


def _of(holder: Any, name: str) -> Any:
    if holder is None or isinstance(holder, Mapping):
        return None if holder is None else holder.get(name)
    # Of a group only what was named: a default is no choice of the team's.
    return getattr(holder, name) if name in holder.said else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, (Mapping, set)):
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (list, tuple)):
        texts = [_text(each) for each in value]
        return None if None in texts else ",".join(str(each) for each in texts)
    # A sink or a store of the team's own is an object that no text stands for.
    return str(value) if isinstance(value, (str, int, float, os.PathLike)) else None
