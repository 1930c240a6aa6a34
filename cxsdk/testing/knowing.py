"""
What is known of customers while a test runs: what the test says, and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from cxsdk.knowing import ErrorCode, Failed, LookupRequest, Results, SectionPlan, Subject
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.engine import Engine
from cxsdk.lookup.items import LISTS, RECORDS
from cxsdk.lookup.providers._base import said

if TYPE_CHECKING:
    from cxsdk.config import Settings

__all__ = ["Knowing"]

_TIMEOUT_S = 10.0
_ANYBODY = ("", "")
_TYPED = (*RECORDS, *LISTS)
_UNSAID = Failed(
    ErrorCode.GENERAL, "the test did not say; cx_context.knows(…) or .knows_nothing(…) does"
)


class Knowing:
    """
    Stands in for all providers of a client: a lookup finds what the test said, at once.

    What the test did not say of a customer is not known, which is not the same as nothing: a
    section of which nothing was said has `Reason.ERROR`, and read as if it were known it raises.
    What was said last holds. Purposes, consent, assurance, plans and what the service itself just
    saw are as in production. Safe from any thread.
    """

    def __init__(self) -> None:
        self._provider = _Told()
        self._engines: list[Engine] = []

    def knows(
        self,
        customer: Any = None,
        *,
        anonymous: str | None = None,
        **sections: Any,
    ) -> None:
        """
        Say what is known of a customer.

        Args:
            customer: the host's id.

            anonymous: an opaque id of a visitor instead.

            sections: section → plain data, by the names on the page "context": a mapping for
                ``identity``, ``profile`` and ``consent``, a list of mappings for ``interactions``,
                ``feedback``, ``problems``, ``commitments`` and ``reactions`` (an item without an id
                gets one), anything that JSON can say for a section of the application's own.
                An empty list is "there is nothing".

        Raises:
            TypeError: nobody is named, or a value is no plain data.
        """
        whom = _whom(customer, anonymous)
        for name, value in sections.items():
            self._admit(name)
            self._provider.tell(whom, name, said(_with_ids(name, value)))

    def knows_nothing(
        self, customer: Any = None, *sections: str, anonymous: str | None = None
    ) -> None:
        """
        Say that whoever is asked answered, and there is nothing.

        Args:
            customer: the host's id; None: of anybody.

            sections: names; by default all.

            anonymous: an opaque id of a visitor instead.
        """
        self._say(customer, anonymous, sections, None)

    def fails(
        self,
        *sections: str,
        customer: Any = None,
        anonymous: str | None = None,
        code: str = "general",
    ) -> None:
        """
        Say that a section cannot be found out: it has `Reason.ERROR`.

        Args:
            sections: names; by default all.

            customer: the host's id; None: of anybody.

            anonymous: an opaque id of a visitor instead.

            code: why, an `ErrorCode` such as ``upstream_5xx``.

        Raises:
            ValueError: there is no such code.
        """
        self._say(customer, anonymous, sections, Failed(ErrorCode(code), "the test says so"))

    def _say(self, customer: Any, anonymous: str | None, sections: Any, value: Any) -> None:
        is_anybody = customer is None and anonymous is None
        whom = _ANYBODY if is_anybody else _whom(customer, anonymous)
        for name in sections or ("",):
            if name:
                self._admit(name)
            self._provider.tell(whom, name, value)

    # ---- what stands in ------------------------------------------------------------------------

    def _admit(self, name: str) -> None:
        """
        Have a section of that name, also where an engine is open already.
        """
        self._provider.sections |= {name}
        for engine in self._engines:
            source = engine.sources[0]
            if name not in source.sections:
                source.sections |= {name}
                engine.plans[name] = Plan(name, SectionPlan(), (source,))
                engine.whom._looks.clear()

    def _settle(self, settings: Settings) -> Settings:
        """
        Return *settings* with the test in place of all providers, and with time to answer.
        """
        options: Any = settings.context
        theirs = [name for each in options.providers for name in each.sections]
        self._provider.sections |= {*theirs, *options.plans}
        changed = attrs.evolve(
            options,
            providers=(self._provider,),
            plans={name: attrs.evolve(plan, providers=()) for name, plan in options.plans.items()},
            timeout=max(options.timeout, _TIMEOUT_S),
            provider_timeout=max(options.provider_timeout, _TIMEOUT_S),
            memory="",
        )
        return attrs.evolve(settings, context=changed, said=settings.said | {"context"})

    def _show(self, engine: Any) -> None:
        if not isinstance(engine, Engine):
            return
        seconds = engine._seconds
        # A slow machine is no timeout; that a source is late a test says by `fails`.
        vars(engine)["_seconds"] = lambda timeout: max(seconds(timeout), _TIMEOUT_S)
        self._engines.append(engine)


class _Told:
    """
    The provider behind it.
    """

    name = "test"
    takes = "raw"
    spaces = ("id", "anonymous")
    max_batch = 50
    visibility_lag = 1e9
    """What a test says does not know of what happens in it: that is laid over it, not replaced."""

    def __init__(self) -> None:
        self.sections: frozenset[str] = frozenset(_TYPED)
        self._lock = threading.Lock()
        self._said: list[tuple[tuple[str, str], str, Any]] = []
        self._listeners: list[Callable[[str | None], object]] = []

    def tell(self, whom: tuple[str, str], section: str, value: Any) -> None:
        """
        Have *section* of *whom* be *value*; no name: all of them.
        """
        with self._lock:
            self._said.append((whom, section, value))
        for changed in tuple(self._listeners):
            changed(whom[1] or None)

    def fetch(self, request: LookupRequest) -> Results:
        """
        Return what the test said. Does not block.
        """
        with self._lock:
            told = self._said[::-1]
        return {
            subject.id: {name: _found(told, subject, name) for name in request.sections}
            for subject in request.subjects
        }

    def forget(self, subject: Subject) -> str:
        """
        Erase a customer.
        """
        ids = {subject.id, *subject.also}
        with self._lock:
            self._said = [each for each in self._said if each[0][1] not in ids]
        return "done"

    def subscribe(self, changed: Callable[[str | None], object]) -> None:
        """
        Call *changed* with each id of which something is said.
        """
        self._listeners.append(changed)


def _found(told: Collection[tuple[tuple[str, str], str, Any]], whom: Subject, name: str) -> Any:
    names = [(whom.space, whom.id), *(("id", other) for other in whom.also), _ANYBODY]
    for said_of, section, value in told:
        if said_of in names and section in {name, ""}:
            return value
    return _UNSAID


def _whom(customer: Any, anonymous: str | None) -> tuple[str, str]:
    if (customer is None) == (anonymous is None):
        raise TypeError("expected the id of a customer, or anonymous=")
    return ("anonymous", str(anonymous)) if customer is None else ("id", str(customer).strip())


def _with_ids(section: str, value: Any) -> Any:
    """
    Return *value* with an id for each item of a typed list that has none.
    """
    if section not in LISTS or not isinstance(value, (list, tuple)):
        return value
    return [
        {"id": f"{section}-{number}", **item} if isinstance(item, Mapping) else item
        for number, item in enumerate(value, 1)
    ]
