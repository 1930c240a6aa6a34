"""
A provider in memory, for tests and for rehearsals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from cxsdk import _fork
from cxsdk.knowing import LookupRequest, Results, Space, Subject
from cxsdk.lookup.items import LISTS, RECORDS
from cxsdk.lookup.providers._base import Provider, said

__all__ = ["InMemoryProvider"]

_LOG = 1000


class InMemoryProvider(Provider):
    """
    Says what it was told with `put`, and keeps a log of what it was asked. Safe from any thread; a
    forked child has a copy.

    Args:
        name: a token, unique among the providers of a client.

        sections: those that it answers for; the typed ones unless said.

        takes: ``raw`` or ``wire``, the form of the ids in `put`.

        spaces: kinds of ids that it knows.

        max_batch: subjects per request.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        name: str = "memory",
        sections: Collection[str] = (*RECORDS, *LISTS),
        *,
        takes: str = "raw",
        spaces: Collection[str] = ("id", "anonymous"),
        max_batch: int = 50,
    ) -> None:
        self._settle(name, sections, takes, spaces)
        self.max_batch = max_batch
        self.failure: Exception | None = None
        """Raised by `fetch` while it is set: a source that is down."""
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._log: deque[LookupRequest] = deque(maxlen=_LOG)
        self._listeners: list[Callable[[str | None], object]] = []

    # ---- what it knows

    def put(self, id: str, section: str, value: Any, *, space: Space = "id") -> None:  # noqa: A002
        """
        Have *section* of a customer be *value* from now on: plain data, of which a copy is kept,
        or `Found`, `Failed` or None as a provider says them.

        Raises:
            TypeError: the value is no plain data.
        """
        kept = said(value)
        with _fork.own_lock():
            self._known.setdefault((space, id), {})[section] = kept
        self._tell(id)

    def remove(self, id: str, section: str | None = None, *, space: Space = "id") -> int:  # noqa: A002
        """
        Know nothing more of a customer, or of one section; return how many sections there were.
        """
        with _fork.own_lock():
            mine = self._known.get((space, id), {})
            names = list(mine) if section is None else [name for name in mine if name == section]
            for name in names:
                del mine[name]
            if not mine:
                self._known.pop((space, id), None)
        self._tell(id)
        return len(names)

    def clear(self) -> None:
        """
        Know nothing of anybody, and forget what was asked.
        """
        with _fork.own_lock():
            self._known.clear()
            self._log.clear()
        self._tell(None)

    @property
    def asked(self) -> tuple[LookupRequest, ...]:
        """
        Return the requests so far, oldest first, the last 1,000 at most.
        """
        with _fork.own_lock():
            return tuple(self._log)

    def _tell(self, id: str | None) -> None:  # noqa: A002
        for changed in tuple(self._listeners):
            changed(id)

    # ---- the seam

    def fetch(self, request: LookupRequest) -> Results:
        """
        Return what was put. Does not block.

        Raises:
            ProviderError: it is closed.
            Exception: `failure`, while it is set.
        """
        wanted = self._asked(request)
        with _fork.own_lock():
            self._log.append(request)
            if self.failure is not None:
                raise self.failure
            return {
                subject.id: {
                    section: said(value)
                    for section, value in self._known.get((subject.space, subject.id), {}).items()
                    if section in wanted
                }
                for subject in request.subjects
                if subject.space in self.spaces
            }

    def forget(self, subject: Subject) -> str:
        """
        Erase a customer and their other ids.
        """
        self.remove(subject.id, space=subject.space)
        for other in subject.also:
            self.remove(other)
        return "done"

    def subscribe(self, changed: Callable[[str | None], object]) -> None:
        """
        Call *changed* with each id of which something is put or removed, on the thread that did.
        """
        self._listeners.append(changed)
