"""
Carrying spooled events to one destination while somebody watches.

Retry, back-off, splitting and bisecting are those of `cxsdk.delivery`; this only waits for them,
and knows when waiting is of no use any more.
"""

from __future__ import annotations

import argparse
import os
import time
from types import TracebackType
from typing import Any, Self

from cxsdk._clock import SystemClock
from cxsdk.cli._values import above_zero
from cxsdk.config import DeliveryOptions, Settings, resolve
from cxsdk.delivery import Delivery
from cxsdk.sinks import open_sink
from cxsdk.typing import Sink

__all__ = ["SINK", "Courier", "add_destination", "destination"]

SINK = "default"
"""The name under which these events are carried: the one that ``init`` gives a single URL."""

_LOOK_S = 0.05
_LINGER_S = 0.05


def add_destination(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """
    Add the arguments that say where to, and how long to try.
    """
    parser.add_argument(
        "--to", metavar="URL", required=required, help="the collector, as http://127.0.0.1:4180"
    )
    parser.add_argument("--api-key", metavar="KEY", help="of the collector ($CXSDK_API_KEY)")
    parser.add_argument(
        "--patience",
        type=above_zero,
        default=60.0,
        metavar="S",
        help="seconds without progress after which to give up (60)",
    )


def destination(url: str, api_key: str | None) -> Sink:
    """
    Return the sink for *url*; the key comes from ``CXSDK_API_KEY`` where none is given.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    settings: Settings
    environ = {"CXSDK_API_KEY": os.environ.get("CXSDK_API_KEY", "")}
    arguments: dict[str, Any] = {"service": "cxsdk-cli", "collector": url, "api_key": api_key}
    settings, _ = resolve(arguments, environ)
    return open_sink(url, settings=settings)


class Courier:
    """
    Delivers what *spool* holds to *sink*. A context manager; the spool stays the caller's.

    For one thread. Leaving it stops delivery at once; what was not delivered stays spooled.

    Args:
        spool: where events are.

        sink: the destination.

        batch: events per request, at most.

        patience: seconds without any progress after which waiting ends.

        name: the sink's name in the spool, which owns the cursor.
    """

    def __init__(
        self,
        spool: Any,
        sink: Sink,
        *,
        batch: int = 500,
        patience: float = 60.0,
        name: str = SINK,
    ) -> None:
        self._spool = spool
        self._name = name
        self._patience = patience
        options = DeliveryOptions(max_batch_events=batch, linger=_LINGER_S)
        self._delivery = Delivery(spool, {name: sink}, options, clock=SystemClock())
        self._moved = time.monotonic()
        self._settled = 0

    def __enter__(self) -> Self:
        self._delivery.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Interrupted or given up: what is under way may still end, nothing new begins.
        self._delivery.close(0.0 if self.pending else 1.0)

    @property
    def pending(self) -> int:
        """
        Return how many events are still to be delivered.
        """
        count: int = self._spool.pending(self._name)
        return count

    @property
    def delivered(self) -> int:
        """
        Return how many events the destination has taken.
        """
        count: int = self._spool.counts(self._name).delivered
        return count

    @property
    def lost(self) -> dict[str, int]:
        """
        Return what was not delivered and will not be, by reason.
        """
        counts = self._spool.counts(self._name)
        refused = {"refused": counts.dead_lettered} if counts.dead_lettered else {}
        return {**refused, **counts.dropped}

    def trouble(self) -> str:
        """
        Return why nothing moves, in words; empty while all is well.
        """
        figures = self._delivery.stats()[self._name]
        return str(figures["holding"] or figures["last_error"])

    def is_stuck(self) -> bool:
        """
        Say whether waiting is of no use: on hold, or no progress for as long as we have patience.
        """
        settled = self.delivered + sum(self.lost.values())
        now = time.monotonic()
        if settled != self._settled or not self.pending:
            self._settled, self._moved = settled, now
        if self._delivery.stats()[self._name]["holding"]:
            return True
        return now - self._moved > self._patience

    def hurry(self) -> None:
        """
        Say that there is something to deliver.
        """
        self._delivery.wake()

    def wait(self) -> None:
        """
        Wait for a moment, for things to move.
        """
        time.sleep(_LOOK_S)
