"""
Hand what dead processes left to a living service: after a service, an environment or a collector's
URL was renamed, nobody of the old name is there to adopt it.

The directories take the new identity (--into, --to, --sink) and the next process that has it
delivers them, a running one within 30 seconds. Without --yes it only counts.
"""

from __future__ import annotations

import argparse

from cxsdk.cli import _screen
from cxsdk.cli._courier import SINK, destination
from cxsdk.cli.spool._choice import add_yes, root_of
from cxsdk.config import resolve
from cxsdk.errors import ConfigurationError, SpoolError
from cxsdk.spool import inspect, workshop

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--to", metavar="URL", required=True, help="the collector of the heir")
    parser.add_argument("--api-key", metavar="KEY", help="of the collector ($CXSDK_API_KEY)")
    parser.add_argument(
        "--into", metavar="SERVICE/ENVIRONMENT", help="of the heir; by default as it was"
    )
    parser.add_argument(
        "--sink", default=SINK, metavar="NAME", help="the heir's name for its sink (%(default)s)"
    )
    parser.add_argument("--was", metavar="NAME", help="the old name of that sink")
    parser.add_argument("--only", metavar="DIRECTORY", help="the name of one directory")
    add_yes(parser)


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Hand over; return 0, or 1 when something was left alone.

    Raises:
        ConfigurationError: an argument is wrong.
        OSError: the disk refused.
    """
    mark = destination(options.to, options.api_key).fingerprint
    chosen = [each for each in found if not each.alive and options.only in {None, each.incarnation}]
    rows, left = [], 0
    for each in chosen:
        service, environment = _heir(options, each)
        was = _old_name(options, each)
        if each.problem or was is None:
            left += 1
            print(f"left alone: {each.path}: {each.problem or _which(each)}")
            continue
        rows.append((each.incarnation, f"{service}/{environment}", was, each.pending[was]))
        if options.yes:
            left += not _hand_over(options, each, (service, environment), was, mark)
    _screen.table(("directory", "heir", "sink was", "events"), rows)
    total = sum(row[3] for row in rows)
    said = "are" if options.yes else "would be"
    print(f"{total} events {said} due to {options.sink!r} at {mark}", end="")
    print("" if options.yes else "; add --yes to do it")
    return 1 if left else 0


def _heir(options: argparse.Namespace, found: inspect.Found) -> tuple[str, str]:
    if options.into is None:
        return found.service, found.environment
    service, slash, environment = options.into.partition("/")
    if not slash:
        raise ConfigurationError(f"--into: expected SERVICE/ENVIRONMENT, got {options.into!r}")
    settings, _ = resolve({"service": service, "environment": environment}, {})
    return settings.service, settings.environment


def _old_name(options: argparse.Namespace, found: inspect.Found) -> str | None:
    if options.was is not None:
        return options.was if options.was in found.sinks else None
    if options.sink in found.sinks:
        return str(options.sink)
    return next(iter(found.sinks)) if len(found.sinks) == 1 else None


def _which(found: inspect.Found) -> str:
    return f"say which of its sinks with --was: {', '.join(sorted(found.sinks)) or 'it has none'}"


def _hand_over(
    options: argparse.Namespace,
    found: inspect.Found,
    heir: tuple[str, str],
    was: str,
    mark: str,
) -> bool:
    try:
        workshop.hand_over(found.path, root_of(options.dir), *heir, options.sink, was, mark)
    except (SpoolError, OSError) as error:
        # A process that starts just now may have been quicker, which is as good.
        print(f"left alone: {error}")
        return False
    return True
