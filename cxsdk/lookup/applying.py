"""
Applying: events handed on to providers that want to hear of them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any

from cxsdk._guard import voice
from cxsdk.knowing import Subject
from cxsdk.lookup.people import Key
from cxsdk.lookup.sources import Source
from cxsdk.lookup.work import Pool

__all__ = ["Applying"]

_PATIENCE_S = 5.0


class Applying:
    """
    A listener that calls ``apply(subject, event)`` of providers, in order, on a thread of its own.

    What comes faster than they take it is counted as missed. For one process.

    Args:
        sources: those whose provider has the method.

        count: counts something: (what, provider).

        is_forgotten: says who was erased meanwhile: what waits of them is not applied any more.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        count: Callable[[str, str], None],
        is_forgotten: Callable[[Key], bool],
    ) -> None:
        self._is_forgotten = is_forgotten
        self._sources = [one for one in sources if callable(getattr(one.provider, "apply", None))]
        self._count = count
        self._pools = {one.name: Pool(f"apply-{one.name}", 1, 1000) for one in self._sources}

    def __bool__(self) -> bool:
        return bool(self._sources)

    def __call__(self, event: Any) -> None:
        """
        Take an event that was kept. Returns at once.
        """
        customer = getattr(event.data, "customer", None)
        if customer is None:
            return
        if customer.id is not None:
            subject = Subject(customer.id, "id")
        elif customer.anonymous_id is not None:
            subject = Subject(customer.anonymous_id, "anonymous")
        else:
            return
        for source in self._sources:
            if subject.space not in source.spaces:
                continue
            work = _Work(source, subject, event, self._count, self._is_forgotten)
            if not self._pools[source.name].submit(work):
                self._count("unapplied", source.name)

    def close(self) -> None:
        """
        Take nothing more.
        """
        for pool in self._pools.values():
            pool.close()


class _Work:
    """
    One event for one provider.
    """

    def __init__(
        self,
        source: Source,
        subject: Subject,
        event: Any,
        count: Callable[[str, str], None],
        is_forgotten: Callable[[Key], bool],
    ) -> None:
        self._is_forgotten = is_forgotten
        self._source = source
        self._subject = subject
        self._event = event
        self._count = count

    def __call__(self) -> None:
        source = self._source
        try:
            if self._is_forgotten((self._subject.space, self._subject.id)):
                return
            said = source.provider.apply(self._subject, self._event)
            if inspect.isawaitable(said):
                source.await_(said, _PATIENCE_S)
        except Exception as error:  # noqa: BLE001 - a team's own code
            kind = type(error).__name__
            self._count("unapplied", source.name)
            words = "cxsdk: %s did not apply an event: %s"
            voice.say(logging.WARNING, f"apply:{source.name}:{kind}", words, source.name, kind)
