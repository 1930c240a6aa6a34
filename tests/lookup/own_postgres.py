"""
A PostgreSQL cluster of the test's own, which may be killed, frozen and started again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.prompts.cap_servers import free_port, missing, until

_USER = "postgres"


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    return path or missing(name)  # type: ignore[no-any-return]


def _as_user() -> list[str]:
    """
    Return what stands before a command of PostgreSQL's: it refuses to run as root.
    """
    if os.getuid():
        return []
    setpriv = shutil.which("setpriv") or missing("setpriv")
    return [setpriv, f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"]


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = entry.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(entry.parent.name))
    return found


class OwnPostgres:
    """
    A cluster in a folder of its own, on a free port, with ``fsync`` on.
    """

    def __init__(self) -> None:
        initdb, self._postgres = _program("initdb"), _program("postgres")
        # Not below pytest's folder, into which only the owner may look.
        self.folder = Path(tempfile.mkdtemp(prefix="cxsdk-pg-"))
        if not os.getuid():
            shutil.chown(self.folder, _USER, _USER)
        self._family: list[int] = []
        self.port = free_port()
        self.url = f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"
        command = [*_as_user(), initdb, "-A", "trust", "-U", _USER, "-D", str(self.data)]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)
        self.start()

    @property
    def data(self) -> Path:
        """
        Return the folder of the cluster's files.
        """
        return self.folder / "data"

    def start(self) -> None:
        """
        Start it, and wait until it answers: after a kill it recovers first.
        """
        command = [*_as_user(), self._postgres, "-D", str(self.data), "-p", str(self.port)]
        command += ["-h", "127.0.0.1", "-k", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
        until(self._answers, "PostgreSQL", 60.0)

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def execute(self, statement: str) -> Any:
        """
        Run one statement on a connection of its own; return the rows, if there are any.
        """
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def dump(self) -> bytes:
        """
        Return the whole database as text.
        """
        command = [shutil.which("pg_dump") or _program("pg_dump"), self.url]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def freeze(self) -> None:
        """
        Stop the server and all of its backends where they stand.
        """
        # The parent first, so that no further child comes; each is the leader of its own group.
        os.kill(self.process.pid, signal.SIGSTOP)
        self._family = [self.process.pid, *_children(self.process.pid)]
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """
        End the server and all of its backends with no word to anybody.
        """
        self.freeze()
        self._send(signal.SIGKILL)
        self.process.wait()
        # While one of them holds the shared memory, the server does not start again.
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in self._family), "its end")

    def _send(self, number: int) -> None:
        for pid in self._family:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def close(self) -> None:
        """
        End it, and remove its folder.
        """
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
