"""
Whom the code under test asks: prompts decided in memory, without dice, each decision written down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk import _default
from cxsdk.prompts.engine import Engine
from cxsdk.prompts.files import load
from cxsdk.prompts.model import Prompt, Sampling
from cxsdk.prompts.offer import Offer, Receipt, Suppressed
from cxsdk.prompts.setup import needs_watching
from cxsdk.prompts.stores.memory import MemoryCapStore

if TYPE_CHECKING:
    from cxsdk.config import Settings
    from cxsdk.prompts.deciding import Asked

__all__ = ["Asking", "Decision"]

_DEADLINE_S = 10.0
_ALIKE = ("id", "anonymous_id", "account_id")


@attrs.define(frozen=True)
class Decision:
    """
    One prompt, decided for one customer. Truthy where they were asked.
    """

    prompt: str
    """Its key; empty where none was named and none came into question."""

    customer: str | None
    """The id that the host has, of a visitor the anonymous one; None where nobody was known."""

    touchpoint: str
    """What it was about; empty where that is nothing, or the relationship."""

    reason: str = ""
    """Why they were not asked; empty where they were."""

    offer: Offer | None = attrs.field(default=None, repr=False)

    def __bool__(self) -> bool:
        return self.offer is not None

    def __str__(self) -> str:
        said = f"not asked: {self.reason}" if self.reason else "asked"
        return f"{self.prompt or '-'}  {self.customer or '-'}  {self.touchpoint or '-'}  {said}"


class Asking:
    """
    The prompts of one test: which there are, what was decided, and the customers' answers.

    Who may be asked is decided as in production, but for three things: caps are kept in memory
    that begins empty, everybody is in the sample, and no decision is late. Prompts that the
    application configures hold as well. Safe from any thread.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        """In the order in which they were made."""

        self._prompts: dict[str, Prompt] = {}
        self._store = MemoryCapStore()
        self._engines: list[Engine] = []
        self._configured: set[str] = set()
        """Keys of the prompts of all clients."""

    def use(self, *prompts: Prompt | str | os.PathLike[str]) -> None:
        """
        Have these prompts from now on, beside those that the application configures; one of the
        same key takes the place of the earlier one.

        Args:
            prompts: `Prompt`, or the path of a TOML file or a folder of them.

        Raises:
            ConfigurationError: a file or a prompt in it is wrong.
        """
        for prompt in _read(prompts):
            self._prompts[prompt.key] = prompt
        client = _default.client()
        if client is not None and client.capture() is not None:
            engine = client.prompts  # opened now, so that it hears what prompts wait for
            if engine not in self._engines:
                self._show(engine)
        for engine in self._engines:
            self._teach(engine)

    # ---- what came of it -----------------------------------------------------------------------

    def assert_asked(self, prompt: str, *, customer: Any = None) -> Offer:
        """
        Return the offer that was made last to *customer*, or to anybody, by *prompt* (its key).

        Raises:
            AssertionError: none was made; says what was decided instead.
        """
        __tracebackhide__ = True
        found = [each for each in self._about(prompt, customer) if each.offer is not None]
        if not found:
            raise AssertionError(f"expected {_words(prompt, customer)} to be asked\n{self._told()}")
        offer = found[-1].offer
        assert offer is not None  # noqa: S101 - for the type
        return offer

    def assert_not_asked(
        self, prompt: str | None = None, *, customer: Any = None, reason: str | None = None
    ) -> None:
        """
        Check that *prompt*, or any, was not offered to *customer*, or to anybody.

        Args:
            reason: code of the refusal that must have been given, such as ``cap_prompt``.

        Raises:
            AssertionError: it was, or not refused for this *reason*; says what was decided.
            ValueError: there is no such prompt.
        """
        __tracebackhide__ = True
        self._check(prompt)
        found = list(self._about(prompt, customer))
        if any(found):
            words = _words(prompt, customer)
            raise AssertionError(f"expected {words} not to be asked\n{self._told()}")
        if reason is not None and reason not in {each.reason for each in found}:
            words = _words(prompt, customer)
            raise AssertionError(
                f"expected {words} not to be asked because of {reason}\n{self._told()}"
            )

    def _check(self, prompt: str | None) -> None:
        """
        Check that *prompt* could be what is expected: there is one, or the code asked by that key.
        """
        known = self._configured | set(self._prompts)
        if prompt is not None and prompt not in known | {each.prompt for each in self.decisions}:
            there = ", ".join(sorted(known)) or "none"
            raise ValueError(f"there is no prompt {prompt!r}; there are {there}")

    def _about(self, prompt: str | None, customer: Any) -> Iterator[Decision]:
        for each in tuple(self.decisions):
            is_it = prompt is None or each.prompt == prompt
            if is_it and (customer is None or each.customer == str(customer)):
                yield each

    def _told(self) -> str:
        if not self.decisions:
            return "decided: nothing; the code under test offered no prompt"
        return "decided, in order:\n" + "\n".join(f"  {each}" for each in self.decisions)

    # ---- what customers do ---------------------------------------------------------------------

    def answer(self, prompt: str, answers: Mapping[str, Any], *, customer: Any = None) -> Receipt:
        """
        Have the customer who was last asked by *prompt* see it and answer.

        Args:
            answers: question id → value, as of a form.

            customer: whom of those who were asked; by default the last one.

        Raises:
            AssertionError: nobody was asked, or the answer is refused; says why.
        """
        __tracebackhide__ = True
        offer = self.assert_asked(prompt, customer=customer)
        engine = self._engine_of(offer)
        engine.advance(offer.token, "shown")
        receipt = engine.submit(offer.token, answers)
        if not receipt:
            wrong = "".join(f"\n  {name}: {code}" for name, code in receipt.errors.items())
            raise AssertionError(f"the answer to {prompt!r} is {receipt.outcome}{wrong}")
        return receipt

    def dismiss(self, prompt: str, *, customer: Any = None, reason: str | None = None) -> None:
        """
        Have the customer who was last asked by *prompt* see it and close it.

        Args:
            customer: whom of those who were asked; by default the last one.

            reason: what they said, ``never_ask`` for one.

        Raises:
            AssertionError: nobody was asked, or it was answered or closed before.
        """
        __tracebackhide__ = True
        offer = self.assert_asked(prompt, customer=customer)
        engine = self._engine_of(offer)
        engine.advance(offer.token, "shown")
        if not engine.advance(offer.token, "dismissed", reason=reason):
            raise AssertionError(f"{prompt!r} cannot be closed: it is over already")

    def _engine_of(self, offer: Offer) -> Engine:
        # Each engine has keys of its own where the team has set none.
        for engine in reversed(self._engines):
            if engine.codec.read(offer.token, engine.now(), None).fault is None:
                return engine
        raise AssertionError(f"the offer of {offer.prompt.key!r} is over: its time has passed")

    # ---- what stands in ------------------------------------------------------------------------

    def _settle(self, settings: Settings) -> Settings:
        """
        Return *settings* with these prompts, with caps in memory and with time to decide.
        """
        options: Any = settings.prompts
        own = [*options.prompts, *([] if options.files is None else load(options.files))]
        every = {prompt.key: prompt for prompt in [*own, *self._prompts.values()]}
        self._configured |= set(every)
        changed = attrs.evolve(
            options,
            prompts=tuple(map(_of_everybody, every.values())),
            files=None,
            store=self._store,
            deadline=max(options.deadline, _DEADLINE_S),
        )
        return attrs.evolve(settings, prompts=changed, said=settings.said | {"prompts"})

    def _show(self, engine: Any) -> None:
        """
        Write down what *engine* decides.
        """
        if not isinstance(engine, Engine):
            return
        self._configured |= set(engine.prompts)
        reserve, suppress = engine.reserve, engine.suppress

        def reserved(prompt: Prompt, asked: Asked, *more: Any) -> Offer | Suppressed:
            result = reserve(prompt, asked, *more)
            if isinstance(result, Offer):
                self.decisions.append(_decision(prompt.key, asked, offer=result))
            return result

        def suppressed(
            prompt: Prompt | None, asked: Asked | None, reason: str, key: str = "", **more: Any
        ) -> Suppressed:
            named = prompt.key if prompt is not None else key
            self.decisions.append(_decision(named, asked, reason=reason))
            return suppress(prompt, asked, reason, key, **more)

        vars(engine).update(reserve=reserved, suppress=suppressed)
        self._engines.append(engine)
        self._teach(engine)

    def _teach(self, engine: Engine) -> None:
        """
        Have *engine* know the prompts of this test.
        """
        fresh = {
            key: _of_everybody(prompt)
            for key, prompt in self._prompts.items()
            if engine.prompts.get(key) != _of_everybody(prompt)
        }
        if not fresh:
            return
        engine.prompts.update(fresh)
        engine.by_priority = sorted(engine.prompts.values(), key=lambda p: (-p.priority, p.key))
        capture = engine._capture()
        if capture is None or engine.needs_watching or not capture.settings.prompts.watch:
            return
        if any(map(needs_watching, fresh.values())):
            engine.needs_watching = True
            capture.listen(engine.watch)


def _read(prompts: Sequence[Prompt | str | os.PathLike[str]]) -> Iterator[Prompt]:
    for each in prompts:
        if isinstance(each, Prompt):
            yield each
        else:
            yield from load(Path(each))


def _of_everybody(prompt: Prompt) -> Prompt:
    return attrs.evolve(prompt, sampling=Sampling())


def _decision(key: str, asked: Asked | None, **more: Any) -> Decision:
    if asked is None:
        return Decision(key, None, "", **more)
    block = asked.known.block or {}
    wire = next((block[name] for name in _ALIKE if name in block), None)
    customer = wire if asked.customer is None else str(asked.customer).strip()
    return Decision(key, customer, asked.case.touchpoint, **more)


def _words(prompt: str | None, customer: Any) -> str:
    whom = "anybody" if customer is None else repr(str(customer))
    return f"{whom} by {prompt!r}" if prompt else f"{whom} by any prompt"
