"""
Capture: draft → consent → redact → sample → encode → the team's processors → spool → listeners.

Runs on the host's thread and never raises into it. In the steady state there is no system call
in here, no lock held over I/O and no wake-up of another thread.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._guard import caller, is_ours, voice
from cxsdk._ids import Minter, new_id
from cxsdk._ledger import Ledger
from cxsdk.config import Settings
from cxsdk.errors import CXError, InvalidEventError, SpoolFullError
from cxsdk.pipeline.consent import ConsentGate
from cxsdk.pipeline.customers import ANONYMOUS, Customers, Known
from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.encode import Encoder
from cxsdk.pipeline.forgotten import Forgotten
from cxsdk.pipeline.loss import Losses
from cxsdk.pipeline.plain import plain
from cxsdk.pipeline.redact import Redactor
from cxsdk.pipeline.sample import Sampler
from cxsdk.pipeline.short import ShortWay
from cxsdk.pipeline.team import process, remember, tell
from cxsdk.pipeline.touchpoints import Touchpoints
from cxsdk.pipeline.words import Words, shorten, shorten_fact
from cxsdk.typing import Accepted, Dropped, Kind, Lane, Listener, Processor, Spool

__all__ = ["Capture", "diversions", "strictness"]

# That something began says nothing yet; of whom is to be forgotten nothing is remembered.
_NOT_REMEMBERED = frozenset({"erasure_requested", "started"})
_NOBODY = "nobody to address: customer= on the call, or cx.scope(customer=… or session=…)"

diversions: list[Callable[[bytes], None]] = []
"""While a test captures, events of every client go here instead of into the spool."""

strictness: list[bool] = []
"""Whether clients that are made while tests capture are strict, whatever their settings say."""


def _nowhere(*_: Any) -> bool:
    raise SpoolFullError("no collector")


class Capture:
    """
    The way of an event through one client in one process. Safe from any thread.

    Args:
        spool: where encoded events go, or None where no collector is configured.

        on_first: called once, after the first event was accepted.

        on_withdrawal: called with the tag of a customer who withdrew consent; must not block.
    """

    can_wait = True

    def __init__(
        self,
        settings: Settings,
        spool: Spool | None,
        ledger: Ledger,
        clock: Clock,
        *,
        processors: Sequence[Processor] = (),
        listeners: Sequence[Listener] = (),
        on_first: Callable[[], None] = lambda: None,
        on_withdrawal: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.generation = _fork.current()
        self.settings = settings
        self.strict = strictness[-1] if strictness else settings.strict
        self.instance = os.urandom(6).hex()
        self.customers = Customers(settings.privacy.key)
        self.gate = ConsentGate(settings.privacy, self.customers)
        self.touchpoints = Touchpoints(settings.capture.max_touchpoints)
        self.losses = Losses(clock.time_ns, self._unplain)
        self.encoder = Encoder(settings, self.gate, self.touchpoints, self.instance)
        self._redactor = Redactor(settings.privacy.deny_keys) if settings.privacy.redact else None
        more = settings.privacy.redactor
        self.words = Words(self._redactor, settings.capture.max_event_bytes, more)
        self._sampler = Sampler(settings.capture.sample)
        self._spool = spool
        self._ledger = ledger
        self._offer = ledger.offered.add
        self.mint = Minter().mint
        self.says_started = settings.capture.started
        self.time_ns = clock.time_ns
        self.monotonic_ns = clock.monotonic_ns
        self._counters = {"vital": itertools.count(1), "bulk": itertools.count(1)}
        self._next = {lane: counter.__next__ for lane, counter in self._counters.items()}
        self._next_bulk = self._next["bulk"]
        # True: every interaction is looked at by consent or sampling, not only the unusual ones.
        self._default = default = settings.privacy.consent
        self._is_careful = self._sampler.is_on or self.gate.basis_is_consent or default == "denied"
        self._words = self.gate.words
        self._most_bytes = settings.capture.max_event_bytes
        self.processors = list(processors)
        self.listeners = list(listeners)
        self._on_first = on_first
        self._is_first = True
        # True once nothing is left to do with an encoded event but to keep it.
        self._is_plain = False
        self._append = spool.append if spool is not None else _nowhere
        self.withdraw = on_withdrawal
        self.memory: Any = None  # a `cxsdk.typing.Memory`, where somebody answers lookups
        self._forgotten = Forgotten(clock.monotonic_ns)
        self.contact = ShortWay(self, diversions).take

    # ---- interactions: the hot path -------------------------------------------------------

    def interaction(
        self,
        draft: Draft,
        duration_ms: int,
        said: str | None,
        purposes: tuple[str, ...] | None,
    ) -> bool | Dropped:
        """
        Capture a completed interaction whose fields were checked when they were set.

        Returns whether it is durable, or why it was not taken.
        """
        self._offer()
        seq = 0
        try:
            state = said or self._default
            if (
                self._is_careful
                or said is not None
                or self._words
                or purposes
                or not draft.known.is_known
            ):
                draft.purposes = purposes
                state = self.gate.state_of(said, draft.known)
                # Purposes are stamped with the state in force, as on every other fact.
                said = said or (state if purposes else None)
                refusal = self._admit(draft, state)
                if refusal is not None:
                    return refusal
            attributes = draft.attributes
            if attributes and (self._redactor is None or not self._redactor.passes(attributes)):
                draft.attributes = self.words.clean(attributes)
            if self.processors:
                return self._processed_interaction(draft, duration_ms, said, state)
            seq = self._next_bulk()
            try:
                payload = self.encoder.interaction(draft, duration_ms, said, state, seq)
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                if isinstance(error, CXError) or not is_ours(error):
                    raise
                self._ledger.note("attribute_unsupported")
                # Cleaned and not only made plain: what JSON refused may not be what it equals.
                draft.attributes = self.words.clean(draft.attributes or {})
                payload = self.encoder.interaction(draft, duration_ms, said, state, seq)
            if len(payload) > self._most_bytes:
                shorten(draft)
                payload = self.encoder.interaction(draft, duration_ms, said, state, seq)
                if len(payload) > self._most_bytes:
                    return self._refuse_late(draft, "too_large")
            kind = Kind.INTERACTION
            if state == "granted":
                kind |= self.gate.flag(draft, state)
            if self._is_plain and self.memory is None and not diversions:
                return self._append("bulk", payload, kind, draft.known.tag)
            return self._keep(draft, "bulk", payload, kind)
        except SpoolFullError:
            return self._refuse_late(draft, "spool_full")
        except Exception as error:
            return self._failed(error, draft, late=seq != 0)

    def _admit(self, draft: Draft, state: str) -> Dropped | None:
        known = draft.known
        if self._forgotten and self._forgotten.has(draft):
            return self._drop("forgotten")
        if known.block is None:
            return self._silent("no_customer", _NOBODY, draft.site)
        if not self.gate.admit(draft, state):
            return self._silent(
                "consent",
                f"consent is {state} and nothing else allows to capture this (privacy.consent sets"
                " the default, cx.scope(consent=…) the state)",
                draft.site,
            )
        if self._sampler.is_on and draft.family == "interaction":
            unit = known.session or next(iter(known.block.values()))
            if not self._sampler.keeps(unit):
                return self._drop("sampled")
            draft.sampledrate = self._sampler.one_in
            draft.is_linked = True
        return None

    def _processed_interaction(
        self, draft: Draft, duration_ms: int, said: str | None, state: str
    ) -> bool | Dropped:
        """
        Let the team's processors see the event before it gets its place in the lane's count.
        """
        from cxsdk.events.codec import decode

        draft.attributes = plain(draft.attributes)
        seq = 0
        for _ in range(2):
            encoded = self.encoder.interaction(draft, duration_ms, said, state, 0)
            event = process(decode(encoded), self.processors, self._ledger)
            if event is None:
                return self._refuse_late(draft, "processor") if seq else self._drop("processor")
            seq = seq or self._next_bulk()
            try:
                payload = self.encoder.finish(event, seq)
            except CXError as error:
                return self._failed(error, draft, late=True)
            if len(payload) <= self._most_bytes:
                kind = Kind.INTERACTION | self.gate.flag(draft, state)
                return self._keep(draft, "bulk", payload, kind)
            # Shortened and processed again: what the team takes away must not come back.
            shorten(draft)
        return self._refuse_late(draft, "too_large")

    # ---- every other fact -----------------------------------------------------------------

    def fact(
        self, draft: Draft, said: str | None = None, purposes: tuple[str, ...] | None = None
    ) -> Accepted | Dropped:
        """
        Capture a fact of any family; its model checks every field.
        """
        self._offer()
        try:
            refusal = self._admit_fact(draft, said)
            if refusal is not None:
                return refusal
            state = self.gate.state_of(said, draft.known)
            draft.purposes = purposes
            self.words.redact(draft)
            event = process(self.encoder.fact(draft, said, state), self.processors, self._ledger)
            if event is None:
                return self._drop("processor")
        except Exception as error:
            return self._failed(error, draft, late=False)
        return self._number(draft, said, state, event)

    def _number(self, draft: Draft, said: str | None, state: str, event: Any) -> Accepted | Dropped:
        """
        Give the event of a fact its place in the lane's count, and keep it.
        """
        try:
            lane: Lane = "vital" if draft.is_vital else "bulk"
            seq = self._next[lane]()
            payload = self.encoder.finish(event, seq)
            if len(payload) > self._most_bytes:
                shorten_fact(draft)
                # Processed again: what the team's processors take away must not come back.
                again = self.encoder.fact(draft, said, state)
                event = process(again, self.processors, self._ledger)
                if event is None:
                    return self._refuse_late(draft, "processor")
                payload = self.encoder.finish(event, seq)
                if len(payload) > self._most_bytes:
                    return self._refuse_late(draft, "too_large")
            kept = self._keep(draft, lane, payload, draft.kind | self.gate.flag(draft, state))
            return Accepted(draft.id, kept) if isinstance(kept, bool) else kept
        except Exception as error:
            return self._failed(error, draft, late=True)

    def _admit_fact(self, draft: Draft, said: str | None) -> Dropped | None:
        if self._forgotten and self._forgotten.has(draft):
            return self._drop("forgotten")
        state = self.gate.state_of(said, draft.known)
        if draft.family in {"loss", "prompt"}:
            return None
        if draft.family == "problem" and draft.known.block is None:
            # A problem may be anonymous; the table says under which consent.
            if self.gate.admit(draft, state):
                return None
            return self._silent("consent", f"consent is {state}: anonymous problems are opt-in")
        if draft.family in {"interaction", "problem", "commitment"}:
            return self._admit(draft, state)
        if draft.known.block is None:
            return self._silent("no_customer", "set customer= on the call or in cx.scope()")
        return None if self.gate.admit(draft, state) else self._drop("consent")

    # ---- the common end -------------------------------------------------------------------

    def _keep(self, draft: Draft, lane: Lane, payload: bytes, kind: int) -> bool | Dropped:
        if diversions:
            for divert in diversions:
                divert(payload)
            self.heard(draft, payload)
            return False
        if self._spool is None:
            return self._drop("no_collector")
        try:
            durable = self._spool.append(lane, payload, kind, draft.known.tag)
        except SpoolFullError:
            return self._refuse_late(draft, "spool_full")
        try:
            self._go_on(draft, payload)
        except Exception as error:
            if not is_ours(error) or getattr(error, "counted", False):
                raise
            # The event is kept; it must not count as refused too.
            self._ledger.note("after_error")
            voice.say(logging.ERROR, "after_error", "cxsdk: after an event was kept: %r", error)
        return durable

    def _go_on(self, draft: Draft, payload: bytes) -> None:
        """
        Do what a kept event gives occasion to: begin delivery, tell listeners, write losses.
        """
        if self._is_first:
            # Only then: an exception thrown into it must not leave delivery unstarted for good.
            self._on_first()
            self._is_first = False
            self._set_plain()
        self.heard(draft, payload)
        if self.losses.due and draft.family != "loss":
            self.write_losses()

    def heard(self, draft: Draft, payload: bytes) -> None:
        """
        Let listeners and the memory hear of an event that was kept.
        """
        if self.listeners:
            tell(payload, self.listeners, self._ledger)
        if self.memory is not None and draft.action not in _NOT_REMEMBERED:
            is_contact = draft.family == "interaction"
            remember(self.memory, draft.known, payload, self._ledger, is_contact=is_contact)

    def listen(self, listener: Listener) -> None:
        """
        Have *listener* hear of every event from now on.
        """
        self.listeners.append(listener)
        self._set_plain()

    def _unplain(self) -> None:
        self._is_plain = False

    def _set_plain(self) -> None:
        self._is_plain = not (self._is_first or self.listeners)
        # Looked at last: a loss that another thread adds meanwhile is not overlooked.
        if self.losses.due:
            self._is_plain = False

    def write_losses(self) -> None:
        """
        Write gathered losses as vital ``loss`` records; what does not fit waits.
        """
        now = self.time_ns()
        for data in self.losses.take():
            draft = Draft("loss", "recorded", ANONYMOUS, now, new_id(), data)
            if not self.fact(draft):
                self.losses.give_back(data)
        self._set_plain()

    def counted(self) -> dict[str, int]:
        """
        Return the last number given in each lane (``sdk.seq``), by the one way that takes none.
        """
        return {lane: int(repr(each)[6:-1]) - 1 for lane, each in self._counters.items()}

    # ---- what is not kept -----------------------------------------------------------------

    def forget(self, tags: Iterable[bytes], seconds: float = math.inf) -> None:
        """
        Drop as ``forgotten`` what comes about the customers of *tags* (`Known.tag`) for *seconds*,
        but not their wish to be erased. Never blocks; safe from any thread.
        """
        self._forgotten.add(tags, seconds)
        # The short way looks at nobody.
        self._is_careful = self._is_careful or bool(self._forgotten)

    def _drop(self, reason: str, detail: str = "") -> Dropped:
        self._ledger.refuse(reason)
        return Dropped(reason, detail)

    def _silent(self, reason: str, detail: str, site: Any = None) -> Dropped:
        """
        Drop, and explain it once: a new user must not wonder where the events are.
        """
        if self.strict and reason == "no_customer":
            return self.reject(InvalidEventError("customer", detail, "nobody", code=reason))
        place = caller() if site is None else f"{site.touchpoint}, {caller()}"
        voice.say(
            logging.WARNING, f"dropped:{reason}", "cxsdk: %s at %s: %s", reason, place, detail
        )
        return self._drop(reason, detail)

    def _refuse_late(self, draft: Draft, reason: str) -> Dropped:
        """
        Drop an event that already had its place in the lane's count: a loss record covers it.
        """
        self.losses.add(reason, draft.family, draft.touchpoint, draft.time_ns)
        return self._silent(reason, "see the delivery page")

    def _failed(self, error: Exception, draft: Draft, *, late: bool) -> Dropped:
        if not is_ours(error):
            # Thrown into us by the host's signal handler: nobody knows how far the append was.
            self._ledger.note("interrupted")
            raise error
        if getattr(error, "counted", False):
            raise error
        code = error.code if isinstance(error, CXError) else "internal"
        if late:
            self.losses.add(code, draft.family, draft.touchpoint, draft.time_ns)
        return self.reject(error, code)

    def reject(self, error: Exception, code: str | None = None) -> Dropped:
        """
        Count, say once and drop what is wrong; raise it in strict mode only.

        Raises:
            CXError: *error*, in strict mode.
        """
        code = code or (error.code if isinstance(error, CXError) else "internal")
        self._ledger.refuse(code)
        if self.strict:
            if isinstance(error, CXError):
                error.counted = True
            raise error
        if isinstance(error, InvalidEventError):
            words = "cxsdk: an event at %s is refused: %s"
            voice.say(logging.WARNING, f"invalid:{error.field}", words, caller(), error)
        else:
            voice.say(logging.ERROR, f"failed:{type(error).__name__}", "cxsdk: capture: %r", error)
        return Dropped(code, str(error))

    def known(self, who: Any) -> Known:
        """
        Return the wire form of (customer, anonymous, account, session).

        Raises:
            InvalidEventError: an id is wrong.
        """
        return self.customers.resolve(who)
