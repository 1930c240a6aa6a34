"""
List everyone who met something since a day, whether or not they complained, less those to whom it
was made good; each customer once. Times are in UTC.

  cxsdk context affected --problem defect --since 2026-05-01
  cxsdk context affected --touchpoint repair.paid --csv > affected.csv
  cxsdk context affected --kind delivery --outcome late --make-good refund --due-days 7 --yes

Outcomes of promises are broken, kept_late, late (either) and overdue.
--make-good promises something to each of them: it writes one commitment each, about what they met,
and first only says so; --yes writes. Whoever was promised something is not affected any more, so
that twice is once.
"""

from __future__ import annotations

import argparse
from typing import Any

from cxsdk.cli import _screen
from cxsdk.cli._values import whole
from cxsdk.cli.context._goodwill import commitments
from cxsdk.cli.context._source import Source, everything, opened
from cxsdk.cli.context._words import customer, minute, query
from cxsdk.errors import ConfigurationError

__all__ = ["configure", "run"]

_SHOWN = 20
_ASKED = ("family", "type", "touchpoint", "problem", "kind", "outcome", "ref", "since", "until")


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    what = parser.add_argument_group("what they met")
    what.add_argument("--problem", metavar="KIND", help="such as defect, delivery_failure")
    what.add_argument("--touchpoint", metavar="NAME", help="a contact there, such as repair.paid")
    what.add_argument("--outcome", metavar="NAME", help="failure, …; of promises late, …")
    what.add_argument("--kind", metavar="KIND", help="of promises, such as delivery")
    what.add_argument("--ref", metavar="TYPE:ID", help="a thing of yours, such as lot:4711")
    what.add_argument("--family", metavar="NAME", help="interaction, problem, commitment, …")
    what.add_argument("--type", metavar="TYPE", help="dev.cxsdk.problem.resolved.v1")
    what.add_argument("--since", metavar="TIME", help="a day, or RFC 3339")
    what.add_argument("--until", metavar="TIME", help="before that")
    parser.add_argument("--all", action="store_true", help="also those to whom it was made good")
    parser.add_argument("--csv", action="store_true", help="for spreadsheets")
    good = parser.add_argument_group("make it good")
    good.add_argument("--make-good", metavar="KIND", help="promise refund, repair, callback, …")
    due = good.add_mutually_exclusive_group()
    due.add_argument("--due", metavar="DATE", help="by this day")
    due.add_argument("--due-days", type=whole, metavar="N", help="within N days from today")
    good.add_argument("--tz", metavar="ZONE", default="UTC", help="in which the day is read (UTC)")
    good.add_argument("--yes", action="store_true", help="write it; without, it is only shown")


def run(options: argparse.Namespace) -> int:
    """
    List, or make good; return 0, or 1 where the collector refused a commitment.

    Raises:
        ConfigurationError: an argument is wrong.
        ExtraMissingError: a file needs the extra ``collector``.
        StoreUnavailableError: the collector does not answer.
    """
    _check(options)
    asked = query(**{name: getattr(options, name) for name in _ASKED})
    if options.all:
        asked["all"] = "1"
    with opened(options) as source:
        if options.csv:
            print(source.csv(asked), end="")
            return 0
        found = everything(source, "affected", asked, "customers")
        if options.make_good:
            return _make_good(options, source, found)
    if options.json:
        _screen.show_json(found)
    else:
        _show(found, len(found["customers"]))
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.make_good and not (options.due or options.due_days):
        raise ConfigurationError("--make-good: say until when, --due DATE or --due-days N")
    if not options.make_good and (options.due or options.due_days or options.yes):
        raise ConfigurationError("--due, --due-days and --yes: expected with --make-good KIND")
    if options.make_good and (options.all or options.csv):
        raise ConfigurationError("--make-good: expected without --all and --csv")


def _show(found: dict[str, Any], most: int) -> None:
    if found["customers"]:
        _screen.table(
            ("customer", "times", "first", "latest", "since then"),
            [
                (
                    customer(one["customer"]),
                    one["times"],
                    minute(one["first"]),
                    minute(one["last"]),
                    _since(one),
                )
                for one in found["customers"][:most]
            ],
        )
    if len(found["customers"]) > most:
        print(f"… and {len(found['customers']) - most} more")
    counts = found["counts"]
    print(
        f"{counts['left']} to make good of {counts['customers']} customers who met it"
        f" ({counts['events']} times, {counts['without_customer']} of nobody known);"
        f" {counts['said_something']} of {counts['customers']} said something,"
        f" {counts['asked']} were asked, for {counts['made_good']} it was made good"
    )
    if counts["sampled"]:
        print(f"{counts['sampled']} events were sampled: more customers met it than are known")


def _since(one: dict[str, Any]) -> str:
    names = ("made_good", "complained", "feedback", "reacted")
    said = [name.replace("_", " ") for name in names if one[name]]
    return ", ".join(said) or ("said nothing" if one["asked"] else "said nothing, not asked")


def _make_good(options: argparse.Namespace, source: Source, found: dict[str, Any]) -> int:
    events = commitments(
        found["customers"],
        options.make_good,
        due=options.due,
        due_days=options.due_days,
        tz=options.tz,
    )
    until = events[0]["data"]["due_date"] if events else None
    done = source.post(events) if options.yes and events else None
    if options.json:
        told = {"kind": options.make_good, "due_date": until, "tz": options.tz}
        _screen.show_json({**found, "make_good": {**told, "events": len(events), "done": done}})
    else:
        _show(found, _SHOWN)
        _say(options, events, until, done)
    for one in (done or {}).get("rejected", ()):
        _screen.note(f"refused: {one['reason']}")
    return 1 if done and done["rejected"] else 0


def _say(
    options: argparse.Namespace,
    events: list[dict[str, Any]],
    until: str | None,
    done: dict[str, Any] | None,
) -> None:
    if not events:
        print("nobody is left to promise anything to")
    elif done is None:
        print(
            f"would promise a {options.make_good} by {until} ({options.tz}) to {len(events)}"
            " customers; nothing is written yet, --yes writes it"
        )
    else:
        print(
            f"promised a {options.make_good} by {until} ({options.tz}):"
            f" {done['accepted']} new, {done['duplicate']} known already"
        )
