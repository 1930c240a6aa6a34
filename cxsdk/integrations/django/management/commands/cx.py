"""
``manage.py cx``: the command ``cxsdk`` with the settings of the project.
"""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cxsdk import _default
from cxsdk.integrations.handover import completed, tell

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
        made = None if client is None else client.settings
        if made is not None:
            tell(made)
        code = main(completed(words, made, getattr(settings, "BASE_DIR", None)) or ["--help"])
        if code:
            raise SystemExit(code)
