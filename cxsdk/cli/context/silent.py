"""
List customers whom every promise failed, and who said nothing since. Times are in UTC.

Judged are promises to deliver that were kept or broken. One that was kept late failed the customer
as well, unless --only broken. Said something: gave feedback, complained, disputed, escalated, or
reported a problem.
"""

from __future__ import annotations

import argparse

from cxsdk.cli import _screen
from cxsdk.cli.context._source import everything, opened
from cxsdk.cli.context._words import customer, minute, query

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument(
        "--only", choices=("late", "broken"), default="late", help="what failed them (late)"
    )
    parser.add_argument("--kind", metavar="KIND", help="of the promises, such as delivery")
    parser.add_argument("--since", metavar="TIME", help="ended since: a day, or RFC 3339")
    parser.add_argument("--until", metavar="TIME", help="ended before")


def run(options: argparse.Namespace) -> int:
    """
    List; return 0.

    Raises:
        ConfigurationError: an argument is wrong.
        ExtraMissingError: a file needs the extra ``collector``.
        StoreUnavailableError: the collector does not answer.
    """
    asked = query(only=options.only, kind=options.kind, since=options.since, until=options.until)
    with opened(options) as source:
        found = everything(source, "silent", asked, "customers")
    if options.json:
        _screen.show_json(found)
        return 0
    if found["customers"]:
        _screen.table(
            ("customer", "promises", "broken", "kept late", "first failed", "asked"),
            [
                (
                    customer(one["customer"]),
                    one["promises"],
                    one["broken"],
                    one["kept_late"],
                    minute(one["first"]),
                    "yes" if one["asked"] else "no",
                )
                for one in found["customers"]
            ],
        )
    counts = found["counts"]
    print(
        f"{counts['silent']} silent of {counts['all_failed']} whom every promise failed,"
        f" of {counts['judged']} customers with a promise kept or broken;"
        f" {counts['never_asked']} of the silent were not asked"
    )
    return 0
