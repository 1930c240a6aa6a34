"""
Where a spool lives: layout, permissions, the lock that says who owns it, the manifest.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat as modes
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxsdk import _fork
from cxsdk._ids import new_id
from cxsdk.errors import SpoolCorruptError, SpoolLockedError
from cxsdk.spool import _disk
from cxsdk.spool._record import VERSION

__all__ = [
    "Home",
    "adopt",
    "create",
    "default_root",
    "file_system",
    "incarnations",
    "manifest_of",
    "may_map",
    "rewrite_manifest",
]

_STALE_S = 60.0
_MAPPABLE = frozenset({"ext4", "xfs", "tmpfs", "overlay"})
VOLATILE = frozenset({"tmpfs", "ramfs", "overlay"})
OWN_NAMES = frozenset({"erased", "quarantine"})

# A process that opens its own lock file again and closes it loses the lock (POSIX), so every
# directory held by any client of this process is known here; a forked child holds none.
_held: dict[tuple[int, int], int] = {}


class Home:
    """
    A directory that this process owns, by its lock.
    """

    def __init__(self, path: Path, fd: int, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.fd = fd
        self.manifest = dict(manifest)
        self.incarnation = path.name
        about = _disk.fstat(fd)
        self._key = (about.st_dev, about.st_ino)

    def is_there(self) -> bool:
        """
        Say whether the path still leads to the lock that is held.
        """
        try:
            about = _disk.link_stat(self.path / "lock")
        except OSError as error:
            # Only a certain absence counts; a failing disk is another matter.
            return error.errno not in {errno.ENOENT, errno.ENOTDIR}
        return (about.st_dev, about.st_ino) == self._key

    def release(self) -> None:
        """
        Give up the lock, leaving the files to whoever comes next.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            _disk.close(fd)
            _held.pop(self._key, None)

    def remove(self) -> bool:
        """
        Remove the directory if nothing is left in it to deliver; give up the lock.
        """
        try:
            left = set(_disk.names(self.path)) - {"lock", "manifest.json"}
            if any(name.endswith((".seg", ".open")) for name in left) or "dead" in left:
                return False
            for name in left:
                _remove(self.path / name)
            _disk.unlink(self.path / "manifest.json")
            _disk.unlink(self.path / "lock")
            _disk.rmdir(self.path)
        except OSError:
            return False
        finally:
            self.release()
        return True


def _remove(path: Path) -> None:
    if modes.S_ISDIR(_disk.link_stat(path).st_mode):
        for name in _disk.names(path):
            _disk.unlink(path / name)
        _disk.rmdir(path)
    else:
        _disk.unlink(path)


def default_root() -> Path:
    """
    Return the platform's user state directory for cxsdk.
    """
    import platformdirs

    return Path(platformdirs.user_state_dir("cxsdk"))


def create(root: Path, service: str, environment: str, fingerprints: Mapping[str, str]) -> Home:
    """
    Make a directory of one's own: under a temporary name, locked, then renamed.

    Raises:
        OSError: the disk refused, or a directory on the way is not ours alone.
    """
    folder = ensure(root, service, environment)
    incarnation = new_id()
    fresh = folder / f".new-{incarnation}"
    _disk.mkdir(fresh)
    fd = -1
    try:
        fd = _disk.create(fresh / "lock")
        _disk.lock(fd)
        manifest = {
            "format": VERSION,
            "service": service,
            "environment": environment,
            "sinks": dict(fingerprints),
        }
        _write_manifest(fresh / "manifest.json", manifest)
        home = Home(fresh, fd, manifest)
        _held[home._key] = _fork.current()
        _disk.rename(fresh, folder / incarnation)
    except BaseException:
        if fd >= 0:
            _forget(fd)
            _disk.close(fd)
        _clean_up(fresh)
        raise
    home.path, home.incarnation = folder / incarnation, incarnation
    return home


def _forget(fd: int) -> None:
    try:
        about = os.fstat(fd)
    except OSError:
        return
    _held.pop((about.st_dev, about.st_ino), None)


def _clean_up(folder: Path) -> None:
    with contextlib.suppress(OSError):
        _remove(folder)


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    data = json.dumps(manifest, sort_keys=True).encode()
    fd = _disk.create(path)
    try:
        if _disk.pwrite(fd, data, 0) != len(data):
            raise OSError(errno.ENOSPC, "short write")
    finally:
        _disk.close(fd)


def rewrite_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """
    Replace the manifest of a directory whose lock is held, in one step.

    Raises:
        OSError: the disk refused; the manifest is as it was.
    """
    fresh = path / "manifest.new"
    _disk.unlink(fresh)
    _write_manifest(fresh, manifest)
    _disk.rename(fresh, path / "manifest.json")


