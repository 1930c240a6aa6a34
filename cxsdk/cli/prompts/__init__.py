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
from pathlib import Path

from cxsdk.cli import _actions

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
    _actions.add(parser, __name__, ACTIONS, _path)


def _path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="a TOML file or a folder of them")


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 for findings.

    Raises:
        ConfigurationError: a path or an argument is wrong.
        ExtraMissingError: a package of an extra is missing.
    """
    code: int = _actions.module(__name__, options.action).run(options)
    return code
