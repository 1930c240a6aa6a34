"""
The client: composition root. Owns one of each part, hands work on, holds no logic of its own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxsdk import _exit, _fork
from cxsdk._asker import Asker
from cxsdk._clock import Clock, in_force
from cxsdk._guard import logger, voice
from cxsdk._knower import Knower
from cxsdk._knowing import Knowing
from cxsdk.config import (
    CaptureOptions,
    ContextOptions,
    DeliveryOptions,
    PrivacyOptions,
    PromptOptions,
    SpoolOptions,
    resolve,
)
from cxsdk.instrument import Instrument
from cxsdk.outbox.transaction import Transaction
from cxsdk.parts import NOTHING, Parts, say_no_collector, say_no_key, show_metrics
from cxsdk.typing import (
    DeliveryReport,
    Dropped,
    Health,
    Listener,
    Processor,
    Sink,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cxsdk.lookup.engine import Engine as Lookups
    from cxsdk.pipeline.capture import Capture
    from cxsdk.prompts.engine import Engine

__all__ = ["Client"]

_RETIRED = 0
"""Generation of a capture that the end of the process was drained with; no process has it."""


class Client(Instrument, Knowing):
    """
    One service's way to its collectors. Most hosts use the default one, made by ``cx.init``.

    Safe from threads, tasks and forks: a forked child gets parts of its own at its first use.
    Making one touches no disk and starts no thread (leftovers of an earlier run schedule one
    delayed look).

    Args:
        service: name of the deployable; also ``CXSDK_SERVICE``.

        collector: a URL (``http://…``, ``file:…``, ``console:``, ``memory:``, ``null:``), a
            `Sink`, or a mapping of sink names to these. None: nothing is kept.

        environment: events of one environment are never delivered by another.

        version: of the service; stands on every event.

        api_key: sent to an HTTP collector as a bearer token.

        tz: IANA zone in which promises by date are read, where nothing nearer says one.

        strict: raise what would be counted and logged; for tests and development.

        purpose: what customers are looked up for, where a call does not say.

        spool, delivery, privacy, capture, prompts, context: option groups.

        processors: the team's own steps, ``Event -> Event | None``.

        listeners: called with every accepted event.

        outbox: where rows of `outbox` that a crash left are looked for, beside the databases this
            process writes to: a SQLAlchemy engine, its URL, or ``django:<alias>``.

        clock: for tests.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        service: str | None = None,
        *,
        collector: str | Sink | Mapping[str, str | Sink] | None = None,
        environment: str | None = None,
        version: str | None = None,
        api_key: str | None = None,
        tz: str | None = None,
        strict: bool | None = None,
        source: str | None = None,
        spool: SpoolOptions | None = None,
        delivery: DeliveryOptions | None = None,
        privacy: PrivacyOptions | None = None,
        capture: CaptureOptions | None = None,
        prompts: PromptOptions | None = None,
        context: ContextOptions | None = None,
        purpose: str | None = None,
        processors: Sequence[Processor] = (),
        listeners: Sequence[Listener] = (),
        outbox: Any = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        arguments = {
            "service": service,
            "collector": collector,
            "environment": environment,
            "version": version,
            "api_key": api_key,
            "tz": tz,
            "strict": strict,
            "source": source,
            "spool": spool,
            "delivery": delivery,
            "privacy": privacy,
            "capture": capture,
            "prompts": prompts,
            "context": context,
            "purpose": purpose,
        }
        self.settings, warnings = resolve(arguments)
        for warning in warnings:
            voice.say(logging.WARNING, f"setting:{warning}", "cxsdk: %s", warning)
        self._clock, self._why_off = clock or in_force(), ""
        self._processors = processors
        self.asker = Asker(self.settings, self.capture, self.lookups, self._clock)
        self.knower: Knower = Knower(
            self.settings,
            self.capture,
            lambda: self._parts.spool,
            self.asker.in_handler,
            self._clock,
        )
        self._listeners = listeners
        asked = self.settings.prompts
        if (asked.prompts or asked.files is not None) and not self.settings.disabled:
            # What is wrong with a prompt is said here and not at the first page that asks; a
            # variable for all services, CXSDK_CAP_STORE say, is nothing to one that asks nobody.
            watch = self.prompts.watch if self.prompts.needs_watching else None
            self._listeners = listeners if watch is None else (*listeners, watch)
        self._outbox_source = outbox
        from cxsdk.sinks import open_sinks

        self._sinks = {} if self.settings.disabled else open_sinks(self.settings)
        self._is_shown = False
        self._is_ending = False
        self._capture: Capture | None = None
        self._parts = self._build()
        self.knower.attach(self._parts)
        self._capture = self._switch()

    def _build(self) -> Parts:
        return Parts(
            self.settings,
            self._sinks,
            self._clock,
            self._processors,
            self._listeners,
            self._first,
            self._switched,
            self._outbox_source,
        )

    def _switched(self, off: bool) -> None:  # noqa: FBT001 - a callback
        """
        Heed the OFF file in the spool root, and its going away.
        """
        if self._why_off in {"", "switched_off"}:
            self._why_off = "switched_off" if off else ""
            self._capture = None if off else self._parts.capture
            logger.warning("cxsdk: capture is %s by the OFF file", "off" if off else "on again")

    def _switch(self) -> Capture | None:
        """
        Decide once whether anything is captured, and say so when not.
        """
        settings = self.settings
        if settings.disabled or settings.spool.mode == "off":
            self._why_off = "disabled"
            return None
        from cxsdk.pipeline.capture import diversions

        if not self._sinks and not diversions:
            say_no_collector(settings)
        if settings.privacy.key is None:
            say_no_key()
        spool = self._parts.spool
        if spool is not None and spool.leftovers():
            self._first()
        return None if self._why_off else self._parts.capture

    # ---- capture in force -----------------------------------------------------------------

    def capture(self) -> Capture | None:
        """
        Return the capture of this process, or None when off or closed. For the verbs.
        """
        capture = self._capture
        if capture is None or _fork.page[0] == capture.generation:
            return capture
        return self._renew()

    def _renew(self) -> Capture | None:
        """
        Make new parts in a forked child; nothing of the parent's is closed or locked. Likewise
        for what comes after the drain at the end of the process.
        """
        with _fork.own_lock():
            # Two threads of the child may come here at once; a second set of parts would hold
            # events that nobody delivers.
            if not self._is_own():
                voice.renew()
                self._parts.abandon()
                self._is_ending = False
                self._replace_parts()
            elif self._capture is not None and self._capture.generation == _RETIRED:
                if sys.is_finalizing():
                    # Finalizers of the host: nothing can be imported any more.
                    self._why_off, self._capture = "closed", None
                else:
                    self._replace_parts()
        return self._capture

    def _replace_parts(self) -> None:
        self._parts = self._build()
        self.knower.attach(self._parts)
        self._capture = self._parts.capture

    def _open_capture(self) -> Capture | None:
        """
        Return the capture of this process for those who only look: after the drain at the end
        there is none, and none is made.
        """
        capture = self._capture
        if capture is not None and capture.generation == _RETIRED and self._is_own():
            return None
        return self.capture()

    def _is_own(self) -> bool:
        return _fork.page[0] == self._parts.generation

    def off(self) -> Dropped:
        """
        Return why nothing is captured; said once.
        """
        reason = self._why_off or "disabled"
        if reason == "closed":
            voice.say(
                logging.WARNING,
                "closed",
                "cxsdk: an event came after close() and is dropped; later ones silently",
            )
        return Dropped(reason)

    def _first(self) -> None:
        """
        Begin delivery: at the first accepted event, or when an earlier run left something.
        """
        parts = self._parts
        if parts.delivery is not None and not self._is_ending:
            parts.delivery.start()
            self._show_metrics()
            _exit.register(self, self._drain, self.drain_seconds)

    def _show_metrics(self) -> None:
        # Only where the host has a meter: importing the API alone would cost it 20 ms.
        if "opentelemetry.sdk.metrics" in sys.modules and not self._is_shown:
            self._is_shown = True
            show_metrics(self.stats)

    def warm_up(self) -> None:
        """
        Do the first-time work now: a look at the disk, threads, the cap store. Blocks on these.
        """
        if self.capture() is not None and self._parts.spool is not None:
            self._parts.spool.maintain()
            self._first()
        self.asker.warm_up()

    @property
    def drain_seconds(self) -> float:
        """
        Return how long the end of the process may take, in seconds.
        """
        said = self.settings.delivery.drain_seconds
        if said is not None:
            return said
        spool = self._parts.spool
        return 10.0 if getattr(spool, "volatile", False) else 2.0

    def outbox(self, over: Any = None, *, using: str | None = None) -> Transaction:
        """
        Return the verbs over a transaction of the host's own database; see `cxsdk.outbox`.
        """
        is_off = self.capture() is None
        return Transaction(self) if is_off else self._parts.outbox.open(self, over, using)

    @property
    def prompts(self) -> Engine:
        """
        Return the prompt engine, made at its first use.

        Raises:
            ConfigurationError: a prompt, the cap store or the keys are wrong.
        """
        return self.asker.engine()

    def lookups(self) -> Lookups | None:
        """
        Return the engine of lookups, or None where there can be none. Never raises, but in strict
        mode what is wrong with its settings.
        """
        return self.knower.engine or self.knower.in_handler()

    # ---- ends -----------------------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> DeliveryReport:
        """
        Deliver what is waiting; block up to *timeout* seconds. What is left stays spooled.
        """
        parts = self._ready_to_flush()
        return parts.flush(timeout) if parts else NOTHING

    async def aflush(self, timeout: float = 5.0) -> DeliveryReport:  # noqa: ASYNC109
        """
        Like `flush`, without blocking the event loop.
        """
        parts = self._ready_to_flush()
        return await parts.aflush(timeout) if parts else NOTHING

    def _ready_to_flush(self) -> Parts | None:
        capture = self._open_capture()
        if capture is not None:
            capture.write_losses()
        # The OFF file stops capture; what was accepted before it is still delivered.
        is_open = capture is not None or self._why_off == "switched_off"
        return self._parts if is_open and self._is_own() else None

    def close(self, timeout: float = 5.0) -> DeliveryReport:
        """
        Deliver what is waiting for up to *timeout* seconds, then let go of everything.

        Idempotent. Later events are `Dropped` as ``closed``; what was not delivered is spooled
        for the next process.
        """
        parts = self._closing()
        report = parts.close(timeout) if parts else NOTHING
        self._closed()
        return report

    async def aclose(self, timeout: float = 5.0) -> DeliveryReport:  # noqa: ASYNC109
        """
        Like `close`, without blocking the event loop.
        """
        import asyncio

        # Stores and providers may be slow to say goodbye.
        await asyncio.to_thread(self.asker.close)
        await asyncio.to_thread(self.knower.close)
        parts = self._closing()
        report = await parts.aclose(timeout) if parts else NOTHING
        if self._parts.spool is not None:
            await asyncio.to_thread(self._closed)
        return report

    def _closing(self) -> Parts | None:
        self.asker.close()
        self.knower.close()
        parts = self._ready_to_flush()
        if self._why_off in {"", "switched_off"}:
            self._why_off = "closed"
        self._capture = None
        _exit.forget(self)
        return parts

    def _closed(self) -> None:
        if self._parts.spool is not None and self._is_own():
            self._parts.spool.close()

    def _drain(self, seconds: float, final: bool) -> None:  # noqa: FBT001 - a callback
        capture = self._capture
        if not self._is_own():
            return
        if not final:
            self.asker.settle()
            self.knower.settle()
            self.flush(seconds)
        elif capture is None or not getattr(self._parts.spool, "durable", False):
            self.close(seconds)
        else:
            # Threads of the host may still be at work (uWSGI, daemons): what they say from here
            # on is spooled by parts of its own, and the next process delivers it.
            self.asker.settle()
            self.knower.settle()
            capture.write_losses()
            parts, self._is_ending = self._parts, True
            capture.generation = _RETIRED
            parts.close(seconds)
            if parts.spool is not None:
                parts.spool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- looking in -----------------------------------------------------------------------

    def health(self) -> Health:
        """
        Return ``ok``, ``degraded``, ``holding`` or ``off`` with the reason.

        For a dashboard; never for readiness, which a collector must not decide.
        """
        if self._open_capture() is None:
            return Health("off", self._why_off or "closed")
        if self._parts.delivery is None:
            return Health("off", "no_collector")
        return self._parts.delivery.health()

    def stats(self) -> dict[str, Any]:
        """
        Return the ledger, what each sink got, the spool and the settings' levels, as plain data.
        """
        self._open_capture()  # so that a forked child shows its own figures, under its own locks
        more = {"prompts": self.asker.stats(), "context": self.knower.stats()}
        return {**self._parts.stats(), **more}

    @property
    def spool_root(self) -> Path | None:
        """
        Return where events are kept, or None where they are not kept on disk.
        """
        return self._parts.root
