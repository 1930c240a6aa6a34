"""
A rehearsal: whom prompts would have asked, had they been there when past events happened.

The decisions are the engine's own, over a clock that stands where the events say and a store in
memory. Nothing is sent and nothing is recorded.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from cxsdk._clock import SystemClock, to_ns
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError
from cxsdk.events.envelope import Event
from cxsdk.events.model import dump
from cxsdk.pipeline.customers import Customers, Known
from cxsdk.prompts import deciding, later, reserving, watching
from cxsdk.prompts.cases import case_of_event
from cxsdk.prompts.deciding import Asked
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.model import DAY, Prompt
from cxsdk.prompts.offer import Offer, Suppressed
from cxsdk.prompts.stores.memory import MemoryCapStore
from cxsdk.typing import Dropped

__all__ = ["Ask", "PromptFigures", "Simulation", "simulate"]

_TICK_S = 3600.0
_QUARTER_S = 90 * DAY
T = TypeVar("T")
_SETTINGS = Settings(service="simulation", source="urn:service:simulation")
_IDS = ("id", "anonymous_id", "account_id")


@attrs.define(frozen=True)
class Ask:
    """
    One offer that would have been shown.
    """

    at: float
    """Seconds since 1970."""

    prompt: str
    subject: str
    """The customer, as a cap store knows them."""

    interaction_id: str
    stage: str
    """``experience``, or ``recall`` for an echo."""


@attrs.define(frozen=True)
class PromptFigures:
    """
    What became of one prompt.
    """

    key: str
    version: str
    offered: int
    customers: int
    """Who were asked it, each once."""

    shortest_gap: float | None
    """Least seconds between two offers of it to one customer; None: nobody was asked twice."""

    suppressed: Mapping[str, int]
    """Reason → how often it was not asked, the most frequent first."""


@attrs.define(frozen=True)
class Simulation:
    """
    Whom a configuration would have asked, and how often.
    """

    occasions: int
    """Interactions of a customer that were over: moments at which somebody might be asked."""

    customers: int
    """Whose they were, each once."""

    asks: Sequence[Ask]
    prompts: Sequence[PromptFigures]
    first: float
    last: float
    """Seconds since 1970 of the first and the last occasion; 0 without one."""

    @property
    def asked(self) -> int:
        """
        Return how many customers would have been asked anything.
        """
        return len({ask.subject for ask in self.asks})

    @property
    def share(self) -> float:
        """
        Return that as a share of all, 0 to 1.
        """
        return self.asked / self.customers if self.customers else 0.0

    @property
    def most_in_90_days(self) -> int:
        """
        Return the most offers that one customer would have had in any 90 days.
        """
        most = 0
        for moments in _by_subject(self.asks).values():
            start = 0
            for end, moment in enumerate(moments):
                while moments[start] <= moment - _QUARTER_S:
                    start += 1
                most = max(most, end - start + 1)
        return most

    @property
    def shortest_gap(self) -> float | None:
        """
        Return the least seconds between two offers to one customer; None: nobody had two.
        """
        return _shortest(self.asks)


def _by_subject(asks: Iterable[Ask]) -> dict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for ask in asks:
        found[ask.subject].append(ask.at)
    return {subject: sorted(moments) for subject, moments in found.items()}


def _shortest(asks: Iterable[Ask]) -> float | None:
    every = _by_subject(asks).values()
    gaps = [b - a for moments in every for a, b in itertools.pairwise(moments)]
    return min(gaps, default=None)


class _Clock(SystemClock):
    """
    Stands where it is put.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def time_ns(self) -> int:
        return int(self.now * 1e9)


class _Nowhere:
    """
    A capture that keeps nothing.
    """

    settings = _SETTINGS
    strict = False

    def __init__(self, clock: _Clock) -> None:
        self.time_ns = clock.time_ns
        self.customers = Customers(None)

    def fact(self, *_: Any) -> Dropped:
        return Dropped("disabled")


