"""
What every store in Redis or Valkey stands on: its address, connections that do not try twice, and a
script that is one atomic step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, ExtraMissingError, StoreUnavailableError

__all__ = ["Server"]

CONNECTIONS = 4
_NAMESPACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_EXAMPLE = "redis://host:6379/0"


class Server:
    """
    A server and the script that a store runs there. Safe from any thread; a forked child connects
    anew. At most four connections per process, made when needed and again when they were lost.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py takes it.

        namespace: what the keys begin with.

        script: text of the script; its one key is the namespace's hash tag.

        timeout: seconds that a call takes at most: half of it for a connection, half for the
            answer.

        setting: what an error begins with.

        begun: called in each process with a new client.

    Raises:
        ConfigurationError: the URL or the namespace is wrong.
        ExtraMissingError: redis is not installed.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        script: str,
        *,
        timeout: float,
        setting: str,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            import redis
        except ImportError:
            raise ExtraMissingError("redis", "redis") from None
        if not _NAMESPACE.match(namespace):
            raise ConfigurationError(
                f"{setting}: expected a namespace of letters, digits and _ . : -, at most 64 of"
                f" them, got {namespace!r}"
            )
        try:
            parse: Any = redis.connection.parse_url
            told = parse(url)
        except ValueError:
            raise ConfigurationError(f"{setting}: expected a Redis URL, as in {_EXAMPLE}") from None
        place = told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}"
        self.shown = f"{place}/{told.get('db', 0)}"
        """Where it is, without credentials."""

        self.tag = f"{{{namespace}}}"
        """All keys begin with it, so that they are on one node of a cluster."""

        self._url = url
        self._timeout = timeout
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._begun = begun
        self._is_closed = False
        self._inherited: list[Any] = []
        self._begin_process()

    def _begin_process(self) -> None:
        self._client = self.connected(CONNECTIONS)
        self._begun()
        self._generation = _fork.current()

    @property
    def is_own(self) -> bool:
        """
        Say whether the connections are this process's.
        """
        return self._generation == _fork.current()

    def connected(self, connections: int) -> Any:
        """
        Return a client of its own with so many connections at most.
        """
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        half = self._timeout / 2
        pool = redis.BlockingConnectionPool.from_url(
            self._url,
            max_connections=connections,
            timeout=half,
            socket_timeout=half,
            socket_connect_timeout=half,
            # A call whose answer was lost may have been carried out: it is not made twice.
            retry=Retry(NoBackoff(), 0),
            socket_keepalive=True,
        )
        return redis.Redis(connection_pool=pool)

    def own(self) -> Any:
        """
        Return the client of this process.

        Raises:
            StoreUnavailableError: it is closed.
        """
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    # The parent's: kept, so that nothing here says goodbye in its name.
                    self._inherited.append(self._client)
                    self._begin_process()
        if self._is_closed:
            raise StoreUnavailableError("redis: the store is closed")
        return self._client

    def call(self, *told: Any) -> Any:
        """
        Run the script with *told*.

        Raises:
            StoreUnavailableError: the server cannot be asked.
        """
        import redis

        client = self.own()
        try:
            try:
                return client.evalsha(self._sha, 1, self.tag, *told)
            except redis.exceptions.NoScriptError:
                return client.eval(self._script, 1, self.tag, *told)
        except (redis.RedisError, OSError) as error:
            words = str(error).strip().partition("\n")[0]
            raise StoreUnavailableError(f"redis: {words or type(error).__name__}") from error

    def close(self) -> None:
        """
        Let go of the connections, where they are this process's. Idempotent.
        """
        self._is_closed = True
        if self.is_own:
            self._client.connection_pool.disconnect()
