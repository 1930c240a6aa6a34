"""
Running the collector: in the foreground, or in a thread for tests and demos.
"""

from __future__ import annotations

import ipaddress
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs
import uvicorn

from cxsdk.collector.app import create_app
from cxsdk.collector.limits import Limits
from cxsdk.collector.store import Store
from cxsdk.errors import ConfigurationError

__all__ = ["Collector", "serve"]

_START_S = 30.0


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int, api_key: str | None) -> tuple[socket.socket, str]:
    """
    Return a listening socket and its URL.

    Raises:
        ConfigurationError: others could reach it without a key, or the address is taken.
    """
    if not api_key and not _is_loopback(host):
        raise ConfigurationError(
            f"collector: {host} can be reached by others, so an API key is needed;"
            " give api_key=…, or bind 127.0.0.1"
        )
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is said: without it each answer
    # waits 40 ms for the peer's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((bare, port))
        listener.listen(512)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(f"collector: cannot listen on {host}:{port}: {error}") from error
    shown = f"[{bare}]" if family == socket.AF_INET6 else bare
    return listener, f"http://{shown}:{listener.getsockname()[1]}"


class _Server(uvicorn.Server):
    """
    A server that says when it is up, and whether it is.
    """

    def __init__(self, app: Any, on_ready: Callable[[], None]) -> None:
        # No access log: the paths of the pages hold customer ids. What uvicorn has to say is the
        # host's to show (log_config): of its loggers only warnings and errors come by themselves.
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=32 * 1024,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def serve(
    host: str = "127.0.0.1",
    port: int = 4180,
    *,
    path: str | Path | None = None,
    api_key: str | None = None,
    allowed_hosts: Iterable[str] | None = None,
    strict: bool = False,
    limits: Limits | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """
    Run the collector until SIGINT or SIGTERM. Blocks; for the main thread.

    Args:
        host: the address to bind; other than loopback needs *api_key*.

        port: 0 takes a free one.

        path: the SQLite file; by default ``collector.db`` in the user's state directory.

        api_key: the key that every request must show.

        allowed_hosts: see `create_app`.

        strict: see `create_app`.

        limits: see `create_app`.

        on_ready: called once with the URL when requests are answered.

    Raises:
        ConfigurationError: the address or the file cannot be used, or a key is missing.
    """
    listener, url = _bind(host, port, api_key)
    try:
        app = create_app(
            path or platformdirs.user_state_path("cxsdk") / "collector.db",
            api_key=api_key,
            allowed_hosts=allowed_hosts,
            strict=strict,
            limits=limits,
        )
        _Server(app, lambda: on_ready(url) if on_ready else None).run(sockets=[listener])
    finally:
        listener.close()


class Collector:
    """
    A collector in a background thread, on a free port of 127.0.0.1, for tests and demos.

    Use it as a context manager; `stop` may be called from any thread, and again.

    Args:
        path: the SQLite file; by default one in a temporary folder that goes with the collector.

        port: 0 takes a free one.

        api_key: the key that every request must show.

        strict: refuse what this version of the standard does not know.

        limits: bounds of a request.

    Raises:
        ConfigurationError: the file or the port cannot be used.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        port: int = 0,
        api_key: str | None = None,
        strict: bool = False,
        limits: Limits | None = None,
    ) -> None:
        bounds = limits or Limits()
        self._listener, self.url = _bind("127.0.0.1", port, api_key)
        """Where it answers, such as ``http://127.0.0.1:40123``."""
        self._folder = tempfile.TemporaryDirectory(prefix="cxsdk-collector-") if not path else None
        try:
            self.store = Store(
                path or Path(self._folder.name if self._folder else "") / "collector.db",
                refusals_kept=bounds.refusals_kept,
            )
            """What it has stored; open until `stop`."""
        except ConfigurationError:
            self._listener.close()
            raise
        self._ready = threading.Event()
        app = create_app(self.store, api_key=api_key, strict=strict, limits=bounds)
        self._server = _Server(app, self._ready.set)
        self._thread = threading.Thread(target=self._run, name="cxsdk-collector", daemon=True)

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._ready.set()

    def start(self) -> Self:
        """
        Start answering; blocks until it does, at most 30 s.

        Raises:
            ConfigurationError: it did not come up.
        """
        self._thread.start()
        if not self._ready.wait(_START_S) or not self._server.started:
            raise ConfigurationError("collector: the server did not start; see the log")
        return self

    def stop(self) -> None:
        """
        Stop after the requests under way, at most 10 s; close the store.
        """
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(10.0)
        self._listener.close()
        self.store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
