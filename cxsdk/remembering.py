"""
What the processes of a service remember together: the `SharedMemory` seam; and what identity and
erasure answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import attrs

__all__ = ["ForgetReceipt", "LinkResult", "Remembered", "SharedMemory", "Shelf", "Told"]


@attrs.define(frozen=True)
class LinkResult:
    """
    What became of a link. Truthy where it was applied.
    """

    applied: bool
    reason: str = ""
    """Empty, or a code: ``same``, ``already_linked``, ``other_customer``, ``junk_id``,
    ``too_many``, ``not_linked``, why the event was dropped, or ``waits``: it is applied when the
    host's transaction commits."""

    detail: str = ""
    """In words, what to do about it."""

    id: str = ""
    """Id of the event that says so to the collectors; empty where it was not taken."""

    def __bool__(self) -> bool:
        return self.applied


@attrs.define(frozen=True)
class ForgetReceipt:
    """
    What an erasure reached.
    """

    id: str
    """Id of the ``erasure_requested`` event; empty where it was not taken."""

    places: Mapping[str, str]
    """``cache``, ``overlay``, ``shared``, ``undelivered`` (of this process; others follow within
    seconds), ``prompts`` and each provider by its
    name → ``done``, ``pending``, ``unsupported`` or ``failed``."""

    erased: Mapping[str, int] = attrs.field(factory=dict)
    """The same places → how many things were erased there, where that is known."""

    suppressed_until: datetime | None = None
    """Until when further events about this customer are dropped; None: they are not."""

    @property
    def complete(self) -> bool:
        """
        Say whether every place that can forget has done so.
        """
        return not {"pending", "failed"} & set(self.places.values())


Shelf: TypeAlias = Literal["interactions", "facts", "asked"]
"""Contacts, everything else that was said, and what the customer was asked; bounded apart, so that
a hundred page views do not push out a promise."""


@attrs.define(frozen=True)
class Told:
    """
    One thing to remember about a subject.
    """

    subject: str
    """Opaque, at most 64 ASCII letters, digits, ``-`` and ``_``: a keyed hash."""

    id: str
    """The same id is the same thing. At most 200 printable characters."""

    shelf: Shelf
    at: float
    """When it happened, seconds since 1970."""

    keep: float
    """Seconds from now for which it is kept."""

    payload: bytes
    """Opaque to the memory."""


@attrs.define(frozen=True)
class Remembered:
    """
    What is remembered of one subject.
    """

    told: tuple[Told, ...] = ()
    """Oldest first; at most *most* per shelf, the newest stay. What is over is left out."""

    linked_to: str | None = None
    """The subject that this one was absorbed by."""

    absorbed: tuple[str, ...] = ()
    """Subjects that this one absorbed."""

    note: bytes = b""
    """What `SharedMemory.link` was given with it."""

    forgotten: bool = False
    """A tombstone stands; nothing else is known."""


class SharedMemory(Protocol):
    """
    What the processes of a service remember together: the overlay of what just happened, who is
    who, and who is to be forgotten.

    1. What `put` returned for is read by every process from then on.
    2. `put` of an id that is there changes nothing; of a forgotten subject it keeps nothing.
    3. Per subject and shelf at most *most* things are kept, the newest by `Told.at`; each is gone
       after its *keep* seconds, by the memory's own clock.
    4. `link` moves all that is told of *absorb* to *keep*, in one step, and what is put under
       *absorb* later goes to *keep*; `unlink` ends that, and moves nothing back.
    5. `forget` leaves nothing of the subjects and of those they absorbed but a tombstone, which
       ends after *suppress_for* seconds (0: none).
    6. `subscribe` calls *heard* with each subject that changed in another process, soon after; with
       None where some may have been missed. A memory that cannot do so returns False.
    7. Safe from any thread and after a fork; no call waits longer than *timeout*. What fails raises
       `StoreUnavailableError` and may have been done.
    8. ``repr()`` and errors hold no credentials and no payload.
    """

    def put(self, told: Sequence[Told]) -> None:
        """
        Remember.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """

    def read(self, subjects: Sequence[str]) -> Mapping[str, Remembered]:
        """
        Return what is remembered of each of *subjects* (one round trip); one about whom nothing
        is known is there too.
        """

    def link(self, absorb: str, keep: str, note: bytes = b"") -> bool:
        """
        Make *absorb* a part of *keep*; False where it is a part of another one already.
        """

    def unlink(self, absorb: str) -> bool:
        """
        End a link; False where there is none.
        """

    def forget(self, subjects: Sequence[str], suppress_for: float) -> int:
        """
        Erase; return how many things there were.
        """

    def subscribe(self, heard: Callable[[str | None], None]) -> bool:
        """
        Listen, on a thread of the memory's own; say whether it can.
        """

    def close(self) -> None:
        """
        Release connections and end the thread. Idempotent.
        """
