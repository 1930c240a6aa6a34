"""
One transaction of a cap store in tables.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["Row", "Statement", "Work"]

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
