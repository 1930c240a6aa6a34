"""
The seams: what a team may replace, and what crosses between the rooms.

Each Protocol numbers its guarantees; ``cxsdk.testing.conformance`` has a test of each number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs
import msgspec

from cxsdk.results import (
    Accepted,
    Delivered,
    Dropped,
    Hold,
    Partial,
    Refused,
    Retry,
    SendResult,
    Split,
)

if TYPE_CHECKING:
    from cxsdk._ledger import SinkCounts
    from cxsdk.events.model import Event
    from cxsdk.pipeline.customers import Known

__all__ = [
    "Accepted",
    "Batch",
    "Delivered",
    "DeliveryReport",
    "Dropped",
    "Health",
    "Hold",
    "Kind",
    "Lane",
    "Listener",
    "Memory",
    "Partial",
    "Processor",
    "Record",
    "Refused",
    "Retry",
    "SendResult",
    "Shed",
    "Sink",
    "Split",
    "Spool",
]

Lane: TypeAlias = Literal["vital", "bulk"]


@attrs.define(slots=True, frozen=True)
class DeliveryReport:
    """
    What ``flush`` and ``close`` achieved, over all sinks. Counts are events.
    """

    delivered: int
    """Delivered during the call."""

    pending: int
    """Accepted, not delivered yet."""

    spooled: int
    """The part of *pending* that survives the process."""

    dropped: int
    """Lost or dead-lettered during the call."""

    seconds: float
    """How long the call took."""

    reason: str = ""
    """Why something is pending: ``timeout``, ``holding``, ``retrying``; empty when all is done."""

    def raise_for_error(self) -> DeliveryReport:
        """
        Return self when nothing is pending or lost.

        Raises:
            DeliveryError: something is still pending or was lost.
        """
        if self.pending or self.dropped:
            from cxsdk.errors import DeliveryError

            raise DeliveryError(
                f"{self.pending} events pending ({self.reason or 'unknown'}), {self.dropped} lost"
            )
        return self


@attrs.define(slots=True, frozen=True)
class Health:
    """
    How delivery is doing: the worst of all sinks. For a dashboard, never for readiness.
    """

    status: Literal["ok", "degraded", "holding", "off"]
    """``ok``; ``degraded``: a destination does not answer, events are kept; ``holding``: somebody
    has to repair something; ``off``: nothing is captured or there is no sink."""

    reason: str = ""
    """In words; empty when ok."""

    sinks: Mapping[str, str] = attrs.field(factory=dict)
    """Name of each sink → ``ok`` or what is wrong with it."""


# ---- spool --------------------------------------------------------------------------------


class Kind:
    """
    One byte that travels beside a record: what may be shed first, and what consent alone holds.
    """

    INTERACTION = 0
    PROBLEM = 1
    PROMPT = 2
    KEEP = 3
    """Everything on the vital lane."""

    SHED_ORDER = (INTERACTION, PROBLEM, PROMPT)
    """Bulk is given up in this order."""

    CONSENT_ONLY = 0x80
    """Flag: captured on consent alone, so a withdrawal erases it undelivered."""

    VOID = 0x7F
    """The payload was erased in place; the record is skipped."""

    MASK = 0x7F


class Record(msgspec.Struct, frozen=True, eq=False, gc=False):
    """
    One spooled event, as a sink gets it.
    """

    # A struct and not attrs, since one is made per event: a frozen attrs object costs six times
    # as much. Out of the collector's sight, which is safe because nothing it holds leads back.

    payload: bytes
    """A whole CloudEvent in JSON, UTF-8."""

    lane: Lane

    kind: int
    """See `Kind`."""

    place: Any = None
    """Where the spool keeps it. Opaque to everyone else."""


@attrs.define(slots=True, frozen=True)
class Batch:
    """
    What a sink is asked to send at once. Immutable; the same over every attempt.
    """

    records: Sequence[Record]

    key: str
    """Stable over attempts of the same records: an ``Idempotency-Key``."""

    attempt: int = 1
    """1 for the first attempt."""

    def __len__(self) -> int:
        return len(self.records)

    def body(self) -> bytes:
        """
        Return the CloudEvents JSON batch: the spooled bytes, joined, never decoded.
        """
        payloads = [record.payload for record in self.records]
        if not payloads:
            return b"[]"
        # Brackets onto the ends and not around the whole: half a megabyte is copied once.
        payloads[0] = b"[" + payloads[0]
        payloads[-1] += b"]"
        return b",".join(payloads)


class Spool(Protocol):
    """
    A FIFO of bytes in two lanes, read by named sinks at their own pace.

    1. A record whose `append` returned is leased to every sink until that sink acks, buries or
       drops it, in order within a lane and segment; a record is in at most one open lease per
       sink.
    2. `append` is safe from any thread, from a signal handler that interrupts another
       `append`, and after an exception was thrown into one: what follows is not hidden.
    3. `append` raises `SpoolFullError` when there is no room, and nothing else of ours; what it
       refused is not counted as accepted.
    4. `release` gives records back: they are leased again, before fresh ones of their lane.
    5. `counts` balances at any moment (`SinkCounts.balance() == 0`).
    6. `erase` returned: no payload of that customer is leased or kept any more, in any lane.
    7. `close` is idempotent; what was not acked is there for the next owner if *durable*.
    """

    @property
    def durable(self) -> bool:
        """
        True: what was appended survives the death of the process.
        """

    @property
    def level(self) -> str:
        """
        The level in force: ``mmap``, ``write`` or ``memory``. May fall when a disk fails.
        """

    def append(self, lane: Lane, payload: bytes, kind: int, tag: bytes) -> bool:
        """
        Keep one event; return whether it is durable.

        *tag* is an 8-byte keyed hash of the customer, eight zero bytes for nobody.

        Raises:
            SpoolFullError: there is no room, and nothing was kept.
        """

    def lease(
        self, sink: str, lane: Lane, max_events: int, max_bytes: int, *, backlog: bool = False
    ) -> Sequence[Record]:
        """
        Take up to *max_events* records and *max_bytes* payload bytes for *sink*, at least one
        if there is any. *backlog* prefers adopted and returned records over fresh ones.
        """

    def ack(self, sink: str, records: Sequence[Record]) -> None:
        """
        The sink has them: count delivered, move the cursor.
        """

    def release(self, sink: str, records: Sequence[Record]) -> None:
        """
        They were not delivered and are due again.
        """

    def bury(self, sink: str, record: Record, reason: str, detail: str, attempts: int) -> None:
        """
        Keep one record as a dead letter with the server's words (*detail*, cut to 512 bytes).
        """

    def drop(self, sink: str, records: Sequence[Record], reason: str) -> None:
        """
        Give them up, counted under *reason*.
        """

    def erase(self, tag: bytes, *, only_consent: bool = False) -> int:
        """
        Make every undelivered payload of *tag* unreadable, in place; return how many.
        """

    def erase_soon(self, tag: bytes, *, only_consent: bool = False) -> None:
        """
        Erase before the next lease, at the latest in the next `maintain`. Never blocks.
        """

    def leftovers(self) -> bool:
        """
        Say whether an earlier run left something to deliver. Looks at directory names only.
        """

    def abandon(self) -> None:
        """
        Forget everything in a forked child, touching no file and no lock of the parent.
        """

    def pending(self, sink: str) -> int:
        """
        Return how many records *sink* has still to get, leased ones included.
        """

    def counts(self, sink: str) -> SinkCounts:
        """
        Return the sink's figures, one consistent snapshot.
        """

    def maintain(self) -> None:
        """
        Do the keeper's work: spare segments, sync, sealing, adoption, caps, retention.

        Called about once a second by one thread. May block on a disk; never raises.
        """

    def stats(self) -> dict[str, Any]:
        """
        Return level, place, bytes, segments, adopted directories, corrupt records, and so on.
        """

    def close(self) -> None:
        """
        Release files and locks. Idempotent.
        """


@attrs.define(slots=True, frozen=True)
class Shed:
    """
    Events that the spool gave up, for a ``loss`` record.
    """

    reason: str
    """``cap``, ``age``, ``disk``, ``memory``, ``corrupt``, …"""

    payloads: Sequence[bytes]
    """Whole events, oldest first; an unreadable one is an empty bytes object."""

    sinks: tuple[str, ...] = ()
    """Names of those that had still to get them; empty: every one."""


# ---- sinks --------------------------------------------------------------------------------


@runtime_checkable
class Sink(Protocol):
    """
    One destination. Dumb: it sends once and says what happened; retry lives above it.

    1. `send` returns a `SendResult`; an exception is a bug and counts as `Retry`.
    2. `send` tries once (one more on a fresh connection where a kept-alive one was stale) and
       is back within its own timeouts, whatever the destination does.
    3. `Delivered` means that the destination said so; silence, an HTML page or a redirect is not.
    4. The batch is sent as it is: no event is changed, left out or added.
    5. `close` is idempotent, and `send` after it returns `Retry`.
    6. `send` is called by one thread at a time; `close` may come from another.
    7. Nothing secret is in `fingerprint`, ``repr()`` or a result.
    """

    @property
    def fingerprint(self) -> str:
        """
        Say where this goes, without credentials: the same destination, the same text.
        """

    def send(self, batch: Batch) -> SendResult:
        """
        Send *batch* once. Blocks up to the sink's own timeout.
        """

    def close(self) -> None:
        """
        Release connections. Idempotent.
        """


# ---- pipeline -----------------------------------------------------------------------------

Processor: TypeAlias = "Callable[[Event], Event | None]"
"""
A team's own step: pure and quick, gets an Event, returns it, another one, or None to drop it.

