"""
Looking at spools without touching them, for ``cxsdk spool`` and ``cxsdk doctor``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from cxsdk.errors import SpoolCorruptError
from cxsdk.spool import _disk, cursor, directory, notice
from cxsdk.spool._record import parse_header
from cxsdk.spool.dead import covers
from cxsdk.spool.erasure import Stone
from cxsdk.spool.survey import Survey, frames_of, survey
from cxsdk.typing import Kind, Lane, Record

__all__ = ["Found", "Verdict", "dead_letters", "records", "spools", "verify"]


@attrs.define(frozen=True, kw_only=True)
class Found:
    """
    One spool directory.
    """

    path: Path
    service: str
    environment: str
    incarnation: str
    alive: bool
    """Some live process owns it."""
    format: int
    """0 where the manifest says nothing."""
    sinks: dict[str, str]
    """Sink name → fingerprint of its destination."""
    problem: str = ""
    """Why it cannot be adopted by this version, in words."""
    segments: int = 0
    records: int = 0
    pending: dict[str, int] = attrs.Factory(dict)
    """Sink name → records it has still to get."""
    bytes: int = 0
    """Bytes in use; a live mapped segment counts up to its last record."""
    oldest_ns: int = 0
    """When the oldest pending record's segment was begun, nanoseconds since 1970; 0: nothing."""
    dead_letters: int = 0
    status: dict[str, Any] | None = None
    """What a live owner last said of its sinks: ``{at, sinks: {name: figures}}``."""


@attrs.define(frozen=True, kw_only=True)
class Verdict:
    """
    What a check of one segment or directory found.
    """

    frames: int = 0
    voided: int = 0
    """Records erased in place."""
    corrupt: tuple[tuple[str, int], ...] = ()
    """File name and offset of each damaged span."""
    missing: int = 0
    """Records missing by sequence number."""
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """
        Say whether nothing is damaged.
        """
        return not self.corrupt and not self.problems


def spools(root: Path) -> Iterator[Found]:
    """
    Yield every spool directory below *root*. Reads all segments; takes no lock for longer than
    a look.
    """
    for service in _folders(root):
        if directory.is_own(service.name):
            continue
        for environment in _folders(service):
            for path in _folders(environment):
                yield _look(path, service.name, environment.name)


def _folders(path: Path) -> list[Path]:
    return [each for each in directory.incarnations(path) if directory.is_ours(each)]


def _look(path: Path, service: str, environment: str) -> Found:
    version, sinks, problem = 0, {}, ""
    try:
        manifest = directory.manifest_of(path)
        version, sinks = manifest["format"], manifest["sinks"]
    except SpoolCorruptError as error:
        problem = str(error)
    except OSError as error:
        problem = f"the manifest cannot be read: {error.strerror}"
    pending = dict.fromkeys(sinks, 0)
    count = used = oldest = 0
    files = _segments(path)
    for file in files:
        try:
            found = survey(file)
        except (SpoolCorruptError, OSError) as error:
            problem = problem or str(error)
            continue
        if found is None:
            continue
        count += len(found.offsets)
        used += found.end
        for sink in sinks:
            pending[sink] += _waiting(file, sink, found)
        if any(pending.values()):
            oldest = min(oldest or found.created_ns, found.created_ns)
    alive = directory.is_locked(path)
    return Found(
        path=path,
        service=service,
        environment=environment,
        incarnation=path.name,
        alive=alive,
        status=notice.read(path) if alive else None,
        format=version,
        sinks=sinks,
        problem=problem,
        segments=len(files),
        records=count,
        pending=pending,
        bytes=used,
        oldest_ns=oldest,
        dead_letters=sum(1 for _ in dead_letters(path)),
    )


def _segments(path: Path) -> list[Path]:
    try:
        names = _disk.names(path)
    except OSError:
        return []
    return [path / name for name in names if name.endswith((".seg", ".open"))]


def _waiting(file: Path, sink: str, found: Survey) -> int:
    value, _ = cursor.load(cursor.path_of(file, sink))
    return sum(1 for offset in found.offsets if offset >= value)


def verify(path: Path) -> Verdict:
    """
    Check one segment file, or all of a directory: frames, damaged spans, gaps in the numbers.
    """
    frames = voided = missing = 0
    corrupt: list[tuple[str, int]] = []
    problems: list[str] = []
    for file in _segments(path) if path.is_dir() else [path]:
        try:
            found = survey(file)
            data = _bytes(file)
        except (SpoolCorruptError, OSError) as error:
            problems.append(str(error))
            continue
        kinds = [frame.kind for frame in frames_of(data)]
        voided += kinds.count(Kind.VOID)
        frames += len(kinds) - kinds.count(Kind.VOID)
        if found is not None:
            corrupt.extend((file.name, offset) for offset, _ in found.gaps)
            missing += sum(lost for _, lost in found.gaps)
            if parse_header(data) is None:
                problems.append(f"{file.name}: the header is damaged")
    return Verdict(
        frames=frames,
        voided=voided,
        corrupt=tuple(corrupt),
        missing=missing,
        problems=tuple(problems),
    )


def _bytes(file: Path) -> bytes:
    fd = _disk.open_read(file)
    try:
        return _disk.pread(fd, _disk.fstat(fd).st_size, 0)
    finally:
        _disk.close(fd)


def records(
    path: Path, *, sink: str | None = None, stones: Sequence[Stone] = ()
) -> Iterator[Record]:
    """
    Yield the records of a directory, each with the file's number and lane and the offset as its
    place.

    Args:
        path: the directory.

        sink: only what this one has still to get; all there is without, or where nobody in the
            directory has that name.

        stones: what is to be erased is left out, though its owner did not get to it yet.

    Raises:
        SpoolCorruptError: a segment is of a newer format.
        OSError: a segment cannot be read.
    """
    for file in _segments(path):
        start = cursor.load(cursor.path_of(file, sink))[0] if sink is not None else 0
        lane: Lane = "vital" if ".vital." in file.name else "bulk"
        try:
            found = survey(file)  # refuses newer formats
            data = _bytes(file)
        except FileNotFoundError:
            continue  # a living owner sealed or delivered it
        since = found.created_ns if found else 0
        for frame in frames_of(data):
            if frame.kind == Kind.VOID or frame.offset < start:
                continue
            consent = bool(frame.kind & Kind.CONSENT_ONLY)
            if not any(each.covers(frame.tag, since, consent_only=consent) for each in stones):
                place = (file.name.rpartition(".")[0], frame.offset)
                yield Record(payload=frame.payload, lane=lane, kind=frame.kind, place=place)


def dead_letters(path: Path, *, stones: Sequence[Stone] = ()) -> Iterator[bytes]:
    """
    Yield the dead letters of a directory, one JSON line each; those that *stones* cover are left
    out.
    """
    folder = path / "dead"
    try:
        names = _disk.names(folder)
    except OSError:
        return
    for name in names:
        if name.endswith(".jsonl"):
            try:
                lines = _bytes(folder / name).splitlines()
            except OSError:
                continue
            for line in lines:
                if not any(covers(stone, line) for stone in stones):
                    yield line