class _Rehearsal(Engine):
    """
    The engine, with a note of each decision.
    """

    def __init__(self, prompts: Iterable[Prompt], answered: float) -> None:
        self.moment = _Clock()
        nowhere: Any = _Nowhere(self.moment)
        super().__init__(
            lambda: nowhere,
            prompts,
            MemoryCapStore(time_s=self.now),
            keys=[bytes(16)],
            audience="simulation",
            clock=self.moment,
        )
        self.asks: list[Ask] = []
        self.refusals: Counter[tuple[str, str]] = Counter()
        self._answered = answered

    def now(self) -> float:
        return self.moment.now

    def ask(self, call: Callable[[], T]) -> T:
        return call()  # memory does not hang

    def suppress(
        self, prompt: Prompt | None, asked: Asked | None, reason: str, *more: Any, **how: Any
    ) -> Suppressed:
        if prompt is not None:
            self.refusals[prompt.key, reason] += 1
        return super().suppress(prompt, asked, reason, *more, **how)

    def reserve(self, prompt: Prompt, asked: Asked, *more: Any) -> Offer | Suppressed:
        offer = super().reserve(prompt, asked, *more)
        if isinstance(offer, Suppressed):
            return offer
        stage = "recall" if asked.is_recall else "experience"
        about = asked.case.interaction_id
        self.asks.append(Ask(self.now(), prompt.key, asked.subject, about, stage))
        self.store.advance(offer.offer_id, "shown")
        if self._answers(f"{prompt.key}|{about}|{stage}"):
            done = self.store.answer(offer.offer_id, b"simulated", complete=True).offer
            if done is not None and not asked.is_recall:
                later.echo(self, prompt, self.bound(prompt, asked, {}), done, offer.offer_id)
        return offer

    def _answers(self, unit: str) -> bool:
        # The same ones in every run.
        first = int.from_bytes(hashlib.sha256(unit.encode()).digest()[:8], "big")
        return first < self._answered * 2**64


