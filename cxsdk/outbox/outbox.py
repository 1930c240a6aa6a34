"""
The outbox of one client in one process: what transactions write into, and what is taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk._guard import caller, voice
from cxsdk._ledger import Ledger, Tally
from cxsdk.config import Settings
from cxsdk.errors import CXError, SpoolFullError
from cxsdk.outbox.capture import TransactionCapture, UnnumberedEncoder
from cxsdk.outbox.host import Host, host_of
from cxsdk.outbox.relay import Relay
from cxsdk.outbox.row import Row
from cxsdk.outbox.transaction import Transaction
from cxsdk.pipeline.capture import Capture
from cxsdk.typing import Kind, Spool

if TYPE_CHECKING:
    from cxsdk.instrument.base import Base
    from cxsdk.pipeline.site import Site

__all__ = ["Outbox"]


class Outbox:
    """
    Gives transactions their verbs, and rows that were committed to the spool. Thread-safe.

    Args:
        capture: the client's capture.

        spool: where committed rows go; None: no collector, so nothing is written either.

        on_first: begins delivery; called whenever rows were committed or handed over, cheap.
    """

    def __init__(
        self,
        settings: Settings,
        capture: Capture,
        spool: Spool | None,
        ledger: Ledger,
        on_first: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._capture = capture
        self._spool = spool
        self._ledger = ledger
        self._on_first = on_first
        self._encoder = UnnumberedEncoder(capture)
        self._committed = Tally()
        self._handed = Tally()
        self.sites: dict[tuple[Any, ...], Site] = {}
        """Call sites of all transactions, so that none makes its own."""

        self.relay = Relay(
            self._hand_over, settings.service, settings.environment, note=ledger.note
        )

    # ---- the way in -----------------------------------------------------------------------

    def open(self, owner: Base, over: Any, using: str | None) -> Transaction:
        """
        Return the verbs over *over*; over nothing that has a transaction, they drop everything.

        Raises:
            CXError: *over* has no transaction, in strict mode.
        """
        try:
            return Transaction(owner, self, host_of(over, using))
        except CXError as error:
            if self._capture.strict:
                raise
            voice.say(logging.ERROR, "outbox_host", "cxsdk: at %s: %s", caller(), error)
            return Transaction(owner)

    def capture(self, main: Capture, host: Host) -> TransactionCapture:
        """
        Return *main* as it ends in the transaction of *host*.
        """

        def committed() -> None:
            self._committed.add()
            self._on_first()
            self.relay.add(host.source())
            self.relay.ring(is_early=host.is_told_late)

        return TransactionCapture(main, self._encoder, host, committed)

    # ---- the way out ----------------------------------------------------------------------

    def _hand_over(self, rows: Sequence[Row]) -> Sequence[str]:
        """
        Append *rows* to the spool and bring that to the disk; return what may be deleted.
        """
        spool = self._spool
        by_choice = self._settings.spool.mode == "memory"
        if spool is None or not (by_choice or spool.durable):
            return ()  # while memory stands in for a failed disk, the database is the safer place
        safe: list[str] = []
        for row in rows:
            if self._is_withdrawn(row):
                self._ledger.offered.add()
                self._ledger.refuse("consent")
                safe.append(row.id)
                continue
            try:
                durable = spool.append(row.lane, row.payload, row.kind, row.tag)
            except SpoolFullError:
                break
            self._ledger.offered.add()
            if not (durable or by_choice):
                break
            self._handed.add()
            safe.append(row.id)
        sync = getattr(spool, "sync", None)
        if sync is not None:
            # The database forgets for good; a power cut must not find the spool behind it.
            sync()
        if safe:
            self._on_first()
        return safe

    def _is_withdrawn(self, row: Row) -> bool:
        said = self._capture.customers.consents
        return bool(row.kind & Kind.CONSENT_ONLY) and said.get(row.tag) == "denied"

    # ---- figures and ends -----------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """
        Return what this process committed and handed over, and how the relay is doing.
        """
        return {
            "committed": self._committed.value(),
            "handed_over": self._handed.value(),
            **self.relay.stats(),
        }
