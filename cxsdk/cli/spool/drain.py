"""
Deliver what dead processes left behind, of any service, to one collector.

Directories of living processes are left alone. Without --yes it only counts.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence

from cxsdk.cli import _screen
from cxsdk.cli._courier import SINK, Courier, add_destination, destination
from cxsdk.cli.spool._choice import add_yes
from cxsdk.errors import SpoolError
from cxsdk.spool import FileSpool, inspect, workshop
from cxsdk.typing import Sink

__all__ = ["carry", "configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    add_destination(parser)
    parser.add_argument(
        "--sink", default=SINK, metavar="NAME", help="what that sink has to get (%(default)s)"
    )
    add_yes(parser)


def run(options: argparse.Namespace, found: Sequence[inspect.Found]) -> int:
    """
    Deliver the directories in *found* that nobody owns; without ``--yes`` only count.

    Returns:
        0 when all was delivered or counted, 1 when something was not.

    Raises:
        ConfigurationError: the URL is wrong.
        OSError: the disk refused.
    """
    sink = destination(options.to, options.api_key)
    orphans = [each for each in found if not each.alive and due(each, options.sink)]
    able = [each for each in orphans if not each.problem]
    for each in orphans:
        if each.problem:
            print(f"left alone: {each.path}: {each.problem}")
    if not options.yes:
        return _count(able, sink, options.sink)
    groups: dict[tuple[str, str], list[inspect.Found]] = defaultdict(list)
    for each in able:
        groups[each.service, each.environment].append(each)
    done = [_drain_group(options, *owner, mine) for owner, mine in groups.items()]
    if not groups:
        print("nothing to drain: no directory without a living owner holds events")
    return 0 if all(done) and len(able) == len(orphans) else 1


def due(found: inspect.Found, sink: str) -> int:
    """
    Return how many events *sink* has to get: its own, or all that wait where nobody has that name.
    """
    return found.pending.get(sink, max(found.pending.values(), default=found.records))


def _count(able: Sequence[inspect.Found], sink: Sink, name: str) -> int:
    rows = [(each.service, each.environment, each.incarnation, due(each, name)) for each in able]
    _screen.table(("service", "environment", "directory", "events"), rows)
    total = sum(row[3] for row in rows)
    print(f"{total} events would go to {sink.fingerprint}; add --yes to deliver them")
    return 0


def _drain_group(
    options: argparse.Namespace, service: str, environment: str, found: Sequence[inspect.Found]
) -> bool:
    """
    Adopt the directories of one service and environment, and deliver them; say whether all went.
    """
    sink = destination(options.to, options.api_key)
    root = found[0].path.parent.parent.parent
    spool = workshop.by_hand(root, service, environment, {options.sink: sink.fingerprint})
    try:
        total = sum(_adopt(spool, each) for each in found)
        return carry(spool, options.sink, sink, total, options.patience)
    finally:
        spool.close()


def carry(spool: FileSpool, name: str, sink: Sink, total: int, patience: float) -> bool:
    """
    Deliver what *spool* holds for the sink *name*, and say what came of it; True: all went.
    """
    whose = f"{spool.service}/{spool.environment}"
    with (
        _screen.progress(f"deliver {whose}", total) as bar,
        Courier(spool, sink, patience=patience, name=name) as courier,
    ):
        courier.hurry()
        while courier.pending and not courier.is_stuck():
            courier.wait()
            bar.at(courier.delivered, f"{courier.delivered} delivered {courier.trouble()}")
        return _report(whose, courier)


def _adopt(spool: FileSpool, found: inspect.Found) -> int:
    try:
        return spool.adopt_directory(found.path, force=True)
    except (SpoolError, OSError) as error:
        # A service that starts just now may have been quicker, which is as good.
        print(f"left alone: {error}")
        return 0


def _report(name: str, courier: Courier) -> bool:
    lost = "".join(f", {count} {reason}" for reason, count in sorted(courier.lost.items()))
    left = courier.pending
    print(f"{name}: {courier.delivered} delivered{lost}, {left} left")
    if left:
        print(f"  {courier.trouble() or 'no answer'}; what is left stays where it is")
    return not left and not courier.lost
