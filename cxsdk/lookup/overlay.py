"""
The overlay: what this service, in any of its processes, just saw of its customers, so that a
lookup shows it before any provider does.
"""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from cxsdk import _fork
from cxsdk._clock import Clock
from cxsdk._guard import voice
from cxsdk.lookup.asks import Asks
from cxsdk.lookup.journal import OVERHEAD, SIZE, Journal
from cxsdk.lookup.journals import Journals, Key, subject_of
from cxsdk.lookup.laying import overlaid
from cxsdk.lookup.publisher import Publisher
from cxsdk.lookup.reading import Reading, Readings, follow
from cxsdk.lookup.reducers import Reducer
from cxsdk.remembering import Remembered, SharedMemory, Told

__all__ = ["Key", "Overlay", "overlaid", "subject_of"]

_PROMPT = re.compile(rb'"type":"[^"]*\.prompt\.[a-z_]+\.v\d+"')
_HEAD = 1024
_MOST_WANTED = 200


class Overlay:
    """
    One journal per customer, bounded in every direction. Thread-safe; a forked child begins with
    an empty one.

    Args:
        keep_s: seconds for which an event stays.

        most: contacts, and other facts, of one customer.

        max_bytes: of all journals, about; the customers of whom nothing came for longest go first.

        reducers: a team's own, see `cxsdk.lookup.reducers.changes`.

        shared: what other processes know; stays the caller's to close.

        name: gives the subject of a key in the shared memory: a keyed hash.

        note: called with the name of what is worth a look.

        asks: index that is filled from the shared memory, and follows links and erasures.

        fresh_s: seconds after which the shared memory is read again, whatever it told.
    """

    def __init__(  # noqa: PLR0913 - most of them stay as they are
        self,
        clock: Clock,
        *,
        keep_s: float = 1800.0,
        most: int = 50,
        max_bytes: int = 16 * 2**20,
        max_customers: int = 20_000,
        reducers: Mapping[str, Reducer] | None = None,
        shared: SharedMemory | None = None,
        name: Callable[[Key], str] = subject_of,
        note: Callable[[str], None] = lambda _: None,
        asks: Asks | None = None,
        fresh_s: float = 1.0,
    ) -> None:
        self._now = clock.monotonic
        self._keep_s = keep_s
        self._most = most
        self._max_bytes = max_bytes
        self._max_customers = max_customers
        self._reducers = reducers
        self._takes_prompts = any("prompt" in kind for kind in reducers or ())
        self._shared = shared
        self._name = name
        self._note = note
        self.asks = asks
        self._fresh_s = fresh_s
        self._versions = itertools.count(1).__next__
        self._begin_process()

    def _begin_process(self) -> None:
        self._lock = threading.RLock()
        self._journals = Journals(self._make, self._max_customers, self._max_bytes, self._lost)
        self._aliases: OrderedDict[Key, Key] = OrderedDict()
        self._absorbed: dict[Key, set[Key]] = {}
        self._readings = Readings(self._max_customers)
        self._erased: OrderedDict[Key, None] = OrderedDict()
        self._wanted: set[Key] = set()
        shared = self._shared
        self._publisher = (
            None if shared is None else Publisher(shared, self._name, self._keep_s, self._note)
        )
        self._generation = _fork.current()

    def _own(self) -> None:
        if self._generation != _fork.page[0]:
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._begin_process()

    def _make(self) -> Journal:
        return Journal(self._most, self._versions, self._reducers, self._note)

    def _lost(self, key: Key) -> None:
        # It was not only the memory's word that went: it has to be asked again.
        self._readings.drop(key)
        self._note("memory_evicted")

    # ---- what happens here ----------------------------------------------------------------

    def tap(self, key: Key, payload: bytes, is_interaction: bool) -> None:  # noqa: FBT001
        """
        Take an encoded event of a customer. Decodes nothing and waits for nobody.
        """
        if self._generation != _fork.page[0]:
            self._own()
        if not is_interaction and not self._takes_prompts and _PROMPT.search(payload, 0, _HEAD):
            return  # about a question of ours, it says nothing of their story
        # Written out, without a call that could be spared: this is in every emit.
        size = len(payload) + OVERHEAD
        ends = self._now() + self._keep_s
        with self._lock:
            if self._aliases:
                key = self._aliases.get(key, key)
            journals = self._journals
            journal = journals.get(key)
            if journal is None:
                journal = journals.open(key)
            shelf = journal.contacts if is_interaction else journal.facts
            shelf.append([payload, ends, size, None])
            if len(shelf) > self._most:
                size -= shelf.pop(0)[SIZE]
            journal.memo = None
            journal.is_used = True
            journals.bytes += size
            if journals.bytes > self._max_bytes:
                journals.shrink()
        if self._publisher is not None:
            self._publisher.put(key, payload, is_interaction)

    def journal(self, key: Key) -> Journal | None:
        """
        Return what is known here and now, or None. Memory only.
        """
        self._own()
        with self._lock:
            key = self._aliases.get(key, key)
            journal = self._journals.get(key)
            if journal is None:
                return None
            self._journals.bytes -= journal.prune(self._now())
            if not len(journal):
                del self._journals[key]
                return None
            return journal

    def version(self, key: Key) -> int:
        """
        Return the version of a customer's journal, 0 where there is none.
        """
        journal = self._journals.get(self._aliases.get(key, key))
        return 0 if journal is None else journal.version

    def moved(self, key: Key, version: int) -> bool:
        """
        Say whether the journal of *key* has another version by now. For the hot path: no lock.
        """
        journals = self._journals
        if not journals and not version:
            return False
        return self.version(key) != version

    @property
    def is_shared(self) -> bool:
        """
        Say whether other processes hear of what happens here.
        """
        return self._shared is not None

    def publish(self, key: Key, what: Told) -> None:
        """
        Hand something else to the shared memory. Never blocks.
        """
        self._own()
        if self._publisher is not None:
            self._publisher.put(key, what)

    def subject(self, key: Key) -> str:
        """
        Return the name under which the shared memory knows *key*.
        """
        return self._name(self.resolve(key))

    def resolve(self, key: Key) -> Key:
        """
        Return the key that *key* was absorbed by, else itself.
        """
        self._own()
        return self._aliases.get(key, key)

    # ---- what other processes know --------------------------------------------------------

    def is_due(self, key: Key) -> bool:
        """
        Say whether the shared memory must be read before the journal is complete.
        """
        if self._shared is None:
            return False
        reading = self._current(key)
        return reading is None or self._now() - reading.at >= self._fresh_s

    def knows(self, key: Key, within: float = 60.0) -> bool:
        """
        Say whether all that is known anywhere is known here: read within so many seconds, or at
        any time where the memory would have told of news since.
        """
        if self._shared is None:
            return True
        reading = self._current(key)
        if reading is None:
            return False
        return self._readings.can_tell or self._now() - reading.at < within

    def _current(self, key: Key) -> Reading | None:
        self._own()
        return self._readings.get(self._aliases.get(key, key))

    def want(self, key: Key) -> None:
        """
        Have *key* read soon, on the publisher's thread. Never blocks.
        """
        self._own()
        if self._publisher is None or key in self._wanted or len(self._wanted) >= _MOST_WANTED:
            return
        self._wanted.add(key)

        def fetch() -> None:
            self._wanted.discard(key)
            if self.is_due(key):
                self.load([key])

        self._publisher.put(key, fetch)

    def load(self, keys: Iterable[Key]) -> None:
        """
        Read the shared memory into the journals of *keys*. Blocks on it, one or two round trips.

        Raises:
            StoreUnavailableError: the memory cannot be asked.
        """
        shared = self._shared
        if shared is None:
            return
        self._own()
        self._readings.listen(shared)
        with self._lock:
            names = self._names({self._aliases.get(key, key) for key in keys})
        asked = list(names)
        epoch, at = self._readings.begin(asked), self._now()
        try:
            found = follow(shared, names)
            grouped: defaultdict[Key, list[str]] = defaultdict(list)
            for subject, whose in names.items():
                for key in whose:
                    grouped[key].append(subject)
            with self._lock:
                for key, subjects in grouped.items():
                    if key in self._aliases:
                        continue  # absorbed meanwhile: the other one is read anew
                    self._take(key, [found[each] for each in subjects if each in found])
                    self._readings.put(key, Reading(at, epoch, tuple(subjects)))
        finally:
            self._readings.end(asked)

    def _names(self, keys: Collection[Key]) -> dict[str, set[Key]]:
        names = {self._name(key): {key} for key in keys}
        # Also those that were absorbed here: the memory may not have been told of it yet.
        for key in keys:
            names.update({self._name(alias): {key} for alias in self._absorbed.get(key, ())})
        return names

    def _take(self, key: Key, answers: list[Remembered]) -> None:
        if any(one.forgotten for one in answers):
            self._drop(key)
            self._erased[key] = None
            if len(self._erased) > self._max_customers:
                self._erased.popitem(last=False)
            return
        self._erased.pop(key, None)
        told = [one for answer in answers for one in answer.told]
        if self.asks is not None:
            self.asks.take(key, (one for one in told if one.shelf == "asked"))
        now = self._now()
        events: list[tuple[str, bytes, float]] = []
        for shelf in ("interactions", "facts"):
            last = sorted((one for one in told if one.shelf == shelf), key=lambda one: one.at)
            events += [
                (one.id, one.payload, now + min(one.keep, self._keep_s))
                for one in last[-self._most :]
            ]
        journal = self._journals.get(key)
        if journal is None:
            if not events:
                return
            journal = self._journals.open(key)
        self._journals.grow(journal.load(events))

    def is_forgotten(self, key: Key) -> bool:
        """
        Say whether the shared memory, when it was last read, had a tombstone of this customer.
        """
        self._own()
        return self._aliases.get(key, key) in self._erased

    # ---- who is who -----------------------------------------------------------------------

    def rekey(self, absorb: Key, keep: Key) -> int:
        """
        Give *keep* the journal of *absorb*, also what comes under that later; here at once, in
        the shared memory soon. Return how many entries moved.
        """
        self._own()
        with self._lock:
            keep = self._aliases.get(keep, keep)
            if keep == absorb:
                return 0
            self._separate(absorb)
            absorbed = {absorb, *self._absorbed.pop(absorb, ())}
            self._aliases.update(dict.fromkeys(absorbed, keep))
            self._absorbed.setdefault(keep, set()).update(absorbed)
            if len(self._aliases) > self._max_customers:
                self._separate(next(iter(self._aliases)))
            moved = self._journals.pop(absorb, None)
            count = 0 if moved is None else len(moved)
            if moved is not None:
                self._journals.bytes -= moved.size
                journal = self._journals.get(keep) or self._journals.open(keep)
                self._journals.bytes += journal.absorb(moved)
            self._readings.drop(absorb)
            self._readings.drop(keep)
        if self.asks is not None:
            self.asks.rekey(absorb, keep)
        if self._publisher is not None and self._shared is not None:
            names, link = (self._name(absorb), self._name(keep)), self._shared.link
            self._publisher.put(keep, lambda: self._linked(link(*names)))
        return count

    def _linked(self, is_linked: bool) -> None:  # noqa: FBT001
        if not is_linked:
            self._note("memory_link_refused")
            words = "cxsdk: a link is not shared: the other customer was linked elsewhere before"
            voice.say(logging.WARNING, "memory:link", words)

    def _separate(self, alias: Key) -> Key | None:
        keep = self._aliases.pop(alias, None)
        if keep is not None:
            absorbed = self._absorbed[keep]
            absorbed.discard(alias)
            if not absorbed:
                del self._absorbed[keep]
        return keep

    def unlink(self, absorb: Key) -> None:
        """
        End a link: what comes under *absorb* from now on is its own. Moves nothing back.
        """
        self._own()
        with self._lock:
            keep = self._separate(absorb)
            self._readings.drop(absorb)
            if keep is not None:
                self._readings.drop(keep)
        if self._publisher is not None and self._shared is not None:
            name, end = self._name(absorb), self._shared.unlink
            self._publisher.put(absorb, lambda: end(name))

    def forget(self, keys: Iterable[Key]) -> int:
        """
        Forget customers and those that they absorbed, here; what was not published yet will not
        be. Return how many entries that were.
        """
        self._own()
        with self._lock:
            gone = {each for key in keys for each in (key, self._aliases.get(key, key))}
            gone.update(*(self._absorbed.get(key, ()) for key in gone))
            count = sum(map(self._drop, gone))
            for key in gone:
                self._separate(key)
            self._wanted -= gone
        if self._publisher is not None:
            self._publisher.forget(gone)
        return count

    def _drop(self, key: Key) -> int:
        journal = self._journals.pop(key, None)
        self._readings.drop(key)
        count = 0 if self.asks is None else self.asks.forget([key])
        if journal is None:
            return count
        self._journals.bytes -= journal.size
        return count + len(journal)

    # ---- ends -----------------------------------------------------------------------------

    def settle(self, seconds: float) -> None:
        """
        Wait until other processes can know all that happened here before.

        Raises:
            StoreUnavailableError: they cannot, after *seconds* or because the memory is away.
        """
        self._own()
        if self._publisher is not None:
            self._publisher.settle(seconds)

    def close(self, seconds: float = 1.0) -> None:
        """
        Publish what waits, for up to *seconds*, and end the thread. Idempotent.
        """
        self._own()
        if self._publisher is not None:
            self._publisher.close(seconds)

    def stats(self) -> dict[str, Any]:
        """
        Return the figures as plain data.
        """
        self._own()
        with self._lock:
            return {
                "customers": len(self._journals),
                "events": sum(map(len, self._journals.values())),
                "bytes": self._journals.bytes,
                "evicted": self._journals.evicted,
                "linked": len(self._aliases),
                "publisher": {} if self._publisher is None else self._publisher.stats(),
            }
