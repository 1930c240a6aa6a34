"""
Brokers of a test's own: on free ports, started and ended by fixtures, killed and hung at will.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

GUARD_S = 30.0


def wait_until(true, what, guard=GUARD_S):
    """Wait for a condition, not for a time."""
    end = time.monotonic() + guard
    while not true():
        assert time.monotonic() < end, f"still waiting for {what}"
        time.sleep(0.01)


def missing(why):
    """Skip on a laptop, fail where services are required."""
    if os.environ.get("CXSDK_REQUIRE_SERVICES") == "1":
        pytest.fail(why)
    pytest.skip(why)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def stop(process):
    """Stop a process, all of its threads, and wait until it is so."""
    process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{process.pid}/task")
    stats = lambda: [stat.read_text() for stat in tasks.glob("*/stat")]  # noqa: E731
    wait_until(lambda: all(each.rpartition(") ")[2][0] == "T" for each in stats()), "a stop")


class Mute:
    """A port that says *words* to each connection and then hangs up, or keeps it if *hang*."""

    def __init__(self, words=b"", *, hang=False):
        self._words, self._hang = words, hang
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._held = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._held.append(connection)
            with contextlib.suppress(OSError):
                connection.sendall(self._words)
                if not self._hang:
                    connection.shutdown(socket.SHUT_WR)
                    connection.close()

    def heard(self):
        """Return what the one connection said so far."""
        (connection,) = self._held
        connection.setblocking(False)
        found = b""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := connection.recv(65536):
                found += data
        return found

    def close(self):
        # shutdown wakes the thread that waits in accept; close alone does not.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._held:
            connection.close()


# ---- NATS ---------------------------------------------------------------------------------


class NatsServer:
    """A nats-server with JetStream in *folder*; what it has stored outlives `kill`."""

    def __init__(self, folder, *options):
        self.binary = shutil.which("nats-server")
        if self.binary is None:
            missing("nats-server is not on this machine (apt-get install nats-server)")
        self.folder, self.options = folder, options
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process = None

    def start(self, *options):
        command = [self.binary, "-js", "-sd", str(self.folder), "-a", "127.0.0.1"]
        command += ["-p", str(self.port), *(options or self.options)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        # It listens for clients after JetStream has recovered its streams.
        wait_until(lambda: is_open(self.port) or self.process.poll() is not None, "nats-server")
        assert self.process.poll() is None, f"nats-server ended with {self.process.returncode}"
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        stop(self.process)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exc):
        self.close()

    def ask(self, work):
        """Return what *work* returns, a coroutine function that gets a JetStream context."""
        import nats

        async def ask():
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream(timeout=GUARD_S))
            finally:
                await client.close()

        return asyncio.run(ask())

    def add_stream(self, name, *subjects, **settings):
        self.ask(lambda js: js.add_stream(name=name, subjects=list(subjects), **settings))

    def messages(self, name):
        """Return every message of a stream, in its order."""

        async def read(js):
            last = (await js.stream_info(name)).state.messages
            found = []
            if not last:
                return found
            subscription = await js.subscribe(">", stream=name, ordered_consumer=True)
            while len(found) < last:
                found.append(await subscription.next_msg(timeout=GUARD_S))
            return found

        return self.ask(read)

    def count(self, name):
        return self.ask(lambda js: js.stream_info(name)).state.messages


# ---- Kafka --------------------------------------------------------------------------------

MOCK = """
import sys
from confluent_kafka import Producer
made = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1, "log_level": 0})
found = made.list_topics(timeout=30)
print(next(iter(found.brokers.values())).port, flush=True)
sys.stdin.read()
"""


class MockKafka:
    """librdkafka's mock cluster, one broker in a process of its own. It keeps all in memory."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", MOCK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())
        self.servers = f"127.0.0.1:{self.port}"

    def pause(self):
        stop(self.process)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Proxy:
    """
    The way to a Kafka broker: cut, closed and opened again while the broker keeps its log. The
    broker's own port is replaced in what it says, so that clients come back here.
    """

    def __init__(self, broker_port):
        self.port = free_port()
        self.servers = f"127.0.0.1:{self.port}"
        self.is_deaf = False
        """True: requests arrive, answers do not come back."""
        self._broker = broker_port
        self._old = b"127.0.0.1" + struct.pack(">i", broker_port)
        self._new = b"127.0.0.1" + struct.pack(">i", self.port)
        self._open = set()
        self._server = None

    def up(self):
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._server,), daemon=True).start()

    def down(self):
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, server):
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker))
            except OSError:
                client.close()
                continue
            self._open |= {client, broker}
            for target in (self._requests, self._answers):
                threading.Thread(target=target, args=(client, broker), daemon=True).start()

    def _requests(self, client, broker):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                broker.sendall(data)
        self._end(client, broker)

    def _answers(self, client, broker):
        with contextlib.suppress(OSError):
            while frame := self._frame(broker):
                if not self.is_deaf:
                    client.sendall(frame.replace(self._old, self._new))
        self._end(client, broker)

    def _frame(self, broker):
        head = self._exactly(broker, 4)
        if not head:
            return b""
        return head + self._exactly(broker, struct.unpack(">i", head)[0])

    def _exactly(self, broker, size):
        data = b""
        while len(data) < size:
            more = broker.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data

    def _end(self, *connections):
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
            self._open.discard(connection)


def consume(servers, topic):
    """Return every message of a topic, partition by partition."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": uuid.uuid4().hex,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    found, ended = [], set()
    try:
        partitions = consumer.list_topics(topic, timeout=GUARD_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        end = time.monotonic() + GUARD_S
        while len(ended) < len(partitions):
            assert time.monotonic() < end, (
                f"{len(found)} read, {len(ended)} partitions at their end"
            )
            for message in consumer.consume(500, timeout=0.2):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
    finally:
        consumer.close()
    return found
