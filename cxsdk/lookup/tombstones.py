"""
Tombstones: who was forgotten, kept over restarts, so that late events do not bring them back.

They name nobody: a line is two keyed hashes and a date.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import attrs

from cxsdk._guard import voice
from cxsdk.config import Settings
from cxsdk.spool import directory

__all__ = ["Stone", "Tombstones", "path_of"]

_FOLDER = ".forgotten"  # no service can have this name
_LOOK_S = 1.0


@attrs.define(frozen=True)
class Stone:
    """
    One forgotten key.
    """

    name: str
    """Keyed hash of the key, as the shared memory knows it."""

    tag: bytes
    """Under which capture and spool know their events."""

    until: float
    """Seconds since 1970."""


class Tombstones:
    """
    A file below the spool root that all processes of a host read; in memory only where there is no
    such place. Thread-safe: lines are appended in one write.

    Args:
        settings: of the client.

        now: seconds since 1970.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        is_kept = settings.spool.mode not in {"memory", "off"}
        self._settings = settings
        self._path = path_of(settings) if is_kept else None
        self._now = now
        self._looked = 0.0
        self._seen: tuple[int, int] | None = None
        self.stones: dict[str, Stone] = {}

    def has(self, name: str) -> bool:
        """
        Say whether *name* was forgotten and the time is not over. Memory only.
        """
        stone = self.stones.get(name)
        return stone is not None and stone.until > self._now()

    def hold(self, stones: list[Stone]) -> None:
        """
        Remember in this process only.
        """
        self.stones.update({stone.name: stone for stone in stones})

    def add(self, stones: list[Stone]) -> None:
        """
        Remember; blocks on the disk. A disk that refuses is said, and memory has to do.
        """
        self.hold(stones)
        path = self._path
        if path is None:
            return
        # The first on a line of its own, also behind one that was torn.
        text = "\n" + "".join(f"{one.name} {one.tag.hex()} {one.until:.0f}\n" for one in stones)
        try:
            directory.ensure(_root(self._settings), *path.parts[-4:-1])
            self._prune(path)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.write(fd, text.encode()) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            words = "cxsdk: a tombstone is in memory only, until this process ends: %s"
            voice.say(logging.ERROR, "context:tombstone", words, error)

    def _prune(self, path: Path) -> None:
        """
        Leave out what is over, once that is most of the file.
        """
        if not path.exists() or path.stat().st_size < 65_536:
            return
        held = _read(path)
        alive = [one for one in held if one.until > self._now()]
        if len(alive) * 2 > len(held):
            return
        other = path.with_name(f"tombstones.{os.getpid()}")
        lines = (f"{one.name} {one.tag.hex()} {one.until:.0f}\n" for one in alive)
        other.write_text("".join(lines), "ascii")
        other.replace(path)

    def look(self) -> list[Stone]:
        """
        Return what other processes added since the last look; at most one look at the disk in a
        second.
        """
        path, now = self._path, self._now()
        if path is None or 0 <= now - self._looked < _LOOK_S:
            return []
        self._looked = now
        try:
            about = path.stat()
            seen = (about.st_mtime_ns, about.st_size)
            if seen == self._seen:
                return []
            found = _read(path)
        except OSError:
            return []
        self._seen = seen
        news = [one for one in found if one.until > now and one.name not in self.stones]
        self.stones.update({one.name: one for one in news})
        return news


def _root(settings: Settings) -> Path:
    return settings.spool.directory or directory.default_root()


def path_of(settings: Settings) -> Path:
    """
    Return where the tombstones of a service and environment are.
    """
    return _root(settings).joinpath(_FOLDER, settings.service, settings.environment, "tombstones")


def _read(path: Path) -> list[Stone]:
    found = []
    for line in path.read_text("ascii", "replace").splitlines():
        try:
            name, tag, until = line.split()
            found.append(Stone(name, bytes.fromhex(tag), float(until)))
        except ValueError:
            continue  # a torn line names nobody
    return found
