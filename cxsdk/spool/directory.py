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
_OWN_NAMES = frozenset({"erased", "quarantine"})

# POSIX grants a lock again to the process that has it, and takes it away when that process
# closes any descriptor of the file. So whoever is about to open a lock file puts its key here
# first: fork generation (a forked child holds none), device, inode. `setdefault` is one step, so
# of several threads one gets it.
_held: dict[tuple[int, int, int], object] = {}


def _key(about: os.stat_result) -> tuple[int, int, int]:
    return _fork.current(), about.st_dev, about.st_ino


def _claim(key: tuple[int, int, int]) -> object | None:
    claim = object()
    return claim if _held.setdefault(key, claim) is claim else None


def _unclaim(key: tuple[int, int, int], claim: object) -> None:
    # The number of a removed file's inode may be another one's by now.
    if _held.get(key) is claim:
        del _held[key]


class Home:
    """
    A directory that this process owns, by its lock.
    """

    def __init__(
        self,
        path: Path,
        fd: int,
        manifest: Mapping[str, Any],
        key: tuple[int, int, int],
        claim: object,
    ) -> None:
        self.path = path
        self.fd = fd
        self.manifest = dict(manifest)
        self.incarnation = path.name
        self.synced = False
        self._key = key
        self._claim = claim

    def is_there(self) -> bool:
        """
        Say whether the path still leads to the lock that is held.
        """
        try:
            about = _disk.link_stat(self.path / "lock")
        except OSError as error:
            # Only a certain absence counts; a failing disk is another matter.
            return error.errno not in {errno.ENOENT, errno.ENOTDIR}
        return (about.st_dev, about.st_ino) == self._key[1:]

    def release(self) -> None:
        """
        Give up the lock, leaving the files to whoever comes next.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            _disk.close(fd)
            _unclaim(self._key, self._claim)

    def remove(self) -> bool:
        """
        Remove the directory if nothing is left in it to deliver; give up the lock.
        """
        try:
            left = set(_disk.names(self.path)) - {"lock", "manifest.json"}
            if any(name.endswith((".seg", ".open")) for name in left) or "dead" in left:
                return False
            # Under the name that `sweep` looks for: a kill from here on leaves nothing for ever.
            doomed = self.path.with_name(f".new-{self.incarnation}")
            _disk.rename(self.path, doomed)
            for name in left | {"manifest.json", "lock"}:
                _remove(doomed / name)
            _disk.rmdir(doomed)
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


def is_own(name: str) -> bool:
    """
    Say whether a name in the root is the library's own and no service's.
    """
    return name in _OWN_NAMES or name.startswith(".")


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
    key, claim = (0, 0, 0), object()
    try:
        fd = _disk.create(fresh / "lock")
        key = _key(_disk.fstat(fd))
        _held[key] = claim  # nobody else knows the name yet
        _disk.lock(fd)
        manifest = {
            "format": VERSION,
            "service": service,
            "environment": environment,
            "sinks": dict(fingerprints),
        }
        _write_manifest(fresh / "manifest.json", manifest)
        home = Home(fresh, fd, manifest, key, claim)
        _disk.rename(fresh, folder / incarnation)
    except BaseException:
        if fd >= 0:
            _disk.close(fd)
        _unclaim(key, claim)
        _clean_up(fresh)
        raise
    home.path, home.incarnation = folder / incarnation, incarnation
    return home


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
    key = _key(_disk.link_stat(path / "lock"))
    claim = _claim(key)
    if claim is None:
        raise SpoolLockedError(f"{path} belongs to this process")
    fd = -1
    try:
        manifest = manifest_of(path)
        fd = _disk.open_write(path / "lock")
        home = Home(path, fd, manifest, key, claim)
        _lock(home)
    except BaseException as error:
        if fd >= 0:
            _disk.close(fd)
        _unclaim(key, claim)
        if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EAGAIN} and fd >= 0:
            raise SpoolLockedError(f"{path} belongs to a live process") from error
        raise
    return home


def _lock(home: Home) -> None:
    _disk.lock(home.fd)
    if _key(_disk.fstat(home.fd)) != home._key or not home.is_there():
        raise SpoolLockedError(f"{home.path} was just removed by its owner")


def is_locked(path: Path) -> bool:
    """
    Say whether a live process owns the directory. Takes the lock for a moment if none does.
    """
    try:
        key = _key(_disk.link_stat(path / "lock"))
    except OSError:
        return False
    claim = _claim(key)
    if claim is None:
        return True
    fd = -1
    try:
        fd = _disk.open_write(path / "lock")
        _disk.lock(fd)
    except OSError as error:
        return fd >= 0 and error.errno in {errno.EACCES, errno.EAGAIN}
    finally:
        if fd >= 0:
            _disk.close(fd)
        _unclaim(key, claim)
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