def ensure(root: Path, *parts: str) -> Path:
    """
    Make ``root/part/part…``, each level for this user only.

    Raises:
        OSError: a level is a link, is no directory, or belongs to somebody else.
    """
    if not root.exists() and not root.is_symlink():
        root.parent.mkdir(parents=True, exist_ok=True)
        _mkdir(root)
    _check(root, also_root=True)
    path = root
    for part in parts:
        path = path / part
        _mkdir(path)
        _check(path)
    return path


def _mkdir(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        _disk.mkdir(path)


def _check(path: Path, *, also_root: bool = False) -> None:
    about = _disk.link_stat(path)
    owners = {os.geteuid(), 0} if also_root else {os.geteuid()}
    if not modes.S_ISDIR(about.st_mode) or about.st_uid not in owners:
        raise OSError(errno.EPERM, "not a directory of this user", str(path))
    if also_root:
        return  # a mount point keeps its mode; what is below it is ours alone
    if about.st_mode & 0o002:
        raise OSError(errno.EPERM, "others may write here", str(path))
    if about.st_mode & 0o077:
        _disk.chmod(path, 0o700)


def is_ours(path: Path) -> bool:
    """
    Say whether *path* is a directory, no link, of this user, that others may not write.
    """
    try:
        about = _disk.link_stat(path)
    except OSError:
        return False
    ours = modes.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return ours and not about.st_mode & 0o002


def incarnations(folder: Path) -> list[Path]:
    """
    Return the spool directories of one service and environment, oldest first.
    """
    try:
        found = _disk.names(folder)
    except OSError:
        return []
    return [folder / name for name in found if not name.startswith(".")]


def adopt(path: Path) -> Home:
    """
    Take a dead owner's directory.

    Raises:
        SpoolLockedError: its owner lives, here or in another process.
        SpoolCorruptError: its manifest cannot be read, or is of a newer format.
        OSError: the disk refused.
    """
    if not is_ours(path):
        raise OSError(errno.EPERM, "not a directory of this user", str(path))
    about = _disk.link_stat(path / "lock")
    if _held.get((about.st_dev, about.st_ino)) == _fork.current():
        raise SpoolLockedError(f"{path} belongs to this process")
    manifest = manifest_of(path)
    fd = _disk.open_write(path / "lock")
    try:
        _disk.lock(fd)
        home = Home(path, fd, manifest)
        there = home.is_there()
    except OSError as error:
        _disk.close(fd)
        if error.errno in {errno.EACCES, errno.EAGAIN}:
            raise SpoolLockedError(f"{path} belongs to a live process") from error
        raise
    if not there:
        _disk.close(fd)
        raise SpoolLockedError(f"{path} was just removed by its owner")
    _held[home._key] = _fork.current()
    return home


def is_locked(path: Path) -> bool:
    """
    Say whether a live process owns the directory. Takes the lock for a moment if none does.
    """
    try:
        about = _disk.link_stat(path / "lock")
        if _held.get((about.st_dev, about.st_ino)) == _fork.current():
            return True
        fd = _disk.open_write(path / "lock")
    except OSError:
        return False
    try:
        _disk.lock(fd)
    except OSError as error:
        return error.errno in {errno.EACCES, errno.EAGAIN}
    finally:
        _disk.close(fd)
    return False


def manifest_of(path: Path) -> dict[str, Any]:
    """
    Read a directory's manifest.

    Raises:
        SpoolCorruptError: it cannot be read, or is of a newer format.
        OSError: the disk refused.
    """
    fd = _disk.open_read(path / "manifest.json")
    try:
        data = _disk.pread(fd, 1024 * 1024, 0)
    finally:
        _disk.close(fd)
    try:
        manifest = json.loads(data)
        version = int(manifest["format"])
        sinks = {str(name): str(mark) for name, mark in manifest["sinks"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpoolCorruptError(f"{path}: the manifest is damaged") from error
    if version > VERSION:
        raise SpoolCorruptError(f"{path}: written by a newer version (format {version})")
    return {**manifest, "sinks": sinks}


def file_system(path: Path) -> str:
    """
    Return the type of the file system that holds *path*; empty where nobody tells.
    """
    mounts = _disk.mounts()
    real = Path(os.path.realpath(path))
    for point in (real, *real.parents):
        if str(point) in mounts:
            return mounts[str(point)]
    return ""


def may_map(kind: str) -> bool:
    """
    Say whether a mapped file on this type of file system keeps what it was given.
    """
    return sys.platform == "linux" and kind in _MAPPABLE and hasattr(os, "posix_fallocate")


def sweep(folder: Path) -> None:
    """
    Remove what processes left that died between making their directory and naming it.
    """
    try:
        stale = [folder / name for name in _disk.names(folder) if name.startswith(".new-")]
    except OSError:
        return
    for path in stale:
        # A young one may be in the making, not locked yet. By the kernel's clock, as its stamps.
        try:
            age = time.time() - _disk.link_stat(path).st_mtime
        except OSError:
            continue
        if age > _STALE_S and not is_locked(path):
            _clean_up(path)
