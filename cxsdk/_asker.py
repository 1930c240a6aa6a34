"""
The prompt engine of a client: made at its first use, ended with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.config import Settings
from cxsdk.errors import CXError
from cxsdk.scope import WireId

if TYPE_CHECKING:
    from cxsdk.lookup.engine import Engine as Lookups
    from cxsdk.pipeline.capture import Capture
    from cxsdk.prompts.engine import Engine

__all__ = ["Asker"]

_SHARE = 0.6


class Asker:
    """
    Holds the engine of one client. Thread-safe.

    Args:
        capture: returns the capture in force, None where there is none.

        lookups: returns the engine of lookups, None where there is none.
    """

    def __init__(
        self,
        settings: Settings,
        capture: Callable[[], Capture | None],
        lookups: Callable[[], Lookups | None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._capture = capture
        self._lookups = lookups
        self._clock = clock
        self._engine: Engine | None = None

    def engine(self) -> Engine:
        """
        Return the engine.

        Raises:
            ConfigurationError: a prompt, the cap store or the keys are wrong.
            ExtraMissingError: ``cxsdk[prompts]`` or the store's extra is not installed.
        """
        if self._engine is None:
            from cxsdk.prompts.setup import open_engine

            with _fork.own_lock():
                if self._engine is None:
                    self._engine = open_engine(
                        self._settings, self._capture, self._clock, self._attributes()
                    )
        return self._engine

    def _attributes(self) -> Callable[[Any], Mapping[str, Any]] | None:
        """
        Return what tells rules of a customer: the team's function, else what context knows.
        """
        options = self._settings.prompts
        own = options.attributes
        if own is not None:
            # Of a customer that another service named the host's own id is not known.
            return lambda customer: {} if type(customer) is WireId else own(customer)
        if "context" not in self._settings.said:
            return None
        from cxsdk.lookup.traits import Traits

        # The rest of the decision, the cap store's part of it, has to fit into the deadline too.
        return Traits(self._lookups, options.purpose, options.deadline * _SHARE)

    def warm_up(self) -> None:
        """
        Open the cap store of an engine that there is, so that the first page need not. Blocks on
        the store; what fails is said by the first decision.
        """
        if self._engine is not None:
            with suppress(CXError):
                self._engine.store.counts()

    def in_handler(self) -> Engine | None:
        """
        Return the engine for a running handler: None where nothing is captured, or where there
        can be none, which is said and in strict mode raised.
        """
        if self._engine is None and self._capture() is None:
            return None
        try:
            return self.engine()
        except CXError as error:
            if self._settings.strict:
                raise
            voice.say(logging.ERROR, "prompts:none", "cxsdk: nobody is asked: %s", error)
            return None

    def settle(self) -> None:
        """
        Wait a second at most until what happened so far is known to prompts.
        """
        self._end(close=False)

    def close(self) -> None:
        """
        Let go of threads and connections. Idempotent.
        """
        self._end(close=True)

    def _end(self, *, close: bool) -> None:
        if self._engine is None:
            return
        try:
            if close:
                self._engine.close()
            else:
                self._engine.watcher.settle(1.0)
        except Exception as error:  # noqa: BLE001 - a team's own store may raise anything
            voice.say(logging.WARNING, "prompts:end", "cxsdk: prompts end: %r", error)

    def stats(self) -> dict[str, Any]:
        """
        Return the engine's figures; nothing where it was never used.
        """
        return {} if self._engine is None else self._engine.stats()
