"""
The parts of a client in one process: ledger, spool, delivery, capture; wired to each other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._clock import Clock, SystemClock, in_force
from cxsdk._guard import logger, voice
from cxsdk._ledger import Ledger, register_metrics
from cxsdk.config import Settings
from cxsdk.typing import DeliveryReport, Listener, Processor, Sink, Spool

if TYPE_CHECKING:
    from pathlib import Path

    from cxsdk.delivery import Delivery
    from cxsdk.outbox.outbox import Outbox

__all__ = ["NOTHING", "Parts", "say_no_collector", "say_no_key", "show_metrics"]

NOTHING = DeliveryReport(delivered=0, pending=0, spooled=0, dropped=0, seconds=0.0)


class Parts:
    """
    What a client owns in one process: made anew in a forked child.
    """

    def __init__(
        self,
        settings: Settings,
        sinks: Mapping[str, Sink],
        clock: Clock,
        processors: Sequence[Processor],
        listeners: Sequence[Listener],
        on_first: Callable[[], None],
        on_switch: Callable[[bool], None],
        outbox: Any = None,
    ) -> None:
        self.generation = _fork.current()
        self.ledger = Ledger()
        self.sinks = sinks
        self._settings = settings
        self._on_first = on_first
        self._on_switch = on_switch
        self._outbox: Outbox | None = None
        self.chores: list[Callable[[], None]] = []
        """Done with the keeper's own, about once a second while events come in."""

        self.spool: Spool | None = None
        self.delivery: Delivery | None = None
        if sinks and settings.spool.mode != "off":
            # Threads wait by the machine's clock, also while a test holds another one still.
            self._open(settings, SystemClock() if clock is in_force() else clock)
        # Here and not at the top: `import cxsdk` stays light, `init` may take a moment.
        from cxsdk.pipeline.capture import Capture

        self.capture = Capture(
            settings,
            self.spool,
            self.ledger,
            clock,
            processors=processors,
            listeners=listeners,
            on_first=on_first,
            on_withdrawal=self._withdraw,
        )
        if outbox is not None and self.spool is not None:
            self.outbox.relay.add(outbox)
            self.outbox.relay.watch()

    def _open(self, settings: Settings, clock: Clock) -> None:
        from cxsdk.delivery import Delivery
        from cxsdk.spool import open_spool

        self.spool = open_spool(
            settings.spool,
            service=settings.service,
            environment=settings.environment,
            fingerprints={name: sink.fingerprint for name, sink in self.sinks.items()},
            clock=clock,
            on_shed=self._shed,
            note=self.ledger.note,
            on_pressure=self._pressure,
            on_switch=self._on_switch,
        )
        self.delivery = Delivery(
            self.spool,
            self.sinks,
            settings.delivery,
            clock=clock,
            note=self.ledger.note,
            # Only a spool on disk has a place where others can look.
            publish=self._publish,
            speaks=getattr(self.spool, "speaks", None),
        )

    @property
    def outbox(self) -> Outbox:
        """
        Return the outbox, made at its first use.

        Raises:
            ConfigurationError: the one named in ``init`` leads to no database.
        """
        if self._outbox is None:
            with _fork.own_lock():
                if self._outbox is None:
                    from cxsdk.outbox.outbox import Outbox

                    self._outbox = Outbox(
                        self._settings, self.capture, self.spool, self.ledger, self._on_first
                    )
        return self._outbox

    def outbox_stats(self) -> dict[str, Any]:
        """
        Return the outbox's figures; nothing where it was never used.
        """
        return {} if self._outbox is None else self._outbox.stats()

    @property
    def root(self) -> Path | None:
        """
        Return where events are kept, or None where they are not kept on disk.
        """
        root = self.spool.stats().get("root") if self.spool else None
        if not root:
            return None
        from pathlib import Path

        return Path(root)

    def stats(self) -> dict[str, Any]:
        """
        Return the figures of all parts as plain data; see `Client.stats`.
        """
        import attrs

        spool, delivery = self.spool, self.delivery.stats() if self.delivery else {}
        sinks = {}
        if spool is not None:
            for name in self.sinks:
                counts = attrs.asdict(spool.counts(name))
                sinks[name] = {**counts, "delivery": delivery.get(name, {})}
        return {
            "offered": self.ledger.offered.value(),
            "accepted": max((sink["accepted"] for sink in sinks.values()), default=0),
            "refused": self.ledger.refused(),
            "noted": self.ledger.noted(),
            "sinks": sinks,
            "spool": {} if spool is None else spool.stats(),
            "outbox": self.outbox_stats(),
            "touchpoints": len(self.capture.touchpoints.seen),
        }

    # ---- ends: what was committed is handed over first, in half of the time at most ----------

    def flush(self, timeout: float) -> DeliveryReport:
        """
        Deliver what is waiting; see `Delivery.flush`.
        """
        end = time.monotonic() + timeout
        if self._outbox is not None:
            self._outbox.relay.flush(timeout / 2)
        return self.delivery.flush(_left(end)) if self.delivery else NOTHING

    async def aflush(self, timeout: float) -> DeliveryReport:  # noqa: ASYNC109
        """
        Like `flush`, without blocking the event loop.
        """
        end = time.monotonic() + timeout
        if self._outbox is not None:
            await self._outbox.relay.aflush(timeout / 2)
        return await self.delivery.aflush(_left(end)) if self.delivery else NOTHING

    def close(self, timeout: float) -> DeliveryReport:
        """
        Deliver, and end all threads; the spool stays open. See `Delivery.close`.
        """
        end = time.monotonic() + timeout
        self._count_out()
        if self._outbox is not None:
            self._outbox.relay.flush(timeout / 2)
            self._outbox.relay.close(_left(end) / 2)
        return self.delivery.close(_left(end)) if self.delivery else NOTHING

    async def aclose(self, timeout: float) -> DeliveryReport:  # noqa: ASYNC109
        """
        Like `close`, without blocking the event loop.
        """
        end = time.monotonic() + timeout
        self._count_out()
        if self._outbox is not None:
            await self._outbox.relay.aflush(timeout / 2)
            self._outbox.relay.close(0)
        return await self.delivery.aclose(_left(end)) if self.delivery else NOTHING

    def _count_out(self) -> None:
        """
        Tell the sinks that can pass it on how many events there were: what comes no more is then
        missed, also where it was the last.
        """
        counts = self.capture.counted()
        for sink in self.sinks.values():
            count_out = getattr(sink, "count_out", None)
            if callable(count_out) and any(counts.values()):
                count_out(self.capture.instance, counts)

    # ---- what the parts tell each other ------------------------------------------------------

    def _publish(self, figures: dict[str, Any]) -> None:
        publish = getattr(self.spool, "publish", None)
        if publish is not None:
            publish(figures)
        for chore in self.chores:
            chore()

    def _shed(self, shed: Any) -> None:
        self.capture.losses.add_shed(shed)
        self.capture.write_losses()

    def _pressure(self) -> None:
        if self.delivery is not None:
            self.delivery.wake()

    def _withdraw(self, tag: bytes) -> None:
        if self.spool is not None:
            self.spool.erase_soon(tag, only_consent=True)

    def abandon(self) -> None:
        """
        Forget the parent's parts in a forked child; its files and threads stay the parent's.
        """
        if self._outbox is not None:
            self._outbox.relay.abandon()
        if self.delivery is not None:
            self.delivery.abandon()
        if self.spool is not None:
            self.spool.abandon()


def _left(end: float) -> float:
    return max(0.0, end - time.monotonic())


def say_no_collector(settings: Settings) -> None:
    """
    Say that nothing is kept, and what to do about it.
    """
    logger.info(
        "cxsdk: no collector is configured for service %r, so nothing is kept. Set"
        " collector= in init or CXSDK_COLLECTOR.",
        settings.service,
    )


def say_no_key() -> None:
    """
    Say once that ids leave as they are, and what to do about it.
    """
    voice.say(
        logging.WARNING,
        "no_key",
        "cxsdk: no key is set, so customer ids leave the process as they are. Set"
        " privacy=cx.PrivacyOptions(key=…) or CXSDK_KEY to send pseudonyms.",
    )


def show_metrics(read: Callable[[], dict[str, Any]]) -> None:
    """
    Show figures through the host's meter; what it raises is said once.
    """
    try:
        register_metrics(read)
    except Exception as error:  # noqa: BLE001 - a host's meter may raise anything
        voice.say(logging.WARNING, "metrics", "cxsdk: no metrics are shown: %r", error)
