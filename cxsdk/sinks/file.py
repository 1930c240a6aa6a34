"""
NDJSON: one event per line, appended.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.typing import Batch, Delivered, Hold, Retry, SendResult

__all__ = ["FileSink"]

_TAIL = 64 * 1024


class FileSink:
    """
    Appends to one file, made with mode 0600 at the first `send`. `send` is for one thread at a
    time. Meant for one process: several may append, and only whole batches are written, but a
    batch that was cut short by a full disk is taken back only while nobody appends behind it.

    A last line without its end, left by a crash, is cut off at open: its event was never acked,
    so it comes again.

    Args:
        path: the file; its directory must exist.

        fsync: wait for the disk after each batch.
    """

    def __init__(self, path: Path | str, *, fsync: bool = False) -> None:
        self._path = Path(path)
        self._fsync = fsync
        self._fd: int | None = None
        self._closed = False

    @classmethod
    def from_url(cls, url: str, *, settings: Settings) -> FileSink:  # noqa: ARG003
        """
        Return a sink for ``file:///var/log/cx.ndjson`` or ``file:cx.ndjson?fsync=1``.

        Raises:
            ConfigurationError: there is no path, or a host.
        """
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
            raise ConfigurationError(
                f"collector: expected file:///absolute/path or file:relative, got {url!r}"
            )
        fsync = parse_qs(parts.query).get("fsync", ["0"])[0] in {"1", "true"}
        return cls(unquote(parts.path), fsync=fsync)

    @property
    def fingerprint(self) -> str:
        """
        Return ``file:`` and the absolute path.
        """
        return f"file:{self._path.absolute()}"

    def __repr__(self) -> str:
        return f"FileSink({str(self._path)!r})"

    def send(self, batch: Batch) -> SendResult:
        """
        Append *batch* in one write; blocks as long as the disk does.
        """
        if self._closed:
            return Retry("closed")
        body = b"".join([record.payload.replace(b"\n", b" ") + b"\n" for record in batch.records])
        try:
            if self._fd is None:
                self._fd = self._open()
            self._append(self._fd, body)
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
            return Hold(f"file: {error.strerror}", probe_after=60.0)
        except OSError as error:
            self._release()
            return Retry(f"file: {error.strerror}")
        return Delivered()

    def close(self) -> None:
        """
        Close the file. Idempotent.
        """
        self._closed = True
        self._release()

    def _append(self, fd: int, body: bytes) -> None:
        start = os.fstat(fd).st_size
        written = os.write(fd, body)
        if written < len(body):
            # A full disk gives a short count first. Half a batch would come again as duplicates
            # and its last line would be torn: take it back.
            if os.fstat(fd).st_size == start + written:
                os.ftruncate(fd, start)
            raise OSError(28, "No space left on device")
        if self._fsync:
            os.fsync(fd)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(self._path, flags, 0o600)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                _repair(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _release(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


def _repair(fd: int) -> None:
    """
    Cut off what follows the last line end.
    """
    size = end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - _TAIL)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(fd, end)
