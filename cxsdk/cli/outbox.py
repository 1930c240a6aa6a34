"""
Look at rows that transactions left in the table cxsdk_outbox, and deliver those that no process
takes any more.

  cxsdk outbox ls --url URL               whose rows wait, how many, since when
  cxsdk outbox relay --url URL --to URL   count them; with --yes deliver them

--url is a database as SQLAlchemy writes it (postgresql+psycopg://user@host/name), or
django:ALIAS with DJANGO_SETTINGS_MODULE set. ls only reads. A running service takes its own rows
within a second; both may work at once, each row goes to one of them.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

from cxsdk.cli import _screen
from cxsdk.cli._courier import SINK, add_destination, destination
from cxsdk.cli.spool._choice import add_yes, root_of
from cxsdk.cli.spool.drain import carry
from cxsdk.errors import OutboxError
from cxsdk.outbox.relay import MOST_ROWS
from cxsdk.outbox.row import Row, Waiting
from cxsdk.outbox.store import Store, name_of, open_store
from cxsdk.spool import FileSpool, workshop

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = commands.add_parser("ls", help="list what waits")
    relay = commands.add_parser("relay", help="deliver what waits")
    for each in (ls, relay):
        each.add_argument("--url", metavar="URL", required=True, help="the database")
        each.add_argument("--service", help="only this service")
        each.add_argument("--environment", help="only this environment")
    ls.add_argument("--json", action="store_true", help="for machines")
    add_destination(relay)
    relay.add_argument("--dir", metavar="ROOT", help="spool root ($CXSDK_SPOOL_DIR)")
    add_yes(relay)


def run(options: argparse.Namespace) -> int:
    """
    Do one action; return 0, or 1 for what could not be delivered.

    Raises:
        ConfigurationError: a URL is wrong.
        OutboxError: the database refused.
        OSError: the disk refused.
    """
    store = _store(options.url)
    try:
        found = [each for each in store.waiting() if _is_wanted(each, options)]
        return _ls(options, found) if options.action == "ls" else _relay(options, store, found)
    except Exception as error:
        if type(error).__module__.startswith(("sqlalchemy", "django")):
            raise OutboxError(store.words_of(error)) from error
        raise
    finally:
        store.rest()


def _store(url: str) -> Store:
    if url.startswith("django:") and os.environ.get("DJANGO_SETTINGS_MODULE"):
        import django

        django.setup()
    return open_store(url)


def _is_wanted(each: Waiting, options: argparse.Namespace) -> bool:
    is_wanted = options.service in {None, each.service}
    return is_wanted and options.environment in {None, each.environment}


# ---- ls -----------------------------------------------------------------------------------


def _ls(options: argparse.Namespace, found: Sequence[Waiting]) -> int:
    if options.json:
        _screen.show_json([_plain(each) for each in found])
    elif not found:
        print(f"{name_of(options.url)}: nothing waits")
    else:
        rows = [
            (each.service, each.environment, each.rows, _screen.age(each.oldest)) for each in found
        ]
        _screen.table(("service", "environment", "rows", "oldest"), rows)
    return 0


def _plain(each: Waiting) -> dict[str, Any]:
    return {
        "service": each.service,
        "environment": each.environment,
        "rows": each.rows,
        "oldest_s": round(max(0.0, time.time() - each.oldest / 1e9)),
    }


# ---- relay --------------------------------------------------------------------------------


def _relay(options: argparse.Namespace, store: Store, found: Sequence[Waiting]) -> int:
    sink = destination(options.to, options.api_key)
    if not options.yes:
        total = sum(each.rows for each in found)
        _screen.table(
            ("service", "environment", "rows"),
            [(each.service, each.environment, each.rows) for each in found],
        )
        print(f"{total} events would go to {sink.fingerprint}; add --yes to deliver them")
        return 0
    if not found:
        print("nothing to relay: no committed row waits")
    done = [_relay_group(options, store, each) for each in found]
    return 0 if all(done) else 1


def _relay_group(options: argparse.Namespace, store: Store, found: Waiting) -> bool:
    """
    Move the rows of one service and environment to a spool on this machine, and deliver that.

    What cannot be delivered stays in the spool, for the service or for ``cxsdk spool drain``.
    """
    sink = destination(options.to, options.api_key)
    whose = (found.service, found.environment)
    spool = workshop.by_hand(root_of(options.dir), *whose, {SINK: sink.fingerprint})

    def keep(rows: Sequence[Row]) -> list[str]:
        for row in rows:
            if not spool.append(row.lane, row.payload, row.kind, row.tag):
                raise OSError(f"{spool.root}: cannot be written; nothing more is taken")
        spool.sync()
        return [row.id for row in rows]

    try:
        moved = _move(store, whose, keep, spool)
        return carry(spool, SINK, sink, moved, options.patience)
    finally:
        spool.close()


def _move(store: Store, whose: tuple[str, str], keep: Any, spool: FileSpool) -> int:
    moved = 0
    while True:
        taken = store.take(*whose, MOST_ROWS, keep)
        moved += taken
        spool.maintain()
        if taken < MOST_ROWS:
            return moved
