"""
Brokers of our own, started for a test module.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lifecycle.conftest import missing
from tests.lifecycle.life import free_port, until

__all__ = ["is_there", "rabbitmq", "redis"]

_RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# The script around it insists on the system's own user and folders.


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis for a block; give its URL."""
    program = shutil.which("redis-server") or missing("redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Run a RabbitMQ for a block; give its URL."""
    program = _RABBIT if _RABBIT.exists() else missing("rabbitmq-server")
    names = shutil.which("epmd") or missing("epmd")
    port, mapper = free_port(), free_port()
    (folder / "own.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{port}\n")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RABBITMQ_NODENAME": "own@localhost",
        "RABBITMQ_CONFIG_FILE": str(folder / "own.conf"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    with (folder / "words.txt").open("wb") as words:
        options = {"env": environ, "cwd": folder, "stdout": words, "stderr": words}
        # Else the broker starts one of its own accord, which nobody ends.
        mapping = subprocess.Popen([names, "-port", str(mapper)], **options)
        process = subprocess.Popen([str(program)], start_new_session=True, **options)
    try:
        until(lambda: _answers(port), f"RabbitMQ; see {folder / 'words.txt'}")
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        until(lambda: not is_there(process.pid), "the end of RabbitMQ")
        mapping.kill()
        mapping.wait()


def is_there(group: int) -> bool:
    """Say whether anybody of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
