"""
Redis or Valkey as a provider. Extra ``redis``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs
import msgspec

from cxsdk.errors import ConfigurationError, ExtraMissingError, ProviderError
from cxsdk.knowing import ErrorCode, Failed, Found, LookupRequest, Results, Subject
from cxsdk.lookup.providers._base import (
    INVALID,
    PerProcess,
    Provider,
    called,
    cut,
    is_sound,
    left,
    moment,
    nest,
    plain,
    walk,
)
from cxsdk.lookup.providers._bounded import Bounded

__all__ = ["RedisProvider", "RedisSection"]

_HOLE = "{id}"
_KINDS = frozenset({"json", "string", "hash", "list", "zset"})
_CONNECTIONS = 16
_MOST_ITEMS = 1000


@attrs.define(frozen=True)
class RedisSection:
    """
    Where a section stands.

    Raises:
        ConfigurationError: the key has no ``{id}``, or the kind is unknown.
    """

    key: str
    """With ``{id}`` where the id belongs; in ``customer:{{id}}:orders`` it is the hash tag."""

    kind: Literal["json", "string", "hash", "list", "zset"] = "json"
    """``json`` and ``string``: GET. ``hash``: HGETALL, a record of texts, in which a dot in a name
    nests. ``list``: LRANGE from the head, each item JSON. ``zset``: the highest scores first,
    each member JSON."""

    decode: Callable[[Any], Any] | None = None
    """Takes the place of JSON or text: called with bytes, of a list or zset with each item's, of
    a hash with a mapping from text to bytes. None from it is nothing."""

    as_of: str = ""
    """Dotted path in the value to when it was known to be true."""

    separators: str = ":"
    """Characters that an id may not hold, because they would lead to another key: the id
    ``17:orders`` under ``customer:{id}``. Empty where ids hold them and keys are made so."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.key, str) or _HOLE not in self.key:
            raise ConfigurationError(f"key: expected {_HOLE} where the id belongs")
        if self.kind not in _KINDS:
            raise ConfigurationError(f"kind: expected one of {', '.join(sorted(_KINDS))}")

    def place(self, identifier: str) -> str | None:
        """
        Return the key of an id; None for one that would lead elsewhere.
        """
        if not is_sound(identifier) or any(each in identifier for each in self.separators):
            return None
        return self.key.replace(_HOLE, identifier)

    def command(self, pipe: Any, key: str, limit: int) -> None:
        """
        Enter the command that reads it, of a list with one item more than *limit*.
        """
        if self.kind == "hash":
            pipe.hgetall(key)
        elif self.kind == "list":
            pipe.lrange(key, 0, limit)
        elif self.kind == "zset":
            pipe.zrevrange(key, 0, limit)
        else:
            pipe.get(key)

    def read(self, raw: Any, limit: int) -> Found | None:
        """
        Return what a reply means; None where there is nothing.

        Raises:
            Exception: it is not of the form expected.
        """
        if raw is None or (self.kind in {"hash", "list", "zset"} and not raw):
            return None
        value, is_cut = cut(self._decoded(raw), limit)
        if value is None:
            return None
        as_of = moment(walk(value, self.as_of)) if self.as_of else None
        return Found(plain(value), as_of, None, is_cut)

    def _decoded(self, raw: Any) -> Any:
        decode = self.decode
        if self.kind == "hash":
            fields = {name.decode(): value for name, value in raw.items()}
            if decode is not None:
                return decode(fields)
            return nest({name: value.decode() for name, value in fields.items()})
        if decode is None:
            decode = bytes.decode if self.kind == "string" else msgspec.json.decode
        return [decode(each) for each in raw] if self.kind in {"list", "zset"} else decode(raw)


