"""
The parts of a client in one process: ledger, spool, delivery, capture; wired to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._ledger import Ledger
from cxsdk.config import Settings
from cxsdk.typing import Listener, Processor, Sink, Spool

if TYPE_CHECKING:
    from cxsdk.delivery import Delivery

__all__ = ["Parts"]


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
    ) -> None:
        self.generation = _fork.current()
        self.ledger = Ledger()
        self.sinks = sinks
        self._on_switch = on_switch
        self.spool: Spool | None = None
        self.delivery: Delivery | None = None
        if sinks and settings.spool.mode != "off":
            self._open(settings, clock)
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
            publish=getattr(self.spool, "publish", None),
        )

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
        if self.delivery is not None:
            self.delivery.abandon()
        if self.spool is not None:
            self.spool.abandon()
