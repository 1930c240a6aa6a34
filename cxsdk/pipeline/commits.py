"""
What is known of the transactions of a host, so that facts can wait for their commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Commits", "commits"]


class Commits(Protocol):
    """
    What an integration knows of the transactions of its host. Called from any thread and task.

    1. Neither method raises or blocks.

    2. Of what `wait` gets, one is called, once: *said* after the commit of every transaction that
       was open, *lost* where one of them, or the savepoint it was said in, is rolled back.
    """

    def is_open(self) -> bool:
        """
        Say whether the running code is inside of a transaction.
        """

    def wait(self, said: Callable[[], object], lost: Callable[[], object]) -> None:
        """
        Call one of them when it is known what became of the open transactions.
        """


commits: list[Commits] = []
"""What integrations put here is asked by each fact that may wait; see `Fact.capture_it`."""
