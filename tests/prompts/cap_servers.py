"""
Real servers for cap stores, and a way to one that can be cut or go silent.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest

HOST = os.environ.get("PGHOST", "127.0.0.1")
PORT = os.environ.get("PGPORT", "5432")
USER = os.environ.get("PGUSER", "postgres")


def missing(what):
    """Skip for want of *what*, or fail where services are required."""
    if os.environ.get("CXSDK_REQUIRE_SERVICES") == "1":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(holds, what, seconds=20.0):
    """Wait until *holds* does, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


class RedisServer:
    """A redis-server of the test's own, with a log on disk; it may be killed and started again."""

    def __init__(self, folder):
        self.program = shutil.which("redis-server") or missing("redis-server")
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self):
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        # always: by default the log may lag behind by two seconds while the disk is busy.
        command += ["--appendonly", "yes", "--appendfsync", "always"]
        command += ["--maxmemory-policy", "noeviction"]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        until(self.answers, "Redis")

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.settimeout(1.0)
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def command(self, *words):
        import redis

        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*words)

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.send(signal.SIGCONT)
        self.kill()


class PostgresDatabase:
    """A database of the test's own on the running server."""

    def __init__(self):
        import psycopg

        self.name = f"cxsdk_caps_{uuid.uuid4().hex[:12]}"
        where = f"postgresql://{USER}@{HOST}:{PORT}"
        try:
            self._server = psycopg.connect(f"{where}/postgres", autocommit=True)
        except psycopg.OperationalError as error:
            missing(f"PostgreSQL at {HOST} for {USER}: {error}")
        self.execute(f"CREATE DATABASE {self.name}")
        self.url = f"{where}/{self.name}"

    def execute(self, statement):
        return self._server.execute(statement)

    def hang_up(self):
        """End all connections to the database."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE datname = '{self.name}'"
        )

    def let_in(self, let):
        self.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS {let}")

    def connections(self):
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        return self._server.execute(count, (self.name,)).fetchone()[0]

    def close(self):
        self.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self._server.close()


class Way:
    """A port that leads to a server, until it is cut or frozen."""

    def __init__(self, host, port):
        self._to = (host, int(port))
        self._lock = threading.Lock()
        self._pairs = []
        self._flows = threading.Event()
        self._flows.set()
        self._is_open = True
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            if not self._is_open:
                near.close()
                continue
            far = socket.create_connection(self._to)
            with self._lock:
                self._pairs.append((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def freeze(self):
        """Connections are taken, and nothing comes through."""
        self._flows.clear()

    def thaw(self):
        self._flows.set()

    def cut(self):
        """All connections are closed, and new ones at once."""
        self._is_open = False
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def mend(self):
        self._is_open = True

    def close(self):
        self._door.close()
        self.thaw()
        self.cut()


@contextlib.contextmanager
def black_hole():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        yield door.getsockname()[1]
