"""
Providers that tests can hold up, fail and ask about, and clients that are closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.knowing import LookupRequest


class Told:
    """
    A sync provider that answers what it was given, notes each request, and can be held up.
    """

    def __init__(
        self,
        name: str,
        answers: Mapping[str, Any] | Callable[[LookupRequest], Any],
        *,
        sections: tuple[str, ...] | None = None,
        **attributes: Any,
    ) -> None:
        self.name = name
        self.answers = answers
        self.sections = frozenset(sections or (() if callable(answers) else answers))
        self.requests: list[LookupRequest] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        for attribute, value in attributes.items():
            setattr(self, attribute, value)

    @property
    def calls(self) -> int:
        return len(self.requests)

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=10)

    def answer(self, request: LookupRequest) -> Any:
        if callable(self.answers):
            return self.answers(request)
        return {
            one.id: {name: self.answers[name] for name in request.sections}
            for one in request.subjects
        }

    def fetch(self, request: LookupRequest) -> Any:
        self.requests.append(request)
        self.entered.release()
        assert self.open.wait(30)
        return self.answer(request)


class ToldAsync(Told):
    """
    The same, async.
    """

    async def fetch(self, request: LookupRequest) -> Any:
        self.requests.append(request)
        self.entered.release()
        while not self.open.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.001)
        return self.answer(request)


@pytest.fixture
def make() -> Iterator[Callable[..., cx.Client]]:
    """
    Make clients with these providers: ``make(provider, …, plans=…, clock=…)``; closed at the end.
    """
    made: list[cx.Client] = []

    def client(*providers: Any, clock: Any = None, client: Any = None, **options: Any) -> cx.Client:
        one = cx.Client(
            "tests",
            collector="memory:",
            context=cx.ContextOptions(providers=providers, **options),
            clock=clock,
            **(client or {}),
        )
        made.append(one)
        return one

    yield client
    for one in made:
        for source in [] if one.knower.engine is None else one.knower.engine.sources:
            if isinstance(source.provider, Told):
                source.provider.open.set()
        one.close(0)


@pytest.fixture(params=[Told, ToldAsync], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> type[Told]:
    """
    Each colour of provider.
    """
    return request.param  # type: ignore[no-any-return]
