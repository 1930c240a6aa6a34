"""
httpx: requests tell the team's other services whom they are about, and nobody else.

::

    import httpx
    from cxsdk.integrations.httpx import CX

    orders = httpx.Client(base_url="https://orders.internal")
    CX(orders)

Hosts are those of ``ContextOptions(carry_to=…)``, by default none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import httpx

from cxsdk.client import Client
from cxsdk.errors import ConfigurationError
from cxsdk.integrations._outgoing import address

__all__ = ["CX", "install", "uninstall"]


class _Hook:
    def __init__(self, client: Client | None) -> None:
        self.client = client

    def __call__(self, request: httpx.Request) -> None:
        address(self.client, request.url, request.headers)


class _AsyncHook(_Hook):
    async def __call__(self, request: httpx.Request) -> None:  # type: ignore[override]
        address(self.client, request.url, request.headers)


class CX:
    """
    Has the requests of one httpx client tell whom they are about, to hosts of the list only; also
    where a redirect leads elsewhere. Done by an event hook, after those that are there already.
    Installed at once where a client is given; twice is once. Thread-safe.

    Args:
        http: an ``httpx.Client`` or ``httpx.AsyncClient``; later by `install`.

        client: of cxsdk, whose list of hosts holds; by default the default one, found at each
            request.

    Raises:
        ConfigurationError: it is no client of httpx.
    """

    def __init__(
        self, http: httpx.Client | httpx.AsyncClient | None = None, *, client: Client | None = None
    ) -> None:
        self._client = client
        self._http = http
        if http is not None:
            self.install()

    def install(self, http: httpx.Client | httpx.AsyncClient | None = None) -> CX:
        """
        Begin; idempotent.

        Args:
            http: the client; by default the one before `uninstall`.

        Raises:
            ConfigurationError: it is no client of httpx.
        """
        http = self._http if http is None else http
        if not isinstance(http, (httpx.Client, httpx.AsyncClient)):
            raise ConfigurationError(
                f"http: expected an httpx.Client or AsyncClient, got {type(http).__name__}"
            )
        self.uninstall()
        self._http = http
        made = _Hook if isinstance(http, httpx.Client) else _AsyncHook
        _drop(http)
        http.event_hooks["request"].append(made(self._client))
        return self

    def uninstall(self) -> None:
        """
        Leave the client as it was; idempotent.
        """
        if self._http is not None:
            _drop(self._http)


def _drop(http: httpx.Client | httpx.AsyncClient) -> None:
    hooks = http.event_hooks["request"]
    hooks[:] = [hook for hook in hooks if not isinstance(hook, _Hook)]


# ---- all clients of the process -----------------------------------------------------------------


class _Seam:
    """
    One method of httpx that requests go through.
    """

    def __init__(self, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
        self._owner, self._name, self._wrap = owner, name, wrap
        # By identity: wrappers of others may show the attributes of what they wrap.
        self._made: Any = None
        self.is_on = False

    def install(self) -> None:
        self.is_on = True
        if self._made is None:
            self._made = self._wrap(getattr(self._owner, self._name), self)
            setattr(self._owner, self._name, self._made)

    def uninstall(self) -> None:
        self.is_on = False
        if self._made is not None and getattr(self._owner, self._name) is self._made:
            setattr(self._owner, self._name, self._made.__wrapped__)
            self._made = None


def install() -> None:
    """
    Have every httpx client of this process do so, those made before and the module's functions
    included. Idempotent; a custom transport that does not end in httpx's own needs `CX`.
    """
    for seam in _SEAMS:
        seam.install()


def uninstall() -> None:
    """
    Leave httpx as it was; idempotent. What others laid over ours stays, and ours then does nothing.
    """
    for seam in _SEAMS:
        seam.uninstall()


def _wrap(function: Callable[..., Any], seam: _Seam) -> Callable[..., Any]:
    @functools.wraps(function)
    def handle_request(self: Any, request: httpx.Request) -> Any:
        if seam.is_on:
            address(None, request.url, request.headers)
        return function(self, request)

    return handle_request


def _async_wrap(function: Callable[..., Any], seam: _Seam) -> Callable[..., Any]:
    @functools.wraps(function)
    async def handle_async_request(self: Any, request: httpx.Request) -> Any:
        if seam.is_on:
            address(None, request.url, request.headers)
        return await function(self, request)

    return handle_async_request


_SEAMS = (
    _Seam(httpx.HTTPTransport, "handle_request", _wrap),
    _Seam(httpx.AsyncHTTPTransport, "handle_async_request", _async_wrap),
)
