"""
Commands with actions, each a module of the command's package with `configure` and `run`.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType

__all__ = ["add", "module"]


def add(
    parser: argparse.ArgumentParser,
    package: str,
    actions: Mapping[str, str],
    common: Callable[[argparse.ArgumentParser], object],
) -> None:
    """
    Add each of *actions* (name → what it does) to *parser*, with the arguments *common* to all.
    """
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, purpose in actions.items():
        found = module(package, name)
        one = commands.add_parser(
            name,
            help=purpose,
            description=found.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        common(one)
        found.configure(one)


def module(package: str, action: str) -> ModuleType:
    """
    Return the module of an action.
    """
    return importlib.import_module(f"{package}.{action}")
