"""
What brokers have in common: an address with several hosts, and the few attributes of an event
that a message carries outside its payload.
"""

from __future__ import annotations

import abc
import ctypes
import os
import re
import threading
import time
from collections.abc import Sequence
from hashlib import blake2b
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs
import msgspec

from cxsdk._guard import voice
from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.sinks._endpoint import LOOPBACK
from cxsdk.sinks._invisible import invisible
from cxsdk.sinks._verdict import clean
from cxsdk.typing import Batch, Hold, Record, Retry, SendResult

__all__ = ["Address", "Attributes", "BrokerSink", "attributes", "need", "pin", "unpin"]

_URL = re.compile(r"([a-z]+)://(?:([^@/?#]*)@)?([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?\Z")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?\Z")


class Attributes(msgspec.Struct):
    """
    The attributes of an event that become keys and headers. The rest of it is skipped unread.
    """

    id: str = ""
    source: str = ""
    partitionkey: str = ""


_decoder = msgspec.json.Decoder(Attributes)


def attributes(record: Record) -> Attributes:
    """
    Return the attributes of *record*; for one that cannot be read, an id made from its bytes.
    """
    try:
        found = _decoder.decode(record.payload)
    except (msgspec.DecodeError, RecursionError):
        found = Attributes()
    # Stable over attempts, which is all that a key or a deduplication asks for.
    found.id = found.id or blake2b(record.payload, digest_size=16).hexdigest()
    return found


@attrs.define(frozen=True)
class Address:
    """
    ``scheme://[user[:password]@]host[:port][,host…]/path[?name=value…]``, taken apart.
    """

    scheme: str
    user: str | None = attrs.field(repr=False)
    password: str | None = attrs.field(repr=False)
    hosts: Sequence[tuple[str, int]]
    """Host, an IPv6 address without its brackets, and port."""

    path: str
    """Without the slash in front, unquoted."""

    options: dict[str, str] = attrs.field(repr=False)

    @classmethod
    def of(cls, url: str, example: str, port: int) -> Address:
        """
        Take *url* apart. What is wrong with it is said without repeating it, for it may hold a
        password.

        Args:
            url: what the team wrote.

            example: how such a URL looks, for the message.

            port: where none is said.

        Raises:
            ConfigurationError: it has another form, or an option stands there twice.
        """
        found = _URL.match(url) if url.isascii() and url.isprintable() else None
        if found is None or " " in url or not (found[4] or "").strip("/"):
            raise ConfigurationError(f"collector: expected an ASCII URL such as {example}")
        hosts = []
        for text in found[3].split(","):
            place = _HOST.match(text)
            if place is None or int(place[2] or port) not in range(1, 65536):
                raise ConfigurationError(f"collector: expected host:port[,host:port], as {example}")
            hosts.append((place[1].strip("[]"), int(place[2] or port)))
        user, colon, password = (found[2] or "").partition(":")
        pairs = parse_qsl(found[5] or "", keep_blank_values=True)
        options = dict(pairs)
        if len(options) < len(pairs):
            raise ConfigurationError("collector: expected each option of the URL once")
        return cls(
            scheme=found[1],
            user=unquote(user) if found[2] is not None else None,
            password=unquote(password) if colon else None,
            hosts=tuple(hosts),
            path=unquote(found[4]).strip("/"),
            options=options,
        )

    @property
    def servers(self) -> str:
        """
        Return ``host:port,host:port``.
        """
        return ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )

    @property
    def place(self) -> str:
        """
        Return the address without credentials and options: what a fingerprint may show.
        """
        return f"{self.scheme}://{self.servers}/{self.path}"

    @property
    def is_local(self) -> bool:
        """
        True: every host is this machine.
        """
        return all(host in LOOPBACK for host, _ in self.hosts)


