"""
One POST to one HTTP endpoint, with everything that every such destination needs: a time budget,
one connection, credentials that are shown nowhere, second chances, and results instead of errors.

Built on httpcore, the layer below httpx, because the total time budget has to reach into every
wait on the socket (`cxsdk.sinks._wire`), and httpx has no public place for that.
"""

from __future__ import annotations

import abc
import gzip
import os
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

import attrs

from cxsdk._clock import Clock, SystemClock
from cxsdk._guard import voice
from cxsdk.errors import ConfigurationError
from cxsdk.sinks._endpoint import (
    LOOPBACK,
    basic,
    check_header,
    checked_url,
    env_proxy,
    user_agent,
)
from cxsdk.sinks._invisible import invisible, quiet
from cxsdk.sinks._verdict import Answer, clean, verdict
from cxsdk.typing import Batch, Hold, Record, Retry, SendResult

if TYPE_CHECKING:
    import httpcore

    from cxsdk.sinks._wire import Budget

__all__ = ["HttpDestination"]

_GZIP_FROM = 1024
_ANSWER_CAP = 4 * 1024 * 1024
_KEEP_ALIVE_S = 30.0
_inherited: list[Any] = []
"""Connections of a parent process: kept, so that nothing ever closes them in the child."""


@attrs.define(slots=False, eq=False, repr=False)
class HttpDestination(abc.ABC):
    """
    One HTTP endpoint. `send` is for one thread at a time; `close` for any.

    A sink adds what goes into a request and, where the destination has words of its own, what an
    answer means. Redirects are never followed, certificates always checked, and environment
    variables are looked at only with *trust_env*. A copy in a forked child begins with its own
    connections.

    Raises:
        ConfigurationError: the URL, a header or another argument is wrong.
    """

    default_path: ClassVar[str] = "/"
    """Takes the place of an empty path."""

    url: str = attrs.field(repr=False)
    """Taken verbatim, but for an empty path. ``user:password@`` becomes basic authentication and
    is shown nowhere."""

    api_key: str | None = attrs.field(default=None, kw_only=True)
    """Sent as ``Authorization: Bearer …``."""

    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    """Further request headers. Their values are treated as secrets."""

    timeout: float = attrs.field(default=10.0, kw_only=True)
    """Seconds for a whole `send`, name lookup and second attempts included."""

    connect_timeout: float = attrs.field(default=3.0, kw_only=True)
    """Seconds for name lookup, connect and TLS handshake together."""

    ca: Path | str | None = attrs.field(default=None, kw_only=True)
    """A file of PEM certificates to trust instead of certifi's."""

    proxy: str | None = attrs.field(default=None, kw_only=True)
    """URL of an HTTP proxy."""

    trust_env: bool = attrs.field(default=False, kw_only=True)
    """Look at ``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE`` and ``SSLKEYLOGFILE``."""

    conflict: str = attrs.field(default="delivered", kw_only=True)
    """What a 409 means: ``delivered`` or ``retry``."""

    refresh: Callable[[], str] | None = attrs.field(default=None, kw_only=True)
    """Called once per `send` after a 401, 403 or 407; returns a new API key."""

    compress: bool | None = attrs.field(default=None, kw_only=True)
    """Gzip bodies above 1 KiB. None: unless the host is this machine (``localhost``,
    ``127.0.0.1``, ``::1``), where it would only cost processor time. False for servers that read
    compressed ones wrongly; one that says so (406, 415) gets plain ones anyway."""

    clock: Clock = attrs.field(factory=SystemClock, kw_only=True)

    def __attrs_post_init__(self) -> None:
        parts = checked_url(self.url)
        self._basic = basic(parts)
        if self._basic and self.api_key:
            raise ConfigurationError("collector: expected credentials in the URL or an api_key")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        netloc = f"{host}:{parts.port}" if parts.port else str(host)
        path = parts.path if parts.path not in {"", "/"} else self.default_path
        self._target = urlunsplit((parts.scheme, netloc, path, parts.query, ""))
        self._place = urlunsplit((parts.scheme, netloc, path, "", ""))
        if self.conflict not in {"delivered", "retry"}:
            raise ConfigurationError(f"conflict: expected delivered or retry, got {self.conflict}")
        for name, value in self.headers.items():
            check_header(name, value)
        if self.api_key is not None:
            check_header("Authorization", self.api_key)
        secret = bool(self.api_key or self._basic)
        self._in_clear = secret and parts.scheme == "http" and parts.hostname not in LOOPBACK
        self._unnamed = "find"
        self._closed = False
        self._ends: float | None = None
        self._zip = parts.hostname not in LOOPBACK if self.compress is None else self.compress
        self._begin_process()

    @property
    def fingerprint(self) -> str:
        """
        Say where this goes: scheme, host, port and path, without credentials or query.
        """
        return self._place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place!r})"

    def send(self, batch: Batch) -> SendResult:
        """
        Send *batch* once. Blocks up to `timeout` seconds.
        """
        if os.getpid() != self._pid:
            self._begin_process()
        if self._closed:
            return Retry("closed")
        if self._in_clear:
            voice.say(30, f"clear:{self._place}", "credentials travel unencrypted to %s", self)
        with self._sending, invisible():
            try:
                budget = self._ready()
                budget.begin()
                return self._send(batch)
            finally:
                if self._closed:
                    self._disconnect()

    def hurry(self, ends_in: float) -> None:
        """
        Let no request, the running one included, last longer than *ends_in* seconds from now.

        For the end of a process, whose patience is shorter than `timeout`.
        """
        self._ends = time.monotonic() + max(0.0, ends_in)
        if self._budget is not None:
            self._budget.end_by(self._ends)

    def close(self) -> None:
        """
        Close connections, ending a running `send` of another thread. Idempotent.
        """
        self._closed = True
        if os.getpid() != self._pid:
            return
        if self._budget is not None:
            self._budget.abort()
        # A running send disconnects on its way out.
        if self._sending.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._sending.release()

    # ---- requests ------------------------------------------------------------------------

    @abc.abstractmethod
    def _send(self, batch: Batch) -> SendResult:
        """
        Make the request or requests of one batch, by `_post`.
        """

    def _credentials(self) -> Mapping[str, str]:
        """
        Return the headers that say who we are.
        """
        if self.api_key:
            return {"Authorization": f"Bearer {self.api_key}"}
        return {"Authorization": self._basic} if self._basic else {}

    def _meaning(self, answer: Answer, records: Sequence[Record]) -> SendResult:
        """
        Say what *answer* means for *records*.
        """
        return verdict(
            answer,
            records,
            conflict=self.conflict,
            now=lambda: self.clock.time_ns() / 1e9,
            hide=self._hide,
            unnamed=self._unnamed,
        )

    def _post(
        self, body: bytes, kind: str, records: Sequence[Record], more: Mapping[str, str]
    ) -> SendResult:
        """
        Post *body* of content type *kind*, with *more* headers; say what became of *records*.
        """
        outcome = self._exchange(body, kind, more)
        if isinstance(outcome, Answer) and self._second_chance(outcome, len(body)):
            outcome = self._exchange(body, kind, more)
        return self._meaning(outcome, records) if isinstance(outcome, Answer) else outcome

    def _second_chance(self, answer: Answer, size: int) -> bool:
        """
        Repair what this side can repair; say whether the same request is worth sending again.
        """
        if answer.status in {401, 403, 407} and self.refresh is not None:
            return self._renew_key(self.refresh)
        if answer.status in {406, 415} and self._zip and size > _GZIP_FROM:
            self._zip = False
            return True
        if answer.status == 421:
            self._disconnect()
            return True
        return False

    def _renew_key(self, refresh: Callable[[], str]) -> bool:
        try:
            key = refresh()
            check_header("Authorization", key)
        except Exception as error:  # noqa: BLE001 - the hook is the host's code
            kind = type(error).__name__
            voice.say(40, f"refresh:{self._place}", "refresh of %s failed: %s", self, kind)
            return False
        self.api_key, self._basic = key, ""
        return True

    def _exchange(self, body: bytes, kind: str, more: Mapping[str, str]) -> Answer | SendResult:
        import httpcore

        budget = self._ready()
        budget.again()
        broken = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)
        try:
            return self._request(body, kind, more)
        except broken as error:
            stale = self._warm and not budget.connected and not budget.received
            if not stale or self._closed:
                return self._trouble(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said as a result
            return self._trouble(error)
        # The kept-alive connection was gone before it said a word: not the server's answer.
        self._disconnect()
        try:
            return self._request(body, kind, more)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said as a result
            return self._trouble(error)

    def _request(self, body: bytes, kind: str, more: Mapping[str, str]) -> Answer:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": user_agent(),
            **self.headers,
            "Content-Type": kind,
            **more,
            **self._credentials(),
        }
        if self._zip and len(body) > _GZIP_FROM:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        sent = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        with self._connections().stream(
            b"POST", self._target, headers=sent, content=body
        ) as response:
            answer = _read(response)
        self._warm = True
        return answer

    def _trouble(self, error: Exception) -> SendResult:
        import httpcore

        from cxsdk.sinks._wire import TlsError

        words = clean(error, self._hide)[:120]
        sent = self._budget is not None and self._budget.sent > 0
        if isinstance(error, TlsError) and error.lasting:
            return Hold(f"tls: {words}")
        if isinstance(error, httpcore.ProxyError) and words.startswith(("401", "403", "407")):
            return Hold(f"proxy: {words}", probe_after=60.0, backoff_to=900.0)
        if isinstance(error, httpcore.TimeoutException):
            return Retry(f"timeout: {words}", uncertain=sent)
        if isinstance(error, (httpcore.NetworkError, httpcore.ProxyError, OSError)):
            return Retry(f"network: {words}", uncertain=sent)
        if isinstance(error, httpcore.RemoteProtocolError):
            return Retry(f"protocol: {words}", uncertain=True)
        return Retry(f"{type(error).__name__}: {words}")

    def _hide(self, text: str) -> str:
        """
        Blank our secrets where a server echoes them.
        """
        for secret in (self.api_key, self._basic.removeprefix("Basic "), *self.headers.values()):
            if secret and len(secret) >= 4:
                text = text.replace(secret, "***")
        return text

    # ---- connections ---------------------------------------------------------------------

    def _begin_process(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            _inherited.append((pool, self._budget))
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._pool: httpcore.ConnectionPool | None = None
        self._budget: Budget | None = None
        self._warm = False

    def _ready(self) -> Budget:
        if self._budget is None:
            from cxsdk.sinks._wire import Budget

            self._budget = Budget(self.connect_timeout, self.timeout)
            self._budget.end_by(self._ends)
        return self._budget

    def _connections(self) -> httpcore.ConnectionPool:
        if self._pool is not None:
            return self._pool
        import httpcore

        from cxsdk.sinks._wire import BudgetBackend

        quiet("httpcore.connection", "httpcore.http11", "httpcore.proxy")
        options: dict[str, Any] = {
            "ssl_context": self._trust(),
            "max_connections": 1,
            "keepalive_expiry": _KEEP_ALIVE_S,
            "network_backend": BudgetBackend(self._ready()),
        }
        proxy = self.proxy or (env_proxy(self._target) if self.trust_env else None)
        if proxy:
            parts = urlsplit(proxy)
            if parts.username is not None:
                options["proxy_auth"] = (unquote(parts.username), unquote(parts.password or ""))
                proxy = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            self._pool = httpcore.HTTPProxy(proxy, **options)
        else:
            self._pool = httpcore.ConnectionPool(**options)
        return self._pool

    def _trust(self) -> ssl.SSLContext:
        if self.trust_env:
            return ssl.create_default_context(cafile=self.ca)
        import certifi

        # Not create_default_context: that one obeys SSLKEYLOGFILE.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cafile=self.ca or certifi.where())
        return context

    def _disconnect(self) -> None:
        pool, self._pool, self._warm = self._pool, None, False
        if pool is not None:
            try:
                pool.close()
            except Exception as error:  # noqa: BLE001 - it is thrown away in any case
                kind = type(error).__name__
                voice.say(10, "disconnect", "closing connections of %s: %s", self, kind)


def _read(response: httpcore.Response) -> Answer:
    headers = [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in response.headers
    ]
    answer = Answer(status=response.status, headers=headers)
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > _ANSWER_CAP:
            return answer  # too much: the status decides alone
    return attrs.evolve(answer, body=_plain(bytes(body), answer.header("content-encoding")))


def _plain(body: bytes, encoding: str) -> bytes:
    """
    Undo a gzip that nobody asked for (some proxies insist), capped against bombs.
    """
    if encoding.lower() in {"", "identity"}:
        return body
    if encoding.lower() != "gzip":
        return b""
    try:
        plain = zlib.decompressobj(31)
        inflated = plain.decompress(body, _ANSWER_CAP)
    except zlib.error:
        return b""
    return b"" if plain.unconsumed_tail else inflated
