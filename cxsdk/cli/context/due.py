"""
List promises that are overdue or due soon, and what is in force and ends soon. Times are in UTC.

A day is 24 hours from now. What is in force, such as a warranty, ends as expired and is never
broken; a paused promise is due to nobody.
"""

from __future__ import annotations

import argparse

from cxsdk.cli import _screen
from cxsdk.cli._values import whole
from cxsdk.cli.context._source import everything, opened
from cxsdk.cli.context._words import customer, minute, query

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument(
        "--days", type=whole, default=7, metavar="N", help="to be kept within N days (7)"
    )
    parser.add_argument(
        "--warranty-days",
        type=whole,
        default=30,
        metavar="N",
        help="in force, and over within N days (30)",
    )
    parser.add_argument("--what", choices=("overdue", "due", "ending"), help="only these")


def run(options: argparse.Namespace) -> int:
    """
    List; return 0.

    Raises:
        ConfigurationError: an argument is wrong.
        ExtraMissingError: a file needs the extra ``collector``.
        StoreUnavailableError: the collector does not answer.
    """
    asked = query(days=options.days, warranty_days=options.warranty_days, what=options.what)
    with opened(options) as source:
        found = everything(source, "due", asked, "items")
    if options.json:
        _screen.show_json(found)
        return 0
    if found["items"]:
        _screen.table(
            ("until", "stands", "kind", "promise", "customer"),
            [
                (
                    minute(one["due_at"]),
                    {"ending": "in force"}.get(one["what"], one["what"]),
                    one["kind"],
                    one["commitment_id"],
                    customer(one["customer"]),
                )
                for one in found["items"]
            ],
        )
    counts = found["counts"]
    print(
        f"{counts['overdue']} overdue, {counts['due']} due within {found['days']} days,"
        f" {counts['ending']} in force that end within {found['warranty_days']} days"
    )
    return 0
