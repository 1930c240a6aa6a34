"""
Repairs by a person's hand on spools that no living process owns: depositing, handing over, erasing.

For ``cxsdk spool``. Everything here works under the lock of what it changes.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cxsdk._clock import SystemClock
from cxsdk.config import SpoolOptions
from cxsdk.spool import _disk, cursor, dead, directory
from cxsdk.spool._record import GAP
from cxsdk.spool.adoption import segment_of
from cxsdk.spool.erasure import Stone
from cxsdk.spool.file import FileSpool
from cxsdk.spool.segment import FileSegment
from cxsdk.spool.survey import survey
from cxsdk.typing import Kind

__all__ = [
    "by_hand",
    "deposit",
    "erase",
    "hand_over",
    "older",
    "remove_letters",
    "remove_old",
    "sole_for",
]

_YEARS_S = 100 * 365 * 86_400.0
_MOST_BYTES = 1 << 50
_LOOK_S = 0.05


@contextlib.contextmanager
def sole_for(folder: Path, patience: float) -> Iterator[None]:
    """
    Be the only one who changes the dead letters in *folder*; wait up to *patience* seconds for it.

    Raises:
        OSError: somebody else is at it all the time, or the disk refused.
    """
    end = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(dead.sole(folder))
            except OSError as error:
                busy = error.errno in {errno.EACCES, errno.EAGAIN, errno.EEXIST}
                if not busy or time.monotonic() > end:
                    raise
                time.sleep(_LOOK_S)
                continue
            break
        yield


def by_hand(
    root: Path, service: str, environment: str, fingerprints: Mapping[str, str]
) -> FileSpool:
    """
    Return a spool that sheds nothing: a person wants the old ones too, whatever the caps say.
    """
    options = SpoolOptions(
        mode="write", directory=root, max_age=_YEARS_S, max_bytes=_MOST_BYTES, min_free_bytes=0
    )
    return FileSpool(
        options,
        SystemClock(),
        fingerprints,
        service=service,
        environment=environment,
        on_shed=_ignore,
        note=_ignore,
        on_pressure=_ignore,
    )


def _ignore(*_: object) -> None:
    pass


@contextlib.contextmanager
def deposit(
    root: Path, service: str, environment: str, fingerprints: Mapping[str, str]
) -> Iterator[FileSpool]:
    """
    Append to a directory of its own, which whoever has that identity adopts afterwards.

    Raises:
        OSError: the disk refused; what was appended may be lost, so it must not be removed
            elsewhere.
    """
    spool = by_hand(root, service, environment, fingerprints)
    try:
        yield spool
        if not spool.durable:
            raise OSError(errno.ENOSPC, "the spool's disk refuses", str(root))
    finally:
        spool.close()


def hand_over(
    path: Path, target: Path, service: str, environment: str, sink: str, was: str, mark: str
) -> Path:
    """
    Give a dead process's directory another identity; return where it is now.

    What the sink *was* has still to get becomes due to *sink*, whose destination's fingerprint is
    *mark*; other sinks of the directory are as they were.

    Raises:
        SpoolLockedError: its owner lives.
        SpoolCorruptError: its manifest cannot be read, or is of a newer format.
        OSError: the disk refused.
    """
    home = directory.adopt(path)
    try:
        if sink != was:
            for file in _segments(path):
                old = cursor.path_of(file, was)
                if old.exists():
                    _disk.rename(old, cursor.path_of(file, sink))
        sinks = {name: each for name, each in home.manifest["sinks"].items() if name != was}
        changed = {"service": service, "environment": environment, "sinks": {**sinks, sink: mark}}
        directory.rewrite_manifest(path, {**home.manifest, **changed})
        folder = directory.ensure(target, service, environment)
        if folder / path.name != path:
            _disk.rename(path, folder / path.name)
        return folder / path.name
    finally:
        home.release()


def erase(path: Path, stone: Stone) -> int:
    """
    Blank what *stone* covers in a directory that nobody owns; return how many events and letters.

    Raises:
        SpoolLockedError: its owner lives, and heeds the tombstone itself.
        SpoolCorruptError: its manifest cannot be read, or is of a newer format.
        OSError: the disk refused.
    """
    home = directory.adopt(path)
    try:
        count = sum(_blank(file, stone) for file in _segments(path))
        return count + remove_letters(path, lambda line: dead.covers(stone, line))
    finally:
        home.release()


def remove_letters(path: Path, is_unwanted: Callable[[bytes], bool], patience: float = 5.0) -> int:
    """
    Remove dead letters of a directory, whoever owns it; return how many.

    Raises:
        OSError: the disk refused, or somebody else is at them for *patience* seconds.
    """
    folder = path / "dead"
    if not folder.is_dir():
        return 0
    with sole_for(folder, patience):
        files = [folder / name for name in _disk.names(folder) if name.endswith(".jsonl")]
        return sum(dead.remove(file, is_unwanted) for file in files)


def _blank(file: Path, stone: Stone) -> int:
    segment = _segment(file)
    if segment is None:
        return 0
    count = 0
    for frame in segment.frames(segment.start):
        if frame.kind in {GAP, Kind.VOID}:
            continue
        consent = bool(frame.kind & Kind.CONSENT_ONLY)
        if stone.covers(frame.tag, segment.created_ns, consent_only=consent):
            segment.blank(frame)
            count += 1
    return count


def older(path: Path, before_ns: int) -> dict[Path, int]:
    """
    Return the segments of a directory that were begun before a moment (nanoseconds since 1970),
    and how many events of each some sink has still to get. Only reads.

    Raises:
        SpoolCorruptError: the manifest or a segment cannot be read, or is of a newer format.
        OSError: the disk refused.
    """
    sinks = directory.manifest_of(path)["sinks"]
    found: dict[Path, int] = {}
    for file in _segments(path):
        segment = _segment(file)
        if segment is None:
            found[file] = 0  # a spare that never held a record
            continue
        if segment.created_ns >= before_ns:
            continue
        least = min((cursor.load(cursor.path_of(file, sink))[0] for sink in sinks), default=0)
        frames = segment.frames(max(segment.start, least))
        found[file] = sum(frame.kind not in {GAP, Kind.VOID} for frame in frames)
    return found


def remove_old(path: Path, before_ns: int) -> int:
    """
    Unlink what `older` finds in a directory that nobody owns; return how many events went.

    Raises:
        SpoolLockedError: its owner lives, and has caps of its own.
        SpoolCorruptError: the manifest or a segment cannot be read, or is of a newer format.
        OSError: the disk refused.
    """
    home = directory.adopt(path)
    try:
        found = older(path, before_ns)
        for file in found:
            _disk.unlink(file)
            for sink in home.manifest["sinks"]:
                _disk.unlink(cursor.path_of(file, sink))
    finally:
        home.remove()
    return sum(found.values())


def _segments(path: Path) -> list[Path]:
    return [path / name for name in _disk.names(path) if name.endswith((".seg", ".open"))]


def _segment(file: Path) -> FileSegment | None:
    found = survey(file)
    if found is None:
        return None
    return segment_of(file, "vital" if ".vital." in file.name else "bulk", 0, found)
