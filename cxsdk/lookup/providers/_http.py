"""
HTTP of the providers: requests of many threads at a time, each within its own deadline.

On httpcore, the layer below httpx, as the sinks are: the deadline has to reach into every wait on
the socket, and httpx has no public place for that.
"""

from __future__ import annotations

import base64
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import attrs
import msgspec

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import ErrorCode
from cxsdk.lookup.providers._base import PerProcess, called
from cxsdk.sinks._endpoint import basic, check_header, user_agent
from cxsdk.sinks._invisible import invisible, quiet
from cxsdk.sinks._verdict import Answer, retry_after

if TYPE_CHECKING:
    from cxsdk.lookup.providers._wire import Pool

__all__ = ["HttpCaller", "checked_place"]

_GZIP = 31


def checked_place(url: str, field: str) -> SplitResult:
    """
    Split *url*; what is wrong with it is said without repeating it, for it may hold a password.

    Raises:
        ConfigurationError: it is no address of an HTTP server.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
        url.encode("ascii")
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(f"{field}: expected an ASCII URL such as https://crm/x") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{field}: expected http://host or https://host")
    if re.search(r"[\x00-\x20\x7f]", url) or parts.fragment:
        raise ConfigurationError(
            f"{field}: expected a URL without spaces, control characters and fragment"
        )
    return parts


@attrs.define(slots=False, eq=False, repr=False)
class HttpCaller:
    """
    Makes requests to one source. Safe from any thread; a forked child has connections of its own.
    """

    name: str
    """Of the provider; begins each error."""

    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Sent with each request. Their values are secrets."""

    api_key: str | None = None
    auth: tuple[str, str] | None = None
    user: SplitResult | None = None
    """A URL that may hold ``user:password@``."""

    ca: Path | str | None = None
    proxy: str | None = None
    connect_timeout: float = 3.0
    max_bytes: int = 2 * 1024 * 1024

    def __attrs_post_init__(self) -> None:
        for name, value in self.headers.items():
            check_header(name, value)
        found = basic(self.user) if self.user is not None else ""
        if self.auth is not None:
            if found or len(self.auth) != 2:
                raise ConfigurationError("auth: expected one (user, password), and none in a URL")
            pair = ":".join(self.auth).encode()
            found = "Basic " + base64.b64encode(pair).decode()
        if self.api_key is not None:
            if found:
                raise ConfigurationError("api_key: expected a key or a user, not both")
            check_header("api_key", self.api_key)
            found = f"Bearer {self.api_key}"
        self._who = {"Authorization": found} if found else {}
        self._pool: PerProcess[Pool] = PerProcess(self._open)

    # ---- requests

    def ask(
        self,
        method: str,
        url: str,
        deadline: float,
        *,
        headers: Mapping[str, str] = {},  # noqa: B006 - read only
        body: Any = None,
    ) -> Answer:
        """
        Return what the server answers. Blocks until *deadline*, by `time.monotonic`, at most.

        Args:
            body: sent as JSON.

        Raises:
            ProviderError: there is no answer.
        """
        more = {"Accept": "application/json", "Accept-Encoding": "identity"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            more["Content-Type"] = "application/json"
        told = {**more, "User-Agent": user_agent(), **self.headers, **self._who, **headers}
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
        with invisible():
            return self._exchange(method, url, sent, content, deadline)

    def _exchange(
        self, method: str, url: str, headers: Any, content: bytes | None, deadline: float
    ) -> Answer:
        import httpcore

        pool = self._pool.get()
        broken = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)
        for is_last in (False, True):
            pool.budget.begin_by(deadline)
            try:
                return self._once(pool, method, url, headers, content)
            except broken as error:
                # A kept connection that was gone before it said a word: not the server's answer.
                if is_last or pool.budget.connected or pool.budget.received:
                    raise self._trouble(error) from None
            except ProviderError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told as ours
                raise self._trouble(error) from None
        raise AssertionError

    def _once(
        self, pool: Pool, method: str, url: str, headers: Any, content: bytes | None
    ) -> Answer:
        import httpcore

        patience = {"timeout": {"pool": pool.budget.left(httpcore.PoolTimeout)}}
        with pool.connections.stream(
            method, url, headers=headers, content=content, extensions=patience
        ) as response:
            found = [
                (name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in response.headers
            ]
            answer = Answer(status=response.status, headers=found)
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > self.max_bytes:
                    raise self._error(
                        ErrorCode.PARSE_ERROR, f"an answer of more than {self.max_bytes} bytes"
                    )
        return attrs.evolve(answer, body=bytes(body))

    def _trouble(self, error: Exception) -> ProviderError:
        import httpcore

        code = ErrorCode.GENERAL
        if isinstance(error, httpcore.PoolTimeout):
            code = ErrorCode.BULKHEAD_FULL
        elif isinstance(error, httpcore.TimeoutException):
            code = ErrorCode.DEADLINE_EXCEEDED
        elif isinstance(
            error,
            (httpcore.NetworkError, httpcore.ProxyError, httpcore.RemoteProtocolError, OSError),
        ):
            code = ErrorCode.CONNECTION
        return self._error(code, called(error))

    def _error(self, code: ErrorCode, words: str, wait: float | None = None) -> ProviderError:
        return ProviderError(code, f"{self.name}: {words}", retry_after=wait)

    # ---- answers

    def refusal(self, answer: Answer) -> ProviderError:
        """
        Return what an answer means that is none of the expected ones.
        """
        status = answer.status
        wait = retry_after(answer, time.time()) if status in {429, 503} else None
        if status in {401, 403, 407}:
            code = ErrorCode.AUTH
        elif status == 429:
            code = ErrorCode.RATE_LIMITED
        elif 500 <= status < 600:
            code = ErrorCode.UPSTREAM_5XX
        elif 400 <= status < 500:
            code = ErrorCode.UPSTREAM_4XX
        else:
            code = ErrorCode.GENERAL  # redirects are not followed
        return self._error(code, f"answered {status}", wait)

    def document(self, answer: Answer) -> Any:
        """
        Return the JSON of an answer.

        Raises:
            ProviderError: the answer is not 200, is not JSON by its content type, or is none.
        """
        if answer.status != 200:
            raise self.refusal(answer)
        kind = answer.header("content-type").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise self._error(ErrorCode.PARSE_ERROR, "expected application/json")
        try:
            return msgspec.json.decode(self._unpacked(answer))
        except (msgspec.DecodeError, UnicodeDecodeError, zlib.error, RecursionError):
            raise self._error(ErrorCode.PARSE_ERROR, "the answer is no JSON") from None

    def _unpacked(self, answer: Answer) -> bytes:
        """
        Undo a gzip that nobody asked for (some proxies insist), capped against bombs.

        Raises:
            ProviderError: it is another encoding, or too much.
        """
        encoding = answer.header("content-encoding").strip().lower()
        if encoding in {"", "identity"}:
            return answer.body
        if encoding != "gzip":
            raise self._error(ErrorCode.PARSE_ERROR, "an encoding that was not asked for")
        inflater = zlib.decompressobj(_GZIP)
        body = inflater.decompress(answer.body, self.max_bytes)
        if inflater.unconsumed_tail:
            raise self._error(
                ErrorCode.PARSE_ERROR, f"an answer of more than {self.max_bytes} bytes"
            )
        return body

    # ---- connections

    def _open(self) -> Pool:
        from cxsdk.lookup.providers._wire import Pool

        quiet("httpcore.connection", "httpcore.http11", "httpcore.proxy")
        return Pool(self.connect_timeout, self.ca, self.proxy)

    def close(self) -> None:
        """
        Close connections, ending requests of other threads. Idempotent.
        """
        pool = self._pool.take()
        if pool is not None:
            pool.close()
