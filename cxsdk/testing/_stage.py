"""
What a test puts in the place of parts of clients: a clock, strictness, prompts, what is known.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from cxsdk import _clock, _default, _exit, _standin
from cxsdk.client import Client

if TYPE_CHECKING:
    from cxsdk.config import Settings
    from cxsdk.typing import Batch, SendResult, Sink

__all__ = ["Stage"]

_PLAIN = ("service", "environment", "version", "api_key", "tz", "strict", "source", "purpose")
_GROUPS = ("spool", "delivery", "privacy", "capture", "prompts", "context")
_PATIENCE_S = 1.0

Settle = Callable[["Settings"], "Settings"]
Show = Callable[[Any], None]


class _Lent:
    """
    A host's own sink, lent to a client that ends before the host is done with it.
    """

    def __init__(self, sink: Sink) -> None:
        self.inner = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def fingerprint(self) -> str:
        """
        Return where it goes.
        """
        return self.inner.fingerprint

    def send(self, batch: Batch) -> SendResult:
        """
        Send by the host's sink.
        """
        return self.inner.send(batch)

    def close(self) -> None:
        """
        Leave the host's sink open.
        """


class Stage:
    """
    Stands for one test; a context manager. Used by the thread that runs the test.

    Holds for the default client that there is, which is made anew in its place and put back as it
    was at the end, and for every client that is made meanwhile. Where there is no default client,
    or only a closed one, there is one for the time being.

    Args:
        strict: raise what production would only count and log.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self._changes: list[Settle] = []
        self._shows: list[Show] = []
        self._clocks: list[_clock.Clock] = []
        self._settled: list[tuple[Settings, Settings]] = []
        """What a client goes by, and what it would go by outside of the test."""

        self._before: Client | None = None
        self._own: Client | None = None
        self._kept: dict[str, Any] | None = None
        self._drain: Any = None

    def __enter__(self) -> Self:
        _standin.settings.append(self._settle)
        try:
            self._begin()
        except BaseException:
            _standin.settings.remove(self._settle)
            raise
        return self

    def _begin(self) -> None:
        before = self._before = _default.client()
        # A client that an earlier test closed takes nothing any more.
        if before is None or before.health().reason == "closed":
            self._own = Client("test")
            _default.replace(self._own)
            return
        self._drain = _exit._drains.get(id(before))
        self._kept = dict(vars(before))
        try:
            self._make_anew(before, before.settings)
        except BaseException:
            self._put_back(before)
            raise

    # ---- what stands in ----------------------------------------------------------------------

    def hold(self, clock: _clock.Clock) -> None:
        """
        Have *clock* be the one in force.
        """
        _clock.held.append(clock)
        self._clocks.append(clock)
        self._renew()

    def put(self, settle: Settle, show: Show) -> None:
        """
        Change settings by *settle*, and show each engine that is opened to *show*.
        """
        self._changes.append(settle)
        self._shows.append(show)
        _standin.engines.append(show)
        self._renew()

    def _settle(self, plain: Settings) -> Settings:
        settings = attrs.evolve(plain, strict=self.strict, collector=_lent(plain.collector))
        for change in self._changes:
            settings = change(settings)
        self._settled.append((settings, plain))
        return settings

    def _plain(self, client: Client) -> Settings:
        found = (plain for settled, plain in self._settled if settled is client.settings)
        return next(found, client.settings)

    def _renew(self) -> None:
        """
        Let the default client have what was put after it was made.
        """
        client = _default.client()
        if client is not None and client.health().reason != "closed":
            plain = self._plain(client)
            client.close(_PATIENCE_S)
            self._make_anew(client, plain)

    # ---- its end -----------------------------------------------------------------------------

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _standin.settings.remove(self._settle)
        for show in self._shows:
            _standin.engines.remove(show)
        for clock in self._clocks:
            _clock.held.remove(clock)
        now = _default.client()
        if self._own is not None:
            self._own.close(_PATIENCE_S)
            # An ``init`` of the code under test may have taken its place meanwhile.
            if now is self._own:
                _default.replace(self._before)
        elif self._before is not None:
            was_closed = self._before.health().reason == "closed"
            self._before.close(_PATIENCE_S)
            self._put_back(self._before)
            if was_closed:
                self._before.close(_PATIENCE_S)
        if now is not None and now not in {self._own, self._before}:
            self._let_go(now)

    def _put_back(self, client: Client) -> None:
        assert self._kept is not None  # noqa: S101 - for the type
        vars(client).clear()
        vars(client).update(self._kept)
        if self._drain is not None:
            _exit.register(client, *self._drain)

    def _let_go(self, client: Client) -> None:
        """
        Have a client that the code under test made, and left open, be what it said.
        """
        plain = self._plain(client)
        is_closed = client.health().reason == "closed"
        client.close(_PATIENCE_S)
        if not is_closed:
            self._make_anew(client, plain)
        elif plain.collector is not None:
            for sink in _sinks_of(plain.collector):
                sink.close()

    def _make_anew(self, client: Client, plain: Settings) -> None:
        """
        Make *client* once more in its place, so that whoever holds it has what stands in.

        Raises:
            ConfigurationError: what a test says does not go with it.
        """
        said: dict[str, Any] = {name: getattr(plain, name) for name in _PLAIN}
        said |= {name: getattr(plain, name) for name in _GROUPS if name in plain.said}
        engine, clock = client.asker._engine, client._clock
        is_own = not isinstance(clock, _clock.SystemClock) and clock not in self._clocks
        Client.__init__(
            client,
            collector=plain.collector,
            processors=client._processors,
            # The engine's own ears end with it.
            listeners=[
                each
                for each in client._listeners
                if engine is None or getattr(each, "__self__", None) is not engine
            ],
            outbox=client._outbox_source,
            clock=clock if is_own else None,
            **said,
        )


def _sinks_of(collector: Any) -> list[Any]:
    named = collector.values() if hasattr(collector, "values") else (collector,)
    return [each for each in named if not isinstance(each, str)]


def _lent(collector: Any) -> Any:
    """
    Return what *collector* names, with sinks that are the host's own as lent ones.
    """
    if collector is None or isinstance(collector, (str, _Lent)):
        return collector
    if hasattr(collector, "values"):
        return {name: _lent(each) for name, each in collector.items()}
    return _Lent(collector)
