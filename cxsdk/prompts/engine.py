"""
The prompt engine: who is asked what, when, about which interaction, and what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from cxsdk._clock import Clock, SystemClock
from cxsdk.asking import CapStore, History, OfferState, Reserved
from cxsdk.errors import ConfigurationError, StoreUnavailableError
from cxsdk.prompts import answering, deciding, judging, later, reserving, watching
from cxsdk.prompts.calls import Calls
from cxsdk.prompts.cases import OPEN, case_of, memory_of
from cxsdk.prompts.deciding import Asked, Verdict
from cxsdk.prompts.life import Life
from cxsdk.prompts.model import Prompt
from cxsdk.prompts.offer import Bound, Offer, Receipt, Suppressed, at, pack
from cxsdk.prompts.reserving import Failed
from cxsdk.prompts.shown import rebuilt, wording_in
from cxsdk.prompts.token import Seal, TokenCodec

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture
    from cxsdk.pipeline.customers import Customers

__all__ = ["Engine"]

T = TypeVar("T")
_SKEW_S = 300.0
"""Seconds for which a token outlives its offer, for hosts whose clocks are apart: the store's
clock decides."""

_MINUTE_S = 60.0

Moved = Literal["shown", "started", "dismissed"]


class Engine(Calls):
    """
    Decides on the server whether a customer is asked, and takes the answers.

    Safe from any thread and event loop, and after a fork. No call raises into a handler (strict
    mode aside) and no decision keeps it longer than *deadline*; what cannot be decided in time is
    not asked. Calls that say so block on the store and raise what it raises.

    Args:
        capture: returns the capture that events go through, None where it is off.

        prompts: all there are; keys are unique.

        store: remembers who was asked, for all processes of the service.

        keys: secrets that sign tokens, the newest last; at least 16 bytes each.

        audience: whose tokens are accepted: the service's source and environment.

        deadline: seconds that a decision may take.

        attributes: customer id as the host has it → what rules may look at; called at a decision,
            within its deadline.

        suppressed_events: record each refusal as an event, not only as a count.

        owns_store: the store ends with the engine.

        clock: for tests.

    Raises:
        ConfigurationError: two prompts of one key, or keys that are too short.
    """

    def __init__(
        self,
        capture: Callable[[], Capture | None],
        prompts: Iterable[Prompt],
        store: CapStore,
        *,
        keys: Sequence[bytes],
        audience: str,
        deadline: float = 0.05,
        attributes: Callable[[Any], Mapping[str, Any]] | None = None,
        suppressed_events: bool = False,
        owns_store: bool = True,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(capture, deadline)
        self.prompts: dict[str, Prompt] = {}
        for prompt in prompts:
            if not isinstance(prompt, Prompt):
                raise ConfigurationError(f"prompts: expected a Prompt, got {type(prompt).__name__}")
            if prompt.key in self.prompts:
                raise ConfigurationError(f"prompts: {prompt.key!r} is there twice")
            self.prompts[prompt.key] = prompt
        self.store = store
        self.clock = clock or SystemClock()
        self.codec = TokenCodec(keys, audience)
        self.by_priority = sorted(self.prompts.values(), key=lambda p: (-p.priority, p.key))
        self.life = Life(capture)
        self.needs_watching = False
        """True: `watch` is to be a listener of the client's."""

        self.owns_store = owns_store
        self.customers: Customers | None = None
        """Who customers are while capture is off."""

        self.seal = Seal(keys, "about")
        self.watcher = watching.Watcher(lambda e, at: watching.look(self, e, at), self.now)
        self.attributes = attributes
        self._says_suppressed = suppressed_events
        self.merged: set[tuple[str, str]] = set()
        self._wordings: dict[tuple[str, str, str], dict[str, Any]] = {}

    # ---- deciding -------------------------------------------------------------------------

    def offer(self, key: str | None = None, **how: Any) -> Offer | Suppressed:
        """
        Decide whether to ask, now; reserve what is to be shown.

        Args:
            key: of one prompt; None: of all live prompts the one with the highest priority that
                may ask.

            about: what is asked about: an interaction that is over, or what `remember` returned;
                by default the open interaction, else the last one of this scope.

            customer, anonymous, account, session: whom to ask; by default the scope's.

            channel: ``in_app``, ``email``, ``link``, ``chat``, ``api``.

            locale: BCP 47 tag of the reader; by default the scope's, else the prompt's own.

            context: values for ``{name}`` in texts, of the prompt's ``context_fields``.

            attributes: of the customer, for rules.
        """
        return self.guarded(lambda: self._decide(key, how), key)

    async def aoffer(self, key: str | None = None, **how: Any) -> Offer | Suppressed:
        """
        Like `offer`, without blocking the event loop.
        """
        # Who and what is read from the context here, not in a thread.
        found = self.guarded(lambda: reserving.plan(self, key, how), key)
        if isinstance(found, Suppressed):
            return found
        try:
            result = await self._deadline.acall(
                lambda: reserving.attempt(self, found), lambda: reserving.undo(self, found)
            )
        except StoreUnavailableError as error:
            return self._unavailable(error, key)
        return self.guarded(lambda: self.told(result), key)

    def _decide(self, key: str | None, how: dict[str, Any]) -> Offer | Suppressed:
        found = reserving.plan(self, key, how)
        if isinstance(found, Suppressed):
            return found
        result = self._deadline.call(
            lambda: reserving.attempt(self, found), lambda: reserving.undo(self, found)
        )
        return self.told(result)

    def told(self, result: Offer | Suppressed | Failed) -> Offer | Suppressed:
        """
        Record that something is offered: on the host's thread, and only what it gets.
        """
        if isinstance(result, Failed):
            return self._failed(result.error, None)
        if isinstance(result, Offer) and result.bound is not None and result.is_new:
            self.life.prompt(result.prompt, result.bound, "offered", result.offer_id)
        return result

    def reserve(
        self, prompt: Prompt, asked: Asked, offer_id: str, context: Mapping[str, str]
    ) -> Offer | Suppressed:
        """
        Reserve an offer of *prompt* in the store. Blocks on it.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        bound = self.bound(prompt, asked, context)
        request = deciding.request_of(prompt, asked, offer_id, pack(bound))
        result = self.store.reserve(request)
        if not isinstance(result, Reserved):
            again = reserving.open_one(self, prompt, asked, result.reason)
            return again or self.suppress(prompt, asked, result.reason, retry_in=result.retry_in)
        return self.offer_of(bound, offer_id, asked.now + request.expires_in)

    def bound(self, prompt: Prompt, asked: Asked, context: Mapping[str, str]) -> Bound:
        """
        Return what an offer of *prompt* is bound to.
        """
        known, case = asked.known, asked.case
        locale = deciding.matching_locale(prompt, asked.locale) if asked.locale else None
        locale = locale or prompt.language
        wording = self._wordings.get((prompt.key, prompt.version, locale))
        if wording is None:
            wording = wording_in(prompt, locale)
            if prompt is self.prompts.get(prompt.key):
                self._wordings[prompt.key, prompt.version, locale] = wording
        return Bound(
            prompt=prompt.key,
            version=prompt.version,
            channel=asked.channel,
            customer=known.block,
            session=known.session,
            partition=known.partition,
            tag=known.tag,
            is_known=known.is_known,
            consent=asked.consent if asked.consent != "unknown" else None,
            interaction_id=case.interaction_id,
            touchpoint=case.touchpoint,
            outcome=case.outcome if case.interaction_id else "",
            happened_at=case.happened_at,
            locale=locale,
            stage="recall" if asked.is_recall else "experience",
            echo_of=str(case.data.get("echo_of", "")) if asked.is_recall else "",
            probability=prompt.sampling.rate,
            trigger=prompt.trigger.event,
            context={
                name: str(context[name])[:256] for name in prompt.context_fields if name in context
            },
            tz=asked.tz,
            wording=wording,
        )

    def prompt_of(self, bound: Bound) -> Prompt:
        """
        Return the prompt of *bound* as it was offered, also where it is worded otherwise by now.

        Raises:
            KeyError: its prompt is gone from the configuration.
        """
        now = self.prompts[bound.prompt]
        return now if bound.version == now.version else rebuilt(now, bound)

    def offer_of(
        self, bound: Bound, offer_id: str, expires_at: float, state: OfferState = "reserved"
    ) -> Offer:
        """
        Return the offer as a face shows it.

        Raises:
            KeyError: its prompt is gone from the configuration.
        """
        prompt = self.prompt_of(bound)
        # In whole minutes: the store's clock and ours are apart, and the offer of a page that is
        # loaded again is to have the token that it had.
        lasts = (expires_at + prompt.revise_for + _SKEW_S) // _MINUTE_S * _MINUTE_S + _MINUTE_S
        return Offer(
            token=self.codec.sign(offer_id, bound.channel, lasts),
            offer_id=offer_id,
            prompt=prompt,
            channel=bound.channel,
            locale=bound.locale,
            expires_at=at(expires_at),
            state=state,
            stage=bound.stage,
            context=bound.context,
            bound=bound,
        )

    def tell(self, prompt: Prompt, asked: Asked, reason: str) -> None:
        """
        Record a refusal as an event, where that is wanted.
        """
        if self._says_suppressed:
            self.life.suppressed(prompt, self.bound(prompt, asked, {}), reason)

    def now(self) -> float:
        """
        Return seconds since 1970.
        """
        return self.clock.time_ns() / 1e9

    # ---- across a redirect --------------------------------------------------------------------

    def remember(self, about: Any = None) -> str:
        """
        Return a signed text that stands for an interaction, to be kept in the session until the
        page is rendered that asks; empty where there is nothing to ask about.
        """
        found = self.guarded(lambda: memory_of(case_of(about, self.seal), self.seal), None)
        return found if isinstance(found, str) else ""

    # ---- answering, see there -----------------------------------------------------------------

    def find(self, token: str, channels: Sequence[str] | None = None) -> Offer | Receipt:
        """
        Return the offer that *token* stands for, or a `Receipt` that says why there is none.
        """
        otherwise: Offer | Receipt = answering.UNAVAILABLE
        return self.safely(lambda: answering.find(self, token, channels), otherwise)

    def advance(self, token: str, to: Moved, *, reason: str | None = None) -> bool:
        """
        Say that an offer was ``shown``, ``started`` or ``dismissed``; return whether that is news.
        """
        return self.safely(lambda: answering.advance(self, token, to, reason), otherwise=False)

    def submit(
        self,
        token: str,
        answers: Mapping[str, Any],
        *,
        partial: bool = False,
        channels: Sequence[str] | None = None,
    ) -> Receipt:
        """
        Take an answer; blocks on the store, for seconds at most, and for a moment on the spool.

        Args:
            answers: question id → value, as a form or JSON has them.

            partial: keep it though something required is missing; more may come.

            channels: on which the token may have been issued; None: any.
        """
        return self.safely(
            lambda: answering.submit(self, token, answers, partial=partial, channels=channels),
            answering.UNAVAILABLE,
        )

    def submit_text(self, token: str, text: str) -> Receipt:
        """
        Take what a customer wrote in a chat as the answer to the first question.
        """
        return self.safely(lambda: answering.submit_text(self, token, text), answering.UNAVAILABLE)

    async def asubmit(self, token: str, answers: Mapping[str, Any], **how: Any) -> Receipt:
        """
        Like `submit`, without blocking the event loop.
        """
        import asyncio

        return await asyncio.to_thread(self.submit, token, answers, **how)

    # ---- later, see there ---------------------------------------------------------------------

    def run_due(self, send: Callable[[Offer, Mapping[str, str]], object], limit: int = 50) -> int:
        """
        Ask those whose time has come, by *send*; return how many. For a timer of the host's.

        Args:
            send: gets an offer and the customer as the wire knows them (``id``, …); an offer that
                it returned for counts as shown. What it raises gives the offer back.

            limit: offers at most.
        """
        return self.safely(lambda: later.run_due(self, send, limit), 0)

    def sweep(self) -> int:
        """
        End offers whose time is over, with an event each; return how many. For the same timer.
        """
        return self.safely(lambda: later.sweep(self), 0)

    def watch(self, event: Any) -> None:
        """
        Have an event looked at for prompts that wait for it: a `Listener`. Never waits; a decision
        after it knows of it.
        """
        if watching.concerns(event):
            self.watcher.put(event)

    # ---- looking in ---------------------------------------------------------------------------

    def explain(self, key: str, **how: Any) -> list[Verdict]:
        """
        Return what each rule says for a customer, the store's included; nothing is reserved.

        Takes the arguments of `offer`. Blocks on the store.

        Raises:
            CXError: no such prompt, or an argument is wrong, or the store cannot be asked.
        """
        capture = self._capture()
        if capture is None:
            return [Verdict("capture", "disabled")]
        if key not in self.prompts:
            raise reserving.unknown(self, key)
        prompt = self.prompts[key]
        how.pop("context", None)
        case = case_of(how.pop("about", None), self.seal)
        if case is OPEN:
            return [Verdict("about", "interaction_open")]
        asked = reserving.asked_of(self, capture, case, **how)
        asked = attrs.evolve(asked, attributes=judging.described(self, asked))
        history = self.store.history(asked.subject) if asked.subject else History()
        found = [
            *deciding.cheap_verdicts(prompt, asked),
            *deciding.verdicts(prompt, asked, history),
        ]
        return [*found, *deciding.cap_verdicts(prompt, asked, history)]

    def opt_out(self, customer: Any = None, *, anonymous: str | None = None) -> None:
        """
        Never ask this customer again. Blocks on the store.

        Raises:
            StoreUnavailableError: it is not kept.
        """
        for subject in self._subjects(customer, anonymous):
            self.store.opt_out(subject)

    def forget(self, customer: Any = None, *, anonymous: str | None = None) -> int:
        """
        Erase what the store knows of a customer; return how many offers. Blocks on the store.

        Raises:
            StoreUnavailableError: it is not erased.
        """
        count = sum(self.store.forget(each) for each in self._subjects(customer, anonymous))
        self.merged.clear()  # whoever was joined to them may come again
        return count

    def _subjects(self, customer: Any, anonymous: str | None) -> list[str]:
        capture = self._capture()
        # Also while capture is off: what a customer wants does not wait for that.
        customers = self.customers if capture is None else capture.customers
        if customers is None:
            raise StoreUnavailableError("capture is off, so nobody is known")
        block = customers.resolve((customer, anonymous, None, None)).block or {}
        kinds = (("id", "c"), ("anonymous_id", "a"))
        return [deciding.subject_of(kind, block[name]) for name, kind in kinds if name in block]

    def stats(self) -> dict[str, Any]:
        """
        Return how often nobody was asked, by reason, in this process.
        """
        return {"suppressed": dict(self.refused), "prompts": len(self.prompts)}

    def close(self) -> None:
        """
        Let go of threads and connections. Idempotent.
        """
        self.watcher.close()
        super().close()
        if self.owns_store:
            self.store.close()
