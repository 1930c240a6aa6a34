"""
One connection to a NATS server and the event loop that it lives on.

nats-py speaks asyncio, a sender is a plain thread. So the loop runs only while a `send` waits,
on the thread that called it: no thread of its own, nothing to stop at exit, nothing to inherit.
This module is imported at the first send, because nats-py is.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from cxsdk.sinks._broker import pin, unpin

__all__ = ["Link", "NotEncryptedError", "OutOfTimeError"]

T = TypeVar("T")

_NAG_S = 0.1
_DISPOSE_S = 0.5
_HEADER = len("NATS/1.0\r\n\r\n")
_NO_PING_S = 86_400
_SECRETS = frozenset({"password", "token", "user"})
_PENDING_BYTES = 8 * 1024 * 1024

_asking: dict[str, threading.Thread] = {}
"""Who looks a host up: never two at once, for each may hang for as long as it likes."""


class OutOfTimeError(Exception):
    """
    The time is over, or another thread said stop.
    """


class NotEncryptedError(Exception):
    """
    TLS was asked for and the server does not begin it.
    """


class _Loop(asyncio.SelectorEventLoop):
    """
    Remembers its connections, and asks for names where the wait can end.
    """

    def __init__(self) -> None:
        poll = getattr(selectors, "PollSelector", selectors.SelectSelector)
        super().__init__(poll())
        self.transports: list[Any] = []
        self.is_encrypted = False
        self.on_end: Callable[[], None] = lambda: None

    async def create_connection(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        def watched() -> Any:
            return self._watched(protocol_factory())

        made = await super().create_connection(watched, *args, **options)
        self.transports.append(made[0])
        return made

    async def start_tls(self, transport: Any, protocol: Any, *args: Any, **options: Any) -> Any:
        made = await super().start_tls(transport, self._watched(protocol), *args, **options)
        self.transports.append(made)
        self.is_encrypted = True
        return made

    def _watched(self, protocol: Any) -> Any:
        """
        Hear of the end of a connection from asyncio itself: where nats-py stumbles over it, it
        tells nobody.
        """
        plain_lost, plain_eof = protocol.connection_lost, protocol.eof_received

        def connection_lost(error: Exception | None) -> None:
            plain_lost(error)
            self.on_end()

        def eof_received() -> Any:
            self.on_end()
            return plain_eof()

        protocol.connection_lost, protocol.eof_received = connection_lost, eof_received
        return protocol

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        # The executor that asyncio would take for this is joined at the interpreter's end, which
        # then waits for the name server.
        before = _asking.get(host)
        if before is not None and before.is_alive():
            raise OSError(f"an earlier name lookup of {host} hangs")
        answer: asyncio.Future[Any] = self.create_future()

        def tell(found: Any, error: OSError | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def ask() -> None:
            found: Any = None
            failure: OSError | None = None
            try:
                found = socket.getaddrinfo(host, port, **options)
            except OSError as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                self.call_soon_threadsafe(tell, found, failure)

        _asking[host] = thread = threading.Thread(target=ask, name="cxsdk-lookup", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError("no thread for a name lookup") from error
        return await answer


class Link:
    """
    One connection. `open`, `publish`, `ping` and `dispose` are for one thread at a time, `stop`
    and `end_by` for any.

    Pinned until it is disposed of: a forked child must finalize none of it, for the end of a TLS
    connection is a message, and the socket is the parent's.
    """

    def __init__(self) -> None:
        pin(self)
        self.used = time.monotonic()
        self.lost = False
        self.trouble: Exception | None = None
        """What the server says against all that we do."""
        self.said: Exception | None = None
        """The last error on the way to a server."""
        self._loop = _Loop()
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._loop.on_end = self._on_end
        self._client: Client | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0.0
        self._stopped = False
        self._news = asyncio.Event()
        self._inbox = ""
        self._round = 0
        self._open: dict[str, int] = {}
        self._answer: Callable[[int, Msg], bool] = lambda _index, _msg: True

    # ---- for other threads ---------------------------------------------------------------

    def stop(self) -> None:
        """
        End what runs.
        """
        self._stopped = True
        self.end_by(0.0)

    def end_by(self, moment: float) -> None:
        """
        Let what runs not go past *moment* (monotonic seconds).
        """
        self._ends = min(self._ends, moment)
        with contextlib.suppress(RuntimeError):  # closed: nothing runs
            self._loop.call_soon_threadsafe(self._nag)

    # ---- steps ---------------------------------------------------------------------------

    def open(
        self,
        server: str,
        ends: float,
        *,
        tls: ssl.SSLContext,
        must_encrypt: bool,
        login: Mapping[str, Any],
        timeout: float,
    ) -> None:
        """
        Connect to *server* and log in.

        Args:
            server: ``nats://host:port``.

            ends: monotonic seconds at which to give up.

            tls: what to trust.

            must_encrypt: TLS, or nothing goes; False: as the server wants.

            login: what nats-py takes: ``token``, ``user`` and ``password``, ``user_credentials``.

            timeout: seconds for each step of the way.

        Raises:
            OutOfTimeError: nobody answered in time.
            NotEncryptedError: the server does no TLS.
            Exception: what nats-py, the socket or TLS say.
        """
        options: dict[str, Any] = {
            name: self._guarded(value) if must_encrypt and name in _SECRETS else value
            for name, value in login.items()
        }

        async def connect() -> None:
            self._client = client = Client()
            await client.connect(
                [server],
                name="cxsdk",
                allow_reconnect=False,  # retry lives above a sink
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=timeout,  # type: ignore[arg-type]
                ping_interval=_NO_PING_S,
                pending_size=_PENDING_BYTES,
                error_cb=self._on_error,
                closed_cb=self._on_close,
                tls=tls,
                **options,
            )
            if must_encrypt and not self._loop.is_encrypted:
                raise NotEncryptedError
            self._inbox = client.new_inbox()
            await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)

        self._run(connect(), ends)

    def _guarded(self, secret: str) -> Callable[[], str]:
        def give() -> str:
            # nats-py asks when it writes the login: not before TLS is there.
            if not self._loop.is_encrypted:
                raise NotEncryptedError
            return secret

        return give

    def _connected(self) -> Client:
        if self._client is None:
            raise nats.errors.ConnectionClosedError
        return self._client

    @property
    def max_payload(self) -> int:
        """
        Bytes that the server takes in one message, headers included.
        """
        return self._client.max_payload if self._client is not None else 0

    @staticmethod
    def size(payload: bytes, headers: Mapping[str, str]) -> int:
        """
        Return how many bytes a message counts as.
        """
        lines = sum(len(k.encode()) + len(v.encode()) + 4 for k, v in headers.items())
        return len(payload) + lines + _HEADER

    def ping(self, ends: float) -> None:
        """
        Ask whether the server is still there.

        Raises:
            OutOfTimeError: it did not answer in time.
            Exception: the connection is gone.
        """
        client = self._connected()

        async def ask() -> None:
            answer = self._loop.create_task(client.flush(_NO_PING_S))
            answer.add_done_callback(lambda _: self._news.set())
            try:
                while not answer.done():
                    if self.lost:
                        raise nats.errors.ConnectionClosedError
                    await self._wait()
                answer.result()
            finally:
                answer.cancel()

        self._run(ask(), ends)

    def publish(
        self,
        subject: str,
        messages: Iterable[tuple[int, bytes, Mapping[str, str]]],
        ends: float,
        *,
        window: int,
        sent: Callable[[int], None],
        answer: Callable[[int, Msg], bool],
    ) -> None:
        """
        Publish *messages* and wait for an answer to each; at most *window* are on their way.

        Ends early when the connection is lost or `trouble` says why it makes no sense.

        Args:
            subject: where they go.

            messages: index, payload and headers of each.

            ends: monotonic seconds at which to give up.

            window: how many answers may be outstanding.

            sent: called with the index of each before it goes.

            answer: called with index and answer; returns False for what is none.

        Raises:
            Exception: the connection is gone.
        """
        client = self._connected()
        self._round += 1
        self._open.clear()
        self._answer = answer

        async def work() -> None:
            for index, payload, headers in messages:
                while len(self._open) >= window and self._goes_on():
                    await self._wait()
                if not self._goes_on():
                    return
                token = f"{self._round}-{index}"
                self._open[token] = index
                sent(index)
                await client.publish(
                    subject, payload, reply=f"{self._inbox}.{token}", headers=dict(headers)
                )
            while self._open and self._goes_on():
                await self._wait()

        with contextlib.suppress(OutOfTimeError):
            self._run(work(), ends)
        self.used = time.monotonic()

    def dispose(self) -> None:
        """
        Close the connection at once, and the loop. What was not written yet is forgotten.
        """
        if self._loop.is_closed():
            return
        for transport in self._loop.transports:
            transport.abort()

        async def tidy() -> None:
            own = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not own]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=_DISPOSE_S)
            await asyncio.sleep(0)

        self._stopped = False
        with contextlib.suppress(Exception):
            self._run(tidy(), time.monotonic() + 2 * _DISPOSE_S)
        self._client = None
        self._loop.close()
        unpin(self)

    # ---- on the loop ---------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T], ends: float) -> T:
        outer = asyncio._get_running_loop()
        # A host may close its client from inside a loop of its own, which waits meanwhile.
        asyncio._set_running_loop(None)
        try:
            self._ends = 0.0 if self._stopped else ends
            self._task = self._loop.create_task(work)
            self._nag()
            result: T = self._loop.run_until_complete(self._task)
            return result
        except asyncio.CancelledError:
            raise OutOfTimeError from None
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()
            asyncio._set_running_loop(outer)

    def _nag(self) -> None:
        """
        Cancel what runs once its time is over; again and again, for nats-py swallows some.
        """
        task = self._task
        if task is None or task.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        now = self._loop.time()
        if now >= self._ends:
            task.cancel()
        self._timer = self._loop.call_at(max(self._ends, now + _NAG_S), self._nag)

    def _goes_on(self) -> bool:
        over = self._loop.time() >= self._ends
        return not (self.lost or self._stopped or over or self.trouble is not None)

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _on_answer(self, msg: Msg) -> None:
        token = msg.subject.rpartition(".")[2]
        index = self._open.get(token)
        if index is not None and self._answer(index, msg):
            del self._open[token]
            self._news.set()

    async def _on_error(self, error: Exception) -> None:
        self.said = error
        if "permissions violation" in str(error).lower():
            self.trouble = nats.errors.Error(str(error))
        self._news.set()

    async def _on_close(self) -> None:
        self._on_end()

    def _on_end(self) -> None:
        self.lost = True
        self._news.set()
