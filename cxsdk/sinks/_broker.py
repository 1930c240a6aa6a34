"""
What brokers have in common: an address with several hosts, and the few attributes of an event
that a message carries outside its payload.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from hashlib import blake2b
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs
import msgspec

from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.sinks._endpoint import LOOPBACK
from cxsdk.typing import Record

__all__ = ["Address", "Attributes", "attributes", "need", "pin", "unpin"]

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
