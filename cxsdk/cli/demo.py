"""
Run a small instrumented shop with customers, and look at what it says.

A collector and a Flask shop start on free ports of this machine; customers browse, buy, wait for
parcels, ask for help and say how it was. The shop is a process of its own with a durable spool
in a temporary folder. Without --once customers trickle on until Ctrl-C.

With --once the demo ends by itself and checks the promise: every event that the shop's SDK
accepted is in the collector exactly once. Exit code 0 only then.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cxsdk.cli import _screen
from cxsdk.cli._values import port, whole

if TYPE_CHECKING:
    from cxsdk.demo import Reckoning, Show

__all__ = ["configure", "run"]

_SAID = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--once", action="store_true", help="end by itself, and check")
    parser.add_argument(
        "--customers", type=whole, default=40, metavar="N", help="how many at first (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="another one, other stories"
    )
    parser.add_argument(
        "--port", type=port, default=0, metavar="P", help="of the page (a free one)"
    )
    parser.add_argument("--keep", action="store_true", help="leave database, spool and log")


def run(options: argparse.Namespace) -> int:
    """
    Run the demo; return 0 when every accepted event arrived exactly once, else 1.

    Raises:
        ExtraMissingError: the extra ``demo`` is not installed.
        ConfigurationError: the port cannot be used.
        CXError: the shop stumbled.
    """
    from cxsdk.demo import Show

    with Show(port=options.port, seed=options.seed, keep=options.keep) as show:
        print(f"collector: {show.collector.url}", flush=True)
        with _until_interrupted(show.stop):
            with _screen.progress("customers", options.customers) as bar:
                show.play(options.customers, lambda done: bar.at(done, f"{done} visited"))
            if not options.once:
                _invite(show)
                show.trickle()
            show.close_shop()
        return _end(show, options)


@contextlib.contextmanager
def _until_interrupted(stop: threading.Event) -> Iterator[None]:
    """
    Let Ctrl-C and SIGTERM set *stop*, so that the shop is always ended properly.
    """
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _invite(show: Show) -> None:
    print(f"Open {show.collector.url}/?range=7d in a browser. Journeys worth a look:")
    for words, customer in show.worth_seeing().items():
        print(f"  {show.journey_url(customer)}  {words}")
    print("Customers trickle on; Ctrl-C ends the demo.", flush=True)


def _end(show: Show, options: argparse.Namespace) -> int:
    _screen.table(("family", "action", "events"), show.counts())
    if options.once:
        for words, customer in show.worth_seeing().items():
            print(f"{show.journey_url(customer)}  {words}")
    if options.keep:
        print(f"kept: {show.folder}")
    found = show.reckon()
    print(f"shop closed: {show.last_words.strip() or 'without a word'}")
    if found.ok:
        print(f"{found.accepted} events accepted by the shop, each in the collector exactly once")
        return 0
    _accuse(found)
    return 1


def _accuse(found: Reckoning) -> None:
    for words, keys in (
        ("accepted, but not in the collector", found.missing),
        ("in the collector more than once", found.doubled),
        ("in the collector, but never accepted", found.unknown),
    ):
        if keys:
            print(f"{len(keys)} of {found.accepted} {words}:")
            print("\n".join(f"  {source} {name}" for source, name in keys[:_SAID]))
