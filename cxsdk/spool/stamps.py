"""
One log line per host and hour, not per process: 48 workers need not say the same 48 times.
"""

from __future__ import annotations

import errno
import hashlib
import time
from pathlib import Path

from cxsdk.spool import _disk, directory

__all__ = ["Stamps"]

_FOLDER = ".said"  # no service can have this name
_REPEAT_S = 3600.0
_MOST = 256
_BUSY = frozenset({errno.EACCES, errno.EAGAIN})


class Stamps:
    """
    Files ``<root>/.said/<hash>``, one per service, environment and reason, touched when it is said.

    Args:
        root: of all spools; who shares it shares the stamps.

        service: whose words they are.

        environment: of that service.
    """

    def __init__(self, root: Path, service: str, environment: str) -> None:
        self._root = root
        self._whose = f"{service}/{environment}"

    def first(self, reason: str) -> bool:
        """
        Say whether this process is the one to say *reason* for this hour, and stamp it.

        Blocks on the disk. Where that fails the answer is yes: rather twice than never.
        """
        words = f"{self._whose} {reason}"
        name = hashlib.blake2b(words.encode(), digest_size=8).hexdigest()
        try:
            folder = directory.ensure(self._root, _FOLDER)
            return self._stamp(folder, name, words)
        except OSError as error:
            return error.errno not in _BUSY  # another one is saying it in this very moment

    def _stamp(self, folder: Path, name: str, words: str) -> bool:
        try:
            fd = _disk.create(folder / name)
            self._prune(folder)
        except FileExistsError:
            fd = _disk.open_write(folder / name)
        try:
            _disk.lock(fd)
            about = _disk.fstat(fd)
            # By the kernel's clock on both sides; one that was set back hides nothing.
            if about.st_size and 0 <= time.time() - about.st_mtime < _REPEAT_S:
                return False
            _disk.pwrite(fd, f"{words}\n".encode(), 0)
        finally:
            _disk.close(fd)
        return True

    def _prune(self, folder: Path) -> None:
        names = _disk.names(folder)
        for name in names if len(names) > _MOST else ():
            if time.time() - _disk.link_stat(folder / name).st_mtime > _REPEAT_S:
                _disk.unlink(folder / name)
