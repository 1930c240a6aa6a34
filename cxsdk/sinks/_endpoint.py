"""
An HTTP destination's address and credentials: checked early, shown never.
"""

from __future__ import annotations

import base64
import platform
import re
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from cxsdk.errors import ConfigurationError

__all__ = [
    "LOOPBACK",
    "basic",
    "check_header",
    "checked_url",
    "env_proxy",
    "user_agent",
    "without_user",
]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cxsdk-sent-at",
        "host",
        "idempotency-key",
        "transfer-encoding",
    }
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def checked_url(url: str) -> SplitResult:
    """
    Split *url*; what is wrong with it is said without repeating it, for it may hold a password.

    Raises:
        ConfigurationError: the scheme, the host or a character is not allowed.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
        url.encode("ascii")
    except ValueError as error:
        raise ConfigurationError(
            "collector: expected an ASCII URL such as http://127.0.0.1:4180"
        ) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"collector: expected http://host or https://host, got scheme {parts.scheme!r}"
        )
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ConfigurationError("collector: expected a URL without spaces or control characters")
    return parts


def basic(parts: SplitResult) -> str:
    """
    Return the value of ``Authorization`` for ``user:password@`` in a URL; empty without one.
    """
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def without_user(url: str) -> tuple[str, str]:
    """
    Return *url* without ``user@``, and that user: the place where a key may stand in a URL.

    Raises:
        ConfigurationError: the URL is wrong, or holds a password as well.
    """
    parts = checked_url(url)
    if parts.password:
        raise ConfigurationError("collector: expected a key before the @, and no password")
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=netloc)), unquote(parts.username or "")


def check_header(name: str, value: str) -> None:
    """
    Let no header pass that could smuggle another or is one of ours. The value is not repeated.

    Raises:
        ConfigurationError: the name or the value is not allowed.
    """
    if not _NAME.match(name) or name.lower() in _RESERVED:
        raise ConfigurationError(f"headers: {name!r} cannot be set")
    if not isinstance(value, str) or not _VALUE.match(value) or value != value.strip():
        raise ConfigurationError(
            f"{name}: expected printable Latin-1 text without line ends or outer spaces"
        )


def env_proxy(target: str) -> str | None:
    """
    Return the proxy that the environment names for *target*, if any.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(target)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def user_agent() -> str:
    """
    Return ``cxsdk/<version> python/<version>``. Reads package metadata once.
    """
    from importlib.metadata import PackageNotFoundError, version

    global _agent
    if not _agent:
        try:
            ours = version("cxsdk")
        except PackageNotFoundError:
            ours = "0"
        _agent = f"cxsdk/{ours} python/{platform.python_version()}"
    return _agent


_agent = ""