class RedisProvider(Provider):
    """
    Reads customers out of Redis (6 and later) or Valkey, all subjects and sections of a request in
    one pipeline. Safe from any thread; a forked child connects anew. Blocks until the request's
    deadline at most; nothing is tried twice.

    A key that is missing is nothing. One of another type, or that cannot be read, fails alone.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py takes it.

        name: a token, unique among the providers of a client.

        sections: section → `RedisSection`, or the key of one that holds JSON:
            ``{"profile": "profile:{id}"}``.

        takes: ``raw`` for the host's own ids, ``wire`` for ids as events carry them.

        timeout: seconds for a connection and for an answer each, where the deadline is later;
            what hangs holds one of 16 connections for so long.

        max_batch: subjects per request.

        visibility_lag: seconds until an event shows in the answers.

    Raises:
        ConfigurationError: an argument is wrong.
        ExtraMissingError: redis is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        sections: Mapping[str, RedisSection | str],
        takes: str = "raw",
        timeout: float = 1.0,
        max_batch: int = 50,
        visibility_lag: float = 0.0,
    ) -> None:
        try:
            import redis
        except ImportError:
            raise ExtraMissingError("redis", "redis") from None
        self._settle(name, sections, takes, ("id",), visibility_lag)
        try:
            parse: Any = redis.connection.parse_url
            parse(url)
        except (ValueError, AttributeError, TypeError):
            raise ConfigurationError(
                f"{name}.url: expected a Redis URL, as in redis://host:6379/0"
            ) from None
        if isinstance(timeout, bool) or not 0 < timeout < 1e6:
            raise ConfigurationError(f"{name}.timeout: expected seconds, more than 0")
        self._url, self._timeout = url, timeout
        self.max_batch = max_batch
        self._places = {
            section: RedisSection(place) if isinstance(place, str) else place
            for section, place in sections.items()
        }
        self._client: PerProcess[Any] = PerProcess(self._connect)
        self._bounded = Bounded(name, _CONNECTIONS)

    def _connect(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis.from_url(
            self._url,
            max_connections=_CONNECTIONS,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            # By default redis-py tries ten times, and a dead server costs four seconds.
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
            socket_keepalive=True,
        )

    def fetch(self, request: LookupRequest) -> Results:
        """
        Ask the server. Blocks until the deadline at most.

        Raises:
            ProviderError: it cannot be asked.
        """
        wanted = self._asked(request)
        left(request, self.name)
        results: dict[str, dict[str, Any]] = {}
        asked: list[tuple[str, str, str]] = []
        for subject in request.subjects:
            results[subject.id] = {}
            for section, key in self._keys(subject, wanted):
                if key is None:
                    results[subject.id][section] = INVALID
                else:
                    asked.append((subject.id, section, key))
        if not asked:
            return results
        limits = {
            section: min(request.limits.get(section, _MOST_ITEMS), _MOST_ITEMS)
            for section in wanted
        }
        client = self._client.get()
        replies = self._bounded.run(
            lambda _: self._pipeline(client, asked, limits), request.deadline
        )
        for (identifier, section, _), reply in zip(asked, replies, strict=True):
            said = self._meaning(section, reply, limits[section])
            if said is not None:
                results[identifier][section] = said
        return results

    def _keys(self, subject: Subject, wanted: frozenset[str]) -> Iterable[tuple[str, str | None]]:
        if subject.space != "id":
            return ()
        return [(section, self._places[section].place(subject.id)) for section in sorted(wanted)]

    def _pipeline(
        self, client: Any, asked: list[tuple[str, str, str]], limits: Mapping[str, int]
    ) -> list[Any]:
        import redis

        try:
            with client.pipeline(transaction=False) as pipe:
                for _, section, key in asked:
                    self._places[section].command(pipe, key, limits[section])
                replies: list[Any] = pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            raise self._trouble(error) from None
        for reply in replies:
            if isinstance(reply, redis.ConnectionError):
                raise self._trouble(reply)
        return replies

    def _trouble(self, error: Exception) -> ProviderError:
        import redis

        code = ErrorCode.GENERAL
        if isinstance(error, (redis.TimeoutError, TimeoutError)):
            code = ErrorCode.DEADLINE_EXCEEDED
        elif isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
            code = ErrorCode.AUTH
        elif isinstance(error, (redis.ConnectionError, OSError)):
            code = ErrorCode.CONNECTION
        elif isinstance(error, redis.ResponseError):
            code = _code(error)
        return ProviderError(code, f"{self.name}: {called(error)}")

    def _meaning(self, section: str, reply: Any, limit: int) -> Found | Failed | None:
        if isinstance(reply, Exception):
            return Failed(ErrorCode(_code(reply)), f"{self.name}: {section}: {called(reply)}")
        try:
            return self._places[section].read(reply, limit)
        except Exception as error:  # noqa: BLE001 - whatever stands there, or a team's decode
            words = f"{self.name}: {section}: {called(error)}"
            return Failed(ErrorCode.PARSE_ERROR, words)

    def close(self) -> None:
        """
        Close the connections. Idempotent.
        """
        super().close()
        client = self._client.take()
        if client is not None:
            client.close()
            client.connection_pool.disconnect()


_REFUSED = frozenset({"NoPermissionError", "AuthenticationError", "AuthorizationError"})


def _code(error: Exception) -> ErrorCode:
    words = str(error)
    if "wrong kind of value" in words:
        return ErrorCode.PARSE_ERROR
    # redis-py cuts the server's code off where it has a class for it.
    if type(error).__name__ in _REFUSED or words.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
        return ErrorCode.AUTH
    return ErrorCode.GENERAL
