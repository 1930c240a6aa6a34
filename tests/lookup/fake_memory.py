"""
A shared memory in the test's own process: what the seam says, in forty lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cxsdk.errors import StoreUnavailableError
from cxsdk.remembering import Remembered, Told


class FakeMemory:
    """
    Implements `SharedMemory`. *is_down* makes it fail; *calls* says in which order it was called.
    """

    def __init__(self, *, tells: bool = True) -> None:
        self.tells = tells
        self.is_down = False
        self.told: dict[str, dict[str, Told]] = {}
        self.links: dict[str, str] = {}
        self.tombs: set[str] = set()
        self.heard: list[Callable[[str | None], None]] = []
        self.calls: list[str] = []
        self.during_read: Callable[[], Any] = lambda: None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.is_down:
            raise StoreUnavailableError("fake: down")

    def _root(self, subject: str) -> str:
        while subject in self.links:
            subject = self.links[subject]
        return subject

    def put(self, told: Sequence[Told]) -> None:
        self._call("put")
        for one in told:
            subject = self._root(one.subject)
            if subject not in self.tombs:
                self.told.setdefault(subject, {}).setdefault(one.id, one)

    def read(self, subjects: Sequence[str]) -> Mapping[str, Remembered]:
        self._call("read")
        found = {
            subject: Remembered(
                told=tuple(self.told.get(subject, {}).values()),
                linked_to=self.links.get(subject),
                forgotten=subject in self.tombs,
            )
            for subject in subjects
        }
        self.during_read()
        return found

    def link(self, absorb: str, keep: str, note: bytes = b"") -> bool:
        self._call("link")
        if self.links.get(absorb, keep) != keep:
            return False
        self.links[absorb] = keep
        self.told.setdefault(keep, {}).update(self.told.pop(absorb, {}))
        return True

    def unlink(self, absorb: str) -> bool:
        self._call("unlink")
        return self.links.pop(absorb, None) is not None

    def forget(self, subjects: Sequence[str], suppress_for: float) -> int:
        self._call("forget")
        self.tombs.update(subjects)
        return sum(len(self.told.pop(subject, ())) for subject in subjects)

    def subscribe(self, heard: Callable[[str | None], None]) -> bool:
        self._call("subscribe")
        if self.tells:
            self.heard.append(heard)
        return self.tells

    def tell(self, subject: str | None) -> None:
        """
        Tell whoever listens that *subject* changed elsewhere.
        """
        for heard in self.heard:
            heard(subject)

    def close(self) -> None:
        self._call("close")
