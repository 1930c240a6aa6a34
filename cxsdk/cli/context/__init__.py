"""
Ask what a collector has stored whom to turn to, before they have to ask.

  cxsdk context due                        promises overdue or due soon, warranties that end
  cxsdk context affected --problem defect  everyone who met it, whether or not they complained
  cxsdk context silent                     whom every promise failed, and who says nothing
  cxsdk context get CUSTOMER               what is known of one customer, and why

It reads a running collector (--collector, else $CXSDK_COLLECTOR), or the file of one (--file).
"""

from __future__ import annotations

import argparse

from cxsdk.cli import _actions
from cxsdk.cli.context._source import add_source

__all__ = ["ACTIONS", "configure", "run"]

ACTIONS: dict[str, str] = {
    "due": "list promises that are overdue or due soon, and what is in force and ends soon",
    "affected": "list everyone who met something; make it good for them",
    "silent": "list customers whom every promise failed and who said nothing",
    "get": "show what is known of one customer, and why; 1 where something is not known",
}
"""Name → what it does; each is a module of this package with `configure` and `run`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    _actions.add(parser, __name__, ACTIONS, add_source)


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 where something was refused.

    Raises:
        ConfigurationError: an argument is wrong, or there is no collector there.
        ExtraMissingError: ``--file`` needs the extra ``collector``.
        StoreUnavailableError: the collector does not answer.
    """
    code: int = _actions.module(__name__, options.action).run(options)
    return code
