"""
Look at what waits on this machine for delivery, check it, repair it, deliver what nobody owns.

  cxsdk spool ls                      every spool directory: whose, alive?, what waits
  cxsdk spool stat                    totals, caps and ages; limits for probes
  cxsdk spool verify                  read every frame; exit code 1 when something is damaged
  cxsdk spool tail                    the newest events, with --follow also those to come
  cxsdk spool export                  events or dead letters as lines of JSON
  cxsdk spool requeue                 send dead letters again, to the sink that refused them
  cxsdk spool replay --to URL         send copies to another collector; the spool stays as it is
  cxsdk spool drain --to URL          deliver what dead processes left
  cxsdk spool adopt --to URL          hand what dead processes left to a living service
  cxsdk spool purge                   erase one customer's, or old, events or dead letters

What changes something only counts until --yes is given, and never touches the directory of a
living process except where it says so. Nothing a customer said or did is shown without
--show-data.
"""

from __future__ import annotations

import argparse

from cxsdk.cli import _actions, _screen
from cxsdk.cli.spool._choice import add_filters, places, root_of
from cxsdk.errors import ConfigurationError

__all__ = ["ACTIONS", "configure", "run"]

ACTIONS: dict[str, str] = {
    "ls": "list spool directories and what waits in them",
    "stat": "totals, caps and ages; exit code 1 beyond a limit",
    "verify": "check frames and numbers; 1 when damaged",
    "tail": "show the newest events",
    "export": "write events or dead letters as lines of JSON",
    "requeue": "send dead letters again, once what was wrong is repaired",
    "replay": "send copies of what is kept to another collector",
    "drain": "deliver what dead processes left behind",
    "adopt": "hand what dead processes left to a living service",
    "purge": "erase a customer's events, or old ones",
}
"""Name → what it does; each is a module of this package with `configure` and `run`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    _actions.add(parser, __name__, ACTIONS, add_filters)


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 for damage and for what could not be done.

    Raises:
        ConfigurationError: an argument is wrong, or the root is no folder.
        OSError: the disk refused.
    """
    root = root_of(options.dir)
    if root.exists() and not root.is_dir():
        raise ConfigurationError(f"{root}: no folder")
    # A service makes it with its first event, so it may be missing; a typing error looks the same.
    if not root.exists() and options.action != "ls":
        _screen.note(f"{root}: no such folder, so nothing is spooled")
    code: int = _actions.module(__name__, options.action).run(options, list(places(options)))
    return code