def simulate(
    prompts: Iterable[Prompt],
    events: Iterable[Event],
    *,
    answered: float = 0.0,
    attributes: Callable[[str], Mapping[str, Any]] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Simulation:
    """
    Run *prompts* over past *events*; the same input gives the same result.

    Every interaction that is over is an occasion on which the host offers in its page; prompts of
    other channels are sent when they are due. Whatever is offered counts as shown. What customers
    are is read from ``identity`` events (their traits) and, for their tenure, from their first
    event.

    Args:
        prompts: the configuration; those that are not live ask nobody.

        events: in any order; `interaction`, `problem` and `identity` are looked at.

        answered: share of offers that are answered, 0 to 1: quotas fill and echoes are due by it.

        attributes: customer id of the events → what rules may look at, beside the above.

        progress: called with events done and events in all.

    Raises:
        ConfigurationError: two prompts of one key, or *answered* is no share.
        ExtraMissingError: the extra ``prompts`` is not installed.
    """
    if not 0 <= answered <= 1:
        raise ConfigurationError(f"answered: expected 0 to 1, got {answered!r}")
    run = _Run(_Rehearsal(prompts, answered), attributes)
    every = sorted((each for each in events if each.family in _LOOKED_AT), key=_order)
    for done, event in enumerate(every):
        run.see(event)
        if progress is not None:
            progress(done + 1, len(every))
    return run.result()


_LOOKED_AT = {"interaction", "problem", "identity"}


def _order(event: Event) -> tuple[int, str]:
    return to_ns(event.time), event.id


class _Run:
    """
    One pass over events, the oldest first.
    """

    def __init__(
        self, engine: _Rehearsal, attributes: Callable[[str], Mapping[str, Any]] | None
    ) -> None:
        self._engine = engine
        self._own = attributes
        self._traits: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._customers: set[str] = set()
        self._occasions = 0
        self._first = self._last = 0.0
        engine.attributes = self._known_of  # for letters, which no page asks
        self._seen: set[str] = set()
        live = [prompt for prompt in engine.by_priority if prompt.status == "live"]
        self._waits = any(
            prompt.trigger.delay or prompt.echo or set(prompt.channels) - {"in_app"}
            for prompt in live
        )

    def see(self, event: Event) -> None:
        """
        Let one event happen.
        """
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        self._advance(to_ns(event.time) / 1e9)
        data = dump(event.data)
        block = {name: data["customer"][name] for name in _IDS if name in data.get("customer", {})}
        if not block:
            return
        name = block.get("id") or next(iter(block.values()))
        traits = self._traits[name]
        traits.setdefault("customer_since", event.time)
        if event.family == "identity":
            traits.update(data.get("traits") or {})
            return
        watching.look(self._engine, event, self._engine.now())
        if event.family == "interaction" and event.type.endswith(".completed.v1"):
            self._offer(block, data, self._known_of(name))

    def _known_of(self, name: str) -> Mapping[str, Any]:
        own = {} if self._own is None else self._own(name)
        return {**self._traits[name], **own}

    def _advance(self, to: float) -> None:
        """
        Move the clock on; send what is due on the way.
        """
        clock = self._engine.moment
        if self._waits and self._first:
            while clock.now + _TICK_S < to:
                clock.now += _TICK_S
                self._engine.run_due(_sent, 100_000)
        clock.now = to
        if self._waits:
            self._engine.run_due(_sent, 100_000)

    def _offer(
        self, block: dict[str, str], data: dict[str, Any], traits: Mapping[str, Any]
    ) -> None:
        engine, where = self._engine, data.get("where") or {}
        asked = Asked(
            known=Known(block, data.get("session_id"), None, bytes(8), is_known="id" in block),
            case=case_of_event(data, engine.now(), _SETTINGS.capture.namespace),
            channel="in_app",
            locale=where.get("locale") or "",
            now=engine.now(),
            consent=(data.get("consent") or {}).get("state") or "unknown",
            tz=where.get("tz") or "UTC",
            attributes=dict(traits),
        )
        self._occasions += 1
        self._first, self._last = self._first or asked.now, asked.now
        self._customers.add(asked.subject)
        candidates = []
        for number, prompt in enumerate(engine.by_priority):
            in_page = "in_app" in prompt.channels
            theirs = asked if in_page else attrs.evolve(asked, channel=prompt.channels[0])
            reason = deciding.first_reason(deciding.cheap_verdicts(prompt, theirs))
            if reason or not in_page:
                # What goes by letter is kept by `watch`, until its time has come.
                engine.suppress(prompt, theirs, reason or "delayed")
            else:
                candidates.append((f"{self._occasions}-{number}", prompt))
        if candidates or later.may_wait(engine, asked):
            plan = reserving.Plan(candidates, asked, {}, None, Suppressed("not_live"))
            reserving.reserve_first(engine, plan)

    def result(self) -> Simulation:
        """
        Return the figures.
        """
        engine = self._engine
        return Simulation(
            occasions=self._occasions,
            customers=len(self._customers),
            asks=tuple(engine.asks),
            prompts=tuple(self._figures(prompt) for prompt in engine.by_priority),
            first=self._first,
            last=self._last,
        )

    def _figures(self, prompt: Prompt) -> PromptFigures:
        mine = [ask for ask in self._engine.asks if ask.prompt == prompt.key]
        told = Counter(
            {
                reason: count
                for (key, reason), count in self._engine.refusals.items()
                if key == prompt.key
            }
        )
        return PromptFigures(
            prompt.key,
            prompt.version,
            len(mine),
            len({ask.subject for ask in mine}),
            _shortest(mine),
            dict(sorted(told.items(), key=lambda row: (-row[1], row[0]))),
        )


def _sent(*_: object) -> None:
    """
    Send nothing: the rehearsal of a letter.
    """
