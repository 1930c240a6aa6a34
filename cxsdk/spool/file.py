"""
The spool on disk, put together: store, adoption, caps, erasure, and the keeper's round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk._ids import new_id
from cxsdk.config import SpoolOptions
from cxsdk.errors import SpoolFullError
from cxsdk.spool import _disk, directory
from cxsdk.spool._record import VOIDED
from cxsdk.spool.adoption import Adoption
from cxsdk.spool.caps import Caps
from cxsdk.spool.erasure import Tombstones
from cxsdk.spool.notice import Notice
from cxsdk.spool.segment import Segment
from cxsdk.spool.stamps import Stamps
from cxsdk.spool.store import Store
from cxsdk.typing import Shed

__all__ = ["FileSpool"]

_SWITCH_EVERY = 2.0
_QUARANTINE_BYTES = 1024 * 1024
_QUARANTINE_FILES = 16


class FileSpool(Store):
    """
    A `Spool` on disk. Thread-safe, signal-safe in `append`; in a forked child: `abandon`.
    """

    def __init__(
        self,
        options: SpoolOptions,
        clock: Clock,
        fingerprints: Mapping[str, str],
        *,
        service: str,
        environment: str,
        on_shed: Callable[[Shed], None],
        note: Callable[[str, int], None],
        on_pressure: Callable[[], None],
        on_switch: Callable[[bool], None] = lambda _: None,
    ) -> None:
        super().__init__(
            options,
            clock,
            fingerprints,
            service=service,
            environment=environment,
            on_shed=on_shed,
            note=note,
            on_pressure=on_pressure,
        )
        self._switch_at = 0.0
        self._on_switch = on_switch
        self._off = False
        self._adoption = Adoption(self)
        self._notice = Notice(clock)
        self._stamps = Stamps(self.root, service, environment)
        self._caps = Caps(self)
        self._tombstones = Tombstones(self)

    def switched_off(self) -> bool:
        """
        Say whether a file named ``OFF`` was seen in the root. A cached answer, no disk.
        """
        return self._off

    def _sealed_one(self) -> None:
        self._caps.hurry()

    # ---- the keeper's work

    def maintain(self) -> None:
        """
        Do the keeper's work. May block on a disk; never raises an error of the disk.
        """
        if self._closed:
            return
        for step in (
            self._drain_aside,
            self._erase_withdrawn,
            self._look_at_switch,
            self._check_home,
            self._return_to_disk,
            self._seal_due,
            self._make_spares,
            self._sync,
            self._warm,
            self._tombstones.tell_again,
            self._tombstones.look,
            self._adoption.step,
            self._caps.step,
            self._flush_dead,
        ):
            try:
                step()
            except (OSError, SpoolFullError) as error:
                self._note("maintain_failed", 1)
                voice.say(logging.DEBUG, f"spool_maintain:{error!r:.80}", "spool: %s", error)
        self._tell()

    def speaks(self, reason: str) -> bool:
        """
        Say whether this process is the one of its host to log *reason*. May block on a disk.
        """
        return self._stamps.first(reason)

    def publish(self, sinks: dict[str, Any]) -> None:
        """
        Leave the sinks' figures where ``cxsdk doctor`` looks. For the keeper; may block on a disk.
        """
        home = self._home
        if home is not None and not self._closed:
            try:
                self._notice.put(home.path, sinks)
            except OSError:
                self._note("notice_failed", 1)

    def _flush_dead(self) -> None:
        with self._book:
            self._dead.flush()
            lost, self._dead.overflowed = self._dead.overflowed, 0
        if lost:
            self._note("dead_letters_lost", lost)

    def _look_at_switch(self) -> None:
        now = self._clock.monotonic()
        if now >= self._switch_at:
            self._switch_at = now + _SWITCH_EVERY
            before = self._off
            try:
                _disk.link_stat(self.root / "OFF")
                self._off = True
            except (FileNotFoundError, NotADirectoryError):
                self._off = False
            if self._off is not before:
                self._on_switch(self._off)

    # ---- erasure, adoption: see there

    def erase(self, tag: bytes, *, only_consent: bool = False) -> int:
        """
        Make every undelivered payload of *tag* unreadable, in place; return how many.

        Leaves a tombstone, so that other owners under this root do the same within 30 s.
        """
        if tag == bytes(8):
            return 0
        self._tombstones.put(tag, only_consent=only_consent)
        self._erase_quarantine()
        count = super().erase(tag, only_consent=only_consent)
        self._begin_anew()
        self._tell()
        return count

    def _look_for_erasures(self) -> None:
        try:
            self._tombstones.look()
        except OSError:
            self._note("erase_failed", 1)

    def leftovers(self) -> bool:
        """
        Say whether an earlier run left something for this service. Looks at names only, and
        at the OFF file.
        """
        self._look_at_switch()
        folder = self.root / self.service / self.environment
        mine = self._home.path if self._home else None
        return any(path != mine for path in directory.incarnations(folder))

    def adopt_directory(self, path: Path, *, force: bool = False) -> int:
        """
        Take over a dead owner's directory at once; return how many records it held.

        Args:
            path: the directory of one incarnation.

            force: also if it is another service's, or its destinations are not ours.

        Raises:
            SpoolLockedError: its owner lives.
            SpoolCorruptError: it is damaged, foreign without *force*, or of a newer format.
            OSError: the disk refused.
        """
        count = self._adoption.take(path, force=force)
        self._tell()
        return count

    def _quarantine(self, segment: Segment) -> None:
        try:
            folder = directory.ensure(self.root, "quarantine")
            for frame in segment.frames(segment.start):
                if frame.kind < 0 and not frame.payload.startswith(VOIDED):
                    self._keep_span(folder, segment, frame.offset, frame.payload)
        except OSError:
            self._note("quarantine_failed", 1)

    def _keep_span(self, folder: Path, segment: Segment, offset: int, span: bytes) -> None:
        older = _disk.names(folder)
        for name in older[: max(0, len(older) - _QUARANTINE_FILES + 1)]:
            _disk.unlink(folder / name)
        name = f"{self._clock.time_ns():016x}-{new_id()[-12:]}-{segment.number:x}-{offset:x}"
        fd = _disk.create(folder / name)
        try:
            _disk.pwrite(fd, span[:_QUARANTINE_BYTES], 0)
        finally:
            _disk.close(fd)
        self._note("quarantined", 1)

    def _erase_quarantine(self) -> None:
        # Nobody can tell whose a damaged span is.
        folder = self.root / "quarantine"
        try:
            for name in _disk.names(folder):
                _disk.unlink(folder / name)
        except FileNotFoundError:
            return
        except OSError:
            self._note("erase_failed", 1)

    # ---- figures and ends

    def stats(self) -> dict[str, Any]:
        """
        Return level, place, bytes, segments, adopted directories, and so on.
        """
        return {
            "level": self.level,
            "mode": self._options.mode,
            "root": str(self.root),
            "directory": str(self._home.path) if self._home else None,
            "volatile": self.volatile,
            "volatile_backlog": max(map(self.pending, self._sinks), default=0)
            if self.volatile
            else 0,
            "switched_off": self._off,
            **super().stats(),
            **self._adoption.stats(),
            **self._caps.stats(),
        }

    @property
    def volatile(self) -> bool:
        """
        True: the spool dies with the container. Takes no lock, so a signal handler may ask.
        """
        if self._volatile is None:
            self._volatile = directory.file_system(self.root) in directory.VOLATILE
        return self._volatile or self._broken

    def abandon(self) -> None:
        """
        Forget maps and descriptors: this process is a forked child, the parent delivers.

        Touches no file, takes no lock that another thread may have held at the fork.
        """
        self._renew_locks()
        self._closed = True
        for track in self._tracks:
            for segment in (*track.segments, *([track.spare] if track.spare else [])):
                segment.forget()
            track.segments, track.spare, track.active = [], None, track.nowhere
        self._adopted = []
        self._adoption.abandon()
        home, self._home = self._home, None
        if home is not None:
            home.release()
        self._dead.directory = None

    def _stop_taking(self) -> None:
        for tries_left in (2, 1, 0):
            self._drain_aside()
            with self._making, self._lock:
                if self._aside and not self._busy and tries_left:
                    continue  # set aside just now: not without it
                self._closed = True
                for track in self._tracks:
                    track.active.shut = True
                    track.active.limit = -1
                    track.active = track.nowhere
                return

    def close(self) -> None:
        """
        Seal, persist the cursors, release the locks. Idempotent. What is left is adopted later.
        """
        if self._closed:
            return
        self._drain_aside()
        self._retry_at = 0.0  # what a failed disk left in memory has no later chance
        try:
            self._return_to_disk()
        except (OSError, SpoolFullError):
            self._note("maintain_failed", 1)
        self._stop_taking()
        self._adoption.close()
        with self._book:
            self._seal_full()
            for track in self._tracks:
                if track.spare is not None:
                    self._discard(track.spare)
                    track.spare = None
            for segment in self._all_segments():
                for reading in segment.readings.values():
                    self._save(reading)
            self._dead.flush()
            self._released = True
            home, self._home = self._home, None
            if home is not None:
                home.remove()
        self._tell()
