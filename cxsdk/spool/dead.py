"""
Dead letters: what a destination refused for good, with its words, in JSON lines.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from cxsdk._clock import Clock, from_ns, rfc3339, to_ns
from cxsdk.config import SpoolOptions
from cxsdk.spool import _disk
from cxsdk.spool.erasure import Stone

__all__ = ["DeadLetters", "Letter", "covers", "remove", "sole"]

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
        self._unerased: list[Stone] = []
        self.until_ns = 0
        """The events of all letters of this process were spooled before; nanoseconds since 1970."""
        self.overflowed = 0
        """Letters that were given up because no disk took them; the owner notes them."""
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
        self.until_ns = max(self.until_ns, (about.first_ns or now_ns) + 1)
        if len(self._held) == _HELD:
            self.overflowed += 1
        self._held.append(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self.flush()

    def flush(self) -> None:
        """
        Write what is held in memory, as far as the disk lets us.
        """
        folder = self.directory
        if folder is None or not (self._held or self._unerased):
            return
        try:
            if not folder.is_dir():
                _disk.mkdir(folder)
            with sole(folder):
                self._erase()
                while self._held:
                    self._append(folder, self._held[0])
                    self._held.popleft()
        except OSError:
            return  # the disk refused, or a person is at the letters: the next round goes on

    def _append(self, folder: Path, line: bytes) -> None:
        path, size = self._last(folder)
        if path is None or size + len(line) > _FILE_BYTES:
            # After the others also where the clock went back, else each letter gets a file.
            begun = max(self._clock.time_ns(), _begun(path) + 1 if path else 0)
            path, size = folder / f"{begun:016x}.jsonl", 0
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

    def erase(self, stone: Stone) -> None:
        """
        Remove the letters that *stone* covers.
        """
        self._held = deque((line for line in self._held if not covers(stone, line)), _HELD)
        if self._files():
            self._unerased.append(stone)
            self.flush()

    def _erase(self) -> None:
        for path in self._files() if self._unerased else ():
            remove(path, lambda line: any(covers(stone, line) for stone in self._unerased))
        self._unerased = []

    def _files(self) -> list[Path]:
        if self.directory is None:
            return []
        try:
            names = _disk.names(self.directory)
            return [self.directory / name for name in names if name.endswith(".jsonl")]
        except OSError:
            return []

    def cap(self) -> int:
        """
        Remove the oldest files beyond the caps of bytes and age; return how many.
        """
        if self.directory is None or not self._files():
            return 0
        try:
            with sole(self.directory):
                return self._cap()
        except OSError:
            return 0  # a person is at the letters: the next round goes on

    def _cap(self) -> int:
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
        with sole(folder):
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


def covers(stone: Stone, line: bytes) -> bool:
    """
    Say whether the letter in *line* is to be erased.
    """
    if b'"tag": "%s"' % stone.tag.hex().encode() not in line:
        return False
    try:
        letter = json.loads(line)
        first_ns = to_ns(datetime.fromisoformat(letter["first"]))
        consent_only = bool(letter["consent_only"])
    except (ValueError, KeyError, TypeError):
        return True  # a letter of theirs that nobody can read is of no use to anyone
    return stone.covers(stone.tag, first_ns, consent_only=consent_only)


def _event(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


@contextlib.contextmanager
def sole(folder: Path) -> Iterator[None]:
    """
    Be the only process that changes the letters in *folder*: its owner, or a person's command.

    Never waits. The lock file lies beside the folder.

    Raises:
        OSError: somebody else is at it, or the disk refused.
    """
    path = folder.with_name("dead.lock")
    try:
        fd = _disk.open_write(path)
    except FileNotFoundError:
        fd = _disk.create(path)
    try:
        _disk.lock(fd)
        yield
    finally:
        _disk.close(fd)


def remove(path: Path, is_unwanted: Callable[[bytes], bool]) -> int:
    """
    Take lines out of a file of letters, under the lock of `sole`; return how many.

    Raises:
        OSError: the disk refused; the file is as it was.
    """
    fd = _disk.open_read(path)
    try:
        data = _disk.pread(fd, _disk.fstat(fd).st_size, 0)
    finally:
        _disk.close(fd)
    lines = data.splitlines(keepends=True)
    kept = [line for line in lines if not is_unwanted(line)]
    if len(kept) == len(lines):
        return 0
    if not kept:
        _disk.unlink(path)
        return len(lines)
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
    return len(lines) - len(kept)