1. None drops the event, counted as ``processor``.
2. An exception drops the event (fail closed: it may have been the one that redacts), counted as
   ``processor_error`` and said once.
3. It runs on the caller's thread, after redaction, before the event is kept.
"""

Listener: TypeAlias = "Callable[[Event], None]"
"""Gets every accepted event, on the caller's thread; its errors are counted and swallowed."""


class Memory(Protocol):
    """
    What this service remembers of the customers that it serves.

    1. Nothing here waits for a network or for another process.
    2. What cannot be known is None, never "no".
    3. Safe from any thread, from a signal handler and after a fork; what it raises is noted.
    """

    def tap(self, known: Known, payload: bytes, is_interaction: bool) -> None:  # noqa: FBT001
        """
        Take an event that was just kept, encoded.
        """

    def asked(self, known: Known, question: str, interaction_id: str, at: float) -> str | None:
        """
        Return the id of an earlier interaction in which they were asked *question* in the 30 days
        before *at* (seconds since 1970); empty: they were not; None: who knows.
        """

    def repeats(
        self,
        known: Known,
        touchpoint: str,
        refs: Sequence[Mapping[str, str]],
        interaction_id: str,
        at: float,
    ) -> tuple[str | None, str | None]:
        """
        Return the id of an interaction at *touchpoint* about one of *refs* in the 7 days before
        *at* in which they did not get what they came for, and the id of their last one.
        """

    def ended(
        self, known: Known, touchpoint: str, data: Mapping[str, Any], interaction_id: str, at: float
    ) -> None:
        """
        Take note of an interaction that was kept: what was asked, what it was about (``asked`` and
        ``refs`` of *data*, in wire form) and whether its goal was met.
        """

    def identified(self, known: Known, raw: str) -> None:
        """
        Take note that the visitor in *known* is the customer in *known*.
        """

    def link(self, keep: tuple[Any, Known], absorb: tuple[Any, Known]) -> str:
        """
        Make two customers, (the host's id, wire form), one; return why not, or empty.
        """

    def unlink(self, absorb: tuple[Any, Known]) -> bool:
        """
        End a link; False where there is none.
        """
