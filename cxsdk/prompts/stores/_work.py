"""
One transaction of a cap store in tables.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from cxsdk.asking import StoredOffer

__all__ = ["Row", "Statement", "Work", "chunks", "marks", "offer_of", "pairs"]

_CHUNK = 500

Row: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL as in `_statements`, and what its placeholders stand for."""


class Work(abc.ABC):
    """
    One transaction under way.
    """

    who: Mapping[str, str]
    """Each subject that the transaction is about, and the one that it is now."""

    now: float
    """The store's clock, read when all locks were held."""

    @abc.abstractmethod
    def run(self, *statements: Statement) -> list[list[Row]]:
        """
        Execute *statements* in order; return the rows of each.
        """

    @abc.abstractmethod
    def change(self, statement: Statement) -> int:
        """
        Execute one statement; return how many rows it changed.
        """

    @abc.abstractmethod
    def ask(self, *statements: Statement) -> list[list[Row]]:
        """
        Like `run`, and read the clock into *now* after them.
        """


@lru_cache(maxsize=64)
def marks(count: int) -> str:
    """
    Return *count* placeholders.
    """
    return ", ".join(["?"] * count)


@lru_cache(maxsize=64)
def pairs(count: int, width: int) -> str:
    """
    Return *count* rows of *width* placeholders each.
    """
    return ", ".join([f"({marks(width)})"] * count)


def chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """
    Yield *names* in parts that one statement takes.
    """
    for begin in range(0, len(names), _CHUNK):
        yield names[begin : begin + _CHUNK]


def offer_of(row: Row, now: float) -> StoredOffer:
    """
    Return the offer in a row of `_statements.FIND`.
    """
    name, prompt, subject, state, record, reserved, expires, shown, ended, revision = row[:10]
    return StoredOffer(
        name,
        prompt,
        subject,
        state,
        bytes(record),
        reserved,
        expires,
        shown,
        ended,
        revision,
        now,
    )
