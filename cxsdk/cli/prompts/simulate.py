"""
Run prompts over past events: whom they would have asked, and how often. Nothing is sent or kept.

--events is a file of events as ``cxsdk replay`` reads it; --olist is a folder with olist_orders.csv
and olist_customers.csv (or .csv.gz). Whatever is offered counts as shown; --answered says which
share is answered, so that quotas fill and echoes come. Tenure is counted from the first event.

Exit code 1 when lines of the file are no events.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxsdk._clock import to_ns
from cxsdk.cli import _screen
from cxsdk.cli._olist import olist_events
from cxsdk.cli._values import share, whole
from cxsdk.cli.replay import reading
from cxsdk.events.envelope import Event
from cxsdk.prompts.files import load
from cxsdk.prompts.model import DAY
from cxsdk.prompts.simulate import Simulation, simulate

__all__ = ["configure", "run"]

_EVERY = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--events", metavar="FILE", help="NDJSON, gzipped or not; - is stdin")
    source.add_argument("--olist", type=Path, metavar="FOLDER", help="the Olist data set")
    parser.add_argument("--days", type=whole, metavar="N", help="only the last N days of it")
    parser.add_argument(
        "--answered", type=share, default=0.0, metavar="SHARE", help="share answered, 0 to 1 (0)"
    )
    parser.add_argument("--json", action="store_true", help="for machines")


def run(options: argparse.Namespace) -> int:
    """
    Simulate; return 0, or 1 when lines were skipped.

    Raises:
        ConfigurationError: a path or a prompt is wrong.
        ExtraMissingError: the extra ``prompts`` is not installed.
    """
    prompts = load(options.path)
    events, bad = _events(options)
    if options.days and events:
        last = max(to_ns(event.time) for event in events)
        since = last - options.days * int(DAY * 1e9)
        events = [event for event in events if to_ns(event.time) > since]
    with _screen.progress("simulate", len(events)) as bar:

        def say(done: int, total: int) -> None:
            if done % _EVERY == 0 or done == total:
                bar.at(done, f"{done} events")

        found = simulate(prompts, events, answered=options.answered, progress=say)
    if options.json:
        _screen.show_json(_plain(found))
    else:
        _show(found)
    return 1 if bad else 0


def _events(options: argparse.Namespace) -> tuple[list[Event], int]:
    if options.olist is not None:
        return list(olist_events(options.olist)), 0
    with reading(options.events) as reader, _screen.progress("read", reader.total) as bar:
        events = []
        for _, event in reader.parsed():
            events.append(event)
            bar.at(reader.position(), f"{reader.good} events")
        return events, reader.bad


def _plain(found: Simulation) -> dict[str, Any]:
    return {
        "from": _when(found.first),
        "to": _when(found.last),
        "occasions": found.occasions,
        "customers": found.customers,
        "asked": found.asked,
        "share": round(found.share, 6),
        "offers": len(found.asks),
        "most_in_90_days": found.most_in_90_days,
        "shortest_gap_s": found.shortest_gap,
        "prompts": [
            {
                "prompt": one.key,
                "version": one.version,
                "offered": one.offered,
                "customers": one.customers,
                "shortest_gap_s": one.shortest_gap,
                "suppressed": dict(one.suppressed),
            }
            for one in found.prompts
        ],
    }


def _when(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def _days(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / DAY:.1f} d"


def _show(found: Simulation) -> None:
    if not found.occasions:
        print("no interaction of a customer is over in these events: nobody could be asked")
        return
    print(f"{_when(found.first):.10} to {_when(found.last):.10}:"
          f" {found.occasions} occasions of {found.customers} customers")  # fmt: skip
    print(f"asked: {found.asked} customers ({found.share:.1%}), {len(found.asks)} offers,"
          f" at most {found.most_in_90_days} to one customer in any 90 days,"
          f" shortest gap {_days(found.shortest_gap)}")  # fmt: skip
    rows = [(one.key, one.offered, one.customers, _days(one.shortest_gap)) for one in found.prompts]
    _screen.table(("prompt", "offered", "customers", "shortest gap"), rows)
    print()
    _screen.table(
        ("prompt", "not asked because", "times"),
        [(one.key, reason, n) for one in found.prompts for reason, n in one.suppressed.items()],
    )
