"""
The verbs, bound to a transaction of the host's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxsdk.instrument import Instrument
from cxsdk.typing import Dropped

if TYPE_CHECKING:
    from cxsdk.instrument.base import Base
    from cxsdk.outbox.capture import TransactionCapture
    from cxsdk.outbox.host import Host
    from cxsdk.outbox.outbox import Outbox
    from cxsdk.pipeline.capture import Capture
    from cxsdk.pipeline.customers import Known

__all__ = ["Transaction"]


class Transaction(Instrument):
    """
    All verbs of a client, whose events stand or fall with a transaction of the host's.

    ``with`` or ``async with``; on an ``AsyncSession`` or ``AsyncConnection`` only the latter
    writes, at the end of the block or at the commit, whichever is first. Belongs to the thread
    or task that owns the transaction. `Accepted` means that the row is in the transaction, or
    will be before its commit; nothing is sent before the commit and nothing after a rollback.
    A database that does not take the row costs the event (`Dropped` ``outbox``), never the
    transaction.
    """

    def __init__(self, owner: Base, outbox: Outbox | None = None, host: Host | None = None) -> None:
        super().__init__()
        self._owner = owner
        self._outbox = outbox
        self._host = host
        self._made: TransactionCapture | None = None
        if outbox is not None:
            self.sites = outbox.sites

    def capture(self) -> Capture | None:
        """
        Return the capture that ends in the transaction, or None when nothing is captured.
        """
        main = self._owner.capture()
        if main is None or self._outbox is None or self._host is None:
            return None
        if self._made is None or self._made._main is not main:
            self._made = self._outbox.capture(main, self._host)
        return self._made

    def off(self) -> Dropped:
        """
        Return why nothing is captured.
        """
        if self._owner.capture() is not None:
            return Dropped("outbox", "cx.outbox() got nothing that has a transaction; see the log")
        return self._owner.off()

    def _consent_said(self, capture: Capture, known: Known, state: str) -> None:
        if state == "denied" or self._host is None:
            super()._consent_said(capture, known, state)
            return
        # A no is heeded at once, a yes only once it is committed.
        after = super()._consent_said
        self._host.after_commit(lambda: after(capture, known, state))

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an exception the host decides what becomes of it all; what is committed then is
        # written before that.
        if kind is None and self._host is not None:
            await self._host.settle()
