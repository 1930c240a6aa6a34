"""
A shared memory in the memory of one process: for tests, and for a single worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from cxsdk import _fork
from cxsdk.errors import ConfigurationError, StoreUnavailableError
from cxsdk.lookup.shared._kept import LINK_KEPT_S, MOST, newest, under
from cxsdk.remembering import Remembered, Told

__all__ = ["InProcessMemory"]

_SWEEP_S = 60.0


@attrs.define
class _Kept:
    told: Told
    origin: str
    """The subject that it was put under."""
    over: float


@attrs.define
class _Link:
    root: str
    via: str
    note: bytes
    over: float


class InProcessMemory:
    """
    A `SharedMemory` that one process has to itself. Safe from any thread; never waits for longer
    than another thread's call takes, which is microseconds. A forked child goes on with a copy of
    its own.

    Args:
        most: things kept per subject and shelf.

        time_s: seconds since 1970, for tests.
    """

    def __init__(self, *, most: int = MOST, time_s: Callable[[], float] = time.time) -> None:
        self.most = most
        self._time = time_s
        self._told: dict[str, dict[str, _Kept]] = {}
        self._links: dict[str, _Link] = {}
        self._absorbed: dict[str, set[str]] = {}
        self._forgotten: dict[str, float] = {}
        self._sweep_at = 0.0
        self._is_closed = False
        self._lock = threading.Lock()
        self._generation = _fork.current()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        most: int = MOST,
        **options: Any,  # noqa: ARG003 - those of other memories
    ) -> InProcessMemory:
        """
        Return a memory of its own for ``memory:``.

        Raises:
            ConfigurationError: something follows the colon.
        """
        if url.partition(":")[2].strip("/"):
            raise ConfigurationError("context memory: expected memory: and nothing after it")
        return cls(most=most)

    def __repr__(self) -> str:
        return "InProcessMemory()"

    @contextmanager
    def _held(self) -> Iterator[float]:
        if self._generation != _fork.current():
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._lock = threading.Lock()
                    self._generation = _fork.current()
        with self._lock:
            if self._is_closed:
                raise StoreUnavailableError("memory: the memory is closed")
            now = self._time()
            if now >= self._sweep_at:
                self._sweep_at = now + _SWEEP_S
                self._sweep(now)
            yield now

    # ---- who is who

    def _link_of(self, subject: str, now: float) -> _Link | None:
        found = self._links.get(subject)
        if found is not None and found.over <= now:
            self._drop_link(subject)
            return None
        return found

    def _drop_link(self, subject: str) -> _Link | None:
        found = self._links.pop(subject, None)
        if found is not None:
            members = self._absorbed[found.root]
            members.discard(subject)
            if not members:
                del self._absorbed[found.root]
        return found

    def _become(self, subject: str, link: _Link) -> None:
        self._drop_link(subject)
        self._links[subject] = link
        self._absorbed.setdefault(link.root, set()).add(subject)

    def _members(self, root: str, now: float) -> dict[str, str]:
        """
        Return who is a part of *root* → by whom it was absorbed.
        """
        members = sorted(self._absorbed.get(root, ()))
        found = {each: self._link_of(each, now) for each in members}
        return {each: link.via for each, link in found.items() if link is not None}

    def _root(self, subject: str, now: float) -> str:
        link = self._link_of(subject, now)
        return subject if link is None else link.root

    def _is_forgotten(self, subject: str, now: float) -> bool:
        return self._forgotten.get(subject, 0.0) > now

    # ---- what is told

    def _enter(self, root: str, kept: _Kept, now: float) -> None:
        mine = self._told.setdefault(root, {})
        there = mine.get(kept.told.id)
        if there is None or there.over <= now:
            mine[kept.told.id] = kept

    def _trim(self, root: str, now: float) -> None:
        mine = self._told.get(root, {})
        stay = newest((each.told for each in mine.values() if each.over > now), self.most)
        left = {told.id: mine[told.id] for told in stay}
        if left:
            self._told[root] = left
        else:
            self._told.pop(root, None)

    def _sweep(self, now: float) -> None:
        for subject in list(self._told):
            self._trim(subject, now)
        for subject in list(self._links):
            self._link_of(subject, now)
        self._forgotten = {who: until for who, until in self._forgotten.items() if until > now}

    # ---- the seam

    def put(self, told: Sequence[Told]) -> None:
        """
        Remember.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        with self._held() as now:
            for each in told:
                root = self._root(each.subject, now)
                if each.keep > 0 and not self._is_forgotten(root, now):
                    kept = _Kept(attrs.evolve(each, subject=root), each.subject, now + each.keep)
                    self._enter(root, kept, now)
                    self._trim(root, now)

    def read(self, subjects: Sequence[str]) -> Mapping[str, Remembered]:
        """
        Return what is remembered of each of *subjects*.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        with self._held() as now:
            return {subject: self._remembered(subject, now) for subject in subjects}

    def _remembered(self, subject: str, now: float) -> Remembered:
        if self._is_forgotten(subject, now):
            return Remembered(forgotten=True)
        link = self._link_of(subject, now)
        mine = self._told.get(subject, {}).values()
        told = [attrs.evolve(each.told, keep=each.over - now) for each in mine if each.over > now]
        return Remembered(
            newest(told, self.most),
            None if link is None else link.root,
            tuple(self._members(subject, now)),
            b"" if link is None else link.note,
        )

    def link(self, absorb: str, keep: str, note: bytes = b"") -> bool:
        """
        Make *absorb* a part of *keep*; False where it is a part of another one already, or *keep*
        is a part of it, or one of the two is forgotten.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        with self._held() as now:
            root, over = self._root(keep, now), now + LINK_KEPT_S
            there = self._link_of(absorb, now)
            if root == absorb or self._is_forgotten(absorb, now) or self._is_forgotten(root, now):
                return False
            if there is not None:
                if there.root == root:
                    there.note, there.over = note, over
                return there.root == root
            for member in self._members(absorb, now):
                self._become(member, attrs.evolve(self._links[member], root=root))
            self._become(absorb, _Link(root, keep, note, over))
            for kept in self._told.pop(absorb, {}).values():
                kept.told = attrs.evolve(kept.told, subject=root)
                self._enter(root, kept, now)
            self._trim(root, now)
            return True

    def unlink(self, absorb: str) -> bool:
        """
        End a link; who had become *absorb* before goes with it. False where there is none.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        with self._held() as now:
            link = self._link_of(absorb, now)
            if link is None:
                return False
            members = under(absorb, self._members(link.root, now))
            self._drop_link(absorb)
            for member in members:
                self._become(member, attrs.evolve(self._links[member], root=absorb))
            return True

    def forget(self, subjects: Sequence[str], suppress_for: float) -> int:
        """
        Erase; return how many things there were.

        Raises:
            StoreUnavailableError: the memory is closed.
        """
        with self._held() as now:
            return sum(self._forget(subject, suppress_for, now) for subject in set(subjects))

    def _forget(self, subject: str, suppress_for: float, now: float) -> int:
        root = self._root(subject, now)
        gone = {subject, *under(subject, self._members(root, now))}
        mine = self._told.pop(root, {})
        stay = {
            name: each
            for name, each in mine.items()
            if each.over > now and root != subject and each.origin not in gone
        }
        if stay:
            self._told[root] = stay
        for each in gone:
            self._drop_link(each)
            if suppress_for > 0:
                until = max(now + suppress_for, self._forgotten.get(each, 0.0))
                self._forgotten[each] = until
        return sum(each.over > now for each in mine.values()) - len(stay)

    def subscribe(self, heard: Callable[[str | None], None]) -> bool:
        """
        Return False: no other process can change anything here.
        """
        return False

    def close(self) -> None:
        """
        Forget everything. Idempotent; later calls raise `StoreUnavailableError`.
        """
        self._is_closed = True
        self._told, self._links, self._absorbed, self._forgotten = {}, {}, {}, {}
