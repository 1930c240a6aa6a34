"""
Every call of this room that reaches the operating system, so that tests can make the n-th fail.

The rest of the room calls these through the module (``_disk.pwrite(...)``), never ``os`` itself.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import stat as modes
from collections.abc import Mapping
from pathlib import Path

# Here and not where it is needed: an import under a lock may wait for a thread that waits for us.
try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "chmod",
    "close",
    "create",
    "fallocate",
    "free_bytes",
    "fstat",
    "link_stat",
    "lock",
    "map_file",
    "mkdir",
    "mounts",
    "names",
    "open_read",
    "open_write",
    "populate",
    "pread",
    "pwrite",
    "rename",
    "rmdir",
    "sync",
    "truncate",
    "unlink",
]

_ESCAPED = re.compile(r"\\([0-7]{3})")
_MADV_POPULATE_WRITE = 23  # linux/mman.h; the mmap module has no name for it
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def create(path: Path) -> int:
    """
    Make a new file that only its owner may read, under any umask; return its descriptor.

    Raises:
        OSError: it exists, or the disk refused.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
    try:
        os.fchmod(fd, 0o600)
    except OSError:
        os.close(fd)
        raise
    return fd


def open_read(path: Path) -> int:
    """
    Open a regular file of our own for reading.

    Raises:
        OSError: it is missing, a link, no plain file, or somebody else's.
    """
    return _checked(os.open(path, os.O_RDONLY | os.O_NONBLOCK | _NOFOLLOW), path)


def open_write(path: Path) -> int:
    """
    Open a regular file of our own for reading and writing.

    Raises:
        OSError: it is missing, a link, no plain file, or somebody else's.
    """
    return _checked(os.open(path, os.O_RDWR | os.O_NONBLOCK | _NOFOLLOW), path)


def _checked(fd: int, path: Path) -> int:
    # A hard link would let another user make us unlink or blank a file that is not ours.
    found = os.fstat(fd)
    if modes.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink <= 1:
        return fd
    os.close(fd)
    raise OSError(errno.EPERM, "not a plain file of this user", str(path))


def close(fd: int) -> None:
    """
    Close a descriptor; what a failed close says is of no use to anyone here.
    """
    with contextlib.suppress(OSError):
        os.close(fd)


def pread(fd: int, count: int, offset: int) -> bytes:
    """
    Read up to *count* bytes at *offset*, fewer only at the end of the file.
    """
    data = os.pread(fd, count, offset)
    while len(data) < count:
        more = os.pread(fd, count - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def pwrite(fd: int, data: bytes, offset: int) -> int:
    """
    Write *data* at *offset* in one call; return how much was written, which may be less.
    """
    return os.pwrite(fd, data, offset)


def truncate(fd: int, size: int) -> None:
    """
    Cut or extend a file.
    """
    os.ftruncate(fd, size)


def fallocate(fd: int, size: int) -> None:
    """
    Give the file *size* real bytes: a full disk is an error here, not a SIGBUS at append.

    Raises:
        OSError: no room, or the platform cannot promise it.
    """
    if not hasattr(os, "posix_fallocate"):
        raise OSError(errno.EOPNOTSUPP, "no posix_fallocate on this platform")
    os.posix_fallocate(fd, 0, size)


def map_file(fd: int, size: int) -> mmap.mmap:
    """
    Map a file for reading and writing, left out of core dumps.
    """
    view = mmap.mmap(fd, size)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        view.madvise(mmap.MADV_DONTDUMP)
    return view


def populate(view: mmap.mmap, start: int, size: int) -> bool:
    """
    Make pages of a map writable, so that who writes there first meets no page fault; say whether
    this system can (Linux 5.14).

    *start* is a multiple of the page size. Holds the GIL: about 1.3 µs a page.
    """
    try:
        view.madvise(_MADV_POPULATE_WRITE, start, size)
    except (OSError, ValueError, AttributeError):
        return False
    return True


def sync(path: Path) -> None:
    """
    Bring a file's data to the disk.

    By descriptor, not by ``mmap.flush``: that one holds the GIL while it waits for the disk.
    """
    fd = open_read(path)
    try:
        getattr(os, "fdatasync", os.fsync)(fd)
    finally:
        close(fd)


def mkdir(path: Path) -> None:
    """
    Make a directory that only its owner may enter, under any umask.
    """
    path.mkdir(mode=0o700)
    path.chmod(0o700)


def chmod(path: Path, mode: int) -> None:
    """
    Set a directory's mode.
    """
    path.chmod(mode)


def rename(source: Path, target: Path) -> None:
    """
    Move a file or directory within one file system, atomically.
    """
    source.rename(target)


def unlink(path: Path) -> None:
    """
    Remove a file; one that is gone already is as good.
    """
    path.unlink(missing_ok=True)


def rmdir(path: Path) -> None:
    """
    Remove an empty directory.
    """
    path.rmdir()


def names(path: Path) -> list[str]:
    """
    Return the names in a directory, sorted.
    """
    return sorted(os.listdir(path))  # noqa: PTH208 - names, no paths


def link_stat(path: Path) -> os.stat_result:
    """
    Stat a path without following a link.
    """
    return path.lstat()


def fstat(fd: int) -> os.stat_result:
    """
    Stat a descriptor.
    """
    return os.fstat(fd)


def lock(fd: int) -> None:
    """
    Take the whole file's lock without waiting; it is gone when this process is.

    ``lockf``, since a ``flock`` would stay held by a forked child of a dead owner.

    Raises:
        OSError: another process holds it.
    """
    if fcntl is None:
        raise OSError(errno.EOPNOTSUPP, "no file locks on this platform")
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def free_bytes(path: Path) -> int:
    """
    Return how many bytes this user may still write on the file system of *path*.
    """
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def mounts() -> Mapping[str, str]:
    """
    Return mount point → file system type; empty where /proc does not tell.
    """
    found: dict[str, str] = {}
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return found
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) > 4 and right:
            # Octal escapes; the codec "unicode_escape" would be imported here, under a lock.
            point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
            found[point] = right.split(" ")[0]
    return found
