"""
Put dead letters back among what waits, for the sink that refused them, once what was wrong is
repaired. Ids are kept.

They go into a directory of their own, which a living process of the same service, environment and
destination adopts within 30 seconds, or the next one that starts. Without --yes it only counts.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from cxsdk.cli import _screen
from cxsdk.cli.spool._choice import add_age, add_dead, add_yes, letters, root_of
from cxsdk.cli.spool._excerpt import line_of
from cxsdk.spool import dead, inspect, workshop
from cxsdk.typing import Kind, Lane

__all__ = ["configure", "run"]

_PATIENCE_S = 5.0
_KINDS = {"interaction": Kind.INTERACTION, "problem": Kind.PROBLEM, "prompt": Kind.PROMPT}


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    add_dead(parser, only=True)
    add_age(parser, "--since", "only dead letters that are younger")
    add_age(parser, "--older-than", "only dead letters that are older")
    add_yes(parser)


def run(options: argparse.Namespace, found: list[inspect.Found]) -> int:
    """
    Requeue; return 0, or 1 when some could not be.

    Raises:
        OSError: the disk refused; the letters concerned are as they were.
    """
    rows: Counter[tuple[str, str, str, str]] = Counter()
    stuck = 0
    for each in found:
        for _, letter in letters(each, options):
            if _payload(letter) is None or letter["sink"] not in each.sinks:
                stuck += 1
            else:
                name = (each.service, each.environment, letter["sink"], letter["reason"])
                rows[name] += 1
        if options.yes:
            _requeue(each, options)
    table = [(*name, count) for name, count in sorted(rows.items())]
    _screen.table(("service", "environment", "sink", "reason", "dead letters"), table)
    if stuck:
        print(f"{stuck} cannot be sent again: their event or their sink is not known any more")
    if options.yes:
        print(f"{rows.total()} wait again")
    else:
        print(f"{rows.total()} dead letters would wait again; add --yes to do it")
    return 1 if stuck else 0


def _payload(letter: Any) -> bytes | None:
    is_event = isinstance(letter, dict) and isinstance(letter.get("event"), dict)
    return line_of(letter["event"]).encode() if is_event else None


def _requeue(found: inspect.Found, options: argparse.Namespace) -> None:
    folder = found.path / "dead"
    if not folder.is_dir():
        return
    with workshop.sole_for(folder, _PATIENCE_S):
        # Read again under the lock: the owner may have added or erased some since.
        by_sink: dict[str, list[tuple[bytes, Any]]] = defaultdict(list)
        for line, letter in letters(found, options):
            if _payload(letter) is not None and letter["sink"] in found.sinks:
                by_sink[letter["sink"]].append((line, letter))
        for sink, chosen in by_sink.items():
            _spool_again(found, sink, [letter for _, letter in chosen], options)
            # After they wait again and not before: twice is better than never.
            gone = {line for line, _ in chosen}
            for path in sorted(folder.glob("*.jsonl")):
                dead.remove(path, lambda line: line.rstrip(b"\n") in gone)  # noqa: B023


def _spool_again(
    found: inspect.Found, sink: str, chosen: Sequence[Any], options: argparse.Namespace
) -> None:
    owner = (root_of(options.dir), found.service, found.environment)
    with workshop.deposit(*owner, {sink: found.sinks[sink]}) as spool:
        for letter in chosen:
            lane, kind = _class_of(letter["event"])
            kind |= Kind.CONSENT_ONLY if letter.get("consent_only") else 0
            spool.append(lane, _payload(letter) or b"", kind, _tag(letter))


def _class_of(event: dict[str, Any]) -> tuple[Lane, int]:
    parts = str(event.get("type", "")).split(".")
    family = parts[-3] if len(parts) >= 3 else ""
    data = event.get("data")
    sdk = data.get("sdk") if isinstance(data, dict) else None
    lane: Lane = "bulk" if isinstance(sdk, dict) and sdk.get("lane") == "bulk" else "vital"
    return lane, _KINDS.get(family, Kind.KEEP) if lane == "bulk" else Kind.KEEP


def _tag(letter: dict[str, Any]) -> bytes:
    try:
        tag = bytes.fromhex(letter["tag"])
    except (KeyError, TypeError, ValueError):
        return bytes(8)
    return tag if len(tag) == 8 else bytes(8)
