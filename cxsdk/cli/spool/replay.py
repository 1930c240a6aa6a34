"""
Send copies of what waits, or of dead letters, to another collector. Ids are kept. The spool stays
as it is: what waits there is still delivered to its own sinks.

Without --yes it only counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from cxsdk.cli import _screen
from cxsdk.cli._courier import add_destination, destination
from cxsdk.cli.replay import Reader, add_pace, send
from cxsdk.cli.spool._choice import add_age, add_dead, add_yes, letters, records
from cxsdk.cli.spool._excerpt import line_of
from cxsdk.spool import inspect

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    add_destination(parser)
    add_pace(parser)
    add_dead(parser)
    add_age(parser, "--since", "only dead letters that are younger")
    add_yes(parser)


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Send; return 0 when all was taken or only counted, else 1.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    sink = destination(options.to, options.api_key)
    total = sum(1 for _ in _payloads(options, found))
    if not options.yes:
        print(f"{total} events would be copied to {sink.fingerprint}; add --yes to do it")
        return 0
    with _screen.progress("replay", total) as bar:
        reader = Reader(_payloads(options, found), total, lambda: reader.good)
        return send(reader, bar, options)


def _payloads(options: argparse.Namespace, found: list[inspect.Found]) -> Iterator[bytes]:
    for each in found:
        if options.dead:
            for _, letter in letters(each, options):
                if isinstance(letter, dict) and isinstance(letter.get("event"), dict):
                    yield line_of(letter["event"]).encode()
        else:
            yield from (record.payload for record in records(each, options))
