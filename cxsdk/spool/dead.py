"""
Dead letters: what a destination refused for good, with its words, in JSON lines.
"""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import attrs

from cxsdk._clock import Clock, from_ns, rfc3339
from cxsdk.config import SpoolOptions
from cxsdk.spool import _disk

__all__ = ["DeadLetters", "Letter"]

_FILE_BYTES = 1024 * 1024
_DETAIL_BYTES = 512
_HELD = 1000
_NONSENSE_NS = 10 * 365 * 86_400 * 1_000_000_000


@attrs.define(kw_only=True)
class Letter:
    """
    What is known about a dead letter besides the event.
    """

    sink: str
    reason: str
    detail: str
    """The server's words."""
    attempts: int
    tag: bytes
    """Keyed hash of the customer."""
    consent_only: bool
    first_ns: int
    """When it was spooled, about; nanoseconds since 1970."""


class DeadLetters:
    """
    Append, cap and erase the dead letters of one owner. Guarded by the book's lock.

    Without a directory, or while its disk refuses, a bounded number is held in memory.
    """

    def __init__(self, options: SpoolOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._held: deque[bytes] = deque(maxlen=_HELD)
        self._count = 0
        self.unerased = 0
        self.directory: Path | None = None

    def bury(self, payload: bytes, about: Letter) -> None:
        """
        Keep one event; never raises.
        """
        words = about.detail.encode("utf-8", "replace")[:_DETAIL_BYTES]
        now_ns = self._clock.time_ns()
        entry: dict[str, Any] = {
            "reason": about.reason,
            "detail": words.decode("utf-8", "ignore"),
            "attempts": about.attempts,
            "first": rfc3339(from_ns(about.first_ns or now_ns)),
            "last": rfc3339(from_ns(now_ns)),
            "sink": about.sink,
            "tag": about.tag.hex(),
            "consent_only": about.consent_only,
            "event": _event(payload),
        }
        self._count += 1
        self._held.append(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self.flush()

    def flush(self) -> None:
        """
        Write what is held in memory, as far as the disk lets us.
        """
        if self.directory is None:
            return
        try:
            while self._held:
                self._append(self._held[0])
                self._held.popleft()
        except OSError:
            return

    def _append(self, line: bytes) -> None:
        folder = self.directory
        if folder is None:
            return
        if not folder.is_dir():
            _disk.mkdir(folder)
        path, size = self._last(folder)
        if path is None or size + len(line) > _FILE_BYTES:
            path, size = folder / f"{self._clock.time_ns():016x}.jsonl", 0
            fd = _disk.create(path)
        else:
            fd = _disk.open_write(path)
        try:
            if _disk.pwrite(fd, line, size) != len(line):
                _disk.truncate(fd, size)
                raise OSError("short write")
        finally:
            _disk.close(fd)

    def _last(self, folder: Path) -> tuple[Path | None, int]:
        # Files taken over from an adopted directory have a dash in their name.
        own = [name for name in _disk.names(folder) if name.endswith(".jsonl") and "-" not in name]
        if not own:
            return None, 0
        path = folder / own[-1]
        return path, _disk.link_stat(path).st_size

    def erase(self, tag: bytes, *, only_consent: bool = False) -> None:
        """
        Remove the letters of one customer.
        """
        end = b', "consent_only": true' if only_consent else b""
        unwanted = b'"tag": "%s"' % tag.hex().encode() + end
        self._held = deque((line for line in self._held if unwanted not in line), _HELD)
        for path in self._files():
            try:
                _rewrite(path, unwanted)
            except OSError:
                self.unerased += 1

    def _files(self) -> list[Path]:
        if self.directory is None:
            return []
        try:
            return [self.directory / name for name in _disk.names(self.directory)]
        except OSError:
            return []

    def cap(self) -> int:
        """
        Remove the oldest files beyond the caps of bytes and age; return how many.
        """
        now = self._clock.time_ns()
        found: list[tuple[int, int, Path]] = []
        for path in self._files():
            try:
                # By the name, since the file's own stamps follow another clock.
                found.append((_begun(path), _disk.link_stat(path).st_size, path))
            except (OSError, ValueError):
                continue
        total = sum(size for _, size, _ in found)
        removed = 0
        for begun_ns, size, path in sorted(found):
            age = now - begun_ns
            too_old = self._options.dead_letter_age * 1e9 < age < _NONSENSE_NS
            if not too_old and total <= self._options.dead_letter_bytes:
                continue
            try:
                _disk.unlink(path)
            except OSError:
                continue
            total -= size
            removed += 1
        return removed

    def take_over(self, folder: Path, owner: str) -> None:
        """
        Move the files of an adopted directory here.

        Raises:
            OSError: the disk refused.
        """
        if self.directory is None:
            return
        for name in _disk.names(folder):
            if not self.directory.is_dir():
                _disk.mkdir(self.directory)
            stem, _, suffix = name.partition(".")
            _disk.rename(folder / name, self.directory / f"{stem}-{owner}.{suffix}")

    def stats(self) -> int:
        """
        Return how many were buried since the process began.
        """
        return self._count


def _begun(path: Path) -> int:
    return int(path.stem.partition("-")[0], 16)


def _event(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _rewrite(path: Path, unwanted: bytes) -> None:
    fd = _disk.open_read(path)
    try:
        data = _disk.pread(fd, _disk.fstat(fd).st_size, 0)
    finally:
        _disk.close(fd)
    lines = data.splitlines(keepends=True)
    kept = [line for line in lines if unwanted not in line]
    if len(kept) == len(lines):
        return
    fresh = path.with_suffix(".new")
    _disk.unlink(fresh)
    fd = _disk.create(fresh)
    try:
        body = b"".join(kept)
        if _disk.pwrite(fd, body, 0) != len(body):
            raise OSError("short write")
    finally:
        _disk.close(fd)
    _disk.rename(fresh, path)
