"""
Capture into a host's transaction: the same steps, and a row at the end instead of the spool.
"""

from __future__ import annotations

from typing import Any

from cxsdk.errors import OutboxError
from cxsdk.outbox.host import Host
from cxsdk.outbox.row import Row
from cxsdk.pipeline.capture import Capture, diversions
from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.encode import Encoder
from cxsdk.pipeline.loss import Losses
from cxsdk.pipeline.short import ShortWay
from cxsdk.pipeline.waiting import LateBooks, unoffered
from cxsdk.typing import Dropped, Lane, Shed

__all__ = ["TransactionCapture", "UnnumberedEncoder"]


class UnnumberedEncoder(Encoder):
    """
    Writes events without ``sdk``: whether a transaction's events exist is not known before its
    end, and numbers that were rolled back would look like events that were lost.
    """

    def __init__(self, capture: Capture) -> None:
        super().__init__(capture.settings, capture.gate, capture.touchpoints, capture.instance)

    def write(
        self,
        event_id: str,
        time_ns: int,
        links: str,
        site: str,
        who: str,
        duration_ms: int,
        rest: str,
        seq: int,
    ) -> bytes:
        """
        Put an interaction together from its parts; see `Encoder.write`.
        """
        numbered = super().write(event_id, time_ns, links, site, who, duration_ms, rest, seq)
        return numbered.removesuffix(f"{self._tail}{seq}}}}}}}".encode()) + b"}}"

    def wire(self, draft: Draft, said: str | None, state: str, lane: str) -> dict[str, Any]:
        """
        Return the JSON object of *draft*; see `Encoder.wire`.
        """
        wire = super().wire(draft, said, state, lane)
        del wire["data"]["sdk"]
        return wire


def _past_the_transaction(*_: Any) -> bool:
    raise OutboxError("an event of a transaction was on its way to the spool")


class TransactionCapture(Capture):
    """
    The capture of one client, ending in one transaction. For the thread that owns that.

    Args:
        main: the client's own capture, with which everything but the end is shared.

        encoder: the client's encoder of unnumbered events.

        host: the transaction.

        on_commit: called once for each event that was written, when it is committed.
    """

    can_wait = False  # it does, in the host's own database

    def __init__(
        self, main: Capture, encoder: UnnumberedEncoder, host: Host, on_commit: Any
    ) -> None:
        # A copy, not a new one: this is made in a request.
        self.__dict__.update(main.__dict__)
        self.encoder = encoder
        self._main = main
        self._host = host
        self._on_commit = on_commit
        self._ledger = LateBooks(main._ledger)
        self._offer = unoffered
        self._is_plain = False
        self._append = _past_the_transaction
        # Made last: it keeps what it needs of the above.
        self.contact = ShortWay(self, diversions).take
        self.losses = Losses(main.time_ns, self._lost_some)

    def _keep(self, draft: Draft, lane: Lane, payload: bytes, kind: int) -> bool | Dropped:
        if diversions:
            for divert in diversions:
                divert(payload)
            return False
        if self._spool is None:
            return self._drop("no_collector")
        settings = self.settings
        row = Row(settings.service, settings.environment, lane, kind, draft.known.tag, payload)
        self._host.write(row, lambda error: self._unwritten(row, error))
        self._host.after_commit(self._on_commit)
        if self.listeners or self.memory is not None:
            self._host.after_commit(lambda: self._main.heard(draft, payload))
        return True

    def _unwritten(self, row: Row, error: OutboxError) -> None:
        """
        Count a row that was taken and could not be written before the commit.

        Raises:
            OutboxError: *error*, in strict mode.
        """
        self.losses.add_shed(Shed(error.code, [row.payload]))
        self.reject(error)

    def _lost_some(self) -> None:
        # Nothing is short of what was rolled back, so this is written down after the commit.
        self._host.after_commit(self._write_losses_of_main)

    def _write_losses_of_main(self) -> None:
        for data in self.losses.take():
            self._main.losses.give_back(data)
        self._main.write_losses()

    def _unplain(self) -> None:
        pass

    def _set_plain(self) -> None:
        pass
