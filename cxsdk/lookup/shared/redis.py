"""
A shared memory in Redis or Valkey. Extra ``redis``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cxsdk._redis import Server
from cxsdk.errors import StoreUnavailableError
from cxsdk.lookup.shared._kept import LINK_KEPT_S, MOST, newest
from cxsdk.lookup.shared._listening import Listener
from cxsdk.remembering import Remembered, Told

__all__ = ["RedisMemory"]

_BITE = 200
"""Things per call of the script: while it runs, the server does nothing else."""


class _Ear:
    """
    A connection that has subscribed.
    """

    def __init__(self, client: Any, channel: str, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._heard = client.pubsub()
        try:
            self._heard.subscribe(channel)
            self._expect("subscribe")
        except BaseException:
            self.close()
            raise

    def _expect(self, kind: str) -> list[str]:
        """
        Return what was said before an answer of *kind*.
        """
        said: list[str] = []
        deadline = time.monotonic() + self._seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self._heard.get_message(timeout=left)
            if message is not None and message["type"] == kind:
                return said
            if message is not None and message["type"] == "message":
                said.append(message["data"].decode())
        raise StoreUnavailableError("redis: no answer in time")

    def listen(self, seconds: float) -> Sequence[str]:
        message = self._heard.get_message(timeout=seconds)
        if message is None or message["type"] != "message":
            return ()
        return (message["data"].decode(),)

    def beat(self) -> Sequence[str]:
        self._heard.ping()
        return self._expect("pong")

    def close(self) -> None:
        with suppress(Exception):
            self._heard.close()
        self._client.connection_pool.disconnect()


class RedisMemory:
    """
    A `SharedMemory` in Redis (6 and later) or Valkey. Safe from any thread; a forked child
    connects anew and has no ear of its own until it subscribes. At most four connections per
    process and one that listens, made when needed and again when they were lost.

    Every call is one script and so one atomic step (a `put` of more than 200 things: some); the
    time is the server's. A link may join any two subjects, so no hash tag per subject would do:
    all keys begin with one tag, ``{namespace}``, and are on one node of a cluster. Every key
    expires. A server that restarts without what it had, or evicts, forgets links and tombstones
    with the rest.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py takes it.

        timeout: seconds that a call takes at most: half of it for a connection, half for the
            answer.

        namespace: what the keys begin with; services that share a server but not their memory
            have one each.

        most: things kept per subject and shelf.

    Raises:
        ConfigurationError: the URL or the namespace is wrong.
        ExtraMissingError: redis is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.25,
        namespace: str = "cxsdk_memory",
        most: int = MOST,
    ) -> None:
        script = Path(__file__).with_name("memory.lua").read_text("utf-8")
        self.timeout = timeout
        self.namespace = namespace
        self.most = most
        self._past: list[list[Listener]] = []
        self._listeners: list[Listener] = []
        self._server = Server(
            url,
            namespace,
            script,
            timeout=timeout,
            setting="context memory",
            begun=self._begun,
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.25,
        namespace: str = "cxsdk_memory",
        most: int = MOST,
        **options: Any,  # noqa: ARG003 - those of other memories
    ) -> RedisMemory:
        """
        Return a memory for ``redis://host:6379/0``, ``rediss://…`` or ``unix://…``.

        Raises:
            ConfigurationError: the URL is wrong.
            ExtraMissingError: redis is not installed.
        """
        return cls(url, timeout=timeout, namespace=namespace, most=most)

    def __repr__(self) -> str:
        return f"RedisMemory({self._server.shown!r}, namespace={self.namespace!r})"

    # ---- calls

    def _begun(self) -> None:
        # The parent's are kept, so that nothing here says goodbye in its name.
        self._past.append(self._listeners)
        self._listeners = []
        self._me = secrets.token_hex(8)

    def _call(self, method: str, *values: Any) -> Any:
        """
        Run a method of the script.

        Raises:
            StoreUnavailableError: the server cannot be asked.
        """
        self._server.own()  # another process has another name
        return self._server.call(method, self._me, self.most, *values)

    def put(self, told: Sequence[Told]) -> None:
        """
        Remember.

        Raises:
            StoreUnavailableError: the memory cannot be asked; some of it may be kept.
        """
        deadline = time.monotonic() + self.timeout / 2
        for start in range(0, len(told), _BITE):
            if start and time.monotonic() > deadline:
                raise StoreUnavailableError("redis: no time for all of it")
            values: list[Any] = []
            for each in told[start : start + _BITE]:
                values += [each.subject, each.id, each.shelf]
                values += [repr(float(each.at)), repr(float(each.keep)), each.payload]
            self._call("put", *values)

    def read(self, subjects: Sequence[str]) -> Mapping[str, Remembered]:
        """
        Return what is remembered of each of *subjects*.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        if not subjects:
            return {}
        now, *found = self._call("read", *subjects)
        return {
            subject: self._remembered(subject, row, float(now))
            for subject, row in zip(subjects, found, strict=True)
        }

    def _remembered(self, subject: str, row: Sequence[Any], now: float) -> Remembered:
        if row[0]:
            return Remembered(forgotten=True)
        _, linked_to, note, absorbed, pairs = row
        told = []
        for name, record in zip(pairs[::2], pairs[1::2], strict=True):
            shelf, at, over, _, payload = record.split(b" ", 4)
            left = float(over) - now
            if left > 0:
                on: Any = shelf.decode()
                told.append(Told(subject, name.decode(), on, float(at), left, payload))
        return Remembered(
            newest(told, self.most),
            linked_to.decode() or None,
            tuple(each.decode() for each in absorbed),
            note,
        )

    def link(self, absorb: str, keep: str, note: bytes = b"") -> bool:
        """
        Make *absorb* a part of *keep*; False where it is a part of another one already, or *keep*
        is a part of it, or one of the two is forgotten.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        return bool(self._call("link", absorb, keep, note, repr(LINK_KEPT_S)))

    def unlink(self, absorb: str) -> bool:
        """
        End a link; who had become *absorb* before goes with it. False where there is none.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        return bool(self._call("unlink", absorb))

    def forget(self, subjects: Sequence[str], suppress_for: float) -> int:
        """
        Erase; return how many things there were.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        return int(self._call("forget", repr(float(suppress_for)), *dict.fromkeys(subjects)))

    def subscribe(self, heard: Callable[[str | None], None]) -> bool:
        """
        Listen on a daemon thread ``cxsdk-memory`` until `close`; return True.

        *heard* gets None at each connect, the first included: what was said before was missed.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        self._server.own()
        self._listeners.append(Listener(self._listen, self._me, heard))
        return True

    def _listen(self) -> _Ear:
        return _Ear(
            self._server.connected(1), f"{self._server.tag}:changed", max(1.0, self.timeout)
        )

    def close(self) -> None:
        """
        Close the connections and end the thread. Idempotent; later calls raise
        `StoreUnavailableError`.
        """
        for listener in self._listeners if self._server.is_own else ():
            listener.close()
        self._server.close()