@attrs.define(slots=False, eq=False, repr=False)
class BrokerSink(abc.ABC):
    """
    One destination at a broker. `send` is for one thread at a time; `close` for any.

    The connection is made at the first `send` of a process; a forked child makes its own. A
    sink says, in ``__attrs_post_init__``, its `_address`, its `_secrets` and whether its login
    travels `_in_clear`, and calls `_begin`.
    """

    url: str = attrs.field(repr=False)
    """``scheme://[login@]host[:port][,host…]/place[?option=value…]``."""

    timeout: float = attrs.field(default=10.0, kw_only=True)
    """Seconds for a whole `send`, connect included; up to 300."""

    def _begin(self, address: Address, secrets: Sequence[str], *, in_clear: bool) -> None:
        if not 0 < self.timeout <= 300:
            raise ConfigurationError(f"timeout: expected up to 300 seconds, got {self.timeout}")
        self._address = address
        self._secrets = [secret for secret in secrets if len(secret) >= 4]
        self._in_clear = in_clear and not address.is_local
        self._closed = False
        self._began = 0.0
        self._ends: float | None = None
        self._begin_process()

    @property
    def fingerprint(self) -> str:
        """
        Say where this goes: scheme, hosts and place, without credentials or options.
        """
        return self._address.place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address.place!r})"

    def send(self, batch: Batch) -> SendResult:
        """
        Send *batch* and wait for an answer to each event. Blocks up to `timeout` seconds.

        What has none by then is taken back: nothing of it is sent later on.
        """
        if os.getpid() != self._pid:
            # What the parent has is forgotten, not closed: it is not ours.
            self._begin_process()
        if self._closed:
            return Retry("closed")
        if self._in_clear:
            voice.say(30, f"clear:{self.fingerprint}", "credentials travel unencrypted to %s", self)
        with self._sending, invisible():
            self._began = time.monotonic()
            try:
                result = self._send(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is said as a result
                self._drop()
                result = self._failure(error)
            except BaseException:
                self._drop()  # what was left in the middle serves nobody
                raise
            if self._closed or isinstance(result, Hold):
                # After a repair everything is asked anew.
                self._drop()
            return result

    def hurry(self, ends_in: float) -> None:
        """
        Let no `send`, the running one included, last longer than *ends_in* seconds from now.

        For the end of a process, whose patience is shorter than `timeout`.
        """
        self._ends = time.monotonic() + max(0.0, ends_in)

    def close(self) -> None:
        """
        Close the connection, ending a running `send` of another thread. Idempotent.
        """
        self._closed = True
        if os.getpid() != self._pid:
            return
        self._interrupt()
        # A running send drops the connection on its way out.
        if self._sending.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._sending.release()

    @abc.abstractmethod
    def _send(self, batch: Batch) -> SendResult:
        """
        Send *batch* once, until `_until`.
        """

    @abc.abstractmethod
    def _drop(self) -> None:
        """
        Give the connection up, if there is one; within a fraction of a second.
        """

    def _interrupt(self) -> None:  # noqa: B027 - most have nothing to wake
        """
        Wake a running `_send`, which looks at `_closed` then. Called from any thread.
        """

    def _failure(self, error: Exception) -> SendResult:
        """
        Say what an exception out of `_send` means.
        """
        return Retry(f"{type(error).__name__}: {self._cut(error)}", uncertain=True)

    def _begin_process(self) -> None:
        self._pid = os.getpid()
        self._sending = threading.Lock()

    def _until(self) -> float:
        """
        Return the moment at which the running `send` ends, in monotonic seconds.
        """
        ends = self._began + self.timeout
        return ends if self._ends is None else min(ends, self._ends)

    def _hide(self, text: str) -> str:
        """
        Blank our secrets where a broker or its client repeats them.
        """
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _cut(self, words: object) -> str:
        return clean(words, self._hide)[:160]


def need(module: str, package: str, extra: str) -> None:
    """
    Look for *module* without importing it.

    Raises:
        ExtraMissingError: it is not installed.
    """
    if find_spec(module) is None:
        raise ExtraMissingError(package, extra)


def pin(connection: Any) -> None:
    """
    Keep *connection* alive until `unpin`, in every process of a family of forks.

    A child that merely ends finalizes what it inherited. For a connection that means messages on
    the parent's socket, or a wait for threads that are not there; so one reference belongs to
    nobody whom the interpreter could finalize.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def unpin(connection: Any) -> None:
    """
    Give the reference of `pin` back; once, and in the process that made the connection.
    """
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(connection))
