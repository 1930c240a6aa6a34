"""
Try prompts out before anybody is asked: PATH is a TOML file, or a folder of them.

  cxsdk prompts check PATH                     is each of them right, and what looks odd
  cxsdk prompts preview PATH PROMPT            how it reads, in any of its languages
  cxsdk prompts explain PATH PROMPT …          what each rule says of one customer
  cxsdk prompts simulate PATH --events FILE    whom it would have asked, had it been there

None of them asks anybody, and none writes to a store.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType

__all__ = ["ACTIONS", "configure", "run"]

ACTIONS: dict[str, str] = {
    "check": "validate, print versions, warn of what looks odd; 1 when something is wrong",
    "preview": "show how a prompt reads",
    "explain": "say what each rule says of one customer",
    "simulate": "run prompts over past events: whom they would have asked, how often",
}
"""Name → what it does; each is a module of this package with `configure` and `run`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, purpose in ACTIONS.items():
        module = _module(name)
        one = commands.add_parser(
            name,
            help=purpose,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("path", type=Path, metavar="PATH", help="a TOML file or a folder of them")
        module.configure(one)


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 for findings.

    Raises:
        ConfigurationError: a path or an argument is wrong.
        ExtraMissingError: a package of an extra is missing.
    """
    code: int = _module(options.action).run(options)
    return code


def _module(action: str) -> ModuleType:
    return importlib.import_module(f"cxsdk.cli.prompts.{action}")
