"""
Taking over what a dead process of the same service left behind.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from bisect import bisect_left
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk._guard import voice
from cxsdk.errors import SpoolCorruptError, SpoolError, SpoolLockedError
from cxsdk.spool import _disk, cursor, directory
from cxsdk.spool.reading import Reading
from cxsdk.spool.segment import FileSegment, Segment
from cxsdk.spool.survey import Survey, survey
from cxsdk.typing import Lane

if TYPE_CHECKING:
    from cxsdk.spool.file import FileSpool

__all__ = ["Adoption", "segment_of"]

_EVERY = 30.0
_AGAIN = 300.0
_AT_ONCE = 2
_BYTES_PER_STEP = 16 * 1024 * 1024


@attrs.define(eq=False)
class _Estate:
    """
    One adopted directory: the lock, what is still to be read, what is in the book.
    """

    home: directory.Home
    sinks: dict[str, bool]
    """Sink name → whether its deliveries are ours to make."""
    unread: deque[Path]
    segments: list[FileSegment] = attrs.Factory(list)
    left: bool = False
    """Something stays here that only others can deal with, or a better hour of the disk."""
    again_in: float = math.inf
    """Seconds after which what is left is worth another try."""


@attrs.define(frozen=True)
class _Aside:
    """
    A directory that is left alone for now.
    """

    foreign: dict[str, int]
    """Sink name → records that wait there for a sink we do not have."""
    again_at: float
    """Monotonic seconds at which it is worth another try."""


class Adoption:
    """
    Look for dead owners' directories and bring them into the book, in slices.

    At most two at a time: each costs a descriptor, and a host's workers share the backlog. Its
    lock comes before the book's.
    """

    def __init__(self, spool: FileSpool) -> None:
        self._spool = spool
        self._lock = threading.RLock()
        self._estates: list[_Estate] = []
        self._scan_at = -1.0
        self._set_aside: dict[Path, _Aside] = {}
        self._adopted = 0

    def step(self) -> None:
        """
        Do one slice: scan if due, read some segments, let finished directories go.

        Raises:
            OSError: the disk refused; the next step goes on.
        """
        spool = self._spool
        now = spool._clock.monotonic()
        budget = _BYTES_PER_STEP
        with self._lock:
            if spool._closed:
                return  # nobody would give back what is taken now
            if now >= self._scan_at:
                self._scan_at = now + _EVERY * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
                self._scan()
            for estate in tuple(self._estates):
                while estate.unread and budget > 0:
                    budget -= self._read_one(estate)
                self._let_go_if_done(estate)

    def _scan(self) -> None:
        spool = self._spool
        folder = spool.root / spool.service / spool.environment
        directory.sweep(folder)
        found = directory.incarnations(folder)
        self._set_aside = {path: why for path, why in self._set_aside.items() if path in found}
        for path in found:
            if len(self._estates) >= _AT_ONCE:
                self._scan_at = 0.0
                return
            if path in self._set_aside and not self._is_worth_a_try(path):
                continue
            try:
                self._open(path, force=False)
            except SpoolCorruptError as error:
                self._say_left_alone(error)
            except (SpoolError, OSError):
                continue

    def _say_left_alone(self, error: SpoolCorruptError) -> None:
        words = str(error)
        self._spool._told.append(
            lambda: voice.say(
                logging.INFO,
                "spool_left_alone",
                "a spool directory is left as it is: %s. See cxsdk spool ls",
                words,
                among=self._spool.speaks,
            )
        )

    def _is_worth_a_try(self, path: Path) -> bool:
        now = self._spool._clock.monotonic()
        return now >= self._set_aside[path].again_at or self._may_be_old(path)

    def _may_be_old(self, path: Path) -> bool:
        now = self._spool._clock.time_ns()
        limit = self._spool._options.max_age * 1e9
        try:
            return any(
                now - _disk.link_stat(path / name).st_mtime_ns > limit
                for name in _disk.names(path)
                if name.endswith((".seg", ".open"))
            )
        except OSError:
            return False

    def _open(self, path: Path, *, force: bool) -> _Estate:
        spool = self._spool
        manifest = directory.manifest_of(path)
        sinks = self._sinks(path, manifest, force=force)
        estate = _Estate(directory.adopt(path), sinks, deque())
        try:
            if spool._options.new_sinks == "retained":
                self._let_in(estate)
            for name in _disk.names(path):
                if name.endswith((".seg", ".open")):
                    estate.unread.append(path / name)
        except BaseException:
            estate.home.release()
            raise
        self._estates.append(estate)
        self._inherit_dead(estate)  # at once: erasure looks for dead letters in our own place
        self._adopted += 1
        spool._note("adopted_dirs", 1)
        return estate

    def _let_in(self, estate: _Estate) -> None:
        """
        Have sinks whose names are new here get all that is in the directory.

        In the manifest at once: whoever comes next finds how far they got, and keeps what is theirs.
        """
        manifest = estate.home.manifest
        ours = self._spool.fingerprints
        new = {name: ours[name] for name in ours if name not in manifest["sinks"]}
        if new:
            manifest["sinks"] = {**manifest["sinks"], **new}
            directory.rewrite_manifest(estate.home.path, manifest)
            estate.sinks.update(dict.fromkeys(new, True))

    def _sinks(self, path: Path, manifest: dict[str, Any], *, force: bool) -> dict[str, bool]:
        spool = self._spool
        theirs: dict[str, str] = manifest["sinks"]
        ours = spool.fingerprints
        common = theirs.keys() & ours.keys()
        if force:
            return {name: name in ours for name in (theirs if common else ours)}
        same_place = (manifest.get("service"), manifest.get("environment")) == (
            spool.service,
            spool.environment,
        )
        if not same_place or not common or any(theirs[each] != ours[each] for each in common):
            raise SpoolCorruptError(f"{path} belongs to another service or destination")
        return {name: name in ours for name in theirs}

    def take(self, path: Path, *, force: bool) -> int:
        """
        Adopt one directory whole, now; return how many records it held.

        Raises:
            SpoolLockedError: its owner lives.
            SpoolCorruptError: foreign without *force*, damaged, or of a newer format.
            OSError: the disk refused.
        """
        with self._lock:
            if any(estate.home.path == path for estate in self._estates):
                raise SpoolLockedError(f"{path} is being drained already")
            estate = self._open(path, force=force)
            while estate.unread:
                self._read_one(estate)
            count = sum(segment.mark[1] for segment in estate.segments)
            self._let_go_if_done(estate)
            return count

    # ---- one segment

    def _read_one(self, estate: _Estate) -> int:
        path = estate.unread.popleft()
        try:
            found = survey(path)
        except FileNotFoundError:
            return 0
        except (SpoolCorruptError, OSError) as error:
            self._spool._note("adopt_failed", 1)
            if isinstance(error, SpoolCorruptError):
                self._say_left_alone(error)
            else:
                estate.again_in = _AGAIN
            estate.left = True
            return 0
        if found is None:
            self._throw_away(path)
            return 0
        number, _, lane = path.stem.partition(".")
        try:
            place = int(number, 16)
        except ValueError:
            place = 0
        segment = segment_of(path, "vital" if lane == "vital" else "bulk", place, found)
        with self._spool._book:
            self._enter(estate, segment, found)
        return found.size

    def _throw_away(self, path: Path) -> None:
        try:
            _disk.unlink(path)
        except OSError:
            self._spool._note("unlink_failed", 1)

    def _enter(self, estate: _Estate, segment: FileSegment, found: Survey) -> None:
        spool = self._spool
        lost_most = 0
        theirs = estate.home.manifest["sinks"]
        for sink, is_ours in estate.sinks.items():
            value, generation = _resume_at(segment, sink, theirs)
            lost = sum(count for offset, count in found.gaps if offset >= value)
            count = len(found.offsets) - bisect_left(found.offsets, value)
            reading = Reading(segment, sink, total=count + lost)
            reading.resume(value, generation)
            reading.done = lost
            segment.readings[sink] = reading
            if is_ours:
                spool._accounts[sink].adopted += count + lost
                if lost:
                    spool._accounts[sink].dropped["corrupt"] += lost
                lost_most = max(lost_most, lost)
        estate.segments.append(segment)
        spool._adopted.append(segment)
        if lost_most or found.debris:
            spool._report_corrupt(segment, lost_most)
        spool._tombstones.visit(segment)
        spool._retire_if_over(segment)

    # ---- letting go

    def _let_go_if_done(self, estate: _Estate) -> None:
        spool = self._spool
        with spool._book:
            if estate.unread or any(
                reading.pending or reading.open
                for segment in estate.segments
                if segment in spool._adopted
                for sink, reading in segment.readings.items()
                if estate.sinks[sink]
            ):
                return
            spool._caps.expire()  # what only others could deliver must not outlive its age here
            self._release(estate)

    def _release(self, estate: _Estate) -> None:
        spool = self._spool
        foreign: dict[str, int] = {}
        for segment in estate.segments:
            if segment in spool._adopted:
                for sink, reading in segment.readings.items():
                    spool._save(reading)
                    if estate.sinks[sink]:
                        # Given back undelivered: what is still in flight is the next owner's too.
                        spool._accounts[sink].adopted -= reading.pending
                        reading.give_all_back()
                    else:
                        foreign[sink] = foreign.get(sink, 0) + reading.pending
                spool._adopted.remove(segment)
        self._estates.remove(estate)
        self._inherit_dead(estate)  # what could not be taken at once
        path = estate.home.path
        if foreign or estate.left or not estate.home.remove():
            again_at = spool._clock.monotonic() + (estate.again_in if estate.left else math.inf)
            self._set_aside[path] = _Aside(foreign, again_at)
        estate.home.release()

    def _inherit_dead(self, estate: _Estate) -> None:
        folder = estate.home.path / "dead"
        if not folder.is_dir() or self._spool._closed:
            return
        spool = self._spool
        try:
            with spool._book:
                with spool._making:
                    spool._open_home()
                spool._dead.take_over(folder, estate.home.incarnation)
                spool._tombstones.visit_letters()
                _disk.rmdir(folder)
        except OSError:
            spool._note("adopt_failed", 1)
            estate.left, estate.again_in = True, _AGAIN

    def close(self) -> None:
        """
        Give the directories back, cursors saved.
        """
        with self._lock, self._spool._book:
            for estate in tuple(self._estates):
                self._release(estate)

    def abandon(self) -> None:
        """
        Forget the locks in a forked child.
        """
        self._lock = threading.RLock()
        for estate in self._estates:
            estate.home.release()
        self._estates = []

    def stats(self) -> dict[str, Any]:
        """
        Return how many directories were adopted, and what waits for sinks we do not have.
        """
        waiting: dict[str, int] = {}
        for aside in tuple(self._set_aside.values()):
            for sink, count in aside.foreign.items():
                waiting[sink] = waiting.get(sink, 0) + count
        return {
            "adopted_directories": self._adopted,
            "adopting": [str(estate.home.path) for estate in self._estates],
            "unknown_sinks": waiting,
        }


def segment_of(path: Path, lane: Lane, number: int, found: Survey) -> FileSegment:
    """
    Return a sealed segment that reads the file at *path*.
    """
    segment = FileSegment(path.parent, lane, number, found.size, sealed=True)
    segment.path = path
    segment.adopted = True
    segment.created_ns = found.created_ns
    segment.first_seq = found.first_seq
    segment.mark = (found.end, len(found.offsets))
    return segment


def _resume_at(segment: Segment, sink: str, theirs: dict[str, str]) -> tuple[int, int]:
    if segment.path is None:
        return 0, 0
    if sink in theirs:
        return cursor.load(cursor.path_of(segment.path, sink))
    # By force for a sink that was not there: from where the slowest of theirs was.
    return min(
        (cursor.load(cursor.path_of(segment.path, each))[0] for each in theirs), default=0
    ), 0
