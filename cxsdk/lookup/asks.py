"""
What customers were asked, and what they came for in vain: so that nobody tells their story twice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cxsdk import _fork
from cxsdk.lookup.items import Interaction
from cxsdk.remembering import Told

__all__ = ["ASKED_S", "UNMET_S", "Asks", "Matter", "is_unmet"]

Key = tuple[str, str]

Matter = tuple[str, ...]
"""``(question,)``, or ``(touchpoint, type, id)`` of a thing that a contact was about."""

ASKED_S = 30 * 86_400.0
UNMET_S = 7 * 86_400.0

_FAILED = frozenset({"failure", "abandoned", "partial"})
_SHORT = frozenset({"no", "partly"})


class _Once(msgspec.Struct, frozen=True, array_like=True):
    """
    In which interaction it was last, when (seconds since 1970), and whether it counts.
    """

    interaction_id: str
    at: float
    counts: bool


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    matter: Matter
    once: _Once


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Payload)


def is_unmet(outcome: str | None, goal_met: str | None) -> bool:
    """
    Say whether a customer did not get what they came for, as far as that was said.
    """
    return goal_met in _SHORT or (goal_met != "yes" and outcome in _FAILED)


class Asks:
    """
    An index of what each customer was last asked and last came for. Bounded: the customers of
    whom nothing new was heard for longest go first. In memory only; thread-safe; a forked child
    begins with an empty one.

    Args:
        most: matters of one customer at most.

        max_matters: matters of all customers at most; each takes some 300 bytes.
    """

    def __init__(self, *, most: int = 50, max_matters: int = 100_000) -> None:
        self._most = most
        self._max = max_matters
        self._begin_process()

    def _begin_process(self) -> None:
        self._lock = threading.RLock()
        self._known: OrderedDict[Key, dict[Matter, _Once]] = OrderedDict()
        self._count = 0
        self._generation = _fork.current()

    def _own(self) -> None:
        if self._generation != _fork.page[0]:
            with _fork.own_lock():
                if self._generation != _fork.current():
                    self._begin_process()

    # ---- looking --------------------------------------------------------------------------

    def asked(self, key: Key, question: str, interaction_id: str, at: float) -> str | None:
        """
        Return the id of another interaction in which *question* was last asked in the 30 days
        before *at*, or None.
        """
        return self._last(key, [(question,)], interaction_id, at - ASKED_S)

    def unmet(
        self,
        key: Key,
        touchpoint: str,
        refs: Sequence[Mapping[str, str]],
        interaction_id: str,
        at: float,
    ) -> str | None:
        """
        Return the id of the last other interaction at *touchpoint* about one of *refs* in the 7
        days before *at*, if it was in vain; else None.
        """
        return self._last(key, matters(touchpoint, refs), interaction_id, at - UNMET_S)

    def _last(
        self, key: Key, wanted: Iterable[Matter], interaction_id: str, since: float
    ) -> str | None:
        self._own()
        known = self._known.get(key)
        if not known:
            return None
        found = [
            once
            for once in map(known.get, wanted)
            if once is not None
            and once.counts
            and once.at >= since
            and once.interaction_id != interaction_id
        ]
        return max(found, key=lambda once: once.at).interaction_id if found else None

    # ---- learning -------------------------------------------------------------------------

    def add(
        self, key: Key, matter: Matter, interaction_id: str, at: float, *, counts: bool = True
    ) -> bool:
        """
        Note that a customer was asked something, or came for something (*counts*: in vain); say
        whether that is news that another process could use.
        """
        self._own()
        with self._lock:
            known = self._known.get(key)
            if known is None:
                if not counts:
                    return False
                known = self._known[key] = {}
            before = known.get(matter)
            if before is None and not counts:
                return False
            if before is not None and before.at >= at:
                return False
            known.pop(matter, None)
            known[matter] = _Once(interaction_id, at, counts)
            self._count += before is None
            if len(known) > self._most:
                known.pop(next(iter(known)))
                self._count -= 1
            self._known.move_to_end(key)
            while self._count > self._max:
                _, gone = self._known.popitem(last=False)
                self._count -= len(gone)
        return True

    def learn(self, key: Key, interactions: Iterable[Interaction]) -> None:
        """
        Take from *interactions*, wherever they were read, what was asked and what they were about.
        """
        for one in interactions:
            if one.at is None:
                continue
            at = one.at.timestamp()
            for question in one.asked:
                self.add(key, (question,), one.id, at)
            if one.touchpoint and (one.outcome or one.goal_met):
                is_in_vain = is_unmet(one.outcome, one.goal_met)
                for matter in [(one.touchpoint, *pair) for pair in one.refs.items()]:
                    self.add(key, matter, one.id, at, counts=is_in_vain)

    def take(self, key: Key, told: Iterable[Told]) -> None:
        """
        Take what the shared memory has on its shelf ``asked``; what cannot be read is left out.
        """
        for one in told:
            try:
                said = _decoder.decode(one.payload)
            except msgspec.DecodeError:
                continue
            once = said.once
            self.add(key, said.matter, once.interaction_id, once.at, counts=once.counts)

    # ---- who is who -----------------------------------------------------------------------

    def rekey(self, absorb: Key, keep: Key) -> None:
        """
        Give *keep* what is known of *absorb*.
        """
        self._own()
        with self._lock:
            moved = self._known.pop(absorb, {})
            self._count -= len(moved)
        # Those that count first: what was met later is worth a note only behind them.
        for matter, once in moved.items():
            self.add(keep, matter, once.interaction_id, once.at, counts=once.counts)

    def forget(self, keys: Collection[Key]) -> int:
        """
        Forget customers; return how many matters that were.
        """
        self._own()
        with self._lock:
            gone = sum(len(self._known.pop(key, ())) for key in keys)
            self._count -= gone
        return gone

    def __len__(self) -> int:
        return self._count


def matters(touchpoint: str, refs: Iterable[Mapping[str, Any]]) -> Iterator[Matter]:
    """
    Return what a contact was about.
    """
    return ((touchpoint, ref["type"], ref["id"]) for ref in refs)


def told(subject: str, matter: Matter, interaction_id: str, at: float, *, counts: bool) -> Told:
    """
    Return what the shared memory keeps of it.
    """
    import hashlib

    # Of things of the host's own nothing may be said in an id.
    what = hashlib.blake2b("\0".join(matter).encode(), digest_size=12).hexdigest()
    payload = _encode(_Payload(matter, _Once(interaction_id, at, counts)))
    keep = ASKED_S if len(matter) == 1 else UNMET_S
    return Told(subject, f"{what}.{interaction_id}"[:200], "asked", at, keep, payload)
