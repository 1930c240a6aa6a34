"""
The engine of lookups of a client: made at its first use, ended with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._guard import is_ours, voice
from cxsdk.config import Settings
from cxsdk.errors import CXError
from cxsdk.scope import Scope

if TYPE_CHECKING:
    from cxsdk.lookup.baggage import Carrier
    from cxsdk.lookup.engine import Engine
    from cxsdk.lookup.forgetting import Eraser
    from cxsdk.lookup.people import Key, Person
    from cxsdk.parts import Parts
    from cxsdk.pipeline.capture import Capture
    from cxsdk.prompts.engine import Engine as Prompts
    from cxsdk.remembering import ForgetReceipt
    from cxsdk.typing import Spool

__all__ = ["Knower"]


class Knower:
    """
    Holds the engine of one client. Thread-safe.

    Args:
        capture, spool, prompts: return the one in force, None where there is none.
    """

    def __init__(
        self,
        settings: Settings,
        capture: Callable[[], Capture | None],
        spool: Callable[[], Spool | None],
        prompts: Callable[[], Prompts | None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._capture = capture
        self._spool = spool
        self._prompts = prompts
        self._clock = clock
        self.engine: Engine | None = None
        self._is_over = False
        self._baggage: Carrier | None = None

    @property
    def is_wanted(self) -> bool:
        """
        Say whether the team said anything about context: then it is there from the start, so that
        nothing of what happens is missed.
        """
        return "context" in self._settings.said and not self._settings.disabled

    def open(self) -> Engine:
        """
        Return the engine.

        Raises:
            ConfigurationError: a provider, a plan or the shared memory is wrong.
            ExtraMissingError: the shared memory's extra is not installed.
        """
        if self.engine is None:
            from cxsdk.lookup.setup import open_engine

            with _fork.own_lock():
                if self.engine is None:
                    engine = open_engine(self._settings, self._capture, self._clock)
                    self.engine = engine
                    capture = self._capture()
                    if capture is not None:
                        engine.attach(capture)
        return self.engine

    def in_handler(self) -> Engine | None:
        """
        Return the engine for a running handler: None where it is switched off, or where there can
        be none, which is said and in strict mode raised.
        """
        if self.engine is not None:
            return self.engine
        if self._settings.disabled or self._is_over:
            return None
        try:
            return self.open()
        except Exception as error:
            if not is_ours(error) or (self._settings.strict and isinstance(error, CXError)):
                raise
            self._is_over = True
            voice.say(logging.ERROR, "context:none", "cxsdk: nobody is known: %s", error)
            return None

    # ---- from service to service ---------------------------------------------------------------

    def carry(self, target: str, headers: Any) -> dict[str, str]:
        """
        Return headers for another service; see `Knowing.carry`.
        """
        if not self._settings.context.carry_to or self._settings.disabled:
            return {}
        try:
            return self._carrier().outgoing(target, headers)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._say_baggage(error)
            return {}

    def received(self, headers: Any) -> Scope:
        """
        Return a scope of another service's headers; see `Knowing.received`.
        """
        try:
            return self._carrier().incoming(headers)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._say_baggage(error)
            return Scope()

    def kept(self, target: str, headers: Any) -> str | None:
        """
        Return the baggage that a request may keep, None where it may keep all; see `Carrier.kept`.
        """
        try:
            return self._carrier().kept(target, headers)
        except Exception as error:  # noqa: BLE001 - judged in there
            self._say_baggage(error)
            return None

    def _carrier(self) -> Carrier:
        if self._baggage is None:
            from cxsdk.lookup.baggage import Carrier

            settings = self._settings
            self._baggage = Carrier(
                allow=settings.context.carry_to,
                key=settings.privacy.key,
                environment=settings.environment,
                now=lambda: self._clock.time_ns() / 1e9,
            )
        return self._baggage

    @staticmethod
    def _say_baggage(error: Exception) -> None:
        if not is_ours(error):
            raise error
        said = error if isinstance(error, CXError) else type(error).__name__
        voice.say(logging.WARNING, "context:baggage", "cxsdk: nobody travels: %s", said)

    def attach(self, parts: Parts) -> None:
        """
        Let the engine hear of what is kept in this process. There is one where the team said
        anything about context, or where somebody was erased: that holds for every process.
        """
        self._is_over = False
        parts.chores.append(self.look)
        if self.engine is None and (self.is_wanted or self._has_tombstones()):
            self.open()
        if self.engine is not None:
            self.engine.attach(parts.capture)

    def look(self) -> None:
        """
        Take note of what other processes of this host erased. Blocks on the disk for a moment.
        """
        if self._is_over:
            return
        if self.engine is not None:
            self.engine.knowledge.look()
        elif self._has_tombstones():
            self.in_handler()

    def _has_tombstones(self) -> bool:
        settings = self._settings
        if settings.disabled or settings.spool.mode in {"memory", "off"}:
            return False
        from cxsdk.lookup.tombstones import path_of

        return path_of(settings).exists()

    # ---- erasure and access -------------------------------------------------------------------

    def person(self, customer: Any, anonymous: str | None) -> Person:
        """
        Return whom a call is about; who was linked to another, as that one.

        Raises:
            InvalidEventError: the id is wrong, or there is nobody.
        """
        from cxsdk.scope import current_scope

        whom = self.open().whom
        return whom.canonical(whom.person(customer, anonymous, current_scope.get())[0])

    def forget(
        self,
        person: Person,
        say: Callable[[], str],
        *,
        suppress: bool,
        timeout: float,
    ) -> ForgetReceipt:
        """
        Erase a customer everywhere; see `Eraser.forget`.
        """
        seconds = self._settings.context.suppress_for if suppress else 0.0
        return self._eraser().forget(person, say, suppress_for=seconds, timeout=timeout)

    def export(self, person: Person) -> dict[str, Any]:
        """
        Return what is held of a customer; see `Eraser.export`.
        """
        return self._eraser().export(person)

    def _eraser(self) -> Eraser:
        from cxsdk.lookup.forgetting import Eraser

        erasing = {"undelivered": self._unspool, "prompts": self._unask}
        return Eraser(self.open(), erasing, {"prompts": self._asked})

    def _unspool(self, _: Person, keys: tuple[Key, ...]) -> int | None:
        spool = self._spool()
        if spool is None:
            return None
        return sum(spool.erase(tag) for tag in self.open().knowledge.tags(keys))

    def _unask(self, _: Person, keys: tuple[Key, ...]) -> int | None:
        engine = self._asking()
        if engine is None:
            return None
        count = sum(engine.store.forget(each) for each in _asked_as(keys))
        engine.merged.clear()  # whoever was joined to them may come again
        return count

    def _asked(self, _: Person, keys: tuple[Key, ...]) -> list[dict[str, Any]]:
        engine = self._asking()
        return [
            {
                "prompt": offer.prompt,
                "state": offer.state,
                "reserved_at": offer.reserved_at,
                "ended_at": offer.ended_at,
            }
            for subject in (() if engine is None else _asked_as(keys))
            for offer in (engine.store.history(subject).offers if engine else ())
        ]

    def _asking(self) -> Prompts | None:
        # Where no prompt is configured there is no store to open for an erasure.
        said = self._settings.said
        return self._prompts() if "prompts" in said else None

    # ---- looking in, and ends -----------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """
        Return the engine's figures; nothing where it was never used.
        """
        return {} if self.engine is None else self.engine.stats()

    def settle(self) -> None:
        """
        Wait a second at most until other processes can know what happened here.
        """
        recall = None if self.engine is None else self.engine.knowledge.recall
        if recall is None:
            return
        try:
            recall.overlay.settle(1.0)
        except CXError as error:
            voice.say(logging.WARNING, "context:settle", "cxsdk: %s", error)

    def close(self) -> None:
        """
        Let go of threads and connections, a second or two at most. Idempotent.
        """
        self._is_over = True
        engine, self.engine = self.engine, None
        if engine is None:
            return
        try:
            engine.close()
        except Exception as error:  # noqa: BLE001 - a team's own provider may raise anything
            voice.say(logging.WARNING, "context:end", "cxsdk: context ends: %r", error)


def _asked_as(keys: tuple[Key, ...]) -> list[str]:
    """
    Return the subjects under which the prompts' store knows a customer.
    """
    from cxsdk.prompts.deciding import subject_of

    return [subject_of("c" if space == "id" else "a", wire) for space, wire in keys]
