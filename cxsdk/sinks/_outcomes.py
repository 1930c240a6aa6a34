"""
From an answer per event to one result for the batch, for destinations that ack one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from cxsdk.sinks._verdict import clean
from cxsdk.typing import Delivered, Hold, Partial, Refused, Retry, SendResult, Split

__all__ = ["Outcomes"]

_CHARS = 160
_SILENT = Retry("timeout: no answer in time", uncertain=True)
_UNSENT = Retry("timeout: not sent in time")


class Outcomes:
    """
    What became of each event of one batch. Used by one thread.

    Args:
        size: how many events there are.

        hide: takes secrets out of a destination's words.
    """

    def __init__(self, size: int, hide: Callable[[str], str] = str) -> None:
        self._size = size
        self._hide = hide
        self._waiting: set[int] = set()
        self._taken: set[int] = set()
        self._failed: dict[int, SendResult] = {}
        self._alone: dict[int, str] = {}

    @property
    def delivered(self) -> int:
        """
        How many the destination said that it has.
        """
        return len(self._taken)

    @property
    def open(self) -> int:
        """
        How many answers are still to come.
        """
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """
        True: the destination has not answered for any event.
        """
        return not (self._taken or self._failed or self._alone)

    def sent(self, index: int) -> None:
        """
        Event *index* is on its way.
        """
        self._waiting.add(index)

    def took(self, index: int) -> None:
        """
        The destination has event *index*.
        """
        if index in self._waiting:
            self._waiting.discard(index)
            self._taken.add(index)

    def fail(self, index: int, result: SendResult) -> None:
        """
        Event *index* was not taken; *result* is what that would mean for a batch of its own.
        """
        self._waiting.discard(index)
        if index not in self._taken:
            self._failed[index] = result

    def refuse(self, index: int, words: str) -> None:
        """
        Event *index* can never go, whatever it travels with.
        """
        self._waiting.discard(index)
        self._alone[index] = self.cut(words)

    @property
    def in_doubt(self) -> bool:
        """
        True: something may have arrived although nobody said so.
        """
        doubtful = (isinstance(r, Retry) and r.uncertain for r in self._failed.values())
        return bool(self._waiting) or any(doubtful)

    def verdict(self, trouble: SendResult | None = None) -> SendResult:
        """
        Say what all this means for the batch.

        Args:
            trouble: what happened to the connection itself, if anything did; it explains the
                events that nobody answered for.
        """
        for index in range(self._size):
            if index in self._waiting:
                self.fail(index, _SILENT)
            elif not (index in self._taken or index in self._failed or index in self._alone):
                self.fail(index, _UNSENT)
        if len(self._taken) == self._size:
            return Delivered()
        if self._size == 1 and self._alone:
            words = self._alone[0]
            return Split(words) if words.startswith("too_large") else Partial(refused=self._alone)
        if self._taken or self._alone:
            # What failed is asked about again by itself: then the answer is about all of it.
            return Partial(refused=self._alone, retry=frozenset(self._failed))
        return self._whole(trouble)

    def _whole(self, trouble: SendResult | None) -> SendResult:
        """
        Nothing was taken, and nothing is known to be at fault by itself.
        """
        said = list(self._failed.values())
        holds = [result for result in said if isinstance(result, Hold)]
        if holds:
            return holds[0]
        if said and not trouble and all(isinstance(r, (Split, Refused)) for r in said):
            # Refused as a set, for its size or for one of it: delivery finds out by halving.
            return next((r for r in said if isinstance(r, Refused)), said[0])
        if trouble is not None and not isinstance(trouble, Retry):
            return trouble
        return self._later(trouble, [r for r in said if isinstance(r, Retry)])

    def _later(self, trouble: Retry | None, said: list[Retry]) -> Retry:
        spoken = [result for result in said if not result.reason.startswith("timeout")]
        first = trouble or next(iter([*spoken, *said]), _SILENT)
        return attrs.evolve(
            first,
            uncertain=self.in_doubt,
            throttled=bool(said) and all(result.throttled for result in said),
        )

    def cut(self, words: object) -> str:
        """
        Return a destination's words fit for a result: one line, short, without secrets.
        """
        return clean(words, self._hide)[:_CHARS]
