"""
The ``cxsdk`` command: one file per subcommand, imported only when it is asked for.

Exit codes: 0 all is well, 1 what was asked found a problem, 2 it was asked wrongly or an optional
package is missing, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import TypeAlias

from cxsdk._version import __version__
from cxsdk.errors import ConfigurationError, CXError, IntegrationError

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, str] = {
    "demo": "run a small instrumented shop with customers, and look at what it says",
    "collector": "run the embedded collector: takes events over HTTP, shows journeys",
    "replay": "post a file of events to a collector; ids are kept, so twice is once",
    "spool": "look at what waits on this machine, check it, deliver what nobody owns",
    "outbox": "look at committed rows that no process has taken, deliver them",
    "doctor": "say what is set, from where, and what would keep events from arriving",
    "prompts": "check, preview, explain and rehearse prompts; asks nobody",
    "context": "ask a collector whom to turn to: what is due, who was affected, who is silent",
    "touchpoints": "list the touchpoints in Python sources, compare with a catalogue",
}
"""Name → what it does; each is a module of this package with `configure` and `run`."""

_EPILOG = """\
exit codes: 0 all is well; 1 what was asked found a problem; 2 asked wrongly, or an optional
package is missing; 130 interrupted. 'cxsdk COMMAND --help' says more about a command.
"""

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command; return its exit code.

    Args:
        argv: the arguments after the program's name; by default those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parser(words).parse_args(words)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # An address that waits in a pipe's buffer until the end helps nobody.
        reconfigure(line_buffering=True)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader had enough (``| head``); what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (CXError, OSError) as error:
        print(f"cxsdk {options.command}: {_words(error, options.command)}", file=sys.stderr)
        return 2 if isinstance(error, (ConfigurationError, IntegrationError)) else 1
    return code


def _words(error: Exception, command: str) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    # The collector names itself in its errors, and so does the command.
    return str(error).removeprefix(f"{command}: ")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxsdk",
        description="Customer-experience events: run, look, check, repair.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cxsdk {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if not word.startswith("-")), None)
    for name, purpose in COMMANDS.items():
        _add(subparsers, name, purpose, is_wanted=name == wanted)
    return parser


def _add(subparsers: Subparsers, name: str, purpose: str, *, is_wanted: bool) -> None:
    """
    Add one command; only the wanted one is imported.
    """
    if not is_wanted:
        subparsers.add_parser(name, help=purpose, add_help=False)
        return
    module = importlib.import_module(f"cxsdk.cli.{name}")
    parser = subparsers.add_parser(
        name,
        help=purpose,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    parser.set_defaults(run=module.run)
