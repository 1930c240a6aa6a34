"""
Erase: one customer's undelivered events and dead letters (--customer), what dead processes left
long ago (--older-than), or dead letters (--dead). Nothing that is erased can be brought back.

--customer leaves a tombstone as well, so that living processes erase theirs within 30 seconds; it
needs the team's key ($CXSDK_KEY) where the service has one. Without --yes it only counts.
"""

from __future__ import annotations

import argparse
import time

from cxsdk.cli.spool._choice import add_age, add_dead, add_yes, letters, root_of
from cxsdk.config import resolve
from cxsdk.errors import ConfigurationError, SpoolError
from cxsdk.pipeline.customers import Customers
from cxsdk.spool import inspect, workshop
from cxsdk.spool.dead import covers
from cxsdk.spool.erasure import Stone

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--customer", metavar="ID", help="as the service says it: the raw id")
    add_age(parser, "--older-than", "what is older; living processes' events are left alone")
    add_dead(parser)
    add_yes(parser)


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Erase; return 0, or 1 when something was left alone that was asked for.

    Raises:
        ConfigurationError: the arguments choose nothing, or contradict each other.
        OSError: the disk refused.
    """
    if (options.sink or options.reason) and not options.dead:
        raise ConfigurationError("--sink and --reason go with --dead")
    if options.customer is not None:
        if options.dead or options.older_than is not None:
            raise ConfigurationError("--customer takes no --dead and no --older-than")
        return _customer(options, found)
    if options.dead:
        return _letters(options, found)
    if options.older_than is None:
        raise ConfigurationError("say what: --customer ID, --older-than AGE or --dead")
    return _old(options, found)


def _customer(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    settings, _ = resolve({"service": "cxsdk-cli"})
    known = Customers(settings.privacy.key).resolve((options.customer, None, None, None))
    stone = Stone(known.tag, only_consent=False, at_ns=time.time_ns())
    count = sum(_waiting(each, stone) for each in found)
    living = sum(each.alive for each in found)
    if not options.yes:
        print(f"{count} events and dead letters would be erased; add --yes to do it")
        return 0
    root = root_of(options.dir)
    erased = left = 0
    if found:
        # First the tombstone: who owns a directory from now on heeds it.
        spool = workshop.by_hand(root, found[0].service, found[0].environment, {})
        spool.erase(stone.tag)
        spool.close()
    for each in found:
        if each.alive:
            continue
        try:
            erased += workshop.erase(each.path, stone)
        except SpoolError as error:
            left += 1
            print(f"left alone: {error}")
    print(f"{erased} erased; {living} living processes erase theirs within 30 s")
    return 1 if left else 0


def _waiting(found: inspect.Found, stone: Stone) -> int:
    if found.problem:
        return 0
    kept = sum(1 for _ in inspect.records(found.path, stones=[stone]))
    there = sum(1 for _ in inspect.records(found.path))
    dead = sum(covers(stone, line) for line in inspect.dead_letters(found.path))
    return there - kept + dead


def _letters(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    if not options.yes:
        count = sum(1 for each in found for _ in letters(each, options))
        print(f"{count} dead letters would be removed; add --yes to do it")
        return 0
    count = 0
    for each in found:
        gone = {line for line, _ in letters(each, options)}
        count += workshop.remove_letters(each.path, lambda line: line.rstrip(b"\n") in gone)  # noqa: B023
    print(f"{count} dead letters removed")
    return 0


def _old(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    before_ns = time.time_ns() - int(options.older_than * 1e9)
    count = left = 0
    for each in found:
        if each.alive or each.problem:
            left += bool(each.problem)
            print(f"left alone: {each.path}: {each.problem or 'its owner lives'}")
            continue
        try:
            if options.yes:
                count += workshop.remove_old(each.path, before_ns)
            else:
                count += sum(workshop.older(each.path, before_ns).values())
        except SpoolError as error:
            left += 1
            print(f"left alone: {error}")
    said = "removed" if options.yes else "would be removed; add --yes to do it"
    print(f"{count} events that were not delivered {said}")
    return 1 if left else 0
